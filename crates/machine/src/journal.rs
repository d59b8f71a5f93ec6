//! What a restarted daemon needs to go on, and when it is on disk.

pub mod v1;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Completion, Group, Wait};
use super::drain::{OwnMessage, Phase};
use super::effect::{CompletionResult, Effect, EffectId};
use super::notice::Notices;
use super::time::{Correction, Time};
use super::timer::Timer;
use super::turn::Turn;

/// The version of the format that this build writes and reads.
pub const VERSION: u32 = 2;

/// How many tokens of finished actions are remembered, to know late copies of their messages.
pub const FINISHED_MAX: usize = 16;

/// How long after a failed write the next one is tried, where nothing else asks for one.
const RETRY: Duration = Duration::from_secs(10);

/// Counts what has been decided that must outlive the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(u64);

/// All that outlives the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// [`VERSION`] of the build that wrote it.
    pub version: u32,
    /// The instance that it belongs to: one that was baked into an image is another's.
    pub instance_id: String,
    /// The boot in which it was written, where that is known.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// When that boot began, by the clock of the time.
    #[serde(default)]
    pub booted_at: Option<Time>,
    /// The instance has been in service: from now on `Warmed:*` is a notice.
    pub served: bool,
    /// What the agents have been told.
    pub agents: Vec<AgentRecord>,
    /// The notices.
    pub notices: Notices,
    /// The drain under way, or the one that ended while its notices are in force.
    pub drain: Option<DrainRecord>,
    /// Tokens of actions that are over, oldest first.
    pub finished: Vec<String>,
}

impl Journal {
    /// The clock was corrected since this was written: moves what was reckoned by the old one. The times that AWS has told
    /// are AWS's, and stay.
    pub(super) fn correct(&mut self, by: Correction) {
        if by.is_negligible() {
            return;
        }
        for agent in &mut self.agents {
            if let AgentStage::Ordered(allowance) | AgentStage::Draining(allowance) = &mut agent.stage {
                allowance.deadline = by.apply(allowance.deadline);
            }
        }
        self.notices.correct(by);
        if let Some(drain) = &mut self.drain {
            drain.started = by.apply(drain.started);
            drain.phase.correct(by);
            drain.action.wait.correct(by);
        }
    }
}

/// What outlives the daemon of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The agent's name in the configuration.
    pub name: String,
    /// Where it stands.
    pub stage: AgentStage,
}

/// Where an agent stands, as far as a restarted daemon needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentStage {
    /// It was never told to drain, or has been returned to service since.
    Serving,
    /// It may have been told to drain, and has not been seen draining.
    Ordered(Allowance),
    /// It has been seen draining: if nothing listens now, it has exited.
    Draining(Allowance),
    /// The instance stays. It may have been told to drain, and has not acknowledged that it serves again.
    Returning,
}

/// The time that an agent is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// When its own time is up: `drain_timeout` after it was first told, and what an operator has added.
    pub deadline: Time,
    /// What an operator has added.
    pub extended: Duration,
}

impl AgentStage {
    /// When the agent's own time is up, while it is to drain.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            AgentStage::Ordered(allowance) | AgentStage::Draining(allowance) => Some(allowance.deadline),
            AgentStage::Serving | AgentStage::Returning => None,
        }
    }
}

/// What outlives the daemon of one drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// When the first notice came.
    pub started: Time,
    /// How far it has come.
    pub phase: Phase,
    /// The end that is set from outside, as the agents were last told. It is derived anew from what is in force.
    #[serde(default)]
    pub bound: Option<Time>,
    /// The lifecycle action.
    pub action: ActionRecord,
    /// What our message said, where one has come.
    pub message: Option<OwnMessage>,
    /// Receipt handles of our messages, to be deleted when the action is over.
    pub receipts: Vec<String>,
}

