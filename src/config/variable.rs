//! Environment variables: which of them set a key, and which set none.

use std::collections::BTreeMap;

use super::keys::{self, KEYS, Key};
use super::value::either;
use formats::text::printable;

/// The start of every variable that sets a key.
const PREFIX: &str = "DRAINHOOK_";

/// Variables that the daemon reads but that set no key, without the prefix.
const NOT_KEYS: &[&str] =
    if cfg!(debug_assertions) { &["BOOT_ID", "CLOCK_OFFSET", "KILL_POINTS"] } else { &["BOOT_ID"] };

/// Variables that users set to name the configuration file, without the prefix.
const CONFIG_FILE: [&str; 3] = ["config", "config_file", "config_path"];

/// The most variables that get a warning of their own.
const WARNINGS_MAX: usize = 50;

/// The longest part of a name that a warning repeats, in characters.
const SHOWN_MAX: usize = 60;

/// The most keys that a warning suggests.
const CANDIDATES_MAX: usize = 3;

/// The longest name of a Kubernetes service.
const SERVICE_NAME_MAX: usize = 63;

/// The variables of this process whose names start with `DRAINHOOK_`, in any case.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| without_prefix(name).is_some())
}

/// What an environment variable does.
#[derive(Debug)]
pub(super) enum Meaning<'a> {
    /// It sets this key.
    Key(&'static Key),
    /// Its name has a section and a key, but no such key exists.
    UnknownKey { section: &'a str, name: &'a str },
    /// It has the prefix but sets no key.
    Nothing,
    /// It is not meant for the configuration.
    Other,
}

/// What one variable does. `all` is the whole environment, which shows whether Kubernetes set it.
pub(super) fn meaning<'a>(variable: &'a str, all: &BTreeMap<String, String>) -> Meaning<'a> {
    let Some(rest) = variable.strip_prefix(PREFIX) else {
        return if without_prefix(variable).is_some() { Meaning::Nothing } else { Meaning::Other };
    };
    match section_and_name(rest) {
        Some((section, name)) => match KEYS.iter().find(|key| key.variable() == variable) {
            Some(key) => Meaning::Key(key),
            None => Meaning::UnknownKey { section, name },
        },
        None if NOT_KEYS.contains(&rest) || is_of_kubernetes(variable, all) => Meaning::Other,
        None => Meaning::Nothing,
    }
}

/// A warning for each of these variables, which set no key.
pub(super) fn warnings(variables: &[String]) -> Vec<String> {
    let mut warnings: Vec<_> =
        variables.iter().take(WARNINGS_MAX).map(|variable| warning(variable)).collect();
    match variables.len().saturating_sub(WARNINGS_MAX) {
        0 => {}
        1 => warnings.push(format!("1 more {PREFIX} variable means nothing")),
        more => warnings.push(format!("{more} more {PREFIX} variables mean nothing")),
    }
    warnings
}

fn warning(variable: &str) -> String {
    let rest = without_prefix(variable).unwrap_or_default().to_lowercase();
    let candidates: Vec<_> = candidates(&rest).into_iter().map(Key::variable).collect();
    let hint = if CONFIG_FILE.contains(&rest.as_str()) {
        "pass --config FILE".to_owned()
    } else if candidates.is_empty() {
        format!("the variable of a key is {PREFIX}<SECTION>__<KEY>")
    } else {
        format!("did you mean {}?", either(&candidates))
    };
    format!("{} means nothing; {hint}", printable(variable, SHOWN_MAX))
}

/// The keys that a name, without its prefix and in lower case, most likely meant.
fn candidates(rest: &str) -> Vec<&'static Key> {
    if let Some((section, name)) = section_and_name(rest) {
        return keys::suggest(section, name);
    }
    let named = keys::named(rest);
    if !named.is_empty() {
        return named;
    }
    let of_section: Vec<_> = KEYS.iter().filter(|key| key.section == rest).collect();
    if !of_section.is_empty() {
        return if of_section.len() <= CANDIDATES_MAX { of_section } else { Vec::new() };
    }
    let name = keys::nearest(rest, KEYS.iter().map(|key| key.name));
    match (name, rest.split_once('_')) {
        (Some(name), _) => keys::named(name),
        (None, Some((section, name))) => keys::suggest(section, name),
        (None, None) => Vec::new(),
    }
}

/// The section and the name in a variable, which is given without its prefix. A single underscore separates them, too, if
/// such a key exists.
fn section_and_name(rest: &str) -> Option<(&str, &str)> {
    let one_underscore = |key: &Key| {
        let (section, name) = rest.split_at_checked(key.section.len())?;
        let name = name.strip_prefix('_')?;
        let is_key = section.eq_ignore_ascii_case(key.section)
            && name.eq_ignore_ascii_case(&key.name.replace('.', "_"));
        is_key.then_some((section, name))
    };
    rest.split_once("__").or_else(|| KEYS.iter().find_map(one_underscore))
}

fn without_prefix(variable: &str) -> Option<&str> {
    let (prefix, rest) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// Whether Kubernetes set the variable. For a service `drainhook-agent` it sets `DRAINHOOK_AGENT_SERVICE_HOST`, and several
/// that start with `DRAINHOOK_AGENT_SERVICE_` or `DRAINHOOK_AGENT_PORT`.
fn is_of_kubernetes(variable: &str, all: &BTreeMap<String, String>) -> bool {
    let ends = variable.match_indices("_SERVICE_").chain(variable.match_indices("_PORT"));
    let mut services =
        ends.map(|(at, _)| &variable[..at]).filter(|service| service.len() <= SERVICE_NAME_MAX);
    services.any(|service| all.contains_key(&format!("{service}_SERVICE_HOST")))
}
