//! Notices: what says that the instance is going.

use std::fmt;

use serde::{Deserialize, Serialize};

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

impl Reason {
    /// As the agent protocol, the metrics and the tags spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "autoscaling_termination",
            Reason::WarmPool => "warm_pool",
            Reason::RootVolumeReplacement => "root_volume_replacement",
            Reason::SpotInterruption => "spot_interruption",
            Reason::RebalanceRecommendation => "rebalance_recommendation",
            Reason::ScheduledMaintenance => "scheduled_maintenance",
            Reason::Standby => "standby",
            Reason::Detachment => "detachment",
            Reason::Operator => "operator",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