/// What outlives the daemon of one lifecycle action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The group, where it is known.
    pub group: Option<Group>,
    /// The hook and its timeouts, where they are known.
    pub hook: Option<HookFacts>,
    /// A heartbeat has succeeded, so hook and group are right.
    pub proven: bool,
    /// Where it stands at AWS.
    pub wait: Wait,
    /// What has been decided about completing it.
    pub completion: Completion,
}

/// The hook to complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookFacts {
    /// `LifecycleHookName`
    pub name: String,
    /// `HeartbeatTimeout`, or what is assumed.
    pub heartbeat_timeout: Duration,
    /// `GlobalTimeout`, or what follows from the heartbeat timeout.
    pub global_timeout: Duration,
    /// The hook was read, not assumed.
    pub read: bool,
    /// The group has other terminating hooks, whose abandonment may retain the instance after our completion.
    #[serde(default)]
    pub has_others: bool,
}

/// The intention to complete the action: once it is on disk, nothing but the completion is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intention {
    /// How the drain will have ended.
    pub outcome: Outcome,
    /// The result to report.
    pub result: CompletionResult,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// How.
    pub outcome: Outcome,
    /// What was reported to Auto Scaling, if anything was.
    pub result: Option<CompletionResult>,
}

impl Ended {
    /// Whether a lifecycle action is over, by our completion or without it.
    pub(super) fn ended_an_action(&self) -> bool {
        self.result.is_some() || self.outcome == Outcome::Overtaken
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every agent has finished its work.
    Drained,
    /// The deadline came first.
    Deadline,
    /// An agent could not be drained.
    Failed,
    /// An operator ended it.
    Finished,
    /// The instance stays.
    Withdrawn,
    /// The action ended without us: expired, completed by hand, hook deleted.
    Overtaken,
}

impl Outcome {
    /// As logs and metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Drained => "drained",
            Outcome::Deadline => "deadline",
            Outcome::Failed => "failed",
            Outcome::Finished => "finished",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Overtaken => "overtaken",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What has been decided and what is on disk, as revisions of the journal.
#[derive(Debug, Default)]
pub(super) struct JournalTrack {
    revision: Revision,
    writing: Option<(EffectId, Revision)>,
    released: Revision,
    on_disk: Revision,
    /// The last write has failed.
    failing: bool,
    retry_at: Time,
}

impl JournalTrack {
    /// Something has changed that must outlive the daemon. What depends on it waits for
    /// [`is_released`](Self::is_released) of the revision returned.
    pub fn touch(&mut self) -> Revision {
        self.revision.0 += 1;
        self.revision
    }

    /// Whether that revision is on disk, or the disk has refused it: work must be saved even where it cannot be
    /// written down.
    pub fn is_released(&self, revision: Revision) -> bool {
        revision <= self.released
    }

    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub fn written(&mut self, id: EffectId) -> bool {
        let Some((_, revision)) = self.writing.take_if(|(writing, _)| *writing == id) else { return false };
        self.released = revision;
        self.on_disk = revision;
        self.failing = false;
        true
    }

    /// Takes a failure in; `Some` says whether it is the first in a row.
    pub fn failed(&mut self, id: EffectId, now: Time) -> Option<bool> {
        let (_, revision) = self.writing.take_if(|(writing, _)| *writing == id)?;
        self.released = revision;
        self.retry_at = now + RETRY;
        Some(!std::mem::replace(&mut self.failing, true))
    }

    /// Starts a write if one is needed. One at a time; what is decided meanwhile goes into the next.
    pub fn decide(&mut self, turn: &mut Turn, snapshot: impl FnOnce() -> Journal) {
        if self.writing.is_some() || self.on_disk == self.revision {
            return;
        }
        // A revision that the disk has refused already is tried again only after a while; a new one at once.
        if self.released == self.revision && !turn.due(self.retry_at, Timer::Journal) {
            return;
        }
        let id = turn.emit(|id| Effect::WriteJournal { id, journal: Box::new(snapshot()) });
        self.writing = Some((id, self.revision));
    }
}
