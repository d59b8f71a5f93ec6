//! Reads the file, the environment and the flags key by key. The later layer wins.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::force;
use super::header;
use super::keys::{self, KEYS, Key, LISTS, is_list};
use super::labels;
use super::value::{Kind, Value};
use super::variable::{self, Meaning};
use super::{AGENTS_MAX, ConfigError, Origin, Problem};
use crate::preset;
use formats::text::{printable, shorten};

/// The largest configuration file.
const FILE_SIZE_MAX: u64 = 256 * 1024;

/// The most problems that are reported at once.
pub(super) const PROBLEMS_MAX: usize = 50;

/// The longest part of a name or a value that a problem repeats, in characters.
pub(super) const SHOWN_MAX: usize = 60;

/// The longest part of the TOML parser's message that is reported, in characters.
const MESSAGE_MAX: usize = 200;

/// Reads the file, which must exist.
pub(super) fn read_file(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_SIZE_MAX {
            return Err(io::Error::other(format!("it is larger than {FILE_SIZE_MAX} bytes")));
        }
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))
    };
    read().map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Reads the file if it exists.
pub(super) fn read_file_if_there(path: &Path) -> Result<Option<String>, ConfigError> {
    match read_file(path) {
        Ok(text) => Ok(Some(text)),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A key that a command-line flag sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key's section.
    pub section: &'static str,
    /// The key's name.
    pub name: &'static str,
    /// The flag, such as `--agent`.
    pub flag: &'static str,
    /// The value.
    pub text: String,
}

impl Flag {
    /// The flag `--agent` with a URL, whose scheme may be left out, or with the absolute path of a Unix socket.
    pub fn agent(address: String) -> Self {
        let (name, text) = match address {
            path if path.starts_with('/') => ("unix", path),
            url if url.contains("://") => ("url", url),
            host => ("url", format!("http://{host}")),
        };
        Flag { section: "agent", name, flag: "--agent", text }
    }
}

/// The value of a key that was set.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// As it was written, without quotes.
    pub text: String,
    pub value: Value,
    pub origin: Origin,
}

/// The settings of all layers so far, and their problems.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// By table (0 in a section with only one), section and name.
    pub given: BTreeMap<(usize, &'static str, &'static str), Given>,
    /// The keys that were set to something that they do not accept.
    pub wrong: BTreeSet<(usize, &'static str, &'static str)>,
    /// How many `[[agent]]` tables there are. `build` counts none as one.
    pub agents: usize,
    /// Where each table of the sections in [`LISTS`] was set.
    lists: BTreeMap<&'static str, Vec<Origin>>,
    pub problems: Vec<Problem>,
    /// The environment variables with drainhook's prefix that set no key.
    pub ignored: Vec<String>,
}

impl Layers {
    /// Where each table of a section in [`LISTS`] was set.
    pub fn places(&self, section: &str) -> &[Origin] {
        self.lists.get(section).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many tables a section in [`LISTS`] has.
    pub fn count(&self, section: &str) -> usize {
        self.places(section).len()
    }

    /// Adds the layer of the file.
    pub fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file = SourceFile::new(path, text);
        let document = DeTable::parse(text).map_err(|error| ConfigError::NotToml {
            path: path.to_owned(),
            line: file.line(error.span().map_or(0, |span| span.start)),
            message: printable(error.message(), MESSAGE_MAX),
        })?;
        for (section, value) in document.get_ref() {
            self.add_section(&file, section, value);
        }
        Ok(())
    }

    fn add_section(
        &mut self,
        file: &SourceFile<'_>,
        section: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let (name, origin) = (section.get_ref().as_ref(), file.origin(section));
        if !keys::sections().contains(&name) {
            self.tell(|| {
                if is_section(value.get_ref()) {
                    unknown_section(origin, name)
                } else {
                    no_section(origin, name)
                }
            });
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => {
                if let Some((section, _, _)) = LISTS.iter().find(|(section, _, _)| *section == name) {
                    self.lists.insert(section, vec![origin]);
                }
                self.add_table(file, (name, 0), "", table);
            }
            DeValue::Array(tables) if name == "agent" => {
                if tables.is_empty() || tables.len() > AGENTS_MAX {
                    self.tell(|| Problem::AgentCount { origin, count: tables.len() });
                    return;
                }
                self.agents = tables.len();
                self.add_tables(file, name, tables);
            }
            DeValue::Array(tables) if is_list(name) => {
                for (section, what, max) in LISTS.into_iter().filter(|(section, _, _)| *section == name) {
                    if tables.len() > max {
                        return self.tell(|| Problem::TableCount { origin, count: tables.len(), what, max });
                    }
                    self.lists.insert(section, tables.iter().map(|table| file.origin(table)).collect());
                }
                self.add_tables(file, name, tables);
            }
            other => self.tell(|| not_a_table(origin, name, other)),
        }
    }

