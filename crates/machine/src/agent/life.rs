//! The life of an agent, as far as the daemon knows it. Every transition is a method here.
//!
//! ```text
//! Serving ── order ──> Ordered ── accepts ──> Draining ── says so, exits, answers ──> Drained
//!    ^                    ^ └── says that it serves ──┘  <── accepts another order ──────┘
//!    │                    └── listens again ── Unreachable, CannotDrain, Resumed: from any of these, and back
//!    └── returned ── Returning <── release, from any state but Serving
//! ```
//!
//! **Invariant:** only what the agent says, or its exit where that is its way to say it, makes it `Drained`.

use std::time::Duration;

use super::super::event::{AgentState, AgentStatus};
use super::super::journal::{AgentStage, Allowance};
use super::super::report::AgentPhase;
use super::super::settings::OnExit;
use super::super::time::Time;
use super::super::turn::Turn;
use super::order::OrderNumber;

/// Where an agent stands between two drains.
#[derive(Debug)]
pub(super) struct Life(State);

#[derive(Debug)]
enum State {
    /// It was never told to drain, or has been returned to service since.
    Serving,
    /// It is told to drain, and has not accepted an order since it was last known to serve.
    Ordered {
        allowance: Allowance,
        /// The last status that it gave in this state, which says that it serves.
        status: Option<AgentStatus>,
    },
    /// It takes no more work, and holds some.
    Draining {
        allowance: Allowance,
        /// The order that it has accepted. `None`: another process may listen by now, which has none.
        under: Option<OrderNumber>,
        /// The last status that it gave in this state.
        status: Option<AgentStatus>,
    },
    /// It takes no work, and holds none.
    Drained {
        allowance: Allowance,
        /// As for `Draining`.
        under: Option<OrderNumber>,
        by: DrainedBy,
    },
    /// Requests do not reach a drain: no connection can be made, or its path drains nothing.
    Unreachable { allowance: Allowance, since: Time, seen: Seen, heard: Heard },
    /// It says that it cannot drain.
    CannotDrain { allowance: Allowance, seen: Seen },
    /// It was told to drain in the last run of the daemon, and has not been heard in this one.
    Resumed { allowance: Allowance, seen: Seen },
    /// The instance stays. It may have been told to drain, and has not acknowledged that it serves again.
    Returning,
}

/// How an agent has let know that it has drained.
#[derive(Debug)]
enum DrainedBy {
    /// Its status document says so.
    Status(AgentStatus),
    /// It has exited, which is its way to say so.
    Exit,
    /// It has answered its blocking drain request, without work in flight.
    Answer,
}

/// What an agent that is to drain was last seen doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Taking work, for all that is known.
    Serving,
    /// Draining: if nothing listens now, it has exited.
    Draining,
}

/// When an agent was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    InThisRun,
    InLastRun,
}

impl Life {
    pub fn serving() -> Self {
        Life(State::Serving)
    }

    /// A drain begins. What an earlier one has left behind says nothing about this one.
    pub fn begin(&mut self, deadline: Time) {
        self.0 = State::Ordered { allowance: Allowance { deadline, extended: Duration::ZERO }, status: None };
    }

    /// Goes on with what the last run of the daemon had begun, with the deadline that it had, or with a whole
    /// `drain_timeout` from now where that is earlier.
    ///
    /// After a reboot the agent is another process: where nothing listens, it has not exited but has not started yet.
    pub fn resume(&mut self, stage: AgentStage, now: Time, drain_timeout: Duration, rebooted: bool) {
        let clamp = |allowance: Allowance| Allowance {
            deadline: allowance.deadline.min(now + drain_timeout + allowance.extended),
            ..allowance
        };
        self.0 = match stage {
            AgentStage::Serving => State::Serving,
            AgentStage::Ordered(allowance) => {
                State::Resumed { allowance: clamp(allowance), seen: Seen::Serving }
            }
            AgentStage::Draining(allowance) => {
                let seen = if rebooted { Seen::Serving } else { Seen::Draining };
                State::Resumed { allowance: clamp(allowance), seen }
            }
            AgentStage::Returning => State::Returning,
        };
    }

    /// The instance stays.
    pub fn release(&mut self) {
        if !matches!(self.0, State::Serving) {
            self.0 = State::Returning;
        }
    }

