//! The launching hook, and how the daemon sees that an agent is ready.

use std::time::Duration;

use super::build::Table;
use super::layers::Layers;
use super::{AgentKind, Problem};

/// The section of the launching hook.
pub(super) const SECTION: &str = "launch";

/// The time that one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// `[launch]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The launching hook to complete. `None`: none is completed.
    pub hook: Option<String>,
    /// How many times in a row all agents must be ready.
    pub times: u8,
    /// After this time the action is abandoned.
    pub timeout: Duration,
}

/// How the daemon sees that an agent is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// A request to this path, under the agent's URL, is answered with 2xx.
    Request(String),
    /// Its unit is active.
    Active,
    /// A program exits with 0.
    Command(Vec<String>),
    /// It cannot be seen. Only without a launching hook.
    Unknown,
}

/// The section `launch`.
pub(super) fn launch(layers: &Layers) -> Launch {
    let table = Table { layers, place: 0, section: SECTION };
    Launch {
        hook: table.optional("hook"),
        times: table.required("times"),
        timeout: table.required("timeout"),
    }
}

/// How an agent of this kind shows that it is ready.
pub(super) fn ready(table: &Table<'_>, kind: &AgentKind) -> Ready {
    match (table.optional("ready.command"), kind) {
        (Some(command), _) => Ready::Command(command),
        (None, AgentKind::Http(_)) => Ready::Request(table.required("ready.path")),
        (None, AgentKind::Unit(_)) => Ready::Active,
        (None, AgentKind::Command(_)) => Ready::Unknown,
    }
}

/// Refuses two ways to see that an agent is ready, and an agent of which that cannot be seen.
pub(super) fn check_agent(layers: &Layers, agent: usize, ready: &Ready) -> Vec<Problem> {
    let given = |name: &'static str| {
        layers.given.get(&(agent, "agent", name)).map(|given| (name, given.origin.clone()))
    };
    let mut problems = Vec::new();
    if let (Some(one), Some(other)) = (given("ready.path"), given("ready.command")) {
        problems.push(Problem::Both { one, other, what: "how the agent shows that it is ready" });
    }
    if let Some(hook) = layers.given.get(&(0, SECTION, "hook"))
        && *ready == Ready::Unknown
    {
        problems.push(Problem::NotSeenReady { origin: hook.origin.clone() });
    }
    problems
}

/// Refuses a launch that is too short, and the terminating hook.
pub(super) fn check(layers: &Layers) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some(hook) = layers.given.get(&(0, SECTION, "hook")) else { return problems };
    let origin = hook.origin.clone();
    let Launch { times, timeout, .. } = launch(layers);
    let least = Duration::from_secs(u64::from(times)) + ANSWER;
    if timeout < least {
        problems.push(Problem::LaunchTooShort { origin: origin.clone(), timeout, times, least });
    }
    let terminating = layers.given.get(&(0, "lifecycle", "hook"));
    if terminating.is_some_and(|other| other.text == hook.text) {
        problems.push(Problem::OneHook { origin, hook: hook.text.clone() });
    }
    problems
}
