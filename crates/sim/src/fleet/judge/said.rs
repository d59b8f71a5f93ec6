//! What agents have said, as far as a drain depends on it.

use machine::effect::EffectId;
use machine::event::{AgentAnswer, AgentState, AgentStatus};
use machine::process::Sight;

/// What the agents of one instance have said.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<Agent>);

#[derive(Debug, Default)]
struct Agent {
    /// It answers a drain request only once it has drained.
    blocks: bool,
    /// The last request. Answers to earlier ones are ignored.
    asked: Option<EffectId>,
    state: Option<AgentState>,
}

impl Said {
    pub fn new(blocks: &[bool]) -> Self {
        Said(blocks.iter().map(|blocks| Agent { blocks: *blocks, ..Agent::default() }).collect())
    }

    /// Forgets everything when the daemon starts.
    pub fn forget(&mut self) {
        for agent in &mut self.0 {
            (agent.asked, agent.state) = (None, None);
        }
    }

    pub fn asks(&mut self, id: EffectId, agent: usize) {
        if let Some(agent) = self.0.get_mut(agent) {
            agent.asked = Some(id);
        }
    }

    pub fn hears(&mut self, id: EffectId, answer: &AgentAnswer) {
        let Some(agent) = self.0.iter_mut().find(|agent| agent.asked == Some(id)) else { return };
        agent.asked = None;
        agent.state = match answer {
            AgentAnswer::Accepted(status) => Some(accepted(agent.blocks, status.as_ref())),
            AgentAnswer::Status { status, .. } => Some(status.state),
            AgentAnswer::Returned => Some(AgentState::Serving),
            AgentAnswer::Seen { sight: Sight::Runs(_) | Sight::Leaves, .. } => Some(AgentState::Draining),
            AgentAnswer::Seen { sight: Sight::Gone, .. } => Some(AgentState::Drained),
            AgentAnswer::Unreachable { .. } => None,
            AgentAnswer::Unsupported(_)
            | AgentAnswer::CannotDrain(_)
            | AgentAnswer::Busy(_)
            | AgentAnswer::Malformed(_) => agent.state,
        };
    }

    /// Whether an agent has work in flight by its last report, or may have.
    pub fn any_busy(&self) -> bool {
        self.0.iter().any(|agent| matches!(agent.state, Some(AgentState::Serving | AgentState::Draining)))
    }
}

/// The state of an agent that accepted a drain request. An agent that takes a new order has not drained until it says so
/// again. A blocking agent says so by answering, unless its answer reports work in flight.
pub(super) fn accepted(blocks: bool, status: Option<&AgentStatus>) -> AgentState {
    match status {
        Some(status) if blocks && status.in_flight == Some(0) => AgentState::Drained,
        Some(status) => status.state,
        None if blocks => AgentState::Drained,
        None => AgentState::Draining,
    }
}
