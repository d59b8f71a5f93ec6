//! What agents have said, as far as a drain depends on it.

use std::time::Duration;

use machine::Time;
use machine::effect::EffectId;
use machine::event::{AgentAnswer, AgentState, AgentStatus};
use machine::process::Sight;
use machine::settings::AgentSettings;

/// What the agents of one instance have said.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<Agent>);

#[derive(Debug, Default)]
struct Agent {
    /// It answers a drain request only once it has drained.
    blocks: bool,
    /// It says only how much is in flight, and has drained once it has said 0 for this long.
    zero_for: Option<Duration>,
    /// The last request, and when it was sent. Answers to earlier ones are ignored.
    asked: Option<(EffectId, Time)>,
    state: Option<AgentState>,
    /// When it first said 0, if it has said nothing else since.
    zero_since: Option<Time>,
}

impl Said {
    pub fn new(agents: &[AgentSettings]) -> Self {
        let agents = agents.iter().map(|settings| Agent {
            blocks: settings.protocol.blocks(),
            zero_for: settings.zero_for,
            ..Agent::default()
        });
        Said(agents.collect())
    }

    /// Forgets everything when the daemon starts.
    pub fn forget(&mut self) {
        for agent in &mut self.0 {
            (agent.asked, agent.state, agent.zero_since) = (None, None, None);
        }
    }

    pub fn asks(&mut self, now: Time, id: EffectId, agent: usize) {
        if let Some(agent) = self.0.get_mut(agent) {
            agent.asked = Some((id, now));
        }
    }

    pub fn hears(&mut self, now: Time, id: EffectId, answer: &AgentAnswer) {
        let is_asked = |agent: &&mut Agent| agent.asked.is_some_and(|(asked, _)| asked == id);
        let Some(agent) = self.0.iter_mut().find(is_asked) else { return };
        let Some((_, asked_at)) = agent.asked.take() else { return };
        if let Some(zero_for) = agent.zero_for {
            return agent.counts(now, asked_at, zero_for, answer);
        }
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

impl Agent {
    /// The same for an agent that says only how much is in flight.
    fn counts(&mut self, now: Time, asked_at: Time, zero_for: Duration, answer: &AgentAnswer) {
        let says_zero = matches!(answer, AgentAnswer::Status { status, .. } if status.in_flight == Some(0));
        self.zero_since = says_zero.then(|| self.zero_since.unwrap_or(now));
        let lasted = self.zero_since.is_some_and(|since| asked_at >= since + zero_for);
        self.state = match answer {
            AgentAnswer::Status { .. } if lasted => Some(AgentState::Drained),
            AgentAnswer::Status { .. } if says_zero && self.state == Some(AgentState::Drained) => self.state,
            AgentAnswer::Status { .. } | AgentAnswer::Accepted(_) => Some(AgentState::Draining),
            AgentAnswer::Returned => Some(AgentState::Serving),
            AgentAnswer::Unreachable { .. } => None,
            AgentAnswer::Seen { .. }
            | AgentAnswer::Unsupported(_)
            | AgentAnswer::CannotDrain(_)
            | AgentAnswer::Busy(_)
            | AgentAnswer::Malformed(_) => self.state,
        };
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
