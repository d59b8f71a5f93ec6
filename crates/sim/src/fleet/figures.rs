//! What a run counts.

use crate::world::Happening;

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
    /// Completions that took effect.
    pub completions: u64,
    /// Messages that daemons deleted.
    pub deletions: u64,
    /// Deadlines that agents were told.
    pub deadlines: u64,
    /// Events after which a machine was compared with the reference. The comparison covers what it did and what it failed
    /// to do.
    pub compared: u64,
    /// Effects that were compared with the reference.
    pub effects: u64,
    /// Instances whose state at the end of the run was checked.
    pub end_states: u64,
    /// Lost work items, by cause. These add up to `work_lost`.
    #[serde(flatten)]
    pub losses: Losses,
}

/// Work items that were lost with instances, by what ended the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Losses {
    /// A spot interruption. No hook runs, and AWS warns two minutes before.
    pub lost_to_spot: u64,
    /// A reclaimed capacity reservation. No hook runs.
    pub lost_to_capacity: u64,
    /// A launch that was abandoned or expired. The agent already had work.
    pub lost_in_launch: u64,
    /// A completion by a drain that had ended as `deadline`.
    pub lost_at_deadline: u64,
    /// A completion by a drain that had ended as `failed`.
    pub lost_failed: u64,
    /// A completion by a drain that had ended as `drained`, where the agent crashed or exited after that, started again and
    /// took this work.
    pub lost_after_drained: u64,
    /// Any other completion by a drain that had ended as `drained`.
    pub lost_drained: u64,
    /// The action expired.
    pub lost_expired: u64,
    /// The hook was deleted, or another hook's action was abandoned.
    pub lost_released: u64,
    /// The group did not have the hook when the instance was terminated.
    pub lost_without_action: u64,
}

impl Figures {
    /// Counts what the invariants check and no other figure counts.
    pub(super) fn checked(&mut self, happening: &Happening) {
        match happening {
            Happening::Completed { .. } => self.completions += 1,
            Happening::MessageDeleted { .. } => self.deletions += 1,
            Happening::AgentDrainRequested { deadline: Some(_), .. } => self.deadlines += 1,
            _ => {}
        }
    }
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.instances += other.instances;
        self.terminated += other.terminated;
        self.drained += other.drained;
        self.deadline += other.deadline;
        self.failed += other.failed;
        self.overtaken += other.overtaken;
        self.withdrawn += other.withdrawn;
        self.work_lost += other.work_lost;
        self.kills += other.kills;
        self.heartbeats += other.heartbeats;
        self.calls += other.calls;
        self.throttled += other.throttled;
        self.receives += other.receives;
        self.misdelivered += other.misdelivered;
        self.expired += other.expired;
        self.completions += other.completions;
        self.deletions += other.deletions;
        self.deadlines += other.deadlines;
        self.compared += other.compared;
        self.effects += other.effects;
        self.end_states += other.end_states;
        self.losses += other.losses;
    }
}

impl std::ops::AddAssign for Losses {
    fn add_assign(&mut self, other: Losses) {
        self.lost_to_spot += other.lost_to_spot;
        self.lost_to_capacity += other.lost_to_capacity;
        self.lost_in_launch += other.lost_in_launch;
        self.lost_at_deadline += other.lost_at_deadline;
        self.lost_failed += other.lost_failed;
        self.lost_after_drained += other.lost_after_drained;
        self.lost_drained += other.lost_drained;
        self.lost_expired += other.lost_expired;
        self.lost_released += other.lost_released;
        self.lost_without_action += other.lost_without_action;
    }
}
