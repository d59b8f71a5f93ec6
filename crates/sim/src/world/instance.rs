//! One simulated instance, and what an observer sees of it.

use machine::Time;

use super::World;
use super::action::{Action, ActionView};
use super::agent::{Agent, AgentView};
use super::config::{ImdsMode, LifeCycle};
use super::notices::Notices;

/// `LifecycleState` as DescribeAutoScalingInstances shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// `Pending`
    Pending,
    /// `Pending:Wait`
    PendingWait,
    /// `Pending:Proceed`
    PendingProceed,
    /// `InService`
    InService,
    /// `Terminating`: the load balancer, if any, drains.
    Terminating,
    /// `Terminating:Wait`: a lifecycle action is open.
    TerminatingWait,
    /// `Terminating:Proceed`
    TerminatingProceed,
    /// `Terminating:Retained`: abandoned, and kept by the retention policy.
    TerminatingRetained,
    /// `Terminated`
    Terminated,
    /// `Warmed:Pending`: on its way into the warm pool.
    WarmedPending,
    /// `Warmed:Pending:Wait`: a lifecycle action is open.
    WarmedPendingWait,
    /// `Warmed:Pending:Proceed`
    WarmedPendingProceed,
    /// `Warmed:Running`: in the warm pool.
    WarmedRunning,
    /// `ReplacingRootVolume`
    ReplacingRootVolume,
    /// `ReplacingRootVolume:Wait`: a lifecycle action is open.
    ReplacingRootVolumeWait,
    /// `ReplacingRootVolume:Proceed`: the instance reboots with its new root volume.
    ReplacingRootVolumeProceed,
    /// `Detached`: it runs outside any group.
    Detached,
    /// `Standby`: it is in its group, and out of service.
    Standby,
}

/// Where an instance goes that leaves service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// It is terminated.
    Out,
    /// Into the warm pool.
    Pool,
    /// Back into service, with a new root volume.
    NewRootVolume,
}

impl LifecycleState {
    /// As AWS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            LifecycleState::Pending => "Pending",
            LifecycleState::PendingWait => "Pending:Wait",
            LifecycleState::PendingProceed => "Pending:Proceed",
            LifecycleState::InService => "InService",
            LifecycleState::Terminating => "Terminating",
            LifecycleState::TerminatingWait => "Terminating:Wait",
            LifecycleState::TerminatingProceed => "Terminating:Proceed",
            LifecycleState::TerminatingRetained => "Terminating:Retained",
            LifecycleState::Terminated => "Terminated",
            LifecycleState::WarmedPending => "Warmed:Pending",
            LifecycleState::WarmedPendingWait => "Warmed:Pending:Wait",
            LifecycleState::WarmedPendingProceed => "Warmed:Pending:Proceed",
            LifecycleState::WarmedRunning => "Warmed:Running",
            LifecycleState::ReplacingRootVolume => "ReplacingRootVolume",
            LifecycleState::ReplacingRootVolumeWait => "ReplacingRootVolume:Wait",
            LifecycleState::ReplacingRootVolumeProceed => "ReplacingRootVolume:Proceed",
            LifecycleState::Detached => "Detached",
            LifecycleState::Standby => "Standby",
        }
    }
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) ordinal: u64,
    pub(super) group: String,
    pub(super) zone: String,
    pub(super) launched_at: Time,
    pub(super) life_cycle: LifeCycle,
    pub(super) state: LifecycleState,
    /// Auto Scaling has decided to terminate it, and it no longer counts toward the desired capacity.
    pub(super) leaving: bool,
    /// Where it goes, or is, if it has left service.
    pub(super) bound: Bound,
    /// Open lifecycle actions.
    pub(super) actions: Vec<Action>,
    /// Hooks that wait for their turn in a chain.
    pub(super) hooks_to_run: Vec<String>,
    /// The running activity, as an index into the world's activities.
    pub(super) activity: Option<usize>,
    pub(super) imds_mode: ImdsMode,
    pub(super) imds_target: &'static str,
    /// What EC2 says of it to its metadata service.
    pub(super) notices: Notices,
    /// When its target state was last read.
    pub(super) target_read_at: Option<Time>,
    /// The access keys of its role's credentials; the last one is current.
    pub(super) access_keys: Vec<String>,
    /// `ProtectedFromScaleIn`
    pub(super) protected: bool,
    pub(super) agent: Agent,
}

impl Instance {
    /// Whether it is in service, and the group is not about to take it out.
    pub fn serves(&self) -> bool {
        self.state == LifecycleState::InService && !self.leaving
    }
}

/// What an observer sees of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceView {
    /// The instance's id.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its Availability Zone.
    pub zone: String,
    /// When it was launched.
    pub launched_at: Time,
    /// Its lifecycle state.
    pub state: LifecycleState,
    /// Its `target-lifecycle-state`.
    pub imds_target: &'static str,
    /// When its `target-lifecycle-state` was last read.
    pub target_read_at: Option<Time>,
    /// Whether its metadata service answers.
    pub imds_mode: ImdsMode,
    /// Its open lifecycle actions.
    pub actions: Vec<ActionView>,
    /// `ProtectedFromScaleIn`
    pub protected: bool,
    /// Its agent.
    pub agent: AgentView,
}

impl World {
    /// An instance, even after its end. `None` if there never was one with that id.
    pub fn instance(&self, id: &str) -> Option<InstanceView> {
        self.instances.get(id).map(|instance| self.view(instance))
    }

    /// An instance's agent, even after the instance's end. `None` if there never was an instance with that id.
    pub fn agent(&self, id: &str) -> Option<AgentView> {
        self.instances.get(id).map(|instance| instance.agent.view(self.now))
    }

    /// All instances that are not Terminated, in order of launch.
    pub fn instances(&self) -> Vec<InstanceView> {
        let mut views: Vec<_> =
            self.instances.values().filter(|instance| instance.state != LifecycleState::Terminated).collect();
        views.sort_by_key(|instance| instance.ordinal);
        views.into_iter().map(|instance| self.view(instance)).collect()
    }

    /// DescribeAutoScalingInstances. Returns all instances if `ids` is empty. Ignores unknown ids.
    pub fn describe_instances(
        &mut self,
        now: Time,
        ids: &[String],
    ) -> Result<Vec<InstanceView>, super::ApiError> {
        self.admit(now)?;
        if ids.is_empty() {
            return Ok(self.instances());
        }
        let known = ids.iter().filter_map(|id| self.instances.get(id));
        let managed = |state| !matches!(state, LifecycleState::Terminated | LifecycleState::Detached);
        let present = known.filter(|instance| managed(instance.state));
        Ok(present.map(|instance| self.view(instance)).collect())
    }

    fn view(&self, instance: &Instance) -> InstanceView {
        InstanceView {
            id: instance.id.clone(),
            group: instance.group.clone(),
            zone: instance.zone.clone(),
            launched_at: instance.launched_at,
            state: instance.state,
            imds_target: instance.imds_target,
            target_read_at: instance.target_read_at,
            imds_mode: instance.imds_mode,
            actions: instance.actions.iter().map(Action::view).collect(),
            protected: instance.protected,
            agent: instance.agent.view(self.now),
        }
    }
}
