//! Reports for people: log lines, and the fields behind metrics and the simulator's timeline. `disbelief`: messages that the
//! daemon does not act on.

mod call;
mod disbelief;
mod words;

use std::time::Duration;

use super::action::WaitSource;
pub use super::after::StepNews;
pub use super::agent::ForceNews;
use super::effect::CompletionResult;
use super::event::{CallError, CallErrorKind};
use super::journal::{HookFacts, Outcome};
pub use super::launch::{LaunchEnd, LaunchNews};
use super::notice::{Reason, Source};
use super::operator::Operator;
pub use super::progress::{AgentPhase, Progress};
pub use super::protection::ProtectionNews;
pub use super::targets::TargetNews;
use super::time::Time;
pub use call::Call;
pub use disbelief::Disbelief;

/// One thing worth reporting. Its text is a log line; its fields are for metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The table of notices changed.
    Notice {
        /// How.
        change: NoticeChange,
        /// Where the notice came from.
        source: Source,
        /// Why the instance is going.
        reason: Reason,
        /// The action's token or the maintenance event's id; empty for other reasons.
        id: String,
        /// The deadline that the notice sets, if it sets one.
        deadline: Option<Time>,
    },
    /// A message carried a notice that the daemon does not act on. Reported once per text.
    NoticeIgnored {
        /// Why the instance would be going.
        reason: Reason,
        /// When EC2 would act, by the message.
        at: Time,
        /// Why the daemon does not act on it.
        why: Disbelief,
    },
    /// A drain started.
    DrainStarted {
        /// The most pressing notice.
        reason: Reason,
    },
    /// A drain continues after the daemon restarted.
    DrainRecovered {
        /// When it started.
        started: Time,
    },
    /// The agents are being told to drain.
    AgentsTold {
        /// Their order, if other agents have another one.
        order: Option<u8>,
        /// The latest deadline of any agent that was told.
        deadline: Option<Time>,
    },
    /// A notice, the action or an operator moved the deadline.
    DeadlineMoved {
        /// The new deadline.
        deadline: Time,
    },
    /// An agent's state or its work in flight changed.
    AgentProgress {
        /// Which agent.
        agent: String,
        /// Its progress now.
        progress: Progress,
    },
    /// A request to an agent failed.
    AgentTrouble {
        /// Which agent.
        agent: String,
        /// What was tried and what came back.
        why: String,
        /// The cause differs from the one last reported as a warning.
        news: bool,
    },
    /// The force step of an agent started or ended.
    AgentForced {
        /// Which agent.
        agent: String,
        /// What happened to it.
        news: ForceNews,
    },
    /// An after step started or ended.
    AfterStep {
        /// Its place in the configuration, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What happened to it.
        news: StepNews,
    },
    /// A launch began, or what became of it.
    Launch(LaunchNews),
    /// The protection from scale-in changed.
    Protection(ProtectionNews),
    /// The instance left a target group, or came back.
    Target {
        /// The target group's name.
        group: String,
        /// What happened.
        news: TargetNews,
    },
    /// The hook to complete is known.
    HookChosen {
        /// The hook and its timeouts.
        hook: HookFacts,
    },
    /// There is no hook to complete.
    HookImpossible {
        /// Why, and what to do.
        why: String,
    },
    /// The instance turned out to be in a different group.
    GroupChanged {
        /// The group known before.
        before: String,
        /// The group that Auto Scaling, or the action's message, names.
        now: String,
    },
    /// The lifecycle action is in Wait.
    WaitBegan {
        /// The earliest time at which it can have reached Wait.
        since: Time,
        /// How the daemon found out.
        by: WaitSource,
    },
    /// A heartbeat was accepted.
    HeartbeatSent {
        /// When the action expires without another heartbeat.
        expires: Option<Time>,
    },
    /// A call to AWS failed and will be retried.
    CallFailed {
        /// Which call.
        call: Call,
        /// What came back.
        error: CallError,
        /// The failure is no news: Wait has not begun yet, or this drain already reported the missing permission.
        expected: bool,
    },
    /// The daemon decided to complete the action. The journal gets that next.
    Completing {
        /// The drain's outcome.
        outcome: Outcome,
        /// The result to report.
        result: CompletionResult,
    },
    /// A drain ended.
    DrainEnded {
        /// How.
        outcome: Outcome,
        /// The most pressing reason in force at the end.
        reason: Option<Reason>,
        /// The result that drainhook completed the action with, if it did.
        result: Option<CompletionResult>,
        /// The operator who ended it, if one did.
        by: Option<Operator>,
        /// Time since the first notice.
        took: Duration,
        /// Heartbeats that succeeded.
        heartbeats: u32,
    },
    /// A message was about an action that is over.
    StaleMessage,
    /// A message that does not belong in this queue was returned to it. Reported once per kind.
    StrangeMessage {
        /// What is wrong with it.
        why: String,
    },
    /// Auto Scaling retained the instance for salvage.
    Retained,
    /// The agents are being told to serve again.
    AgentsReturned,
    /// IMDS does not answer.
    ImdsSilent {
        /// What was tried and what came back.
        why: String,
        /// A queue is configured, so the daemon polls it instead.
        queue: bool,
    },
    /// IMDS answers, but has had no target state since the daemon started.
    ImdsMissing {
        /// A queue is configured, so the daemon polls it instead.
        queue: bool,
    },
    /// IMDS answers again.
    ImdsHeard,
    /// IMDS returned a malformed response. Reported once per kind.
    ImdsMalformed {
        /// What was tried, what was expected and what came back.
        why: String,
    },
    /// IMDS returned an undocumented target state. The daemon ignores it.
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
    /// One of the machine's own assertions failed: a bug in drainhook. Reported once per assertion.
    Defect {
        /// The assertion.
        what: &'static str,
    },
}

