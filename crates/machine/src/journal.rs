//! The journal: what a restarted daemon needs to continue, and when it is on disk.

pub mod v1;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Completion, Group, Wait};
use super::after::AfterStage;
use super::drain::{OwnMessage, Phase};
use super::effect::{CompletionResult, Effect, EffectId};
use super::launch::LaunchStage;
use super::notice::Notices;
use super::process::Process;
use super::protection::Protection;
use super::targets::TargetRecord;
use super::time::{Correction, Time};
use super::timer::Timer;
use super::turn::Turn;

/// The version of the format that this build writes.
pub const VERSION: u32 = 2;

/// How many tokens of finished actions are remembered, to recognize late copies of their messages.
pub const FINISHED_MAX: usize = 16;

/// Pause after a failed write if nothing new has to be written.
const RETRY: Duration = Duration::from_secs(10);

/// Counts the decisions that must be journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(u64);

/// The state that outlives the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// [`VERSION`] of the build that wrote it.
    pub version: u32,
    /// The instance that it belongs to. A journal baked into an image belongs to another instance.
    pub instance_id: String,
    /// The boot in which it was written, if known.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// When that boot began, by the clock at the time of writing.
    #[serde(default)]
    pub booted_at: Option<Time>,
    /// Whether the instance has been in service. If so, `Warmed:*` is a notice.
    pub served: bool,
    /// Whether IMDS last said that the instance goes to a warm pool or stays there. Only with a launching hook.
    #[serde(default)]
    pub pooled: bool,
    /// The agents.
    pub agents: Vec<AgentRecord>,
    /// The targets of target groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetRecord>,
    /// The notices.
    pub notices: Notices,
    /// The drain under way, or the last one while its notices are in force.
    pub drain: Option<DrainRecord>,
    /// The launch.
    #[serde(default)]
    pub launch: LaunchStage,
    /// What AWS has of the protection from scale-in.
    #[serde(default)]
    pub protection: Protection,
    /// Tokens of actions that are over, oldest first.
    pub finished: Vec<String>,
}

impl Journal {
    /// Moves the times that the old clock measured, after a correction of the clock. AWS's times stay.
    pub(super) fn correct(&mut self, by: Correction) {
        if by.is_negligible() {
            return;
        }
        for agent in &mut self.agents {
            if let AgentStage::Ordered(allowance) | AgentStage::Draining(allowance) = &mut agent.stage {
                allowance.deadline = by.apply(allowance.deadline);
            }
        }
        self.targets.iter_mut().for_each(|target| target.correct(by));
        self.notices.correct(by);
        if let LaunchStage::UnderWay { since, .. } = &mut self.launch {
            *since = by.apply(*since);
        }
        self.protection.correct(by);
        if let Some(drain) = &mut self.drain {
            drain.started = by.apply(drain.started);
            drain.phase.correct(by);
            drain.action.wait.correct(by);
        }
    }
}

/// One agent in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The agent's name in the configuration.
    pub name: String,
    /// Its stage.
    pub stage: AgentStage,
    /// The process that was told to drain, and must not be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Process>,
    /// Whether its force step was started in this drain, or is about to be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

/// The stage of an agent, as far as a restarted daemon needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentStage {
    /// It was never told to drain, or has been returned to service since.
    Serving,
    /// It may have been told to drain, and has not been seen draining.
    Ordered(Allowance),
    /// It was seen draining. If nothing listens now, it has exited.
    Draining(Allowance),
    /// The instance stays. The agent may have been told to drain, and has not acknowledged the return to service.
    Returning,
}

/// The time that an agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Its own deadline: `drain_timeout` after it was first told, plus what an operator added.
    pub deadline: Time,
    /// What an operator added.
    pub extended: Duration,
}

impl AgentStage {
    /// The agent's own deadline; `None` unless it should drain.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            AgentStage::Ordered(allowance) | AgentStage::Draining(allowance) => Some(allowance.deadline),
            AgentStage::Serving | AgentStage::Returning => None,
        }
    }
}

