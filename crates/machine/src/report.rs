//! What people are told: the machine's own words for logs, metrics and the simulator's timeline.

mod words;

use std::time::Duration;

use super::action::WaitSource;
use super::effect::CompletionResult;
use super::event::{CallError, CallErrorKind};
use super::journal::{HookFacts, Outcome};
use super::notice::{Reason, Source};
use super::operator::Operator;
pub use super::progress::{AgentPhase, Progress};
use super::time::Time;

/// Something worth telling. Its text is a log line; its fields are for metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The table of notices has changed.
    Notice {
        /// How.
        change: NoticeChange,
        /// Who told of the notice.
        source: Source,
        /// Why the instance goes.
        reason: Reason,
        /// The token of an action, the id of a maintenance event; empty for other reasons.
        id: String,
        /// When it no longer helps to drain for it, where that is known.
        deadline: Option<Time>,
    },
    /// A message told of a notice that is not believed, and was deleted. Reported once for each.
    NoticeIgnored {
        /// Why the instance would go.
        reason: Reason,
        /// When EC2 would act.
        at: Time,
        /// Why it is not believed.
        why: Disbelief,
    },
    /// A drain begins.
    DrainStarted {
        /// The most pressing notice.
        reason: Reason,
    },
    /// A drain goes on after the daemon was restarted.
    DrainRecovered {
        /// When it began.
        started: Time,
    },
    /// The agents are told to drain.
    AgentsTold {
        /// The latest deadline of any.
        deadline: Option<Time>,
    },
    /// An outside bound has moved the deadline.
    DeadlineMoved {
        /// To this.
        deadline: Time,
    },
    /// An agent's state or its work in flight has changed.
    AgentProgress {
        /// Which agent.
        agent: String,
        /// What it is at now.
        progress: Progress,
    },
    /// An agent did not do as it was asked.
    AgentTrouble {
        /// Which agent.
        agent: String,
        /// What was tried and what came back.
        why: String,
        /// The cause has not just been told.
        news: bool,
    },
    /// The hook to complete is known.
    HookChosen {
        /// It and its timeouts.
        hook: HookFacts,
    },
    /// There is no hook to complete.
    HookImpossible {
        /// Why, and what to do.
        why: String,
    },
    /// The instance is in another group than was thought.
    GroupChanged {
        /// What was thought.
        before: String,
        /// What Auto Scaling, or the message of its action, says.
        now: String,
    },
    /// The lifecycle action is in Wait.
    WaitBegan {
        /// Since then, at the earliest.
        since: Time,
        /// How that became known.
        by: WaitSource,
    },
    /// A heartbeat was accepted.
    HeartbeatSent {
        /// When the action expires without another.
        expires: Option<Time>,
    },
    /// A call to AWS failed, and will be tried again.
    CallFailed {
        /// Which call.
        call: Call,
        /// What came back.
        error: CallError,
        /// It says nothing new: it is too early, or the missing permission has been named.
        expected: bool,
    },
    /// The intention to complete is about to be written down.
    Completing {
        /// How the drain will have ended.
        outcome: Outcome,
        /// The result to report.
        result: CompletionResult,
    },
    /// A drain has ended.
    DrainEnded {
        /// How.
        outcome: Outcome,
        /// The first reason.
        reason: Option<Reason>,
        /// What was reported to Auto Scaling, if anything was.
        result: Option<CompletionResult>,
        /// The operator who ended it, where one did.
        by: Option<Operator>,
        /// From the first notice.
        took: Duration,
        /// Heartbeats that succeeded.
        heartbeats: u32,
    },
    /// A message spoke of an action that is long over.
    StaleMessage,
    /// A message that does not belong in this queue was given back. Reported once for each kind.
    StrangeMessage {
        /// What is wrong with it.
        why: String,
    },
    /// Auto Scaling keeps the instance for salvage.
    Retained,
    /// The agents are told to serve again.
    AgentsReturned,
    /// IMDS does not answer; says what follows.
    ImdsSilent {
        /// What was tried and what came back.
        why: String,
        /// There is a queue to listen to instead.
        queue: bool,
    },
    /// IMDS answers, and has had no target state since the start; says what follows.
    ImdsMissing {
        /// There is a queue to listen to instead.
        queue: bool,
    },
    /// IMDS answers again.
    ImdsHeard,
    /// A malformed response from IMDS. Reported once for each kind.
    ImdsMalformed {
        /// What was tried, what was expected and what came back.
        why: String,
    },
    /// IMDS names a target state that is not documented; nothing follows from it.
    UnknownTargetState {
        /// The state.
        state: String,
    },
    /// The journal could not be written.
    JournalFailed {
        /// What was tried, what came back, what to do.
        why: String,
        /// The first failure in a row.
        first: bool,
    },
    /// An assertion of the machine's own does not hold: a bug in this program. Reported once for each assertion.
    Defect {
        /// What should hold.
        what: &'static str,
    },
}

/// How the table of notices has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeChange {
    /// A notice is new.
    Appeared,
    /// Its time has changed.
    Rescheduled,
    /// Its source no longer tells it.
    Withdrawn,
    /// Only a message told of it, and its time has passed.
    Expired,
}

/// Why what a message says is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disbelief {
    /// The time that it names has passed.
    Passed,
    /// The time that it names is farther ahead than EC2 ever warns.
    TooFarAhead,
}

/// A call to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// RecordLifecycleActionHeartbeat
    Heartbeat,
    /// CompleteLifecycleAction
    Complete,
    /// DescribeAutoScalingInstances
    DescribeInstance,
    /// DescribeLifecycleHooks
    DescribeHooks,
    /// ReceiveMessage
    Receive,
    /// ChangeMessageVisibilityBatch
    SetVisibility,
    /// DeleteMessage
    Delete,
}

