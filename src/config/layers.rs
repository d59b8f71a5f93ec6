//! The file, the environment and flags, read key by key; the later layer wins.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{self, KEYS, Key};
use super::value::{Kind, Value};
use super::{AGENTS_MAX, ConfigError, Origin, Problem};
use formats::text::{printable, shorten};

/// The largest configuration file.
const FILE_SIZE_MAX: u64 = 256 * 1024;

/// How many problems are told at once.
pub(super) const PROBLEMS_MAX: usize = 50;

/// How much of a name or a value is repeated in a problem, in characters.
const SHOWN_MAX: usize = 60;

/// How much of the TOML parser's account of an error is told, in characters.
const MESSAGE_MAX: usize = 200;

const PREFIX: &str = "DRAINHOOK_";

/// The keys that say where an agent is.
const ADDRESSES: [&str; 2] = ["url", "unix"];

/// This process's environment, as far as it can concern the configuration.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// Reads the file; its absence is an error.
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

/// Reads the file; its absence is fine.
pub(super) fn read_file_if_there(path: &Path) -> Result<Option<String>, ConfigError> {
    match read_file(path) {
        Ok(text) => Ok(Some(text)),
        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A key that a flag of the command line sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key's section.
    pub section: &'static str,
    /// The key's name.
    pub name: &'static str,
    /// The flag, such as `--agent`.
    pub flag: &'static str,
    /// What it is set to.
    pub text: String,
}

impl Flag {
    /// `--agent`: a URL, or the absolute path of a Unix socket.
    pub fn agent(address: String) -> Self {
        let name = if address.starts_with('/') { "unix" } else { "url" };
        Flag { section: "agent", name, flag: "--agent", text: address }
    }
}

/// A value that was set.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// As it was written, without quotes.
    pub text: String,
    pub value: Value,
    pub origin: Origin,
}

