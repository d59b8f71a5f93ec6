//! The calls to AWS, as reports name them.

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
}
