//! The state of an agent, as far as the daemon knows. Every transition is a method here.
//!
//! ```text
//! Serving ── a drain starts, and others come first ──> Waiting ── order ──> Ordered
//! Serving ── order ──> Ordered ── accepts ──> Draining ── says so, exits, answers ──> Drained
//!    ^                    ^ └── says that it serves ──┘  <── accepts another order ──────┘
//!    │                    └── listens again ── Unreachable, CannotDrain, Resumed: from any of these, and back
//!    └── returned ── Returning <── release, from any state but Serving
//! ```
//!
//! `facts` is what these states record.
//!
//! **Invariant:** an agent becomes `Drained` only by saying so, by saying for long enough that nothing is in flight, or by
//! exiting if its settings say that it exits when drained.

mod facts;

use std::time::Duration;

use super::super::event::{AgentState, AgentStatus};
use super::super::journal::{AgentStage, Allowance};
use super::super::report::AgentPhase;
use super::super::settings::OnExit;
use super::super::time::Time;
use super::super::turn::Turn;
use super::order::OrderNumber;
pub(super) use facts::Reading;
use facts::{Before, DrainedBy, Heard, Seen};

/// The state of one agent.
#[derive(Debug)]
pub(super) struct Life(State);

#[derive(Debug)]
enum State {
    /// It was never told to drain, or has been returned to service since.
    Serving,
    /// A drain is under way, and agents with a lower order come first.
    Waiting { before: Before },
    /// It is being told to drain, and has not accepted an order since it was last known to serve.
    Ordered {
        allowance: Allowance,
        /// The last status document in this state. It says `serving`.
        status: Option<AgentStatus>,
    },
    /// It takes no new work and still has some in flight.
    Draining {
        allowance: Allowance,
        /// The order that it accepted. `None`: a new process may be listening by now, without an order.
        under: Option<OrderNumber>,
        /// The last status document in this state.
        status: Option<AgentStatus>,
        /// Since when every status has said that nothing is in flight.
        idle_since: Option<Time>,
    },
    /// It takes no new work and has none in flight.
    Drained {
        allowance: Allowance,
        /// As for `Draining`.
        under: Option<OrderNumber>,
        by: DrainedBy,
    },
    /// No connection can be made, or nothing drains at its path.
    Unreachable { allowance: Allowance, since: Time, seen: Seen, heard: Heard },
    /// It says that it cannot drain.
    CannotDrain { allowance: Allowance, seen: Seen },
    /// It was told to drain in the last run of the daemon, and has not answered in this one.
    Resumed { allowance: Allowance, seen: Seen },
    /// The instance stays. The agent may have been told to drain, and has not acknowledged the return to service.
    Returning,
}

impl Life {
    pub fn serving() -> Self {
        Life(State::Serving)
    }

    /// A drain starts. The agent's state in an earlier drain does not count.
    pub fn begin(&mut self, deadline: Time) {
        self.0 = State::Ordered { allowance: Allowance { deadline, extended: Duration::ZERO }, status: None };
    }

    /// A drain starts, and agents with a lower order come first. The agent's state in an earlier drain does not count.
    pub fn wait(&mut self) {
        let before = if self.may_be_draining() { Before::MayBeDraining } else { Before::Serving };
        self.0 = State::Waiting { before };
    }

    /// Whether it waits for agents with a lower order.
    pub fn is_waiting(&self) -> bool {
        matches!(self.0, State::Waiting { .. })
    }

