//! The machine's inputs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{CompletionResult, EffectId};
use super::journal::Journal;
use super::message::{Message, SpotAction};
use super::operator::{Command, Operator};
use super::process::Sight;
use super::time::Time;
use super::timer::Timer;

/// One input of [`Machine::handle`](super::Machine::handle).
///
/// An event with an `id` is the result of the effect with that id. A result that is no longer awaited changes nothing.
#[derive(Debug, Clone)]
pub enum Event {
    /// The daemon has started. Always the first event, and sent only once.
    Started {
        /// The last run's journal, if there is one for this instance.
        journal: Option<Box<Journal>>,
    },
    /// The time that [`next_wake`](super::Machine::next_wake) asked for has come.
    Timer(Timer),
    /// A reading from IMDS.
    Imds(ImdsReading),
    /// An operator sent a command on the control socket.
    Operator {
        /// The operator.
        by: Operator,
        /// The command.
        command: Command,
    },
    /// The journal is on disk. The result of `WriteJournal`.
    JournalWritten {
        /// The write.
        id: EffectId,
    },
    /// The journal could not be written. The result of `WriteJournal`.
    JournalFailed {
        /// The write.
        id: EffectId,
        /// Why.
        why: String,
    },
    /// The result of `AskAgent`.
    AgentAnswered {
        /// The request.
        id: EffectId,
        /// The answer, or why it is missing.
        answer: AgentAnswer,
    },
    /// The result of `AskReady`.
    ReadyAnswered {
        /// The question.
        id: EffectId,
        /// Why the agent is not ready, if it is not.
        result: Result<(), String>,
    },
    /// The result of `AskBusy`.
    BusyAnswered {
        /// The question.
        id: EffectId,
        /// How much the agent has in flight, or why that is not known.
        result: Result<u64, String>,
    },
    /// The result of `RunStep` or `ForceAgent`.
    StepEnded {
        /// The run.
        id: EffectId,
        /// Why the step failed or could not be started. Either way, the drain goes on.
        result: Result<(), String>,
    },
    /// The result of `Heartbeat`.
    HeartbeatAnswered {
        /// The attempt.
        id: EffectId,
        /// `Ok`: the action's heartbeat timeout restarted, at the earliest when the attempt was sent.
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
        /// The call.
        id: EffectId,
        /// `None`: Auto Scaling does not know the instance.
        result: Result<Option<DescribedInstance>, CallError>,
    },
    /// The result of `DescribeHooks`.
    HooksDescribed {
        /// The call.
        id: EffectId,
        /// All hooks of the group, including launch hooks.
        result: Result<Vec<Hook>, CallError>,
    },
    /// The result of `Protect`.
    ProtectionAnswered {
        /// The attempt.
        id: EffectId,
        /// `Ok`: the protection is as it was wanted.
        result: Result<(), CallError>,
    },
    /// The result of `ReceiveMessages`.
    MessagesReceived {
        /// The receive.
        id: EffectId,
        /// Up to ten messages, about any instance.
        result: Result<Vec<Message>, CallError>,
    },
    /// The result of `SetVisibility`.
    VisibilitySet {
        /// The call.
        id: EffectId,
        /// An error is reported and not retried: the messages become visible again by themselves.
        result: Result<(), CallError>,
    },
    /// The result of `DeleteMessage`.
    MessageDeleted {
        /// The call.
        id: EffectId,
        /// After a few failed tries the message is left to the queue's retention period.
        result: Result<(), CallError>,
    },
    /// The result of `DescribeTarget`.
    TargetDescribed {
        /// The call.
        id: EffectId,
        /// What ELB says about the target.
        result: Result<TargetHealth, CallError>,
    },
    /// The result of `DeregisterTarget`.
    TargetDeregistered {
        /// The call.
        id: EffectId,
        /// `Ok`: the load balancer has begun to drain the target, unless it was not registered.
        result: Result<(), CallError>,
    },
    /// The result of `RegisterTarget`.
    TargetRegistered {
        /// The call.
        id: EffectId,
        /// `Ok`: the target is registered.
        result: Result<(), CallError>,
    },
}

/// One reading from the instance metadata service, or its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImdsReading {
    /// `autoscaling/target-lifecycle-state`; `None` if it does not exist (404).
    TargetState(Option<TargetState>),
    /// `spot/instance-action`; `None` if there is no interruption.
    Spot(Option<SpotNotice>),
    /// `events/recommendations/rebalance`: the time of the recommendation, if there is one.
    Rebalance(Option<Time>),
    /// `events/maintenance/scheduled`, without completed and canceled events.
    Maintenance(Vec<MaintenanceNotice>),
    /// `instance-life-cycle`. It never changes.
    LifeCycle(LifeCycle),
    /// The target state could not be read: connection refused, timeout, metadata endpoint disabled, or a malformed response.
    Silent {
        /// What was tried and what came back.
        why: String,
    },
    /// A malformed response. Reported and ignored.
    Malformed {
        /// What was tried, what was expected and what came back.
        why: String,
    },
}

/// `instance-life-cycle`: how the instance was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeCycle {
    /// `on-demand`: EC2 sends no spot interruptions and no rebalance recommendations.
    OnDemand,
    /// `spot`
    Spot,
    /// A value that AWS does not document for IMDS.
    Other(String),
}

