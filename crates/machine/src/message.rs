//! Messages of the termination queue, independent of their format. `formats::message` parses the formats.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// A message that was received and not yet returned, hidden or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SQS's receipt handle, to hide, return or delete the message.
    pub receipt: String,
    /// When SQS accepted it (`SentTimestamp`).
    pub sent: Option<Time>,
    /// Its content. Shared, because SQS may deliver a message many times.
    pub body: Arc<Body>,
}

impl Message {
    /// When the message was sent, by AWS's clocks only: the time in the message (`said`) or the time when SQS accepted it,
    /// whichever is earlier.
    pub fn told_at(&self, said: Option<Time>) -> Option<Time> {
        said.into_iter().chain(self.sent).min()
    }
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A lifecycle action has reached Wait.
    Lifecycle(LifecycleMessage),
    /// Another event about one or more instances.
    Instance(InstanceMessage),
    /// The end of a capacity reservation, for all instances that run in it.
    Reservation(ReservationMessage),
    /// `autoscaling:TEST_NOTIFICATION`, sent when a hook is created.
    Test,
    /// Not a message that AWS sends here. Holds the cause. Never deleted, because another reader may need it.
    Unreadable(String),
}

/// A lifecycle action, from EventBridge, SNS or the hook's own notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleMessage {
    /// `EC2InstanceId`.
    pub instance_id: String,
    /// `AutoScalingGroupName`.
    pub group: String,
    /// `LifecycleHookName`.
    pub hook: String,
    /// `LifecycleActionToken`.
    pub token: Option<String>,
    /// `LifecycleTransition`.
    pub transition: Transition,
    /// Whether `Destination` is `WarmPool`. The instance is kept.
    pub to_warm_pool: bool,
    /// Whether `Action` is `ReplaceRootVolume`. The instance is kept.
    pub replaces_root_volume: bool,
    /// When it was sent, according to the message.
    pub sent: Option<Time>,
}

/// `LifecycleTransition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`
    Terminating,
}

/// An event of `aws.ec2` or `aws.health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceMessage {
    /// The instances that it is about.
    pub instance_ids: Vec<String>,
    /// What will happen to them.
    pub news: InstanceNews,
    /// When it was sent, according to the message (`time`).
    pub sent: Option<Time>,
}

/// `Capacity Block Expiration Warning`. It names no instance, so each instance of the reservation needs it and none may delete
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationMessage {
    /// `capacity-reservation-id`
    pub reservation: String,
    /// `end-date`, if it could be read. EC2 begins to terminate the instances earlier.
    pub ends: Option<Time>,
    /// When it was sent, according to the message (`time`).
    pub sent: Option<Time>,
}

/// The news in an event about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceNews {
    /// `EC2 Spot Instance Interruption Warning`.
    SpotInterruption {
        /// What EC2 will do.
        action: SpotAction,
        /// The earliest time. Two minutes after the event; for hibernation, the event's own time.
        at: Option<Time>,
    },
    /// `EC2 Capacity Reservation Instance Interruption Warning`, for an interruptible reservation or a Capacity Block.
    CapacityInterruption {
        /// `instance-termination-time`, or two minutes after the event if it is missing.
        at: Option<Time>,
    },
    /// `EC2 Instance Rebalance Recommendation`.
    Rebalance {
        /// When it was issued.
        at: Option<Time>,
    },
    /// `AWS Health Event` of the category `scheduledChange`.
    Maintenance {
        /// `eventArn`
        event_id: String,
        /// `eventTypeCode`
        code: String,
        /// `startTime`
        not_before: Option<Time>,
        /// `endTime`
        ends: Option<Time>,
        /// Whether `statusCode` is `closed`: it is over or called off.
        closed: bool,
    },
    /// `EC2 Instance State-change Notification`, with the state. It comes too late to be a notice.
    StateChange(String),
}

/// `instance-action` of a spot interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpotAction {
    /// The instance is terminated.
    Terminate,
    /// The instance is stopped.
    Stop,
    /// The instance is hibernated, at once and without two minutes' warning.
    Hibernate,
}
