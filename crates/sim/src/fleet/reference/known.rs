//! What the reference goes by: the journal, and what the agent has said.

use std::time::Duration;

use machine::Time;
use machine::event::{AgentAnswer, AgentState};
use machine::journal::{Intention, Journal};
use machine::notice::{Due, Notice, Reason, Standing};
use machine::settings::{OnExit, Settings};

/// So long before EC2 takes an instance back its agent is to be done.
pub(super) const SPOT_MARGIN: Duration = Duration::from_secs(10);

/// What the journal says of the things that are done by it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kept {
    pub told: bool,
    /// The agent's own deadline.
    pub own_deadline: Option<Time>,
    /// The earliest deadline that a notice sets.
    pub noticed_deadline: Option<Time>,
    /// The action is known to wait: it may set a deadline, too.
    pub waits: bool,
    pub intention: Option<Intention>,
    pub ended: bool,
    pub started: Option<Time>,
    pub tokens: Vec<String>,
    pub token: Option<String>,
}

impl Kept {
    pub fn of(journal: &Journal) -> Self {
        let drain = journal.drain.as_ref();
        let action = drain.map(|drain| &drain.action);
        let started = drain.map(|drain| drain.started);
        let noticed =
            |started| journal.notices.rows().iter().filter_map(move |notice| deadline(notice, started)).min();
        Kept {
            told: drain.is_some_and(|drain| drain.told.is_some()),
            own_deadline: journal.agents.first().and_then(|agent| agent.soft_deadline),
            noticed_deadline: started.and_then(noticed),
            waits: action.is_some_and(|action| action.wait_since.is_some()),
            intention: action.and_then(|action| action.intention),
            ended: drain.is_some_and(|drain| drain.ended.is_some()),
            started,
            tokens: journal.finished.clone(),
            token: action.and_then(|action| action.token.clone()),
        }
    }
}

impl Kept {
    /// The latest that the agent may be told.
    pub fn deadline(&self) -> Option<Time> {
        self.own_deadline.into_iter().chain(self.noticed_deadline).min()
    }
}

/// The deadline that a notice sets for a drain that started then, if it is acted on.
fn deadline(notice: &Notice, started: Time) -> Option<Time> {
    let earliest = notice.since.max(started);
    let margin = match notice.reason {
        Reason::SpotInterruption | Reason::CapacityInterruption => SPOT_MARGIN,
        _ => Duration::ZERO,
    };
    match (notice.standing, notice.due) {
        (Standing::Held { .. }, _) | (_, Due::Unknown) => None,
        (_, Due::Begun) => Some(earliest),
        (_, Due::At(at)) => (at > earliest).then(|| earliest.max(at - margin)),
    }
}

/// What the agent has said in this life.
#[derive(Debug, Default)]
pub(super) struct Agent {
    pub state: Option<AgentState>,
    /// Since when it has refused every request.
    pub refusing: Option<Time>,
    /// It has said that it cannot drain.
    pub cannot: bool,
    /// It has given its status.
    pub heard: bool,
}

impl Agent {
    pub fn answers(&mut self, now: Time, answer: &AgentAnswer, settings: &Settings) {
        match answer {
            AgentAnswer::Accepted(Some(status)) | AgentAnswer::Status { status, .. } => {
                self.heard = true;
                self.state = Some(status.state);
            }
            AgentAnswer::Accepted(None) => self.state = Some(AgentState::Draining),
            AgentAnswer::Unreachable(_) => {
                // One that exits when it has drained has drained, once it was told.
                let exits = settings.agents.iter().all(|agent| agent.on_exit == OnExit::Drained);
                if exits && self.state != Some(AgentState::Serving) {
                    self.state = Some(AgentState::Drained);
                }
            }
            AgentAnswer::Returned
            | AgentAnswer::Unsupported(_)
            | AgentAnswer::CannotDrain(_)
            | AgentAnswer::Busy(_)
            | AgentAnswer::Malformed(_) => {}
        }
        self.cannot = matches!(answer, AgentAnswer::CannotDrain(_));
        let refused = matches!(answer, AgentAnswer::Unreachable(_) | AgentAnswer::Unsupported(_));
        self.refusing = refused.then(|| self.refusing.unwrap_or(now));
    }

    pub fn has_failed(&self, now: Time, settings: &Settings) -> bool {
        let grace = settings.agents.first().map(|agent| agent.unreachable_grace).unwrap_or_default();
        self.cannot || self.refusing.is_some_and(|since| now.since(since) >= grace)
    }
}

/// Whether our completion has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    No,
    /// The answer was lost, or the journal had an intention at the start.
    Perhaps,
    Yes,
}

impl Completed {
    /// What was known before counts.
    pub fn or(self, other: Completed) -> Completed {
        if self == Completed::No { other } else { self }
    }
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    None,
    UnderWay,
    Ended,
}

/// A call under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Agent,
    Heartbeat(Time),
    Complete,
    Receive,
}
