//! Agents that say only how much is in flight.

use crate::fault::Fault;
use machine::effect::AgentRequest;
use machine::event::{AgentAnswer, AgentState};

use super::Fleet;
use super::agents::exited_with_1;

/// The share of processes that tell an agent to drain and then fail.
const FAILS: f64 = 0.1;

impl Fleet {
    /// The answer of such an agent, or of the process that reaches it, in place of the answer with a document.
    pub(super) fn counted(&mut self, answer: AgentAnswer, request: &AgentRequest, runs: bool) -> AgentAnswer {
        match answer {
            AgentAnswer::Accepted(_) if runs && self.rng.f64() < FAILS => exited_with_1(),
            AgentAnswer::Accepted(_) => AgentAnswer::Accepted(None),
            AgentAnswer::Unreachable { .. } if runs && matches!(request, AgentRequest::Drain(_)) => {
                exited_with_1()
            }
            // The number is read elsewhere, so this does not show that the agent has exited.
            AgentAnswer::Unreachable { why, .. } if runs => AgentAnswer::Busy(why),
            AgentAnswer::Status { mut status, .. } => {
                // The daemon cannot tell a process that was never told from one that drains.
                status.state = AgentState::Draining;
                if self.strikes(Fault::AgentCounts) {
                    match self.rng.u8(..3) {
                        0 => return AgentAnswer::Malformed("expected a number".to_owned()),
                        // Between two tasks.
                        1 => status.in_flight = Some(0),
                        // A task that was retried.
                        _ => status.in_flight = Some(1),
                    }
                }
                AgentAnswer::Status { status, waited: false }
            }
            answer => answer,
        }
    }
}
