//! What happens in a world, for timelines and checkers.

use std::sync::Arc;

use serde::Serialize;

use machine::Time;

use super::group::ActionResult;

/// One thing that happened. In JSON, `event` names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// An instance was launched.
    InstanceLaunched {
        /// The instance.
        instance: String,
        /// Its group.
        group: String,
    },
    /// An instance is InService.
    InstanceInService {
        /// The instance.
        instance: String,
    },
    /// Auto Scaling decided to terminate an instance.
    TerminationRequested {
        /// The instance.
        instance: String,
        /// The cause that the scaling activity will give.
        cause: String,
    },
    /// An instance leaves its group. A load balancer starts to drain it.
    InstanceTerminating {
        /// The instance.
        instance: String,
        /// Its lifecycle state: `Terminating`, or `Warmed:Pending` if it goes into the warm pool.
        state: &'static str,
    },
    /// A lifecycle action began. The first one of an instance also begins its Wait.
    WaitBegan {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The token of the action.
        token: String,
        /// The instance's lifecycle state, such as `Terminating:Wait`.
        state: &'static str,
        /// When it expires unless a heartbeat comes.
        expires: Time,
    },
    /// `target-lifecycle-state` has a new value.
    ImdsFlipped {
        /// The instance.
        instance: String,
        /// The new value.
        target: String,
    },
    /// A message arrived on a queue.
    MessageSent {
        /// The queue.
        queue: Arc<str>,
        /// The message.
        message: Arc<str>,
        /// The instance that it is about.
        about: Option<Arc<str>>,
    },
    /// An event was lost on its way to a queue.
    MessageLost {
        /// The queue that it never reached.
        queue: Arc<str>,
        /// The instance that it is about.
        about: Option<Arc<str>>,
    },
    /// A message was received.
    MessageReceived {
        /// The queue.
        queue: Arc<str>,
        /// The message.
        message: Arc<str>,
        /// The instance that it is about.
        about: Option<Arc<str>>,
        /// The instance that received it, if known.
        by: Option<Arc<str>>,
        /// How often it has been received, including this time.
        receive_count: u32,
    },
    /// A message was hidden for longer, or made visible.
    VisibilityChanged {
        /// The queue.
        queue: Arc<str>,
        /// The message.
        message: Arc<str>,
        /// The instance that it is about.
        about: Option<Arc<str>>,
        /// When it can be received again.
        visible_at: Time,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The queue.
        queue: Arc<str>,
        /// The message.
        message: Arc<str>,
        /// The instance that it is about.
        about: Option<Arc<str>>,
        /// The token of the action that it is about.
        token: Option<Arc<str>>,
        /// The instance that received it last, if known.
        held_by: Option<Arc<str>>,
    },
    /// A message's retention period ended before it was deleted.
    MessageExpired {
        /// The queue.
        queue: Arc<str>,
        /// The message.
        message: Arc<str>,
    },
    /// An agent was asked to drain.
    AgentDrainRequested {
        /// The instance.
        instance: String,
        /// `reason` of the request.
        reason: String,
        /// `deadline` of the request.
        deadline: Option<Time>,
        /// The work items that it held.
        in_flight: u32,
    },
    /// A draining agent finished a work item.
    WorkFinished {
        /// The instance.
        instance: String,
        /// The items that it still holds.
        in_flight: u32,
    },
    /// An agent has drained.
    AgentDrained {
        /// The instance.
        instance: String,
    },
    /// An agent was returned to service.
    AgentReturned {
        /// The instance.
        instance: String,
    },
    /// An agent's process ended.
    AgentExited {
        /// The instance.
        instance: String,
        /// The work items that it held.
        work_lost: u32,
    },
    /// An agent's process was restarted, and serves.
    AgentStarted {
        /// The instance.
        instance: String,
        /// The work items that it has taken.
        in_flight: u32,
    },
    /// A heartbeat took effect.
    Heartbeat {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The new expiry of the action.
        expires: Time,
    },
    /// A heartbeat was refused.
    HeartbeatRejected {
        /// The instance, if the call named it.
        instance: Option<String>,
        /// The error message.
        why: String,
    },
    /// A completion took effect.
    Completed {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The result.
        result: ActionResult,
    },
    /// A completion was refused.
    CompletionRejected {
        /// The instance, if the call named it.
        instance: Option<String>,
        /// The error message.
        why: String,
    },
    /// An action ended without a call, with its default result.
    ActionExpired {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The default result.
        result: ActionResult,
        /// Whether its global timeout ended it, not its heartbeat timeout.
        global: bool,
    },
    /// An action ended because its hook was deleted, its notification target is gone, or another hook's action was
    /// abandoned.
    ActionReleased {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
    },
    /// All hooks are done, and the instance proceeds to Terminated.
    InstanceProceeding {
        /// The instance.
        instance: String,
    },
    /// The retention policy retains the instance.
    InstanceRetained {
        /// The instance.
        instance: String,
    },
    /// The instance entered the warm pool.
    InstancePooled {
        /// The instance.
        instance: String,
    },
    /// Auto Scaling begins to replace the instance's root volume.
    ReplacingRootVolume {
        /// The instance.
        instance: String,
    },
    /// The instance has rebooted with a new root volume.
    RootVolumeReplaced {
        /// The instance.
        instance: String,
    },
    /// The instance is gone.
    InstanceTerminated {
        /// The instance.
        instance: String,
        /// The work items that its agent held.
        work_lost: u32,
    },
    /// An instance's protection from scale-in was set or lifted.
    ProtectionSet {
        /// The instance.
        instance: String,
        /// Whether scale-in must not pick it.
        protected: bool,
    },
    /// An instance is a target of a target group.
    TargetRegistered {
        /// The instance.
        instance: String,
        /// The target group's name.
        group: String,
    },
    /// An instance is no longer a target, and the load balancer begins to drain it.
    TargetDeregistered {
        /// The instance.
        instance: String,
        /// The target group's name.
        group: String,
        /// When the deregistration delay has passed.
        until: Time,
    },
    /// The deregistration delay has passed.
    TargetUnused {
        /// The instance.
        instance: String,
        /// The target group's name.
        group: String,
    },
    /// A call was throttled.
    Throttled,
}

