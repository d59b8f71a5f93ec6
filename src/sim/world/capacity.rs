//! Launching and scaling in: keeping a group at its desired capacity.

use std::collections::{BTreeMap, VecDeque};

use crate::machine::Time;

use super::activity::Activity;
use super::agent::Agent;
use super::config::ImdsMode;
use super::error::ApiError;
use super::group::GroupSpec;
use super::instance::{Instance, LifecycleState};
use super::{Happening, Wake, World, roster};

const ZONES: [char; 3] = ['a', 'b', 'c'];
const TARGET_IN_SERVICE: &str = "InService";

impl World {
    /// TerminateInstanceInAutoScalingGroup.
    pub fn terminate_instance(
        &mut self,
        now: Time,
        id: &str,
        decrement: bool,
    ) -> Result<Option<Activity>, ApiError> {
        self.admit(now)?;
        let known = self.instances.get(id).filter(|instance| instance.state != LifecycleState::Terminated);
        let Some((group, state)) = known.map(|instance| (instance.group.clone(), instance.state)) else {
            return Err(ApiError::validation(format!(
                "Instance Id not found - No managed instance found for instance ID {id}"
            )));
        };
        let retained = state == LifecycleState::TerminatingRetained;
        if retained && decrement {
            // That it is rejected was recorded; the words are guessed.
            return Err(ApiError::validation(
                "Desired capacity cannot be decremented for an instance in Terminating:Retained",
            ));
        }
        if decrement {
            self.decrement(&group, id)?;
        }
        let cause = format!("At {now} instance {id} was taken out of service in response to a user request.");
        self.begin_termination(id, &cause, false);
        self.reconcile(&group, &cause);
        Ok(self.activity_of(id))
    }

    fn decrement(&mut self, group: &str, id: &str) -> Result<(), ApiError> {
        if self.instances.get(id).is_some_and(|instance| instance.leaving) {
            return Ok(());
        }
        let spec = &mut self.group_mut(group)?.spec;
        if spec.desired <= spec.min {
            return Err(ApiError::validation(format!(
                "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate \
                 group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower \
                 group's min size.",
                spec.min
            )));
        }
        spec.desired -= 1;
        Ok(())
    }

    /// Makes the first group, its queue and its instances.
    pub(super) fn populate(&mut self) {
        let config = self.config.clone();
        if let Some(queue) = &config.queue {
            self.insert_termination_queue(queue);
            self.rules.insert(config.group.clone(), queue.clone());
        }
        self.insert_group(GroupSpec {
            name: config.group.clone(),
            min: 0,
            max: config.instances.max(1) * 2,
            desired: config.instances,
            load_balanced: config.load_balancer_drain.is_some(),
            retain_on_abandon: config.retain_on_abandon,
            hooks: config.hooks,
        });
        for _ in 0..config.instances {
            let id = self.insert_instance(&config.group);
            self.in_service(&id);
        }
    }

    /// From now on an instance counts toward its group's desired capacity, or does not.
    pub(super) fn set_leaving(&mut self, id: &str, leaving: bool) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.leaving != leaving) else {
            return;
        };
        instance.leaving = leaving;
        let Some(group) = self.groups.get_mut(&instance.group) else { return };
        group.staying = if leaving { group.staying - 1 } else { group.staying + 1 };
    }

    /// Launches or terminates until the group has as many instances as it should.
    pub(super) fn reconcile(&mut self, group: &str, cause: &str) {
        let Ok(found) = self.group(group) else { return };
        let desired = found.spec.desired as usize;
        if found.staying == desired {
            return;
        }
        let staying: Vec<&Instance> = found
            .instances
            .values()
            .filter_map(|id| self.instances.get(id))
            .filter(|one| !one.leaving)
            .collect();
        if staying.len() > desired {
            let victims = victims(&staying, staying.len() - desired);
            for id in victims {
                self.begin_termination(&id, cause, self.config.warm_pool);
            }
        } else {
            for _ in staying.len()..desired {
                if !self.resume(group, cause) {
                    self.launch(group, cause);
                }
            }
        }
    }

    fn launch(&mut self, group: &str, cause: &str) {
        let id = self.insert_instance(group);
        self.begin_activity(&id, "Launching a new EC2 instance", cause);
        self.schedule(self.now + self.config.timing.launch, Wake::Launched { instance: id });
    }

    fn insert_instance(&mut self, group: &str) -> String {
        let id = roster::write_id(self.rng.u64(..));
        let ordinal = self.instances.len() as u64;
        let zone = format!("{}{}", self.config.region, ZONES[self.instances.len() % ZONES.len()]);
        let imds_mode: ImdsMode = self.config.imds.mode;
        let instance = Instance {
            id: id.clone(),
            ordinal,
            group: group.to_owned(),
            zone,
            launched_at: self.now,
            state: LifecycleState::Pending,
            leaving: false,
            to_pool: false,
            actions: Vec::new(),
            hooks_to_run: Vec::new(),
            activity: None,
            imds_mode,
            imds_target: TARGET_IN_SERVICE,
            watched: false,
            access_keys: vec![self.issue_access_key(&id)],
            agent: Agent { mode: self.config.agent_mode, ..Agent::serving(self.config.work, self.now) },
        };
        self.instances.insert(&id, instance);
        if let Some(group) = self.groups.get_mut(group) {
            group.instances.insert(ordinal, id.clone());
            group.staying += 1;
        }
        self.roster_version += 1;
        self.log(Happening::InstanceLaunched { instance: id.clone(), group: group.to_owned() });
        id
    }
}

/// Chooses as the default termination policy does where all instances are alike: from the zone that has the most,
/// and there the oldest.
fn victims(staying: &[&Instance], count: usize) -> Vec<String> {
    let mut zones: BTreeMap<&str, VecDeque<&str>> = BTreeMap::new();
    for instance in staying {
        zones.entry(&instance.zone).or_default().push_back(&instance.id);
    }
    let mut chosen = Vec::with_capacity(count);
    for _ in 0..count {
        let longest = zones.values().map(VecDeque::len).max().unwrap_or(0);
        let zone = zones.values_mut().find(|zone| zone.len() == longest);
        chosen.extend(zone.and_then(VecDeque::pop_front).map(str::to_owned));
    }
    chosen
}
