//! An instance's path from Pending to Terminated.

use std::time::Duration;

use machine::Time;

use super::activity::ActivityStatus;
use super::config::ImdsFlip;
use super::group::{ActionResult, Transition};
use super::instance::{Bound, Instance, LifecycleState};
use super::pool::TARGET_POOLED;
use super::{Happening, Wake, World};

/// How long a load balancer drains unless the scenario says otherwise. This is AWS's default.
const LOAD_BALANCER_DRAIN: Duration = Duration::from_secs(300);
const TARGET_TERMINATED: &str = "Terminated";

impl World {
    /// Auto Scaling has decided to terminate an instance. It no longer counts toward the desired capacity, and starts to
    /// leave shortly.
    pub(super) fn begin_termination(&mut self, id: &str, cause: &str, to_pool: bool) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let retained = instance.state == LifecycleState::TerminatingRetained;
        if instance.leaving && !retained {
            return;
        }
        instance.bound = if to_pool { Bound::Pool } else { Bound::Out };
        self.set_leaving(id, true);
        self.begin_activity(id, "Terminating EC2 instance", cause);
        self.log(Happening::TerminationRequested { instance: id.to_owned(), cause: cause.to_owned() });
        self.schedule(
            self.now + self.config.timing.terminating,
            Wake::Terminating { instance: id.to_owned() },
        );
    }

    /// The load balancer drains. Lifecycle hooks come after that.
    pub(super) fn terminating(&mut self, id: &str) {
        let Some(state) = self.state_of(id).filter(|state| can_begin_to_terminate(*state)) else { return };
        let was_retained = state == LifecycleState::TerminatingRetained;
        let (on_its_way, target) = self.destination(id);
        let Some(load_balanced) = self
            .enter(id, on_its_way)
            .and_then(|group| self.groups.get(&group).map(|group| group.spec.load_balanced))
        else {
            return;
        };
        // It may have been waiting for a launching hook.
        self.drop_actions(id);
        let (instance, state) = (id.to_owned(), on_its_way.as_str());
        self.log(Happening::InstanceTerminating { instance, state });
        if let ImdsFlip::AfterTerminating(lag) = self.config.imds.flip {
            self.schedule_flip(id, lag, target);
        }
        let drain = if load_balanced && !was_retained {
            self.set_activity(id, ActivityStatus::WaitingForLoadBalancer);
            self.config.load_balancer_drain.unwrap_or(LOAD_BALANCER_DRAIN)
        } else {
            Duration::ZERO
        };
        let at = self.now + drain + self.config.timing.wait;
        self.schedule(at, Wake::Wait { instance: id.to_owned() });
    }

    pub(super) fn terminating_wait(&mut self, id: &str) {
        if self.is_gone(id) {
            return;
        }
        if let ImdsFlip::AfterWait(lag) = self.config.imds.flip
            && self.bound(id) != Bound::NewRootVolume
        {
            let (_, target) = self.destination(id);
            self.schedule_flip(id, lag, target);
        }
        if self.has_hooks(id, Transition::Terminating) {
            let waiting = match self.bound(id) {
                Bound::Out => LifecycleState::TerminatingWait,
                Bound::Pool => LifecycleState::WarmedPendingWait,
                Bound::NewRootVolume => LifecycleState::ReplacingRootVolumeWait,
            };
            self.enter(id, waiting);
            self.set_activity(id, ActivityStatus::MidTerminatingAction);
            self.start_actions(id, Transition::Terminating);
        } else {
            self.proceed(id, Transition::Terminating);
        }
    }

    /// The launch is over for EC2.
    pub(super) fn launched(&mut self, id: &str) {
        if self.state_of(id) != Some(LifecycleState::Pending) {
            return;
        }
        if self.has_hooks(id, Transition::Launching) {
            self.enter(id, LifecycleState::PendingWait);
            self.set_activity(id, ActivityStatus::MidLaunchingAction);
            self.start_actions(id, Transition::Launching);
        } else {
            self.in_service(id);
        }
    }

    pub(super) fn in_service(&mut self, id: &str) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        // It may have been terminated before it was ever in service.
        if instance.leaving {
            return;
        }
        instance.state = LifecycleState::InService;
        instance.bound = Bound::Out;
        self.set_activity(id, ActivityStatus::Successful);
        self.log(Happening::InstanceInService { instance: id.to_owned() });
    }

    /// All hooks of the transition are done.
    pub(super) fn proceed(&mut self, id: &str, transition: Transition) {
        match transition {
            Transition::Launching => {
                self.enter(id, LifecycleState::PendingProceed);
                self.set_activity(id, ActivityStatus::PreInService);
                self.schedule(
                    self.now + self.config.timing.launch,
                    Wake::InService { instance: id.to_owned() },
                );
            }
            Transition::Terminating if self.is_to_pool(id) => self.proceed_to_pool(id),
            Transition::Terminating if self.bound(id) == Bound::NewRootVolume => self.proceed_to_reboot(id),
            Transition::Terminating => {
                self.enter(id, LifecycleState::TerminatingProceed);
                self.set_activity(id, ActivityStatus::InProgress);
                self.log(Happening::InstanceProceeding { instance: id.to_owned() });
                self.schedule(
                    self.now + self.config.timing.terminated,
                    Wake::Terminated { instance: id.to_owned() },
                );
            }
        }
    }

    /// A hook's action was abandoned. A launching instance is terminated. A terminating one may be retained.
    pub(super) fn abandoned(&mut self, id: &str, transition: Transition) {
        let Some(group) = self.instances.get(id).map(|instance| instance.group.clone()) else { return };
        match transition {
            Transition::Launching => {
                self.set_activity(id, ActivityStatus::Cancelled);
                let cause = "a lifecycle action was completed with ABANDON";
                self.set_leaving(id, true);
                self.begin_activity(id, "Terminating EC2 instance", cause);
                // AWS does not document whether terminating hooks run for an abandoned launch. Here they do not.
                self.proceed(id, Transition::Terminating);
                self.reconcile(&group, cause);
            }
            Transition::Terminating => {
                let retain = self.groups.get(&group).is_some_and(|group| group.spec.retain_on_abandon);
                // An abandoned return to the warm pool still returns. This was recorded.
                if retain && self.bound(id) == Bound::Out {
                    self.enter(id, LifecycleState::TerminatingRetained);
                    self.set_activity(id, ActivityStatus::Cancelled);
                    self.log(Happening::InstanceRetained { instance: id.to_owned() });
                } else {
                    self.proceed(id, Transition::Terminating);
                }
            }
        }
    }

    /// One action is over. The instance proceeds once no other one is open.
    pub(super) fn settle(&mut self, id: &str, transition: Transition, result: ActionResult) {
        match result {
            ActionResult::Abandon => {
                self.drop_actions(id);
                self.abandoned(id, transition);
            }
            ActionResult::Continue => {
                self.start_next_action(id);
                let waiting = |instance: &Instance| !instance.actions.is_empty();
                if !self.instances.get(id).is_some_and(waiting) {
                    self.proceed(id, transition);
                }
            }
        }
    }

    /// EC2 interrupts a spot instance. It does not wait for hooks. In this world the instance is not replaced.
    pub fn take_back(&mut self, now: Time, id: &str) {
        self.advance(now);
        let Some(instance) = self.instances.get(id).filter(|_| !self.is_gone(id)) else { return };
        if !instance.leaving
            && let Some(group) = self.groups.get_mut(&instance.group)
        {
            group.spec.desired = group.spec.desired.saturating_sub(1);
        }
        self.set_leaving(id, true);
        self.drop_actions(id);
        self.terminated(id);
    }

    fn is_gone(&self, id: &str) -> bool {
        self.state_of(id) == Some(LifecycleState::Terminated)
    }

    pub(super) fn terminated(&mut self, id: &str) {
        if self.is_gone(id) {
            return;
        }
        let Some(group) = self.enter(id, LifecycleState::Terminated) else { return };
        let Some(instance) = self.instances.get_mut(id) else { return };
        let work_lost = instance.agent.killed(self.now);
        if let Some(group) = self.groups.get_mut(&group) {
            group.instances.remove(&instance.ordinal);
            group.pooled.remove(&instance.ordinal);
        }
        self.forget_access_keys(id);
        self.forget_targets(id);
        self.set_activity(id, ActivityStatus::Successful);
        self.roster_version += 1;
        self.log(Happening::InstanceTerminated { instance: id.to_owned(), work_lost });
    }

    pub(super) fn imds_flip(&mut self, id: &str, target: &'static str) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.imds_target != target {
            instance.imds_target = target;
            self.log(Happening::ImdsFlipped { instance: id.to_owned(), target: target.to_owned() });
        }
    }

    fn schedule_flip(&mut self, id: &str, lag: Duration, target: &'static str) {
        let wake = Wake::ImdsFlip { instance: id.to_owned(), target };
        self.schedule(self.now + lag, wake);
    }

    /// The state of an instance that leaves the group, and its `target-lifecycle-state`.
    fn destination(&self, id: &str) -> (LifecycleState, &'static str) {
        if self.is_to_pool(id) {
            (LifecycleState::WarmedPending, TARGET_POOLED)
        } else {
            (LifecycleState::Terminating, TARGET_TERMINATED)
        }
    }

    /// Sets the state. Returns the instance's group.
    pub(super) fn enter(&mut self, id: &str, state: LifecycleState) -> Option<String> {
        let instance = self.instances.get_mut(id)?;
        instance.state = state;
        Some(instance.group.clone())
    }

    pub(super) fn state_of(&self, id: &str) -> Option<LifecycleState> {
        self.instances.get(id).map(|instance| instance.state)
    }

    fn has_hooks(&self, id: &str, transition: Transition) -> bool {
        let group = self.instances.get(id).and_then(|instance| self.groups.get(&instance.group));
        group.is_some_and(|group| group.hooks.values().any(|hook| hook.transition == transition))
    }
}

/// Whether a request to terminate has any effect in this state. Later requests have none.
fn can_begin_to_terminate(state: LifecycleState) -> bool {
    match state {
        LifecycleState::Pending
        | LifecycleState::PendingWait
        | LifecycleState::PendingProceed
        | LifecycleState::InService
        | LifecycleState::Standby
        | LifecycleState::ReplacingRootVolume
        | LifecycleState::ReplacingRootVolumeWait
        | LifecycleState::ReplacingRootVolumeProceed
        | LifecycleState::TerminatingRetained => true,
        LifecycleState::Terminating
        | LifecycleState::TerminatingWait
        | LifecycleState::TerminatingProceed
        | LifecycleState::Terminated
        | LifecycleState::WarmedPending
        | LifecycleState::WarmedPendingWait
        | LifecycleState::WarmedPendingProceed
        // Terminating a pooled instance is not modeled.
        | LifecycleState::WarmedRunning
        | LifecycleState::Detached => false,
    }
}
