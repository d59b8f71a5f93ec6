//! Where an instance's lifecycle state says that its terminating action stands.

use crate::event::DescribedInstance;

/// Where the terminating action of an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has not reached Wait: the load balancer drains.
    TooEarly,
    /// Something waits.
    Waiting,
    /// The group does not take the instance away.
    InService,
    /// The action was abandoned, and Auto Scaling keeps the instance for salvage.
    Retained,
    /// It is past Wait, or gone.
    Over,
}

impl Standing {
    /// Reads `LifecycleState`, whose values are an open set.
    pub fn of(instance: Option<&DescribedInstance>) -> Self {
        // Unknown ids are left out of the answer without an error.
        let Some(instance) = instance else { return Standing::Over };
        match instance.lifecycle_state.as_str() {
            "InService" => Standing::InService,
            // On the way to the warm pool the hook pauses at Warmed:Pending:Wait.
            "Terminating" | "Warmed:Terminating" | "Warmed:Pending" | "ReplacingRootVolume" => {
                Standing::TooEarly
            }
            state if state.starts_with("Pending") => Standing::InService,
            state if state.ends_with(":Wait") => Standing::Waiting,
            state if state.ends_with(":Retained") => Standing::Retained,
            _ => Standing::Over,
        }
    }
}