/// All that was set, and all that is wrong with it so far.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// By agent (0 in every other section), section and name.
    pub given: BTreeMap<(usize, &'static str, &'static str), Given>,
    /// How many `[[agent]]` tables there are; none counts as one.
    pub agents: usize,
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Adds the file's layer.
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
                let nearest = keys::nearest(name, keys::sections().into_iter());
                let nearest = nearest.map(|near| format!("[{near}]"));
                Problem::UnknownSection { origin, section: printable(name, SHOWN_MAX), nearest }
            });
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(file, name, 0, table),
            DeValue::Array(tables) if name == "agent" => {
                if tables.is_empty() || tables.len() > AGENTS_MAX {
                    self.tell(|| Problem::AgentCount { origin, count: tables.len() });
                    return;
                }
                self.agents = tables.len();
                for (agent, value) in tables.iter().enumerate() {
                    match value.get_ref() {
                        DeValue::Table(table) => self.add_table(file, name, agent, table),
                        other => self.tell(|| not_a_table(file.origin(value), name, other)),
                    }
                }
            }
            other => self.tell(|| not_a_table(origin, name, other)),
        }
    }

    fn add_table(&mut self, file: &SourceFile<'_>, section: &str, agent: usize, table: &DeTable<'_>) {
        for (name, value) in table {
            let origin = file.origin(name);
            let Some(key) = keys::find(section, name.get_ref()) else {
                self.tell(|| {
                    let nearest = keys::suggest(section, name.get_ref()).map(Key::path);
                    let key = format!("{section}.{}", printable(name.get_ref(), SHOWN_MAX));
                    Problem::UnknownKey { origin, key, nearest }
                });
                continue;
            };
            match (value.get_ref(), key.kind) {
                (DeValue::Boolean(flag), Kind::Flag) => self.add(agent, key, &flag.to_string(), origin),
                (DeValue::String(_), Kind::Flag) => self.wrong(key, file.given(value), None, origin),
                (DeValue::String(text), _) => self.add(agent, key, text, origin),
                (DeValue::Array(items), Kind::Hosts) if items.iter().all(is_string) => {
                    let hosts: Vec<_> = items.iter().filter_map(|item| item.get_ref().as_str()).collect();
                    self.add(agent, key, &hosts.join(","), origin);
                }
                (other, _) => {
                    let given = format!("{} ({})", file.given(value), with_article(other.type_str()));
                    self.wrong(key, given, None, origin);
                }
            }
        }
    }

    /// Adds the environment's layer.
    pub fn add_environment(&mut self, env: impl Iterator<Item = (String, String)>) {
        // In order of name, so that problems are reported in one order too.
        for (variable, text) in env.collect::<BTreeMap<_, _>>() {
            let Some((section, name)) = variable.strip_prefix(PREFIX).and_then(section_and_name) else {
                continue;
            };
            let origin = Origin::Variable(printable(&variable, SHOWN_MAX));
            match KEYS.iter().find(|key| key.variable() == variable) {
                Some(key) if key.section == "agent" && self.agents > 1 => {
                    self.tell(|| Problem::WhichAgent { origin });
                }
                Some(key) => self.add(0, key, &text, origin),
                None => self.tell(|| {
                    let (section, name) = (section.to_lowercase(), name.to_lowercase());
                    let nearest = keys::suggest(&section, &name).map(Key::variable);
                    let key = printable(&format!("{section}.{name}"), SHOWN_MAX);
                    Problem::UnknownKey { origin, key, nearest }
                }),
            }
        }
    }

    /// Adds the layer of the command line.
    pub fn add_flags(&mut self, flags: &[Flag]) {
        for Flag { section, name, flag, text } in flags {
            let origin = Origin::Flag(flag);
            let Some(key) = keys::find(section, name) else {
                let key = format!("{section}.{name}");
                self.tell(|| Problem::UnknownKey { origin, key, nearest: None });
                continue;
            };
            if *section == "agent" && self.agents > 1 {
                self.tell(|| Problem::WhichAgent { origin });
                continue;
            }
            // An address takes the place of any other.
            if ADDRESSES.contains(name) {
                self.given.retain(|(_, section, name), _| *section != "agent" || !ADDRESSES.contains(name));
            }
            self.add(0, key, text, origin);
        }
    }

    fn add(&mut self, agent: usize, key: &'static Key, text: &str, origin: Origin) {
        match key.kind.parse(text) {
            Ok(value) => {
                let given = Given { text: text.to_owned(), value, origin };
                self.given.insert((agent, key.section, key.name), given);
            }
            Err(why) => self.wrong(key, format!("{:?}", shorten(text, SHOWN_MAX)), why, origin),
        }
    }

    fn wrong(&mut self, key: &Key, given: String, why: Option<&'static str>, origin: Origin) {
        let example = key.kind.example().map_or_else(String::new, |example| format!(", written {example}"));
        let expected = format!("{}{example}", key.kind.expected());
        self.tell(|| Problem::WrongValue { origin, key: key.path(), given, why, expected });
    }

    /// Adds a problem, where there are not too many to read already.
    pub fn tell(&mut self, problem: impl FnOnce() -> Problem) {
        match self.problems.len().cmp(&PROBLEMS_MAX) {
            Ordering::Less => self.problems.push(problem()),
            Ordering::Equal => self.problems.push(Problem::More),
            Ordering::Greater => {}
        }
    }
}

/// The section and the name of a key, as its variable has them without the prefix. One underscore where there should be
/// two is a mistake that must be told; all else without two (such as `DRAINHOOK_VERSION`) belongs to another program.
fn section_and_name(rest: &str) -> Option<(&str, &str)> {
    let one_underscore = || {
        let meant = |key: &&Key| format!("{}_{}", key.section, key.name).eq_ignore_ascii_case(rest);
        KEYS.iter().find(meant).map(|key| (&rest[..key.section.len()], &rest[key.section.len() + 1..]))
    };
    rest.split_once("__").or_else(one_underscore)
}

fn is_string(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::String(_))
}

fn not_a_table(origin: Origin, section: &str, found: &DeValue<'_>) -> Problem {
    Problem::NotATable { origin, section: section.to_owned(), found: with_article(found.type_str()) }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

/// A file and its text, for saying where in it something stands.
struct SourceFile<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where its lines end: to count them again for each key would take the square of the file's length.
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

    /// A value as it was written, cut where it is long.
    fn given<T>(&self, spanned: &Spanned<T>) -> String {
        let written = self.text.get(spanned.span()).unwrap_or_default();
        printable(written.lines().next().unwrap_or_default(), SHOWN_MAX)
    }
}
