//! The phases of a drain.

use serde::{Deserialize, Serialize};

use crate::effect::CompletionResult;
use crate::journal::Ended;
use crate::operator::Operator;
use crate::time::{Correction, Time};

/// The phases of a drain. A drain only moves down this list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is a notice, but the agents are not told yet, as with `lifecycle.drain_at = "wait"`.
    Noticed,
    /// The agents are draining.
    Draining {
        /// When they were first told.
        since: Time,
    },
    /// An operator ended it. Only the lifecycle action still has to be completed.
    Finishing {
        /// When the agents were first told, if they were.
        since: Option<Time>,
        /// The operator's order.
        finish: Finish,
    },
    /// It is over, but its notices are still in force, so the agents stay drained.
    Ended {
        /// When the agents were first told, if they were.
        since: Option<Time>,
        /// How it ended.
        ended: Ended,
    },
}

impl Phase {
    /// How the drain ended; `None` before that.
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Phase::Ended { ended, .. } => Some(*ended),
            Phase::Noticed | Phase::Draining { .. } | Phase::Finishing { .. } => None,
        }
    }

    /// Moves the times that our clock measured, after a correction of the clock.
    pub(crate) fn correct(&mut self, by: Correction) {
        match self {
            Phase::Noticed => {}
            Phase::Draining { since } => *since = by.apply(*since),
            Phase::Finishing { since, finish } => {
                *since = since.map(|since| by.apply(since));
                finish.at = by.apply(finish.at);
            }
            Phase::Ended { since, ended } => {
                *since = since.map(|since| by.apply(since));
                ended.at = by.apply(ended.at);
            }
        }
    }

    /// When the agents were first told, if they were.
    pub fn told(&self) -> Option<Time> {
        match self {
            Phase::Draining { since } => Some(*since),
            Phase::Finishing { since, .. } | Phase::Ended { since, .. } => *since,
            Phase::Noticed => None,
        }
    }
}

/// An operator's order to end a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The operator.
    pub by: Operator,
    /// When the order came.
    pub at: Time,
    /// The result to report to Auto Scaling.
    pub result: CompletionResult,
}
