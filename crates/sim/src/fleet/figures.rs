//! What runs come to.

/// What a run has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Instances, those that were launched in the run included.
    pub instances: u64,
    /// Instances that were taken away.
    pub terminated: u64,
    /// Drains by how they ended.
    pub drained: u64,
    /// At their deadline.
    pub deadline: u64,
    /// With an agent that could not be drained.
    pub failed: u64,
    /// By another caller, or by their action's end.
    pub overtaken: u64,
    /// Not at all: the notice was withdrawn.
    pub withdrawn: u64,
    /// Work that was lost with instances whose drain had not ended as drained.
    pub work_lost: u64,
    /// Daemons that were killed.
    pub kills: u64,
    /// Heartbeats that took effect.
    pub heartbeats: u64,
    /// Auto Scaling calls, tried and failed ones included.
    pub calls: u64,
    /// Calls that were throttled.
    pub throttled: u64,
    /// ReceiveMessage calls.
    pub receives: u64,
    /// Messages that reached another instance than the one that they are about.
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