/// How the table of notices changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeChange {
    /// A notice is new.
    Appeared,
    /// Its time has changed.
    Rescheduled,
    /// Its source no longer lists it.
    Withdrawn,
    /// It was known only from a message, and its time has passed.
    Expired,
}

/// The log level of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// An operator should act.
    Error,
    /// An operator may have to act if it persists.
    Warn,
    /// A milestone of a drain.
    Info,
    /// A detail.
    Debug,
}

impl Report {
    /// A stable name for programs that read logs. It does not change when the wording does.
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
            Report::AgentForced { news, .. } => match news {
                ForceNews::Started { .. } => "force_started",
                ForceNews::Done => "force_done",
                ForceNews::Failed { .. } | ForceNews::TimedOut => "force_failed",
            },
            Report::AfterStep { news, .. } => match news {
                StepNews::Started { .. } => "step_started",
                StepNews::Done => "step_done",
                StepNews::Failed { .. } | StepNews::TimedOut | StepNews::Skipped => "step_failed",
                StepNews::Canceled => "step_canceled",
            },
            Report::Launch(news) => news.name(),
            Report::Protection(news) => news.name(),
            Report::Target { news, .. } => news.name(),
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

    /// Whether this is a failure that may explain a stuck drain. `drainhook status` shows the last one.
    pub fn is_error(&self) -> bool {
        match self {
            Report::AfterStep { news, .. } => news.is_failure(),
            Report::Launch(news) => news.loudness() == Loudness::Error,
            Report::Target { news, .. } => news.loudness() == Loudness::Warn,
            Report::AgentForced { news, .. } => news.is_failure(),
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
            | Report::Protection(_)
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

    /// The outcome, if this is the end of a drain.
    pub fn outcome(&self) -> Option<Outcome> {
        if let Report::DrainEnded { outcome, .. } = self { Some(*outcome) } else { None }
    }

    /// The agent and its progress, if this is about an agent's progress.
    pub fn progress(&self) -> Option<(&str, &Progress)> {
        if let Report::AgentProgress { agent, progress } = self { Some((agent, progress)) } else { None }
    }

    /// The deadline that the agents are told, if this is about it.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            Report::AgentsTold { deadline, .. } => *deadline,
            Report::DeadlineMoved { deadline } => Some(*deadline),
            _ => None,
        }
    }

    /// The level at which to log it.
    pub fn loudness(&self) -> Loudness {
        match self {
            Report::AfterStep { news, .. } if news.is_failure() => Loudness::Warn,
            Report::Launch(news) => news.loudness(),
            Report::Target { news, .. } => news.loudness(),
            Report::AfterStep { .. } | Report::AgentForced { news: ForceNews::Done, .. } => Loudness::Info,
            Report::AgentForced { .. } => Loudness::Warn,
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
            | Report::Protection(_)
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
