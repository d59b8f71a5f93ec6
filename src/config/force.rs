//! What ends the work of an agent shortly before its deadline.

use std::time::Duration;

use super::build::{Table, method, text};
use super::layers::Layers;
use super::{AgentKind, Problem, Request};

/// The keys that set it. At most one of them is set.
pub(super) const STEPS: [&str; 3] = ["force.signal", "force.command", "force.path"];

/// The keys of its request, besides the path.
const OF_REQUEST: [&str; 3] = ["force.method", "force.body", "force.success"];

/// The force step of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// How long before the agent's deadline it runs.
    pub before: Duration,
    /// What it does.
    pub how: ForceKind,
}

/// What a force step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceKind {
    /// A signal such as `SIGTERM` to the main process of the unit.
    Signal(String),
    /// A program, and its arguments.
    Command(Vec<String>),
    /// A request to the agent's HTTP interface.
    Request(Request),
}

impl Force {
    /// Its request, if it is one.
    pub fn request(&self) -> Option<&Request> {
        if let ForceKind::Request(request) = &self.how { Some(request) } else { None }
    }
}

/// The force step in an agent's table, if it has one.
pub(super) fn force(table: &Table<'_>) -> Option<Force> {
    let signal = table.optional("force.signal").map(ForceKind::Signal);
    let command = || table.optional("force.command").map(ForceKind::Command);
    let request = || {
        Some(ForceKind::Request(Request {
            method: method(&table.word("force.method")),
            path: table.optional("force.path")?,
            body: text(table.optional("force.body")),
            success: table.optional("force.success").unwrap_or_default(),
        }))
    };
    let how = signal.or_else(command).or_else(request)?;
    Some(Force { before: table.required("force.before"), how })
}

/// Refuses two steps for one agent, keys without a step, and a step that would run as soon as the drain begins.
pub(super) fn check(
    layers: &Layers,
    agent: usize,
    drain_timeout: Duration,
    kind: &AgentKind,
) -> Vec<Problem> {
    let set = |name: &'static str| layers.given.get(&(agent, "agent", name));
    let given = |name: &'static str| Some((name, set(name)?.origin.clone()));
    let mut steps = STEPS.into_iter().filter_map(given);
    let mut problems = Vec::new();
    let first = steps.next();
    if let (Some(one), Some(other)) = (&first, steps.next()) {
        problems.push(Problem::Both { one: one.clone(), other, what: "what the force step is" });
    }
    let idle = |(key, origin), kinds| Problem::IdleKey { origin, key, kinds };
    let usable: &'static [&'static str] = match kind {
        AgentKind::Unit(_) => &["force.signal", "force.command"],
        AgentKind::Http(_) => &["force.path", "force.command"],
        AgentKind::Command(_) => &["force.command"],
    };
    if let (None, Some(before)) = (&first, given("force.before")) {
        problems.push(idle(before, usable));
    }
    if set("force.path").is_none() {
        problems.extend(OF_REQUEST.into_iter().filter_map(given).map(|key| idle(key, &["force.path"])));
    }
    let table = Table { layers, place: agent, section: "agent" };
    let before = table.required("force.before");
    if let Some((_, origin)) = first.filter(|_| before >= drain_timeout) {
        let origin = set("force.before").map_or(origin, |before| before.origin.clone());
        problems.push(Problem::ForceTooEarly { origin, before, drain_timeout });
    }
    problems
}
