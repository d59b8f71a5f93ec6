//! Where an agent's status is read if its own status request does not return our document.

use std::collections::BTreeMap;
use std::time::Duration;

use super::address::remote_host;
use super::build::Table;
use super::layers::Layers;
use super::value::Value;
use super::{AgentKind, Origin, Problem, UnitDrain};

/// The keys that say how the number in flight is read.
const READINGS: [&str; 4] = ["status.pointer", "status.metric", "status.processes", "status.command"];

/// Where an agent's status is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `status.url` alone: the status document, at this URL.
    Document(String),
    /// Only the number in flight.
    Number {
        /// How it is read.
        reading: Reading,
        /// The agent has drained once every reading for this long has been 0. `None`: the number is only reported.
        zero_for: Option<Duration>,
    },
}

/// How the number in flight is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A number in a JSON document.
    Pointer {
        /// Where the document is. `None`: at the agent's own status path.
        url: Option<String>,
        /// A JSON pointer (RFC 6901).
        pointer: String,
    },
    /// The sum of series on a page in Prometheus's text format.
    Metric {
        /// Where the page is. `None`: at the agent's own status path.
        url: Option<String>,
        /// The name of the metric.
        name: String,
        /// The labels of the series that count.
        labels: BTreeMap<String, String>,
    },
    /// How many processes have this name.
    Processes(String),
    /// A program that prints the number, and its arguments.
    Command(Vec<String>),
}

impl Reading {
    /// The key that sets it.
    pub fn key(&self) -> &'static str {
        match self {
            Reading::Pointer { .. } => "status.pointer",
            Reading::Metric { .. } => "status.metric",
            Reading::Processes(_) => "status.processes",
            Reading::Command(_) => "status.command",
        }
    }

    /// Whether it is read at the agent's own status path.
    pub fn is_at_agent(&self) -> bool {
        match self {
            Reading::Pointer { url, .. } | Reading::Metric { url, .. } => url.is_none(),
            Reading::Processes(_) | Reading::Command(_) => false,
        }
    }
}

/// The probe of an agent.
pub(super) fn probe(table: &Table<'_>) -> Option<Probe> {
    let url: Option<String> = table.optional("status.url");
    let reading = if let Some(pointer) = table.optional("status.pointer") {
        Reading::Pointer { url, pointer }
    } else if let Some(name) = table.optional("status.metric") {
        Reading::Metric { url, name, labels: table.optional("status.labels").unwrap_or_default() }
    } else if let Some(name) = table.optional("status.processes") {
        Reading::Processes(name)
    } else if let Some(command) = table.optional("status.command") {
        Reading::Command(command)
    } else {
        return url.map(Probe::Document);
    };
    Some(Probe::Number { reading, zero_for: table.optional("status.zero_for") })
}

type Key = (&'static str, Origin);

/// Refuses keys of a probe that contradict each other, or mean nothing together.
pub(super) fn check(layers: &Layers, agent: usize, kind: &AgentKind) -> Vec<Problem> {
    let set = |name: &'static str| layers.given.get(&(agent, "agent", name));
    let given = |name: &'static str| -> Option<Key> { Some((name, set(name)?.origin.clone())) };
    let both = |one: &Key, other: &Key, what| Problem::Both { one: one.clone(), other: other.clone(), what };
    let idle = |key: &Key, kinds| Problem::IdleKey { origin: key.1.clone(), key: key.0, kinds };
    let readings: Vec<Key> = READINGS.into_iter().filter_map(given).collect();
    let (path, url) = (given("status.path"), given("status.url"));
    let mut problems = Vec::new();
    if let [one, other, ..] = &readings[..] {
        problems.push(both(one, other, "how its work in flight is read"));
    }
    if let (Some(path), Some(url)) = (&path, &url) {
        problems.push(both(path, url, "where its status is"));
    }
    let reading = readings.first();
    let is_page = |key: &&Key| ["status.pointer", "status.metric"].contains(&key.0);
    if let (Some(place), Some(reading)) =
        (path.as_ref().or(url.as_ref()), reading.filter(|key| !is_page(key)))
    {
        problems.push(both(place, reading, "where its status is"));
    }
    if let Some(labels) = given("status.labels").filter(|_| given("status.metric").is_none()) {
        problems.push(idle(&labels, &["status.metric"]));
    }
    let zero_for = given("status.zero_for");
    if let (Some(zero_for), None) = (&zero_for, reading) {
        problems.push(idle(zero_for, &READINGS));
    }
    let blocks = given("drain.blocks")
        .filter(|_| set("drain.blocks").is_some_and(|set| set.value == Value::Flag(true)));
    if let (Some(blocks), Some(reading)) = (&blocks, reading) {
        problems.push(both(blocks, reading, "when the agent has drained"));
    }
    let (is_http, runs) = match kind {
        AgentKind::Http(_) => (true, false),
        AgentKind::Command(_) => (false, true),
        AgentKind::Unit(unit) => (false, matches!(unit.drain, UnitDrain::Start(_))),
    };
    // Without it, the exit of the command or of the unit that drains says that the agent has drained.
    if let Some(reading) = reading.filter(|_| runs && zero_for.is_none()) {
        problems.push(idle(reading, &["status.zero_for"]));
    }
    match (reading, &url) {
        (Some(reading), None) if !is_http && is_page(&reading) => {
            problems.push(idle(reading, &["status.url"]));
        }
        (None, Some(url)) if !is_http => problems.push(idle(url, &["status.pointer", "status.metric"])),
        (Some(_) | None, _) => {}
    }
    problems.extend(check_host(layers, agent));
    problems
}

/// Refuses a status URL whose host is neither loopback nor in `allow_host`.
fn check_host(layers: &Layers, agent: usize) -> Option<Problem> {
    let given = |name| layers.given.get(&(agent, "agent", name));
    let url = given("status.url")?;
    let host = remote_host(&url.text)?;
    let allowed = given("allow_host")
        .is_some_and(|allowed| allowed.text.trim_matches(['[', ']']).eq_ignore_ascii_case(&host));
    (!allowed).then(|| Problem::RemoteStatus { origin: url.origin.clone(), host })
}
