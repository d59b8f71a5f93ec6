//! The force step of an agent: what ends its work shortly before its deadline.
//!
//! ```text
//! Pending ── the time has come ──> Due ── journaled ──> Running ── ends, times out ──> Over
//!    ^                              │
//!    └── drained, or has more time ─┘
//! ```
//!
//! A drain forces an agent at most once. The journal says so first, so a restarted daemon does not do it again.

use std::time::Duration;

use super::super::effect::{DrainOrder, Effect, EffectId};
use super::super::journal::{JournalTrack, Revision};
use super::super::report::Report;
use super::super::time::Time;
use super::super::timer::Timer;
use super::super::turn::Turn;

/// What happened to a force step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceNews {
    /// It runs now.
    Started {
        /// The agent's deadline.
        deadline: Time,
    },
    /// It has ended well.
    Done,
    /// It failed or could not be started. It is not repeated.
    Failed {
        /// Why.
        why: String,
    },
    /// The agent's deadline has come. The step is stopped.
    TimedOut,
}

impl ForceNews {
    /// Whether the step has failed.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            ForceNews::Failed { .. } | ForceNews::TimedOut => true,
            ForceNews::Started { .. } | ForceNews::Done => false,
        }
    }
}

/// The force step of one agent in one drain.
#[derive(Debug, Default)]
pub(super) struct Force(State);

#[derive(Debug, Default)]
enum State {
    /// Its time has not come.
    #[default]
    Pending,
    /// It runs once the journal has that.
    Due { recorded: Revision },
    /// It runs.
    Running { id: EffectId },
    /// It has run, or the last run of the daemon may have started it.
    Over,
}

impl Force {
    /// Continues from the last run of the daemon.
    pub fn recover(forced: bool) -> Self {
        Force(if forced { State::Over } else { State::Pending })
    }

    /// Whether it has started, or may have in the last run of the daemon.
    pub fn has_started(&self) -> bool {
        matches!(self.0, State::Running { .. } | State::Over)
    }

    /// The part for the journal: whether it may have started by the time that this is read.
    pub fn record(&self) -> bool {
        !matches!(self.0, State::Pending)
    }

    /// Starts the step `before` the deadline of the order. Without an order, there is no reason to.
    pub fn decide(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        (agent, name): (usize, &str),
        (order, before): (Option<DrainOrder>, Duration),
    ) {
        let due = order.filter(|order| turn.due(order.deadline - before, Timer::Force));
        match (&self.0, due) {
            (State::Pending, Some(_)) => self.0 = State::Due { recorded: journal.touch() },
            (State::Due { .. }, None) => {
                self.0 = State::Pending;
                journal.touch();
            }
            (State::Due { recorded }, Some(order)) if journal.is_released(*recorded) => {
                let deadline = order.deadline;
                let id = turn.emit(|id| Effect::ForceAgent { id, agent, order });
                self.0 = State::Running { id };
                tell(turn, name, ForceNews::Started { deadline });
            }
            (State::Pending, None)
            | (State::Due { .. }, Some(_))
            | (State::Running { .. } | State::Over, _) => {}
        }
    }

    /// Stops the step once the agent's deadline has come, which may have moved since the step began.
    pub fn stop_in_time(&mut self, turn: &mut Turn, name: &str, deadline: Time) {
        if let State::Running { id } = self.0
            && turn.due(deadline, Timer::Force)
        {
            turn.stop(id);
            self.0 = State::Over;
            tell(turn, name, ForceNews::TimedOut);
        }
    }

    /// Another drain begins, or the instance stays.
    pub fn reset(&mut self, turn: &mut Turn) {
        if let State::Running { id } = self.0 {
            turn.stop(id);
        }
        self.0 = State::Pending;
    }

    /// Processes the end of the step. Returns whether it was this one that ended.
    pub fn ended(
        &mut self,
        turn: &mut Turn,
        name: &str,
        ended: EffectId,
        result: &Result<(), String>,
    ) -> bool {
        let is_this = matches!(self.0, State::Running { id } if id == ended);
        if is_this {
            self.0 = State::Over;
            let failed = |why: &String| ForceNews::Failed { why: why.clone() };
            tell(turn, name, result.as_ref().err().map_or(ForceNews::Done, failed));
        }
        is_this
    }
}

fn tell(turn: &mut Turn, agent: &str, news: ForceNews) {
    turn.report(Report::AgentForced { agent: agent.to_owned(), news });
}
