//! What an instance's lifecycle state says about its actions.

use crate::event::DescribedInstance;

/// The state of an instance's terminating action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has not reached Wait: the load balancer is still draining.
    TooEarly,
    /// The instance is in Wait, for some hook.
    Waiting,
    /// The group is not taking the instance away, or takes it into service.
    InService,
    /// The action was abandoned, and Auto Scaling retains the instance for salvage.
    Retained,
    /// It is past Wait, or the instance is gone.
    Over,
}

impl Standing {
    /// Reads `LifecycleState`. AWS may add values.
    pub fn of(instance: Option<&DescribedInstance>) -> Self {
        // AWS omits unknown ids from the response without an error.
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

/// Whether the instance has no open action of a launching hook. Any other state may be out of date, or one that AWS has added:
/// `ReplacingRootVolume:Proceed` and `RootVolumeReplaced` come before the launching hook.
pub(super) fn is_past_launch(instance: &DescribedInstance) -> bool {
    let state = instance.lifecycle_state.as_str();
    let past = ["InService", "EnteringStandby", "Standby", "Detach", "Terminat", "Warmed:Terminat"];
    past.iter().any(|start| state.starts_with(start))
        || matches!(state, "Pending:Proceed" | "Warmed:Pending:Proceed")
}
