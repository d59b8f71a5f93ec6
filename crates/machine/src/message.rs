//! What a message of the termination queue says, whatever wire shape it came in.
//!
//! The shapes themselves are read in [`formats::message`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// A message that was received and not yet given back, hidden or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SQS's receipt handle, by which this receipt of the message is hidden, given back or deleted.
    pub receipt: String,
    /// When SQS took it (`SentTimestamp`).
    pub sent: Option<Time>,
    /// What it says: shared, as a queue hands a message out again and again.
    pub body: Arc<Body>,
}

impl Message {
    /// When the message was sent, by AWS's clocks only: `said` is its own time. It is no later than the time at which SQS
    /// took the message.
    pub fn told_at(&self, said: Option<Time>) -> Option<Time> {
        said.into_iter().chain(self.sent).min()
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A lifecycle action has reached its Wait state.
    Lifecycle(LifecycleMessage),
    /// Something else about one or several instances.
    Instance(InstanceMessage),
    /// `autoscaling:TEST_NOTIFICATION`, sent when a hook is made.
    Test,
    /// Not a message that AWS sends here; says why. Never deleted: it may mean something to someone else.
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
    /// `Destination` is `WarmPool`: the instance is kept.
    pub to_warm_pool: bool,
    /// `Action` is `ReplaceRootVolume`: the instance is kept.
    pub replaces_root_volume: bool,
    /// When the message says that it was sent.
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
    /// The instances that it names.
    pub instance_ids: Vec<String>,
    /// What is going to happen to them.
    pub news: InstanceNews,
    /// When the message says that it was sent (`time`).
    pub sent: Option<Time>,
}

/// What an event says of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceNews {
    /// `EC2 Spot Instance Interruption Warning`.
    SpotInterruption {
        /// What EC2 will do.
        action: SpotAction,
        /// When, at the earliest: two minutes after the event.
        at: Option<Time>,
    },
    /// `EC2 Capacity Reservation Instance Interruption Warning`, of an interruptible reservation or a Capacity Block.
    CapacityInterruption {
        /// `instance-termination-time`; two minutes after the event, where it has none.
        at: Option<Time>,
    },
    /// `EC2 Instance Rebalance Recommendation`.
    Rebalance {
        /// When it was given.
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
        /// `statusCode` is `closed`: it is over, or called off.
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
    /// Hibernation begins at once: there are no two minutes.
    Hibernate,
}
