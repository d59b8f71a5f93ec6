//! What an instance's lifecycle state says about its terminating action.

use super::event::DescribedInstance;

/// The answer to "why is there no active lifecycle action?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has not reached Wait: the load balancer drains.
    TooEarly,
    /// Something waits.
    Waiting,
    /// Nobody is taking the instance away.
    InService,
    /// The action was abandoned, and Auto Scaling keeps the instance for salvage.
    Retained,
    /// It is past Wait, or gone.
    Over,
}

impl Verdict {
    /// Judges by `LifecycleState`, whose values are an open set.
    pub fn of(instance: Option<&DescribedInstance>) -> Self {
        // Unknown ids are left out of the answer without an error.
        let Some(instance) = instance else { return Verdict::Over };
        match instance.lifecycle_state.as_str() {
            "InService" => Verdict::InService,
            // On the way to the warm pool the hook pauses at Warmed:Pending:Wait.
            "Terminating" | "Warmed:Terminating" | "Warmed:Pending" | "ReplacingRootVolume" => {
                Verdict::TooEarly
            }
            state if state.starts_with("Pending") => Verdict::InService,
            state if state.ends_with(":Wait") => Verdict::Waiting,
            state if state.ends_with(":Retained") => Verdict::Retained,
            _ => Verdict::Over,
        }
    }
}