    fn add_tables(&mut self, file: &SourceFile<'_>, section: &str, tables: &[Spanned<DeValue<'_>>]) {
        for (place, value) in tables.iter().enumerate() {
            match value.get_ref() {
                DeValue::Table(table) => self.add_table(file, (section, place), "", table),
                other => self.tell(|| not_a_table(file.origin(value), section, other)),
            }
        }
    }

    /// Adds the keys of a section, or of a table in it. `prefix` is the table's name with a dot.
    fn add_table(
        &mut self,
        file: &SourceFile<'_>,
        (section, place): (&str, usize),
        prefix: &str,
        table: &DeTable<'_>,
    ) {
        for (name, value) in table {
            let origin = file.origin(name);
            let name = format!("{prefix}{}", name.get_ref());
            if let DeValue::Table(inner) = value.get_ref()
                && prefix.is_empty()
                && keys::is_table(section, &name)
            {
                self.add_table(file, (section, place), &format!("{name}."), inner);
                continue;
            }
            let Some(key) = keys::find(section, &name) else {
                self.tell(|| {
                    let nearest = keys::suggest(section, &name).into_iter().map(Key::path).collect();
                    let key = format!("{section}.{}", printable(&name, SHOWN_MAX));
                    Problem::UnknownKey { origin, key, nearest }
                });
                continue;
            };
            match (value.get_ref(), key.kind) {
                (DeValue::Boolean(flag), Kind::Flag) => self.add(place, key, &flag.to_string(), origin),
                (DeValue::Integer(number), Kind::Number(_) | Kind::Port) if number.radix() == 10 => {
                    self.add(place, key, number.as_str(), origin);
                }
                (DeValue::String(_), Kind::Flag | Kind::Number(_) | Kind::Port) => {
                    self.wrong(place, key, file.given(value), None, origin)
                }
                (DeValue::String(text), _) => self.add(place, key, text, origin),
                (DeValue::Array(items), Kind::Hosts) if items.iter().all(is_string) => {
                    let hosts: Vec<_> = items.iter().filter_map(|item| item.get_ref().as_str()).collect();
                    self.add(place, key, &hosts.join(","), origin);
                }
                (DeValue::Table(headers), Kind::Headers) => {
                    self.add(place, key, &header::written(headers), origin);
                }
                (DeValue::Array(items), Kind::Codes) if items.iter().all(is_integer) => {
                    let codes: Vec<_> = items.iter().map(|item| file.given(item)).collect();
                    self.add(place, key, &codes.join(","), origin);
                }
                (DeValue::Array(items), Kind::Command) if items.iter().all(is_string) => {
                    let words: Vec<_> = items.iter().filter_map(|item| item.get_ref().as_str()).collect();
                    self.add(place, key, &serde_json::Value::from(words).to_string(), origin);
                }
                (DeValue::Table(table), Kind::Labels) => match labels::of_table(table) {
                    Ok(labels) => self.add(place, key, &labels::written(&labels), origin),
                    Err(why) => self.wrong(place, key, file.given(value), Some(why), origin),
                },
                (other, _) => {
                    let given = format!("{} ({})", file.given(value), with_article(other.type_str()));
                    self.wrong(place, key, given, None, origin);
                }
            }
        }
    }

    /// The keys of one table of a preset's file.
    pub fn of_preset(text: &str, table: &str) -> Self {
        let file = SourceFile::new(Path::new("preset"), text);
        let document = DeTable::parse(text).expect("a test reads every preset");
        let mut layers = Layers::default();
        if let Some((_, value)) = document.get_ref().iter().find(|(name, _)| name.get_ref() == table)
            && let DeValue::Table(keys) = value.get_ref()
        {
            layers.add_table(&file, ("agent", 0), "", keys);
        }
        layers
    }

    /// Adds the layer of the environment.
    pub fn add_environment(&mut self, env: impl Iterator<Item = (String, String)>) {
        // Sorted by name, so that the order of the problems does not depend on the environment's order.
        let all: BTreeMap<String, String> = env.collect();
        for (variable, text) in &all {
            let origin = Origin::Variable(printable(variable, SHOWN_MAX));
            match variable::meaning(variable, &all) {
                Meaning::Key(key) if key.section == "agent" && self.agents > 1 => {
                    self.tell(|| Problem::WhichAgent { origin });
                }
                Meaning::Key(key) if self.count(key.section) > 1 => {
                    self.tell(|| Problem::WhichTable { origin, section: key.section });
                }
                Meaning::Key(key) => {
                    if is_list(key.section) {
                        self.lists.entry(key.section).or_insert_with(|| vec![origin.clone()]);
                    }
                    self.add(0, key, text, origin);
                }
                Meaning::UnknownKey { section, name } => self.tell(|| {
                    let (section, name) = (section.to_lowercase(), name.to_lowercase().replace("__", "."));
                    let nearest = keys::suggest(&section, &name).into_iter().map(Key::variable).collect();
                    let key = printable(&format!("{section}.{name}"), SHOWN_MAX);
                    Problem::UnknownKey { origin, key, nearest }
                }),
                Meaning::Nothing => self.ignored.push(variable.clone()),
                Meaning::Other => {}
            }
        }
    }

    /// Adds the layer of the command line.
    pub fn add_flags(&mut self, flags: &[Flag]) {
        for Flag { section, name, flag, text } in flags {
            let origin = Origin::Flag(flag);
            let Some(key) = keys::find(section, name) else {
                let key = format!("{section}.{name}");
                self.tell(|| Problem::UnknownKey { origin, key, nearest: Vec::new() });
                continue;
            };
            if *section == "agent" && self.agents > 1 {
                self.tell(|| Problem::WhichAgent { origin });
                continue;
            }
            // The flag replaces the agent of earlier layers. Keys that mean nothing for the new agent's kind go with it.
            if keys::AGENT_KINDS.contains(name) {
                let stays = |key: &str| !keys::AGENT_KINDS.contains(&key) && keys::applies(key, name);
                self.given.retain(|(_, section, key), _| *section != "agent" || stays(key));
                let forced = force::STEPS.iter().any(|step| self.given.contains_key(&(0, "agent", step)));
                self.given.retain(|(_, _, key), _| forced || *key != "force.before");
            }
            self.add(0, key, text, origin);
        }
    }

    fn add(&mut self, place: usize, key: &'static Key, text: &str, origin: Origin) {
        match key.kind.parse(text) {
            Ok(value) => {
                let given = Given { text: text.to_owned(), value, origin };
                self.given.insert((place, key.section, key.name), given);
            }
            Err(_) if matches!(key.kind, Kind::Preset) => self.tell(|| unknown_preset(origin, text)),
            Err(why) => self.wrong(place, key, format!("{:?}", shorten(text, SHOWN_MAX)), why, origin),
        }
    }

    fn wrong(&mut self, place: usize, key: &Key, given: String, why: Option<&'static str>, origin: Origin) {
        self.wrong.insert((place, key.section, key.name));
        let example = key.kind.example().map_or_else(String::new, |example| format!(", written {example}"));
        let expected = format!("{}{example}", key.kind.expected());
        self.tell(|| Problem::WrongValue { origin, key: key.path(), given, why, expected });
    }

    /// Adds a problem. Beyond [`PROBLEMS_MAX`] it adds only [`Problem::More`], once.
    pub fn tell(&mut self, problem: impl FnOnce() -> Problem) {
        match self.problems.len().cmp(&PROBLEMS_MAX) {
            Ordering::Less => self.problems.push(problem()),
            Ordering::Equal => self.problems.push(Problem::More),
            Ordering::Greater => {}
        }
    }
}

