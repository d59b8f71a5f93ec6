//! An instance leaves one group and joins another while it runs, or leaves service and returns.
//!
//! Source: EC2 Auto Scaling user guide, "Detach or attach instances" and "Temporarily remove instances": neither runs a lifecycle
//! hook. We infer from the descriptions of the categories that IMDS shows `Detached` in between, and then the new group's name in
//! the tag.

use machine::Time;

use super::error::ApiError;
use super::instance::{Instance, LifecycleState};
use super::{Wake, World};

const TARGET_DETACHED: &str = "Detached";
const TARGET_STANDBY: &str = "Standby";
const TARGET_IN_SERVICE: &str = "InService";

impl World {
    /// DetachInstances with a smaller desired capacity, for one instance in service.
    pub fn detach_instance(&mut self, now: Time, id: &str) -> Result<(), ApiError> {
        self.admit(now)?;
        let found = self.instances.get(id).filter(|instance| instance.serves());
        let Some((group, ordinal)) = found.map(|instance| (instance.group.clone(), instance.ordinal)) else {
            return Err(ApiError::validation(format!("The instance {id} is not in service")));
        };
        self.set_leaving(id, true);
        let group = self.group_mut(&group)?;
        group.instances.remove(&ordinal);
        group.spec.desired = group.spec.desired.saturating_sub(1);
        self.enter(id, LifecycleState::Detached);
        if let Some(instance) = self.instances.get_mut(id) {
            instance.group.clear();
        }
        self.imds_flip(id, TARGET_DETACHED);
        Ok(())
    }

    /// AttachInstances with a larger desired capacity, for one instance outside any group.
    pub fn attach_instance(&mut self, now: Time, id: &str, group: &str) -> Result<(), ApiError> {
        self.admit(now)?;
        self.group(group)?;
        let free = |state| state == LifecycleState::Detached;
        let found = self.instances.get_mut(id).filter(|instance| free(instance.state));
        let Some(instance) = found else {
            return Err(ApiError::validation(format!("The instance {id} is not in a state to be attached")));
        };
        group.clone_into(&mut instance.group);
        let ordinal = instance.ordinal;
        let found = self.group_mut(group)?;
        found.instances.insert(ordinal, id.to_owned());
        found.spec.desired += 1;
        found.spec.max = found.spec.max.max(found.spec.desired);
        self.set_leaving(id, false);
        self.returns(id);
        Ok(())
    }

    /// EnterStandby with a smaller desired capacity, for one instance in service. Scale-in does not pick it meanwhile.
    pub fn enter_standby(&mut self, now: Time, id: &str) -> Result<(), ApiError> {
        self.admit(now)?;
        let found = self.instances.get(id).filter(|instance| instance.serves());
        let Some(group) = found.map(|instance| instance.group.clone()) else {
            return Err(ApiError::validation(format!("The instance {id} is not in service")));
        };
        self.set_leaving(id, true);
        let spec = &mut self.group_mut(&group)?.spec;
        spec.desired = spec.desired.saturating_sub(1);
        self.enter(id, LifecycleState::Standby);
        self.imds_flip(id, TARGET_STANDBY);
        Ok(())
    }

    /// ExitStandby with a larger desired capacity.
    pub fn exit_standby(&mut self, now: Time, id: &str) -> Result<(), ApiError> {
        self.admit(now)?;
        let stands_by = |instance: &&Instance| instance.state == LifecycleState::Standby;
        let Some(group) = self.instances.get(id).filter(stands_by).map(|instance| instance.group.clone())
        else {
            return Err(ApiError::validation(format!("The instance {id} is not in standby")));
        };
        let spec = &mut self.group_mut(&group)?.spec;
        spec.desired += 1;
        spec.max = spec.max.max(spec.desired);
        self.set_leaving(id, false);
        self.returns(id);
        Ok(())
    }

    /// The instance goes into service again.
    fn returns(&mut self, id: &str) {
        self.enter(id, LifecycleState::Pending);
        self.imds_flip(id, TARGET_IN_SERVICE);
        self.schedule(self.now + self.config.timing.launch, Wake::InService { instance: id.to_owned() });
    }

    /// From now on an EventBridge rule sends a group's lifecycle events to a queue.
    pub fn route_group(&mut self, group: &str, queue: &str) {
        self.rules.insert(group.to_owned(), queue.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ActionRef, GroupSpec, HookSpec, WorldConfig};
    use super::*;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_instance_moves_to_another_group_and_is_terminated_there() {
        // The instance is detached, attached to a group with its own hook, and terminated by that group.
        let mut world = World::new(WorldConfig::default(), START);
        let id = world.instances()[0].id.clone();
        let spec = GroupSpec {
            name: "others".to_owned(),
            min: 0,
            max: 1,
            desired: 0,
            load_balanced: false,
            target_groups: Vec::new(),
            retain_on_abandon: false,
            hooks: vec![HookSpec::terminating("drain-others", secs(30))],
        };
        world.create_group(START, spec).expect("new");
        world.route_group("others", "workers-termination");
        world.detach_instance(START, &id).expect("in service");
        assert!(world.describe_instances(START, std::slice::from_ref(&id)).expect("admitted").is_empty());
        assert_eq!(world.target_state(&id), Some("Detached"));
        assert!(world.detach_instance(START, &id).is_err(), "it is no longer in a group");
        world.attach_instance(START + secs(10), &id, "others").expect("free");
        world.advance(START + secs(20));
        let seen = world.instance(&id).expect("known");
        assert_eq!((seen.group.as_str(), seen.state), ("others", LifecycleState::InService));
        world.terminate_instance(START + secs(20), &id, true).expect("may shrink");
        world.advance(START + secs(30));
        let seen = world.instance(&id).expect("known");
        assert_eq!(seen.actions[0].hook, "drain-others");
        let old = ActionRef {
            hook: "drain".to_owned(),
            group: "workers".to_owned(),
            token: None,
            instance: Some(id.clone()),
        };
        assert!(world.heartbeat(START + secs(30), &old).is_err(), "the first group is not involved");
        let received =
            world.receive(START + secs(40), "workers-termination", 10, None, None).expect("exists");
        assert!(received.iter().any(|message| message.body.contains("others")));
    }
}
