//! What a run counts.

/// The counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Instances, including those that were launched during the run.
    pub instances: u64,
    /// Instances that were terminated.
    pub terminated: u64,
    /// Drains that ended as `drained`.
    pub drained: u64,
    /// Drains that ended as `deadline`.
    pub deadline: u64,
    /// Drains that ended as `failed`.
    pub failed: u64,
    /// Drains that ended as `overtaken`.
    pub overtaken: u64,
    /// Drains that ended as `withdrawn`.
    pub withdrawn: u64,
    /// Work items that were lost with instances.
    pub work_lost: u64,
    /// Daemons that were killed.
    pub kills: u64,
    /// Heartbeats that took effect.
    pub heartbeats: u64,
    /// Auto Scaling calls, including failed ones.
    pub calls: u64,
    /// Calls that were throttled.
    pub throttled: u64,
    /// ReceiveMessage calls.
    pub receives: u64,
    /// Messages received by an instance that they are not about.
    pub misdelivered: u64,
    /// Actions that expired.
    pub expired: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        let Figures { instances, terminated, drained, deadline, failed, overtaken, withdrawn, .. } = other;
        let Figures {
            work_lost, kills, heartbeats, calls, throttled, receives, misdelivered, expired, ..
        } = other;
        self.instances += instances;
        self.terminated += terminated;
        self.drained += drained;
        self.deadline += deadline;
        self.failed += failed;
        self.overtaken += overtaken;
        self.withdrawn += withdrawn;
        self.work_lost += work_lost;
        self.kills += kills;
        self.heartbeats += heartbeats;
        self.calls += calls;
        self.throttled += throttled;
        self.receives += receives;
        self.misdelivered += misdelivered;
        self.expired += expired;
    }
}
