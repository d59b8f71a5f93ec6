//! An agent's progress, for people.

use std::fmt;

/// The progress of an agent in a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its phase.
    pub phase: AgentPhase,
    /// Its work in flight, as last reported.
    pub in_flight: Option<u64>,
}

/// The phases of an agent in a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AgentPhase {
    /// It has not answered in this drain.
    #[default]
    Unknown,
    /// Agents with a lower order come first.
    Waiting,
    /// It was told to drain and says `serving`.
    Serving,
    /// It takes no new work and still has some in flight.
    Draining,
    /// Its time is nearly over, and its force step was started. It still has work in flight.
    Forced,
    /// It takes no new work and has none in flight.
    Drained,
    /// No connection can be made, or nothing drains at its path.
    Unreachable,
    /// It says that it cannot drain.
    CannotDrain,
    /// It was told to serve again and has not acknowledged that.
    Returning,
}

impl Progress {
    /// The phase, in a word or two.
    pub fn word(&self) -> &'static str {
        match self.phase {
            AgentPhase::Unknown => "unknown",
            AgentPhase::Waiting => "waiting",
            AgentPhase::Serving => "serving",
            AgentPhase::Draining => "draining",
            AgentPhase::Forced => "forced to end",
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
