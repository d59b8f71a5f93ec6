//! Everything that can happen to the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{CompletionResult, EffectId};
use super::journal::Journal;
use super::message::{Message, SpotAction};
use super::operator::{Command, Operator};
use super::time::Time;
use super::timer::Timer;

/// One input of [`Machine::handle`](super::Machine::handle).
///
/// The events that carry an `id` are the results of the effect of that id. A result that is no longer awaited
/// changes nothing.
#[derive(Debug, Clone)]
pub enum Event {
    /// The daemon has started. Always the first event, and only that.
    Started {
        /// What the last run wrote, if it wrote anything for this instance.
        journal: Option<Box<Journal>>,
    },
    /// The time that [`next_wake`](super::Machine::next_wake) asked for has come.
    Timer(Timer),
    /// IMDS was asked something.
    Imds(ImdsReading),
    /// An operator asks for something on the control socket.
    Operator {
        /// Who.
        by: Operator,
        /// What.
        command: Command,
    },
    /// `WriteJournal` has reached the disk.
    JournalWritten {
        /// The write.
        id: EffectId,
    },
    /// `WriteJournal` did not reach the disk.
    JournalFailed {
        /// The write.
        id: EffectId,
        /// Why.
        why: String,
    },
    /// The result of `AskAgent`.
    AgentAnswered {
        /// The question.
        id: EffectId,
        /// What came back.
        answer: AgentAnswer,
    },
    /// The result of `Heartbeat`.
    HeartbeatAnswered {
        /// The attempt.
        id: EffectId,
        /// `Ok` resets the action's expiry, counted from when the attempt was sent.
        result: Result<(), CallError>,
    },
    /// The result of `Complete`.
    CompletionAnswered {
        /// The attempt.
        id: EffectId,
        /// `Ok`: the action is over.
        result: Result<(), CallError>,
    },
    /// The result of `DescribeInstance`.
    InstanceDescribed {
        /// The question.
        id: EffectId,
        /// `None` where Auto Scaling does not know the instance.
        result: Result<Option<DescribedInstance>, CallError>,
    },
    /// The result of `DescribeHooks`.
    HooksDescribed {
        /// The question.
        id: EffectId,
        /// All hooks of the group, launching ones too.
        result: Result<Vec<Hook>, CallError>,
    },
    /// The result of `ReceiveMessages`.
    MessagesReceived {
        /// The receive.
        id: EffectId,
        /// Up to ten messages, of any instance.
        result: Result<Vec<Message>, CallError>,
    },
    /// The result of `SetVisibility`.
    VisibilitySet {
        /// The call.
        id: EffectId,
        /// An error is said and forgotten: the messages come back by themselves.
        result: Result<(), CallError>,
    },
    /// The result of `DeleteMessage`.
    MessageDeleted {
        /// The call.
        id: EffectId,
        /// An error is retried a few times; after that the queue's retention has to do it.
        result: Result<(), CallError>,
    },
}

/// One answer of the instance metadata service, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImdsReading {
    /// `autoscaling/target-lifecycle-state`; `None` where the category does not exist.
    TargetState(Option<TargetState>),
    /// `spot/instance-action`; `None` where there is none.
    Spot(Option<SpotNotice>),
    /// `events/recommendations/rebalance`: when it was given; `None` where there is none.
    Rebalance(Option<Time>),
    /// `events/maintenance/scheduled`, without what is completed or canceled.
    Maintenance(Vec<MaintenanceNotice>),
    /// The target state could not be asked for, or nothing could: refused, timed out, disabled, or answered nonsense.
    Silent {
        /// What was tried and what came back.
        why: String,
    },
    /// A malformed answer. Reported and ignored.
    Malformed {
        /// What was tried, what was expected and what came back.
        why: String,
    },
}

/// `spot/instance-action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotNotice {
    /// What EC2 will do.
    pub action: SpotAction,
    /// When, at the earliest.
    pub at: Time,
}

