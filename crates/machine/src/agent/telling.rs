//! Tells each process of an agent at most once. A second signal would cut its work off.
//!
//! The journal says first that a process is told. If the daemon stops in between, the process is never told, which an operator
//! can make up for; work that was cut off is lost.

use super::super::effect::AgentRequest;
use super::super::journal::{JournalTrack, Revision};
use super::super::process::{Process, Sight};

/// Which process has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// It is not known which process runs. The last one that was told, if it may still run.
    Looking { told: Option<Process> },
    /// This process runs and has not been told.
    Untold { process: Process, recorded: Option<Revision> },
    /// This process was told, or may have been.
    Told { process: Process },
}

/// What to do next to an agent that should drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Look at it: which process runs, and whether it still does.
    Look,
    /// Wait for the journal.
    Wait,
    /// Tell this process.
    Tell(Process),
}

impl Telling {
    pub fn new(told: Option<Process>) -> Self {
        Telling::Looking { told }
    }

    /// The part for the journal: a process that must not be told again.
    pub fn record(self) -> Option<Process> {
        match self {
            Telling::Looking { told } => told,
            Telling::Untold { process, .. } | Telling::Told { process } => Some(process),
        }
    }

    /// A drain starts or is over. A process that has not been told may be another one by the next time.
    pub fn look_again(&mut self) {
        if let Telling::Untold { .. } = self {
            *self = Telling::Looking { told: None };
        }
    }

    /// What to do next, if the agent should drain.
    pub fn step(self, journal: &JournalTrack) -> Step {
        match self {
            Telling::Looking { .. } | Telling::Told { .. } => Step::Look,
            Telling::Untold { process, recorded } => {
                let released = recorded.is_some_and(|revision| journal.is_released(revision));
                if released { Step::Tell(process) } else { Step::Wait }
            }
        }
    }

    /// The journal's revision that has [`record`](Self::record).
    pub fn journaled(&mut self, revision: Revision) {
        if let Telling::Untold { recorded: recorded @ None, .. } = self {
            *recorded = Some(revision);
        }
    }

    /// How to look. The end of a process that was told is news, so that request may be held until then.
    pub fn look(self) -> AgentRequest {
        match self {
            Telling::Told { process } => AgentRequest::Watch(process),
            Telling::Looking { .. } | Telling::Untold { .. } => AgentRequest::Status,
        }
    }

    /// Whether a process that was told may still run, so that the agent cannot be returned to service.
    pub fn may_run(self) -> bool {
        matches!(self, Telling::Looking { told: Some(_) } | Telling::Told { .. })
    }

    /// The agent was looked at, and should drain.
    pub fn seen(&mut self, sight: Sight) {
        let Sight::Runs(process) = sight else { return };
        if self.is_told(process) {
            *self = Telling::Told { process };
        } else if !matches!(self, Telling::Untold { process: known, .. } if *known == process) {
            *self = Telling::Untold { process, recorded: None };
        }
    }

    /// The agent was looked at, and should return to service.
    pub fn seen_returning(&mut self, sight: Sight) {
        *self = match sight {
            Sight::Runs(process) if self.is_told(process) => Telling::Told { process },
            Sight::Leaves => return,
            Sight::Runs(_) | Sight::Gone => Telling::Looking { told: None },
        };
    }

    /// Whether this process was told, or may have been.
    pub fn is_told(self, process: Process) -> bool {
        match self {
            Telling::Looking { told } => told == Some(process),
            Telling::Untold { .. } => false,
            Telling::Told { process: told } => told == process,
        }
    }

    /// The request to tell a process has been answered: it took effect, or certainly did not.
    pub fn answered(&mut self, process: Process, told: bool) {
        *self = if told { Telling::Told { process } } else { Telling::Looking { told: None } };
    }
}
