//! How far an agent is, for people.

use std::fmt;

/// Where an agent stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its part of the drain.
    pub phase: AgentPhase,
    /// Its work in flight, as last reported.
    pub in_flight: Option<u64>,
}

/// An agent's part of a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AgentPhase {
    /// It has not been heard in this drain.
    #[default]
    Unknown,
    /// It says that it serves, though it is told to drain.
    Serving,
    /// It takes no work, and holds some.
    Draining,
    /// It takes no work, and holds none.
    Drained,
    /// No connection can be made, or its path drains nothing.
    Unreachable,
    /// It says that it cannot drain.
    CannotDrain,
    /// It is told to serve again, and has not acknowledged that.
    Returning,
}

impl Progress {
    /// The state, in a word.
    pub fn word(&self) -> &'static str {
        match self.phase {
            AgentPhase::Unknown => "unknown",
            AgentPhase::Serving => "serving",
            AgentPhase::Draining => "draining",
            AgentPhase::Drained => "drained",
            AgentPhase::Unreachable => "unreachable",
            AgentPhase::CannotDrain => "cannot drain",
            AgentPhase::Returning => "returning",
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self.in_flight {
            Some(count) if self.phase != AgentPhase::Drained => write!(f, ", {count} in flight"),
            Some(_) | None => Ok(()),
        }
    }
}
