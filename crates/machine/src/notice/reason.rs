//! Why an instance is going.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::TargetState;
use crate::message::LifecycleMessage;

/// Why the instance is going, as the agent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The group terminates the instance.
    AutoscalingTermination,
    /// The group puts the instance back into its warm pool.
    WarmPool,
    /// The root volume is about to be replaced.
    RootVolumeReplacement,
    /// EC2 takes a spot instance back.
    SpotInterruption,
    /// EC2 takes the capacity of an interruptible reservation, or of a Capacity Block, back.
    CapacityInterruption,
    /// EC2 says that a spot interruption has become likely.
    RebalanceRecommendation,
    /// EC2 will stop, reboot or retire the instance.
    ScheduledMaintenance,
    /// The instance was put into standby.
    Standby,
    /// The instance was detached from its group.
    Detachment,
    /// An operator asked for it.
    Operator,
}

/// What IMDS lists at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// `autoscaling/target-lifecycle-state`
    TargetState,
    /// `spot/instance-action`
    Spot,
    /// `events/recommendations/rebalance`
    Rebalance,
    /// `events/maintenance/scheduled`
    Maintenance,
}

impl Category {
    /// Whether a notice for this reason would be listed here.
    pub fn covers(self, reason: Reason) -> bool {
        let category = match reason {
            Reason::AutoscalingTermination
            | Reason::WarmPool
            | Reason::RootVolumeReplacement
            | Reason::Standby
            | Reason::Detachment => Some(Category::TargetState),
            Reason::SpotInterruption => Some(Category::Spot),
            Reason::RebalanceRecommendation => Some(Category::Rebalance),
            Reason::ScheduledMaintenance => Some(Category::Maintenance),
            Reason::CapacityInterruption | Reason::Operator => None,
        };
        category == Some(self)
    }

    /// Whether IMDS lists here all that a message can tell of, so that what it does not list is not so. A lifecycle action
    /// outlasts the target state, and AWS Health announces maintenance that EC2 does not list.
    pub fn is_complete(self) -> bool {
        match self {
            Category::Spot | Category::Rebalance => true,
            Category::TargetState | Category::Maintenance => false,
        }
    }
}

impl Reason {
    /// As the agent protocol, the metrics and the tags spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "autoscaling_termination",
            Reason::WarmPool => "warm_pool",
            Reason::RootVolumeReplacement => "root_volume_replacement",
            Reason::SpotInterruption => "spot_interruption",
            Reason::CapacityInterruption => "capacity_interruption",
            Reason::RebalanceRecommendation => "rebalance_recommendation",
            Reason::ScheduledMaintenance => "scheduled_maintenance",
            Reason::Standby => "standby",
            Reason::Detachment => "detachment",
            Reason::Operator => "operator",
        }
    }

    /// The sentence that the agent and the log are told.
    pub fn sentence(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "the Auto Scaling group terminates this instance",
            Reason::WarmPool => "the Auto Scaling group puts this instance into its warm pool",
            Reason::RootVolumeReplacement => "the root volume of this instance is replaced",
            Reason::SpotInterruption => "EC2 takes this spot instance back",
            Reason::CapacityInterruption => "EC2 takes this instance's reserved capacity back",
            Reason::RebalanceRecommendation => "EC2 recommends to move work off this spot instance",
            Reason::ScheduledMaintenance => "EC2 has scheduled maintenance for this instance",
            Reason::Standby => "this instance is put into standby",
            Reason::Detachment => "this instance is detached from its group",
            Reason::Operator => "an operator asked for it",
        }
    }

    /// The reason that a target state gives, if it takes the instance out of service.
    pub fn of_target(state: &TargetState) -> Option<Reason> {
        match state {
            TargetState::Terminated => Some(Reason::AutoscalingTermination),
            TargetState::Warmed(state) if state == "Warmed:Terminated" => {
                Some(Reason::AutoscalingTermination)
            }
            TargetState::Warmed(_) => Some(Reason::WarmPool),
            TargetState::Standby => Some(Reason::Standby),
            TargetState::Detached => Some(Reason::Detachment),
            TargetState::InService | TargetState::Other(_) => None,
        }
    }

    /// The reason that a message of a lifecycle action gives.
    pub fn of_message(message: &LifecycleMessage) -> Reason {
        match (message.replaces_root_volume, message.to_warm_pool) {
            (true, _) => Reason::RootVolumeReplacement,
            (false, true) => Reason::WarmPool,
            (false, false) => Reason::AutoscalingTermination,
        }
    }

    /// Whether the group runs, or will run, a lifecycle action for this.
    pub fn has_action(self) -> bool {
        match self {
            Reason::AutoscalingTermination | Reason::WarmPool | Reason::RootVolumeReplacement => true,
            Reason::SpotInterruption
            | Reason::CapacityInterruption
            | Reason::RebalanceRecommendation
            | Reason::ScheduledMaintenance
            | Reason::Standby
            | Reason::Detachment
            | Reason::Operator => false,
        }
    }

    /// How pressing it is; the agent is told the most pressing reason, which is the least of these.
    pub(super) fn rank(self) -> u8 {
        match self {
            Reason::SpotInterruption => 0,
            Reason::CapacityInterruption => 1,
            Reason::AutoscalingTermination | Reason::WarmPool | Reason::RootVolumeReplacement => 2,
            Reason::Standby | Reason::Detachment => 3,
            Reason::ScheduledMaintenance => 4,
            Reason::RebalanceRecommendation => 5,
            Reason::Operator => 6,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
