//! Keeps a group at its desired capacity: launching and scaling in.

use std::collections::BTreeMap;

use machine::Time;

use super::activity::Activity;
use super::agent::Agent;
use super::balancer::TargetRef;
use super::config::ImdsMode;
use super::error::ApiError;
use super::group::{Group, GroupSpec};
use super::instance::{Bound, Instance, LifecycleState};
use super::notices::Notices;
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
            // The rejection was recorded. Its words are guessed.
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

    /// Creates the first group, its queue and its instances.
    pub(super) fn populate(&mut self) {
        let config = self.config.clone();
        if let Some(queue) = &config.queue {
            self.insert_termination_queue(queue);
            self.rules.insert(config.group.clone(), queue.clone());
        }
        let own =
            config.target_groups.into_iter().map(|spec| (spec.name.clone(), self.insert_target_group(spec)));
        let own: Vec<(String, String)> = own.collect();
        let managed =
            own.iter().filter(|(name, _)| config.managed.contains(name)).map(|(_, arn)| arn.clone());
        let managed = managed.collect();
        self.insert_group(GroupSpec {
            name: config.group.clone(),
            min: 0,
            max: config.instances.max(1) * 2,
            desired: config.instances,
            load_balanced: config.load_balancer_drain.is_some(),
            target_groups: managed,
            retain_on_abandon: config.retain_on_abandon,
            hooks: config.hooks,
        });
        for _ in 0..config.instances {
            let id = self.insert_instance(&config.group);
            if config.launching {
                self.launched(&id);
            } else {
                self.in_service(&id);
            }
            for (_, arn) in &own {
                // The target group exists, and so does the instance.
                let _ = self.register_target(self.now, arn, &TargetRef { id: id.clone(), port: None });
            }
        }
    }

    /// Sets whether an instance is leaving, and so no longer counts toward its group's desired capacity.
    pub(super) fn set_leaving(&mut self, id: &str, leaving: bool) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.leaving != leaving) else {
            return;
        };
        instance.leaving = leaving;
        let Some(group) = self.groups.get_mut(&instance.group) else { return };
        if leaving {
            instance.protected = false;
            group.no_longer_stays(&instance.zone, instance.ordinal);
        } else {
            group.stays(&instance.zone, instance.ordinal, id);
        }
    }

    /// Launches or terminates instances until the group has its desired capacity.
    pub(super) fn reconcile(&mut self, group: &str, cause: &str) {
        let Ok(found) = self.group(group) else { return };
        let (staying, desired) = (found.staying(), found.spec.desired as usize);
        for _ in staying..desired {
            if !self.resume(group, cause) {
                self.launch(group, cause);
            }
        }
        for _ in desired..staying {
            let Some(id) = self.group(group).ok().and_then(Group::victim) else { return };
            self.begin_termination(&id, cause, self.config.warm_pool);
        }
    }

    fn launch(&mut self, group: &str, cause: &str) {
        let id = self.insert_instance(group);
        self.begin_activity(&id, "Launching a new EC2 instance", cause);
        self.schedule(self.now + self.config.timing.launch, Wake::Launched { instance: id });
    }

    fn insert_instance(&mut self, group: &str) -> String {
        let place = self.instances.next_place();
        let id = roster::write_id(place, self.rng.u32(..));
        let ordinal = u64::from(place);
        let zone = format!("{}{}", self.config.region, ZONES[place as usize % ZONES.len()]);
        let imds_mode: ImdsMode = self.config.imds.mode;
        let instance = Instance {
            id: id.clone(),
            ordinal,
            group: group.to_owned(),
            zone: zone.clone(),
            launched_at: self.now,
            life_cycle: self.config.life_cycle,
            state: LifecycleState::Pending,
            leaving: false,
            bound: Bound::Out,
            actions: Vec::new(),
            hooks_to_run: Vec::new(),
            activity: None,
            imds_mode,
            imds_target: TARGET_IN_SERVICE,
            notices: Notices::default(),
            target_read_at: None,
            access_keys: vec![self.issue_access_key(&id)],
            protected: false,
            agent: Agent {
                mode: self.config.agent_mode,
                rhythm: self.config.rhythm.map(|rhythm| (rhythm, ordinal)),
                ..Agent::serving(self.config.work, self.now)
            },
        };
        self.instances.insert(&id, instance);
        if let Some(group) = self.groups.get_mut(group) {
            group.instances.insert(ordinal, id.clone());
            group.stays(&zone, ordinal, &id);
        }
        self.roster_version += 1;
        self.log(Happening::InstanceLaunched { instance: id.clone(), group: group.to_owned() });
        id
    }
}

impl Group {
    fn stays(&mut self, zone: &str, ordinal: u64, id: &str) {
        self.staying.entry(zone.to_owned()).or_default().insert(ordinal, id.to_owned());
    }

    fn no_longer_stays(&mut self, zone: &str, ordinal: u64) {
        self.protected.remove(&ordinal);
        if let Some(staying) = self.staying.get_mut(zone) {
            staying.remove(&ordinal);
        }
    }

    /// How many instances count toward the desired capacity.
    fn staying(&self) -> usize {
        self.staying.values().map(BTreeMap::len).sum()
    }

    /// The instance that the default termination policy picks if all instances are alike: of the zones with an instance that is
    /// not protected, it takes the one with the most instances, and there the oldest that is not protected. `None` if all are
    /// protected.
    fn victim(&self) -> Option<String> {
        let mut picked: Option<(usize, &String)> = None;
        for zone in self.staying.values() {
            let longer = picked.is_none_or(|(longest, _)| zone.len() > longest);
            let mut free = zone.iter().filter(|(ordinal, _)| !self.protected.contains(ordinal));
            if longer && let Some((_, id)) = free.next() {
                picked = Some((zone.len(), id));
            }
        }
        picked.map(|(_, id)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::WorldConfig;
    use super::*;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);

    #[test]
    fn terminates_the_oldest_in_the_fullest_zone() {
        // In the zones a, b, c, a, b, by age.
        let mut world = World::new(WorldConfig { instances: 5, ..WorldConfig::default() }, START);
        let ids: Vec<String> = world.instances().into_iter().map(|instance| instance.id).collect();
        let staying = |world: &World| -> Vec<String> {
            let in_service = |one: &super::super::InstanceView| one.state == LifecycleState::InService;
            world.instances().into_iter().filter(in_service).map(|one| one.id).collect()
        };
        let mut now = START;
        for (desired, left) in [(4, vec![1, 2, 3, 4]), (3, vec![2, 3, 4]), (1, vec![2]), (0, vec![])] {
            world.set_desired_capacity(now, "workers", desired).expect("valid");
            now = now + Duration::from_secs(1);
            world.advance(now);
            let left: Vec<String> = left.iter().map(|place: &usize| ids[*place].clone()).collect();
            assert_eq!(staying(&world), left, "at a desired capacity of {desired}");
        }
    }
}