    /// Continues from the last run of the daemon. The deadline stays, but is at most a full `drain_timeout` from now (plus
    /// extensions).
    ///
    /// After a reboot the agent is a new process: if nothing listens, it has not started yet.
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
        self.0 = if self.may_be_draining() { State::Returning } else { State::Serving };
    }

    /// The agent has acknowledged the return to service, or does not support it and serves again only when restarted.
    pub fn returned(&mut self, turn: &mut Turn) {
        turn.must(matches!(self.0, State::Returning), "an agent is returned only while it is returning");
        self.0 = State::Serving;
    }

    /// The agent accepted an order. It has not drained until it says so again.
    pub fn accepted(&mut self, turn: &mut Turn, order: OrderNumber) {
        turn.must(
            self.accepted_order() <= Some(order),
            "an agent accepts orders in the order they were given",
        );
        let Some(allowance) = self.allowance() else { return };
        let status = match &mut self.0 {
            State::Draining { status, .. } => status.take(),
            State::Serving
            | State::Waiting { .. }
            | State::Ordered { .. }
            | State::Drained { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        };
        self.0 = State::Draining { allowance, under: Some(order), status, idle_since: None };
    }

    /// The agent answered its blocking drain request, without a status document or work in flight.
    pub fn answered_when_drained(&mut self, order: OrderNumber) {
        let Some(allowance) = self.allowance() else { return };
        self.0 = State::Drained { allowance, under: Some(order), by: DrainedBy::Answer };
    }

    /// The agent sent its status document.
    pub fn stated(&mut self, status: AgentStatus, reading: Reading) {
        let Some(allowance) = self.allowance() else { return };
        let under = self.accepted_order();
        let is_idle = status.in_flight == Some(0);
        let idle_since = is_idle.then(|| self.idle_since().unwrap_or(reading.at));
        // Both ends are within the time that the readings cover, however long they took.
        let lasted = |since: &Time| reading.zero_for.is_some_and(|long| reading.asked_at >= *since + long);
        let idle_for_long = idle_since.filter(lasted);
        self.0 = match status.state {
            // It was restarted and lost its orders.
            AgentState::Serving => State::Ordered { allowance, status: Some(status) },
            AgentState::Draining => match idle_for_long {
                Some(idle_since) => {
                    State::Drained { allowance, under, by: DrainedBy::Zero { status, idle_since } }
                }
                None => State::Draining { allowance, under, status: Some(status), idle_since },
            },
            AgentState::Drained => State::Drained { allowance, under, by: DrainedBy::Status(status) },
        };
    }

    /// Since when every status has said that nothing is in flight.
    fn idle_since(&self) -> Option<Time> {
        match &self.0 {
            State::Draining { idle_since, .. } => *idle_since,
            State::Drained { by: DrainedBy::Zero { idle_since, .. }, .. } => Some(*idle_since),
            State::Drained { by: DrainedBy::Status(_) | DrainedBy::Exit | DrainedBy::Answer, .. }
            | State::Serving
            | State::Waiting { .. }
            | State::Ordered { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        }
    }

    /// The agent says that it cannot drain.
    pub fn refused(&mut self) {
        let (Some(allowance), seen) = (self.allowance(), self.seen()) else { return };
        self.0 = State::CannotDrain { allowance, seen };
    }

    /// The agent listens, but its answer does not show its state.
    pub fn listens(&mut self) {
        match &mut self.0 {
            State::Unreachable { allowance, since: _, seen, heard } => {
                let allowance = *allowance;
                self.0 = match (*heard, *seen) {
                    (Heard::InLastRun, seen) => State::Resumed { allowance, seen },
                    (Heard::InThisRun, Seen::Serving) => State::Ordered { allowance, status: None },
                    (Heard::InThisRun, Seen::Draining) => {
                        State::Draining { allowance, under: None, status: None, idle_since: None }
                    }
                };
            }
            // What was not read is not 0.
            State::Draining { idle_since, .. } => *idle_since = None,
            State::Serving
            | State::Waiting { .. }
            | State::Ordered { .. }
            | State::Drained { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => {}
        }
    }

    /// A process of the agent runs that has not been told to drain.
    pub fn untold(&mut self) {
        let Some(allowance) = self.allowance() else { return };
        if !matches!(self.0, State::Unreachable { .. }) {
            self.0 = State::Ordered { allowance, status: None };
        }
    }

    /// No connection can be made to the agent, or nothing drains at its path. The next process that listens may be a new one,
    /// without orders. A drained agent stays drained.
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
            State::Serving
            | State::Waiting { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Returning => {}
        }
    }

    /// Nothing listens at the agent's address: it has exited or has not started.
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

    /// An operator gave it more time.
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
            State::Serving | State::Waiting { .. } | State::Returning => {}
        }
    }

    /// Its time; `None` unless it should drain.
    fn allowance(&self) -> Option<Allowance> {
        match &self.0 {
            State::Ordered { allowance, .. }
            | State::Draining { allowance, .. }
            | State::Drained { allowance, .. }
            | State::Unreachable { allowance, .. }
            | State::CannotDrain { allowance, .. }
            | State::Resumed { allowance, .. } => Some(*allowance),
            State::Serving | State::Waiting { .. } | State::Returning => None,
        }
    }

    /// Its own deadline; `None` unless it should drain.
    pub fn deadline(&self) -> Option<Time> {
        self.allowance().map(|allowance| allowance.deadline)
    }

    fn seen(&self) -> Seen {
        match &self.0 {
            State::Draining { .. } | State::Drained { .. } => Seen::Draining,
            State::Unreachable { seen, .. }
            | State::CannotDrain { seen, .. }
            | State::Resumed { seen, .. } => *seen,
            State::Serving | State::Waiting { .. } | State::Ordered { .. } | State::Returning => {
                Seen::Serving
            }
        }
    }

    /// Whether it was seen draining and has not drained.
    pub fn was_draining(&self) -> bool {
        self.seen() == Seen::Draining && !self.is_drained()
    }

    /// The last order that the listening process is known to have accepted.
    pub fn accepted_order(&self) -> Option<OrderNumber> {
        match &self.0 {
            State::Draining { under, .. } | State::Drained { under, .. } => *under,
            State::Serving
            | State::Waiting { .. }
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

    /// Since when it has been unreachable.
    pub fn unreachable_since(&self) -> Option<Time> {
        if let State::Unreachable { since, .. } = self.0 { Some(since) } else { None }
    }

    /// Whether it may have been told to drain, so that it must be told when to serve again.
    pub fn may_be_draining(&self) -> bool {
        !matches!(self.0, State::Serving | State::Waiting { before: Before::Serving })
    }

    /// Whether nothing contradicts the last run's journal.
    pub fn confirms_last_run(&self) -> bool {
        match self.0 {
            State::Resumed { .. }
            | State::Unreachable { heard: Heard::InLastRun, .. }
            | State::Drained { .. } => true,
            State::Serving
            | State::Waiting { .. }
            | State::Ordered { .. }
            | State::Draining { .. }
            | State::Unreachable { heard: Heard::InThisRun, .. }
            | State::CannotDrain { .. }
            | State::Returning => false,
        }
    }

    /// Whether it has accepted an order and has not said since what it has in flight.
    pub fn has_only_accepted(&self) -> bool {
        matches!(self.0, State::Draining { status: None, .. })
    }

    /// The last status document, if it still shows the agent's state.
    pub fn status(&self) -> Option<&AgentStatus> {
        match &self.0 {
            State::Ordered { status, .. } | State::Draining { status, .. } => status.as_ref(),
            State::Drained { by: DrainedBy::Status(status) | DrainedBy::Zero { status, .. }, .. } => {
                Some(status)
            }
            State::Drained { by: DrainedBy::Exit | DrainedBy::Answer, .. }
            | State::Serving
            | State::Waiting { .. }
            | State::Unreachable { .. }
            | State::CannotDrain { .. }
            | State::Resumed { .. }
            | State::Returning => None,
        }
    }

    /// Its phase, for reports.
    pub fn phase(&self) -> AgentPhase {
        match &self.0 {
            State::Serving | State::Resumed { .. } | State::Ordered { status: None, .. } => {
                AgentPhase::Unknown
            }
            State::Waiting { .. } => AgentPhase::Waiting,
            State::Ordered { status: Some(_), .. } => AgentPhase::Serving,
            State::Draining { .. } => AgentPhase::Draining,
            State::Drained { .. } => AgentPhase::Drained,
            State::Unreachable { .. } => AgentPhase::Unreachable,
            State::CannotDrain { .. } => AgentPhase::CannotDrain,
            State::Returning => AgentPhase::Returning,
        }
    }

    /// The part for the journal.
    pub fn stage(&self) -> AgentStage {
        match (&self.0, self.allowance(), self.seen()) {
            (State::Returning | State::Waiting { before: Before::MayBeDraining }, ..) => {
                AgentStage::Returning
            }
            (_, Some(allowance), Seen::Serving) => AgentStage::Ordered(allowance),
            (_, Some(allowance), Seen::Draining) => AgentStage::Draining(allowance),
            (_, None, _) => AgentStage::Serving,
        }
    }
}
