//! Why an instance is going.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::TargetState;
use crate::message::LifecycleMessage;
use crate::settings::{OnNotice, Settings};

/// Why the instance is going. Agents get it with the drain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The group is terminating the instance.
    AutoscalingTermination,
    /// The group is returning the instance to its warm pool.
    WarmPool,
    /// Auto Scaling is replacing the root volume.
    RootVolumeReplacement,
    /// EC2 is interrupting the spot instance.
    SpotInterruption,
    /// EC2 is reclaiming the capacity of an interruptible reservation or of a Capacity Block.
    CapacityInterruption,
    /// The Capacity Block that the instance runs in is about to end.
    CapacityBlockEnd,
    /// EC2 says that a spot interruption is likely.
    RebalanceRecommendation,
    /// EC2 will stop, reboot or retire the instance.
    ScheduledMaintenance,
    /// The instance was put into standby.
    Standby,
    /// The instance was detached from its group.
    Detachment,
    /// An operator requested it.
    Operator,
}

/// The categories that IMDS lists separately.
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
    /// Whether IMDS lists notices for this reason in this category.
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
            Reason::CapacityInterruption | Reason::CapacityBlockEnd | Reason::Operator => None,
        };
        category == Some(self)
    }

    /// Whether IMDS lists everything in this category that a message can announce, so that a notice missing from the list
    /// is void. `TargetState` is not complete because a lifecycle action outlasts the target state. `Maintenance` is not
    /// because AWS Health announces maintenance that EC2 does not list.
    pub fn is_complete(self) -> bool {
        match self {
            Category::Spot | Category::Rebalance => true,
            Category::TargetState | Category::Maintenance => false,
        }
    }
}

impl Reason {
    /// The spelling in the agent protocol, metrics and tags.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "autoscaling_termination",
            Reason::WarmPool => "warm_pool",
            Reason::RootVolumeReplacement => "root_volume_replacement",
            Reason::SpotInterruption => "spot_interruption",
            Reason::CapacityInterruption => "capacity_interruption",
            Reason::CapacityBlockEnd => "capacity_block_end",
            Reason::RebalanceRecommendation => "rebalance_recommendation",
            Reason::ScheduledMaintenance => "scheduled_maintenance",
            Reason::Standby => "standby",
            Reason::Detachment => "detachment",
            Reason::Operator => "operator",
        }
    }

    /// The sentence for the agent and the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "the Auto Scaling group is terminating this instance",
            Reason::WarmPool => "the Auto Scaling group is returning this instance to its warm pool",
            Reason::RootVolumeReplacement => "Auto Scaling is replacing the root volume of this instance",
            Reason::SpotInterruption => "EC2 is interrupting this spot instance",
            Reason::CapacityInterruption => "EC2 is reclaiming this instance's reserved capacity",
            Reason::CapacityBlockEnd => "the Capacity Block of this instance is about to end",
            Reason::RebalanceRecommendation => "EC2 recommends moving work off this spot instance",
            Reason::ScheduledMaintenance => "EC2 has scheduled maintenance for this instance",
            Reason::Standby => "this instance is going into standby",
            Reason::Detachment => "this instance is being detached from its group",
            Reason::Operator => "an operator requested the drain",
        }
    }

    /// The reason behind a target state; `None` if the state does not take the instance out of service.
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

    /// The reason behind the message of a lifecycle action.
    pub fn of_message(message: &LifecycleMessage) -> Reason {
        match (message.replaces_root_volume, message.to_warm_pool) {
            (true, _) => Reason::RootVolumeReplacement,
            (false, true) => Reason::WarmPool,
            (false, false) => Reason::AutoscalingTermination,
        }
    }

    /// Whether the group runs, or will run, a lifecycle action for this reason.
    pub fn has_action(self) -> bool {
        match self {
            Reason::AutoscalingTermination | Reason::WarmPool | Reason::RootVolumeReplacement => true,
            Reason::SpotInterruption
            | Reason::CapacityInterruption
            | Reason::CapacityBlockEnd
            | Reason::RebalanceRecommendation
            | Reason::ScheduledMaintenance
            | Reason::Standby
            | Reason::Detachment
            | Reason::Operator => false,
        }
    }

    /// Whether the settings say that a notice for this reason starts no drain.
    pub fn is_ignored(self, settings: &Settings) -> bool {
        let on_notice = match self {
            Reason::RebalanceRecommendation => settings.on_rebalance,
            Reason::Standby => settings.on_standby,
            Reason::Detachment => settings.on_detachment,
            Reason::AutoscalingTermination
            | Reason::WarmPool
            | Reason::RootVolumeReplacement
            | Reason::SpotInterruption
            | Reason::CapacityInterruption
            | Reason::CapacityBlockEnd
            | Reason::ScheduledMaintenance
            | Reason::Operator => OnNotice::Drain,
        };
        on_notice == OnNotice::Ignore
    }

    /// Its urgency, most urgent first. Agents are told the reason with the lowest rank.
    pub(super) fn rank(self) -> u8 {
        match self {
            Reason::SpotInterruption => 0,
            Reason::CapacityInterruption => 1,
            Reason::AutoscalingTermination | Reason::WarmPool | Reason::RootVolumeReplacement => 2,
            Reason::Standby | Reason::Detachment => 3,
            Reason::CapacityBlockEnd | Reason::ScheduledMaintenance => 4,
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
