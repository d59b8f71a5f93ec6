//! The protection from scale-in while the agents are busy.

use std::time::Duration;

use super::build::Table;
use super::layers::Layers;
use super::{Agent, AgentKind, Problem};

/// The section of the protection.
pub(super) const SECTION: &str = "protection";

/// `[protection]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// Whether the instance is protected while its agents are busy.
    pub when_busy: bool,
    /// It is protected once there has been work in flight for this long.
    pub busy_for: Duration,
    /// The protection is lifted once there has been none for this long.
    pub idle_for: Duration,
    /// The protection is lifted after this time in any case.
    pub longest: Duration,
}

/// The section `protection`.
pub(super) fn protection(layers: &Layers) -> Protection {
    let table = Table { layers, place: 0, section: SECTION };
    Protection {
        when_busy: table.required("when_busy"),
        busy_for: table.required("busy_for"),
        idle_for: table.required("idle_for"),
        longest: table.required("longest"),
    }
}

/// Refuses an agent that does not tell how much it has in flight while it serves, and a protection that ends before it begins.
pub(super) fn check(layers: &Layers, agents: &[Agent]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some(switch) = layers.given.get(&(0, SECTION, "when_busy")) else { return problems };
    let Protection { when_busy, busy_for, longest, .. } = protection(layers);
    if !when_busy {
        return problems;
    }
    let origin = &switch.origin;
    for agent in agents {
        if let Some(advice) = advice_if_silent(agent) {
            let (origin, agent) = (origin.clone(), agent.name.clone());
            problems.push(Problem::NotSeenBusy { origin, agent, advice });
        }
    }
    if longest <= busy_for {
        problems.push(Problem::ProtectionTooShort { origin: origin.clone(), busy_for, longest });
    }
    problems
}

/// What to do if the number in flight of an agent cannot be read while it serves: neither by a probe, nor in the document of the
/// agent protocol.
fn advice_if_silent(agent: &Agent) -> Option<&'static str> {
    match &agent.kind {
        _ if agent.is_drained_by_status() => Some(
            "set `agent.status.path` to another path than `agent.drain.path`, because a GET of that drains the agent",
        ),
        _ if agent.probe.is_some() => None,
        AgentKind::Http(http) if !http.drain_blocks => None,
        AgentKind::Http(_) => {
            Some("set `agent.drain.blocks` to false, if the agent implements the agent protocol")
        }
        AgentKind::Unit(_) | AgentKind::Command(_) => Some(
            "set `agent.status.zero_for`, and one of `agent.status.processes`, `agent.status.command`, and `agent.status.url` with \
             `agent.status.pointer` or `agent.status.metric`",
        ),
    }
}