impl Happening {
    /// The instance that it is about, if any.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Happening::InstanceLaunched { instance, .. }
            | Happening::InstanceInService { instance }
            | Happening::TerminationRequested { instance, .. }
            | Happening::InstanceTerminating { instance, .. }
            | Happening::WaitBegan { instance, .. }
            | Happening::ImdsFlipped { instance, .. }
            | Happening::AgentDrainRequested { instance, .. }
            | Happening::WorkFinished { instance, .. }
            | Happening::AgentDrained { instance }
            | Happening::AgentReturned { instance }
            | Happening::AgentExited { instance, .. }
            | Happening::AgentStarted { instance, .. }
            | Happening::Heartbeat { instance, .. }
            | Happening::Completed { instance, .. }
            | Happening::ActionExpired { instance, .. }
            | Happening::ActionReleased { instance, .. }
            | Happening::InstanceProceeding { instance }
            | Happening::InstanceRetained { instance }
            | Happening::InstancePooled { instance }
            | Happening::ReplacingRootVolume { instance }
            | Happening::RootVolumeReplaced { instance }
            | Happening::ProtectionSet { instance, .. }
            | Happening::InstanceTerminated { instance, .. }
            | Happening::TargetRegistered { instance, .. }
            | Happening::TargetDeregistered { instance, .. }
            | Happening::TargetUnused { instance, .. } => Some(instance),
            Happening::HeartbeatRejected { instance, .. }
            | Happening::CompletionRejected { instance, .. } => instance.as_deref(),
            Happening::MessageSent { about, .. }
            | Happening::MessageLost { about, .. }
            | Happening::MessageReceived { about, .. }
            | Happening::VisibilityChanged { about, .. }
            | Happening::MessageDeleted { about, .. } => about.as_deref(),
            Happening::MessageExpired { .. } | Happening::Throttled => None,
        }
    }
}
