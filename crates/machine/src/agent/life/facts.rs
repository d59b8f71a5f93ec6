//! What the states of an agent record.

use std::time::Duration;

use super::super::super::event::AgentStatus;
use super::super::super::time::Time;

/// What an agent was told before the drain in which it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing, or it has been returned to service since.
    Serving,
    /// An earlier drain may have told it to drain.
    MayBeDraining,
}

/// How an agent showed that it has drained.
#[derive(Debug)]
pub(super) enum DrainedBy {
    /// Its status document says so.
    Status(AgentStatus),
    /// It exited, with `agent.on_exit = "drained"`.
    Exit,
    /// It answered its blocking drain request, without work in flight.
    Answer,
    /// Every status has said for `zero_for` that nothing is in flight.
    Zero { status: AgentStatus, idle_since: Time },
}

/// How a status was read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When it was asked for.
    pub asked_at: Time,
    /// When it arrived.
    pub at: Time,
    /// For how long an agent that reports only a number must say 0.
    pub zero_for: Option<Duration>,
}

/// What an agent that should drain was last seen doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Taking work, as far as is known.
    Serving,
    /// Draining. If nothing listens now, it has exited.
    Draining,
}

/// The run of the daemon in which an agent last answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    InThisRun,
    InLastRun,
}
