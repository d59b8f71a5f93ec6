//! What happened in a world, for timelines and for checkers.

use std::sync::Arc;

use serde::Serialize;

use machine::Time;

use super::group::ActionResult;

/// One thing that happened. As JSON, an object whose `event` names it.
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
    /// Auto Scaling decided to take an instance away.
    TerminationRequested {
        /// The instance.
        instance: String,
        /// As the activity will say it.
        cause: String,
    },
    /// An instance leaves its group: its load balancer, if any, drains it.
    InstanceTerminating {
        /// The instance.
        instance: String,
        /// Its lifecycle state: `Terminating`, or `Warmed:Pending` where it goes into the warm pool.
        state: &'static str,
    },
    /// A lifecycle action began, and with the first one the Wait state.
    WaitBegan {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The token of the action.
        token: String,
        /// The instance's lifecycle state, such as `Terminating:Wait`.
        state: &'static str,
        /// When it expires without a heartbeat.
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
        /// The instance that received it, where that is known.
        by: Option<Arc<str>>,
        /// How often it has been received, this time included.
        receive_count: u32,
    },
    /// A message was hidden for longer, or given back.
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
        /// The instance that received it last, where that is known.
        held_by: Option<Arc<str>>,
    },
    /// Retention ended for a message that was not deleted.
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
        /// The work that it held.
        in_flight: u32,
    },
    /// An agent that drains finished a piece of work.
    WorkFinished {
        /// The instance.
        instance: String,
        /// What it still holds.
        in_flight: u32,
    },
    /// An agent is drained.
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
        /// The work that it held.
        work_lost: u32,
    },
    /// An agent's process was started again, and serves.
    AgentStarted {
        /// The instance.
        instance: String,
        /// The work that it has taken on.
        in_flight: u32,
    },
    /// A heartbeat took effect.
    Heartbeat {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// When the action expires now.
        expires: Time,
    },
    /// A heartbeat was refused.
    HeartbeatRejected {
        /// The instance, where the call named it.
        instance: Option<String>,
        /// What the caller was told.
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
        /// The instance, where the call named it.
        instance: Option<String>,
        /// What the caller was told.
        why: String,
    },
    /// An action ended without a call: its default result was taken.
    ActionExpired {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
        /// The default result.
        result: ActionResult,
        /// The global timeout ended it, not the heartbeat timeout.
        global: bool,
    },
    /// An action ended because its hook was deleted, its notification target is gone, or another hook abandoned.
    ActionReleased {
        /// The instance.
        instance: String,
        /// The hook.
        hook: String,
    },
    /// All hooks are done: the instance goes on to its end.
    InstanceProceeding {
        /// The instance.
        instance: String,
    },
    /// The retention policy keeps the instance.
    InstanceRetained {
        /// The instance.
        instance: String,
    },
    /// The instance is in the warm pool.
    InstancePooled {
        /// The instance.
        instance: String,
    },
    /// The instance is gone.
    InstanceTerminated {
        /// The instance.
        instance: String,
        /// The work that its agent held.
        work_lost: u32,
    },
    /// A call was throttled.
    Throttled,
}

impl Happening {
    /// The instance that it happened to, or that it is about.
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
            | Happening::InstanceTerminated { instance, .. } => Some(instance),
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