/// A drain in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// When the first notice came.
    pub started: Time,
    /// Its phase.
    pub phase: Phase,
    /// The deadline set by notices, the action or an operator, as the agents were last told. Computed anew after a restart.
    #[serde(default)]
    pub bound: Option<Time>,
    /// The after steps.
    #[serde(default)]
    pub after: AfterStage,
    /// The lifecycle action.
    pub action: ActionRecord,
    /// The last message about our action that the daemon believed.
    pub message: Option<OwnMessage>,
    /// Receipt handles of our messages, to be deleted when the action is over.
    pub receipts: Vec<String>,
}

/// A lifecycle action in the journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The group, if known.
    pub group: Option<Group>,
    /// The hook and its timeouts, if known.
    pub hook: Option<HookFacts>,
    /// Whether a heartbeat succeeded, so that hook and group are right.
    pub proven: bool,
    /// Its state at AWS.
    pub wait: Wait,
    /// Its completion.
    pub completion: Completion,
}

/// The hook to complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookFacts {
    /// `LifecycleHookName`
    pub name: String,
    /// `HeartbeatTimeout`, or an assumed value.
    pub heartbeat_timeout: Duration,
    /// `GlobalTimeout`, or the value that follows from the heartbeat timeout.
    pub global_timeout: Duration,
    /// Whether the timeouts were read and not assumed.
    pub read: bool,
    /// Whether the group has other terminating hooks. If one is abandoned, the instance may be retained after our completion.
    #[serde(default)]
    pub has_others: bool,
}

/// The intention to complete the action. Once it is on disk, only the completion is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intention {
    /// The drain's outcome.
    pub outcome: Outcome,
    /// The result to report.
    pub result: CompletionResult,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it ended.
    pub at: Time,
    /// The outcome.
    pub outcome: Outcome,
    /// The result that drainhook completed the action with, if it did.
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
    /// Every agent finished its work.
    Drained,
    /// The deadline came first.
    Deadline,
    /// An agent could not be drained.
    Failed,
    /// An operator ended it.
    Finished,
    /// The instance stays.
    Withdrawn,
    /// The action ended without us: it expired, was completed by hand, or its hook was deleted.
    Overtaken,
}

impl Outcome {
    /// The spelling in logs and metrics.
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

/// Which decisions are on disk, by revision of the journal.
#[derive(Debug, Default)]
pub(super) struct JournalTrack {
    revision: Revision,
    writing: Option<(EffectId, Revision)>,
    released: Revision,
    on_disk: Revision,
    /// Whether the last write failed.
    failing: bool,
    retry_at: Time,
}

impl JournalTrack {
    /// Records that something changed that must be journaled. Actions that depend on it wait until the returned revision
    /// [`is_released`](Self::is_released).
    pub fn touch(&mut self) -> Revision {
        self.revision.0 += 1;
        self.revision
    }

    /// The revision that has everything so far.
    pub fn latest(&self) -> Revision {
        self.revision
    }

    /// Whether the revision is on disk, or writing it failed. Without a working disk the drain must still go on.
    pub fn is_released(&self, revision: Revision) -> bool {
        revision <= self.released
    }

    /// Whether the revision is on disk.
    pub fn is_on_disk(&self, revision: Revision) -> bool {
        revision <= self.on_disk
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

    /// Records a failed write. Returns whether it is the first in a row; `None` if the result is stale.
    pub fn failed(&mut self, id: EffectId, now: Time) -> Option<bool> {
        let (_, revision) = self.writing.take_if(|(writing, _)| *writing == id)?;
        self.released = revision;
        self.retry_at = now + RETRY;
        Some(!std::mem::replace(&mut self.failing, true))
    }

    /// Starts a write if one is needed. Only one is under way at a time. Later decisions go into the next one.
    pub fn decide(&mut self, turn: &mut Turn, snapshot: impl FnOnce() -> Journal) {
        if self.writing.is_some() || self.on_disk == self.revision {
            return;
        }
        // A revision that could not be written is retried after a pause. A new one is written at once.
        if self.released == self.revision && !turn.due(self.retry_at, Timer::Journal) {
            return;
        }
        let id = turn.emit(|id| Effect::WriteJournal { id, journal: Box::new(snapshot()) });
        self.writing = Some((id, self.revision));
    }
}