/// `spot/instance-action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotNotice {
    /// What EC2 will do.
    pub action: SpotAction,
    /// The earliest time at which EC2 will do it.
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

/// The lifecycle state that Auto Scaling is moving the instance to, from IMDS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// `InService`
    InService,
    /// `Terminated`: *going to* terminate. It can precede `Terminating:Wait` by the whole load-balancer drain.
    Terminated,
    /// `Standby`
    Standby,
    /// `Detached`
    Detached,
    /// `Warmed:Stopped`, `Warmed:Running`, `Warmed:Hibernated` or `Warmed:Terminated`.
    Warmed(String),
    /// A value that AWS does not document.
    Other(String),
}

/// An agent's answer to a request, or why it is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentAnswer {
    /// 2xx to the drain request, with the status document if there was one.
    Accepted(Option<AgentStatus>),
    /// 200 to the status request.
    Status {
        /// The document.
        status: AgentStatus,
        /// The agent honors `Prefer: wait`: it answered with `Preference-Applied: wait`.
        waited: bool,
    },
    /// What is seen of an agent that has no document.
    Seen {
        /// Its process.
        sight: Sight,
        /// Work in flight, if a probe reads it.
        in_flight: Option<u64>,
        /// The answer was held until something changed.
        waited: bool,
    },
    /// 2xx to the return request.
    Returned,
    /// No connection.
    Unreachable {
        /// What was tried, what came back, what to do.
        why: String,
        /// The connection was refused, or the socket does not exist: the agent has exited or has not started. Any other
        /// failure (no route, unknown name, no permission, timeout) says nothing about its process.
        gone: bool,
    },
    /// 404, 405, 501 or another 4xx: nothing drains at this path.
    Unsupported(String),
    /// 409: the agent says that it cannot drain.
    CannotDrain(String),
    /// 429, 5xx, a timeout or a broken connection: worth retrying.
    Busy(String),
    /// An answer that violates the protocol. Holds what was expected.
    Malformed(String),
}

impl AgentAnswer {
    /// What was tried and what came back, if the request failed.
    pub fn why(&self) -> Option<&str> {
        match self {
            AgentAnswer::Unreachable { why, gone: _ }
            | AgentAnswer::Unsupported(why)
            | AgentAnswer::CannotDrain(why)
            | AgentAnswer::Busy(why)
            | AgentAnswer::Malformed(why) => Some(why),
            AgentAnswer::Accepted(_)
            | AgentAnswer::Status { .. }
            | AgentAnswer::Seen { .. }
            | AgentAnswer::Returned => None,
        }
    }
}

/// The status document of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Whether it serves, drains or has drained.
    pub state: AgentState,
    /// Work that it has accepted and not finished.
    #[serde(default)]
    pub in_flight: Option<u64>,
    /// Further figures, passed on as metrics.
    #[serde(default)]
    pub gauges: BTreeMap<String, f64>,
    /// A sentence for people.
    #[serde(default)]
    pub detail: Option<String>,
}

/// `state` in an agent's status document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It takes work.
    Serving,
    /// It takes no new work and still has some in flight.
    Draining,
    /// It takes no new work and has none in flight.
    Drained,
}

/// Why a call to AWS failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The kind of failure, which decides what the machine does.
    pub kind: CallErrorKind,
    /// What was tried, what came back, what to do.
    pub message: String,
}

/// The kinds of failed calls that the machine tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// `No active Lifecycle Action found`: too early, already completed, expired, or the wrong name.
    NoActiveAction,
    /// Throttled. All callers in the account and Region share one budget of calls.
    Throttled,
    /// The role lacks a permission.
    AccessDenied,
    /// AWS rejected the credentials (expired, unknown or deleted), or there are none. The next try fetches new ones.
    Credentials,
    /// The call was never sent, for example because no connection could be made.
    Unsent,
    /// The call was sent, and there was no answer or a server error. It may have taken effect.
    Unanswered,
    /// AWS rejected the call for another reason.
    Rejected,
}

/// A target's health from DescribeTargetHealth, as far as a drain is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetHealth {
    /// `unused`, because it is not registered.
    NotRegistered,
    /// It is registered, but `unused`: its target group or its zone gets no requests, or it is stopped.
    Unused,
    /// `draining`: it is no longer registered, and open connections may still send requests to it.
    Draining,
    /// Any other state: it is registered.
    Registered,
}

/// An instance from DescribeAutoScalingInstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedInstance {
    /// `AutoScalingGroupName`
    pub group: String,
    /// `LifecycleState`. AWS may add values.
    pub lifecycle_state: String,
}

/// A hook from DescribeLifecycleHooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `LifecycleHookName`
    pub name: String,
    /// Whether `LifecycleTransition` is `autoscaling:EC2_INSTANCE_TERMINATING`.
    pub terminating: bool,
    /// `HeartbeatTimeout`
    pub heartbeat_timeout: Duration,
    /// `GlobalTimeout`
    pub global_timeout: Duration,
    /// `DefaultResult`
    pub default_result: CompletionResult,
    /// `NotificationTargetARN`, where the hook itself sends its messages; `None` if only EventBridge announces its actions.
    pub notification_target: Option<String>,
}