/// One event of `events/maintenance/scheduled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceNotice {
    /// `EventId`
    pub event_id: String,
    /// `Code`, such as `instance-retirement`.
    pub code: String,
    /// `NotBefore`
    pub not_before: Option<Time>,
}

/// Where Auto Scaling is taking the instance, as IMDS tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// `InService`
    InService,
    /// `Terminated`: *going to* terminate. It can lead `Terminating:Wait` by the whole load-balancer drain.
    Terminated,
    /// `Standby`
    Standby,
    /// `Detached`
    Detached,
    /// `Warmed:Stopped`, `Warmed:Running`, `Warmed:Hibernated` or `Warmed:Terminated`.
    Warmed(String),
    /// A value that the documentation does not name.
    Other(String),
}

/// What an agent answered, as far as a drain is concerned.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentAnswer {
    /// 2xx to the drain request, with its status if the answer had one.
    Accepted(Option<AgentStatus>),
    /// 200 to the status request.
    Status {
        /// The document.
        status: AgentStatus,
        /// The agent honors `Prefer: wait` (it answered `Preference-Applied: wait`).
        waited: bool,
    },
    /// 2xx to the return to service.
    Returned,
    /// The connection could not be made.
    Unreachable {
        /// What was tried, what came back, what to do.
        why: String,
        /// The connection was refused, or there is no such socket: the agent has exited or has not started. Otherwise
        /// (no route, no such name, no permission, timed out) nothing is known of its process.
        gone: bool,
    },
    /// 404, 405, 501 or another 4xx: this path does not drain anything.
    Unsupported(String),
    /// 409: the agent says that it cannot drain.
    CannotDrain(String),
    /// 429, 5xx, a time-out, a connection that broke: worth trying again.
    Busy(String),
    /// An answer outside the contract; says what was expected.
    Malformed(String),
}

/// The status document of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Whether it serves, drains or is drained.
    pub state: AgentState,
    /// Work that it has accepted and not finished.
    #[serde(default)]
    pub in_flight: Option<u64>,
    /// Further figures, passed on to metrics.
    #[serde(default)]
    pub gauges: BTreeMap<String, f64>,
    /// A sentence for a person.
    #[serde(default)]
    pub detail: Option<String>,
}

/// `state` in an agent's status document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Takes work.
    Serving,
    /// Takes none, and still holds some.
    Draining,
    /// Takes none and holds none. Only this ends a drain.
    Drained,
}

/// Why a call to AWS did not do what it was meant to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What follows from it.
    pub kind: CallErrorKind,
    /// What was tried, what came back, what to do.
    pub message: String,
}

/// What follows from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// `No active Lifecycle Action found`: too early, already done, expired, or the wrong name.
    NoActiveAction,
    /// One bucket serves the whole account and Region, and it is empty.
    Throttled,
    /// The role lacks a permission.
    AccessDenied,
    /// AWS does not accept the credentials (expired, unknown, deleted), or there are none: the next try makes new ones.
    Credentials,
    /// The call never left: no connection, no credentials.
    Unsent,
    /// The call left and no answer, or a server error, came back: it may have taken effect.
    Unanswered,
    /// AWS understood the call and refuses it.
    Rejected,
}

/// An instance as DescribeAutoScalingInstances shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedInstance {
    /// `AutoScalingGroupName`
    pub group: String,
    /// `LifecycleState`, an open set of strings.
    pub lifecycle_state: String,
}

/// A hook as DescribeLifecycleHooks shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `LifecycleHookName`
    pub name: String,
    /// `LifecycleTransition` is `autoscaling:EC2_INSTANCE_TERMINATING`.
    pub terminating: bool,
    /// `HeartbeatTimeout`
    pub heartbeat_timeout: Duration,
    /// `GlobalTimeout`
    pub global_timeout: Duration,
    /// `DefaultResult`
    pub default_result: CompletionResult,
    /// `NotificationTargetARN`: where the hook itself sends its messages; `None` where EventBridge alone tells of it.
    pub notification_target: Option<String>,
}