/// How loud a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// An operator should act.
    Error,
    /// An operator may have to act if it goes on.
    Warn,
    /// The story of a drain.
    Info,
    /// Each step.
    Debug,
}

impl Report {
    /// A name for programs that read logs; it stays the same when the wording changes.
    pub fn name(&self) -> &'static str {
        match self {
            Report::Notice { change, .. } => match change {
                NoticeChange::Appeared => "notice_appeared",
                NoticeChange::Rescheduled => "notice_rescheduled",
                NoticeChange::Withdrawn => "notice_withdrawn",
                NoticeChange::Expired => "notice_expired",
            },
            Report::NoticeIgnored { .. } => "notice_ignored",
            Report::DrainStarted { .. } => "drain_started",
            Report::DrainRecovered { .. } => "drain_recovered",
            Report::AgentsTold { .. } => "agents_told",
            Report::DeadlineMoved { .. } => "deadline_moved",
            Report::AgentProgress { .. } => "agent_progress",
            Report::AgentTrouble { .. } => "agent_trouble",
            Report::HookChosen { .. } => "hook_chosen",
            Report::HookImpossible { .. } => "hook_impossible",
            Report::GroupChanged { .. } => "group_changed",
            Report::WaitBegan { .. } => "wait_began",
            Report::HeartbeatSent { .. } => "heartbeat_sent",
            Report::CallFailed { .. } => "call_failed",
            Report::Completing { .. } => "completing",
            Report::DrainEnded { .. } => "drain_ended",
            Report::StaleMessage => "stale_message",
            Report::StrangeMessage { .. } => "strange_message",
            Report::Retained => "retained",
            Report::AgentsReturned => "agents_returned",
            Report::ImdsSilent { .. } => "imds_silent",
            Report::ImdsMissing { .. } => "imds_missing",
            Report::ImdsHeard => "imds_heard",
            Report::ImdsMalformed { .. } => "imds_malformed",
            Report::UnknownTargetState { .. } => "unknown_target_state",
            Report::JournalFailed { .. } => "journal_failed",
            Report::Defect { .. } => "defect",
        }
    }

    /// Whether something went wrong that may explain a stuck drain. `drainhook status` shows the last one.
    pub fn is_error(&self) -> bool {
        match self {
            Report::AgentTrouble { .. }
            | Report::HookImpossible { .. }
            | Report::CallFailed { expected: false, .. }
            | Report::StrangeMessage { .. }
            | Report::ImdsSilent { .. }
            | Report::ImdsMissing { .. }
            | Report::ImdsMalformed { .. }
            | Report::JournalFailed { .. }
            | Report::Defect { .. } => true,
            Report::CallFailed { expected: true, .. }
            | Report::Notice { .. }
            | Report::NoticeIgnored { .. }
            | Report::DrainStarted { .. }
            | Report::DrainRecovered { .. }
            | Report::AgentsTold { .. }
            | Report::DeadlineMoved { .. }
            | Report::AgentProgress { .. }
            | Report::HookChosen { .. }
            | Report::GroupChanged { .. }
            | Report::WaitBegan { .. }
            | Report::HeartbeatSent { .. }
            | Report::Completing { .. }
            | Report::DrainEnded { .. }
            | Report::StaleMessage
            | Report::Retained
            | Report::AgentsReturned
            | Report::ImdsHeard
            | Report::UnknownTargetState { .. } => false,
        }
    }

    /// How a drain has ended, where this says so.
    pub fn outcome(&self) -> Option<Outcome> {
        if let Report::DrainEnded { outcome, .. } = self { Some(*outcome) } else { None }
    }

    /// An agent and what it is at, where this says so.
    pub fn progress(&self) -> Option<(&str, &Progress)> {
        if let Report::AgentProgress { agent, progress } = self { Some((agent, progress)) } else { None }
    }

    /// How loud it is.
    pub fn loudness(&self) -> Loudness {
        match self {
            Report::HookImpossible { .. } | Report::ImdsMissing { queue: false } | Report::Defect { .. } => {
                Loudness::Error
            }
            Report::CallFailed { error, expected, .. } => match error.kind {
                _ if *expected => Loudness::Debug,
                CallErrorKind::AccessDenied => Loudness::Error,
                _ => Loudness::Warn,
            },
            Report::AgentTrouble { news: true, .. }
            | Report::StrangeMessage { .. }
            | Report::ImdsSilent { .. }
            | Report::ImdsMissing { queue: true }
            | Report::ImdsMalformed { .. }
            | Report::NoticeIgnored { .. }
            | Report::UnknownTargetState { .. }
            | Report::JournalFailed { first: true, .. } => Loudness::Warn,
            Report::DrainEnded {
                outcome: Outcome::Failed | Outcome::Deadline | Outcome::Overtaken, ..
            } => Loudness::Warn,
            Report::AgentTrouble { news: false, .. } | Report::JournalFailed { first: false, .. } => {
                Loudness::Debug
            }
            Report::Notice { .. }
            | Report::DrainStarted { .. }
            | Report::DrainRecovered { .. }
            | Report::AgentsTold { .. }
            | Report::DeadlineMoved { .. }
            | Report::AgentProgress { .. }
            | Report::HookChosen { .. }
            | Report::GroupChanged { .. }
            | Report::WaitBegan { .. }
            | Report::HeartbeatSent { .. }
            | Report::Completing { .. }
            | Report::DrainEnded { .. }
            | Report::StaleMessage
            | Report::Retained
            | Report::AgentsReturned
            | Report::ImdsHeard => Loudness::Info,
        }
    }
}