    /// The agent has acknowledged that it serves again, or offers no way back: it then serves when it is restarted.
    pub fn returned(&mut self, turn: &mut Turn) {
        turn.must(matches!(self.0, State::Returning), "only an agent that is to serve again is returned");
        self.0 = State::Serving;
    }

    /// The agent has accepted an order. It has not drained until it says so again, whatever it said before.
    pub fn accepted(&mut self, turn: &mut Turn, order: OrderNumber) {
        turn.must(self.accepted_order() <= Some(order), "an agent accepts orders as they were given");
        let Some(allowance) = self.allowance() else { return };
        let status = match &mut self.0 {
            State::Draining { status, .. } => status.take(),
            State::Serving
            | State::Ordered { .. }
            | State::Drained { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        };
        self.0 = State::Draining { allowance, under: Some(order), status };
    }

    /// The agent has answered its blocking drain request, and says nothing against having drained.
    pub fn answered_when_drained(&mut self, order: OrderNumber) {
        let Some(allowance) = self.allowance() else { return };
        self.0 = State::Drained { allowance, under: Some(order), by: DrainedBy::Answer };
    }

    /// The agent has given its status.
    pub fn stated(&mut self, status: AgentStatus) {
        let Some(allowance) = self.allowance() else { return };
        let under = self.accepted_order();
        self.0 = match status.state {
            // It was restarted and has forgotten its orders.
            AgentState::Serving => State::Ordered { allowance, status: Some(status) },
            AgentState::Draining => State::Draining { allowance, under, status: Some(status) },
            AgentState::Drained => State::Drained { allowance, under, by: DrainedBy::Status(status) },
        };
    }

    /// The agent says that it cannot drain.
    pub fn refused(&mut self) {
        let (Some(allowance), seen) = (self.allowance(), self.seen()) else { return };
        self.0 = State::CannotDrain { allowance, seen };
    }

    /// The agent listens, and says nothing that tells how it stands.
    pub fn listens(&mut self) {
        if let State::Unreachable { allowance, since: _, seen, heard } = self.0 {
            self.0 = match (heard, seen) {
                (Heard::InLastRun, seen) => State::Resumed { allowance, seen },
                (Heard::InThisRun, Seen::Serving) => State::Ordered { allowance, status: None },
                (Heard::InThisRun, Seen::Draining) => {
                    State::Draining { allowance, under: None, status: None }
                }
            };
        }
    }

    /// No connection can be made to the agent, or its path drains nothing. Whatever listens next may be a new process,
    /// without orders. An agent that has drained has drained.
    pub fn unreachable(&mut self, now: Time) {
        let seen = self.seen();
        match &mut self.0 {
            State::Drained { under, .. } => *under = None,
            State::Ordered { allowance, .. } | State::Draining { allowance, .. } => {
                let (allowance, heard) = (*allowance, Heard::InThisRun);
                self.0 = State::Unreachable { allowance, since: now, seen, heard };
            }
            State::Resumed { allowance, .. } => {
                let (allowance, heard) = (*allowance, Heard::InLastRun);
                self.0 = State::Unreachable { allowance, since: now, seen, heard };
            }
            State::Serving | State::Unreachable { .. } | State::CannotDrain { .. } | State::Returning => {}
        }
    }

    /// Nothing listens where the agent did: it has exited, or has not started.
    pub fn gone(&mut self, now: Time, on_exit: OnExit) {
        match (&self.0, self.seen(), on_exit) {
            (State::Drained { .. }, ..) => self.unreachable(now),
            (_, Seen::Draining, OnExit::Drained) => {
                let Some(allowance) = self.allowance() else { return };
                self.0 = State::Drained { allowance, under: None, by: DrainedBy::Exit };
            }
            (_, Seen::Serving, _) | (_, _, OnExit::Failed) => self.unreachable(now),
        }
    }

    /// An operator gives it more time.
    pub fn extend(&mut self, by: Duration) {
        match &mut self.0 {
            State::Ordered { allowance, .. }
            | State::Draining { allowance, .. }
            | State::Drained { allowance, .. }
            | State::Unreachable { allowance, .. }
            | State::CannotDrain { allowance, .. }
            | State::Resumed { allowance, .. } => {
                allowance.deadline = allowance.deadline + by;
                allowance.extended += by;
            }
            State::Serving | State::Returning => {}
        }
    }

    /// The time that it is given, while it is to drain.
    fn allowance(&self) -> Option<Allowance> {
        match &self.0 {
            State::Ordered { allowance, .. }
            | State::Draining { allowance, .. }
            | State::Drained { allowance, .. }
            | State::Unreachable { allowance, .. }
            | State::CannotDrain { allowance, .. }
            | State::Resumed { allowance, .. } => Some(*allowance),
            State::Serving | State::Returning => None,
        }
    }

    /// When its own time is up; `None` where it is not to drain.
    pub fn deadline(&self) -> Option<Time> {
        self.allowance().map(|allowance| allowance.deadline)
    }

    fn seen(&self) -> Seen {
        match &self.0 {
            State::Draining { .. } | State::Drained { .. } => Seen::Draining,
            State::Unreachable { seen, .. }
            | State::CannotDrain { seen, .. }
            | State::Resumed { seen, .. } => *seen,
            State::Serving | State::Ordered { .. } | State::Returning => Seen::Serving,
        }
    }

    /// It was seen draining, and has not said that it has drained.
    pub fn was_draining(&self) -> bool {
        self.seen() == Seen::Draining && !self.is_drained()
    }

    /// The last order that the process which listens is known to have accepted.
    pub fn accepted_order(&self) -> Option<OrderNumber> {
        match &self.0 {
            State::Draining { under, .. } | State::Drained { under, .. } => *under,
            State::Serving
            | State::Ordered { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        }
    }

    pub fn is_drained(&self) -> bool {
        matches!(self.0, State::Drained { .. })
    }

    pub fn cannot_drain(&self) -> bool {
        matches!(self.0, State::CannotDrain { .. })
    }

    /// Since when no request reaches a drain.
    pub fn unreachable_since(&self) -> Option<Time> {
        if let State::Unreachable { since, .. } = self.0 { Some(since) } else { None }
    }

    /// It may have been told to drain, and must be told when it is back in service.
    pub fn may_be_draining(&self) -> bool {
        !matches!(self.0, State::Serving)
    }

    /// Nothing contradicts what the last run of the daemon had written down of it.
    pub fn confirms_last_run(&self) -> bool {
        match self.0 {
            State::Resumed { .. }
            | State::Unreachable { heard: Heard::InLastRun, .. }
            | State::Drained { .. } => true,
            State::Serving
            | State::Ordered { .. }
            | State::Draining { .. }
            | State::Unreachable { heard: Heard::InThisRun, .. }
            | State::CannotDrain { .. }
            | State::Returning => false,
        }
    }

    /// The last status document, where it still tells how the agent stands.
    pub fn status(&self) -> Option<&AgentStatus> {
        match &self.0 {
            State::Ordered { status, .. } | State::Draining { status, .. } => status.as_ref(),
            State::Drained { by: DrainedBy::Status(status), .. } => Some(status),
            State::Drained { by: DrainedBy::Exit | DrainedBy::Answer, .. }
            | State::Serving
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        }
    }

    /// For people.
    pub fn phase(&self) -> AgentPhase {
        match &self.0 {
            State::Serving | State::Resumed { .. } | State::Ordered { status: None, .. } => {
                AgentPhase::Unknown
            }
            State::Ordered { status: Some(_), .. } => AgentPhase::Serving,
            State::Draining { .. } => AgentPhase::Draining,
            State::Drained { .. } => AgentPhase::Drained,
            State::Unreachable { .. } => AgentPhase::Unreachable,
            State::CannotDrain { .. } => AgentPhase::CannotDrain,
            State::Returning => AgentPhase::Returning,
        }
    }

    /// What outlives the daemon.
    pub fn stage(&self) -> AgentStage {
        match (&self.0, self.allowance(), self.seen()) {
            (State::Returning, ..) => AgentStage::Returning,
            (_, Some(allowance), Seen::Serving) => AgentStage::Ordered(allowance),
            (_, Some(allowance), Seen::Draining) => AgentStage::Draining(allowance),
            (_, None, _) => AgentStage::Serving,
        }
    }
}
