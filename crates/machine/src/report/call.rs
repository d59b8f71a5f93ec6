//! The calls to AWS that a report can be about.

/// A call to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// RecordLifecycleActionHeartbeat
    Heartbeat,
    /// CompleteLifecycleAction
    Complete,
    /// DescribeAutoScalingInstances
    DescribeInstance,
    /// DescribeLifecycleHooks
    DescribeHooks,
    /// SetInstanceProtection
    SetProtection,
    /// ReceiveMessage
    Receive,
    /// ChangeMessageVisibilityBatch
    SetVisibility,
    /// DeleteMessage
    Delete,
    /// DescribeTargetHealth
    DescribeTarget,
    /// DeregisterTargets
    DeregisterTarget,
    /// RegisterTargets
    RegisterTarget,
}