/// Whether the value is a table or an array of tables, as `[name]` and `[[name]]` make them.
fn is_section(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_))),
        _ => false,
    }
}

fn unknown_section(origin: Origin, name: &str) -> Problem {
    let inner = keys::is_table("agent", name).then(|| format!("[agent.{name}]"));
    let near = || keys::nearest(name, keys::sections().into_iter()).map(|near| format!("[{near}]"));
    let nearest = inner.or_else(near);
    Problem::UnknownSection { origin, section: printable(name, SHOWN_MAX), nearest }
}

fn unknown_preset(origin: Origin, name: &str) -> Problem {
    let nearest = keys::nearest(name, preset::NAMES.iter().copied()).map(str::to_owned);
    Problem::UnknownPreset { origin, name: printable(name, SHOWN_MAX), nearest }
}

/// The problem with a key that is in no section.
fn no_section(origin: Origin, name: &str) -> Problem {
    let sections: Vec<_> = keys::named(name).iter().map(|key| format!("[{}]", key.section)).collect();
    if !sections.is_empty() {
        return Problem::NoSection { origin, key: name.to_owned(), sections };
    }
    let nearest = keys::nearest(name, KEYS.iter().map(|key| key.name)).map(keys::named).unwrap_or_default();
    let nearest = nearest.into_iter().map(Key::path).collect();
    Problem::UnknownKey { origin, key: printable(name, SHOWN_MAX), nearest }
}

fn is_string(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::String(_))
}

fn is_integer(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::Integer(_))
}

fn not_a_table(origin: Origin, section: &str, found: &DeValue<'_>) -> Problem {
    Problem::NotATable { origin, section: section.to_owned(), found: with_article(found.type_str()) }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

/// A file and its text, to find the lines of keys.
struct SourceFile<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where its lines end. Counting them again for each key would take quadratic time.
    line_ends: Vec<usize>,
}

impl<'a> SourceFile<'a> {
    fn new(path: &'a Path, text: &'a str) -> Self {
        SourceFile { path, text, line_ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    fn origin<T>(&self, spanned: &Spanned<T>) -> Origin {
        Origin::File(self.path.to_owned(), self.line(spanned.span().start))
    }

    /// A value as it was written, shortened to its first line and [`SHOWN_MAX`].
    fn given<T>(&self, spanned: &Spanned<T>) -> String {
        let written = self.text.get(spanned.span()).unwrap_or_default();
        printable(written.lines().next().unwrap_or_default(), SHOWN_MAX)
    }
}
