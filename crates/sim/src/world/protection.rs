//! Protection from scale-in.
//!
//! Source: EC2 Auto Scaling user guide, "Use instance scale-in protection", and SetInstanceProtection in the API reference. The
//! words about the state were seen in infrahouse/infrahouse-toolkit#223 and guardian/riff-raff#510.

use machine::Time;

use super::error::ApiError;
use super::{Happening, World};

/// The most instances in one call.
const IDS_MAX: usize = 50;

impl World {
    /// SetInstanceProtection. It changes all of the instances or none. A group that waits for an instance to pick then scales in.
    pub fn set_protection(
        &mut self,
        now: Time,
        group: &str,
        ids: &[String],
        protected: bool,
    ) -> Result<(), ApiError> {
        self.admit(now)?;
        self.group(group)?;
        if ids.len() > IDS_MAX {
            let rule = "Member must have length less than or equal to 50";
            return Err(ApiError::constraint(&format!("[{}]", ids.join(", ")), "instanceIds", rule));
        }
        for id in ids {
            let instance = self.instances.get(id).filter(|instance| instance.group == group);
            // Guessed.
            let unknown = || {
                ApiError::validation(format!("The instance {id} is not part of Auto Scaling group {group}."))
            };
            if !instance.ok_or_else(unknown)?.serves() {
                return Err(ApiError::validation(format!(
                    "The instance {id} is not in InService or EnteringStandby or Standby."
                )));
            }
        }
        for id in ids {
            self.protect(group, id, protected);
        }
        if !protected {
            self.reconcile(group, "a protection from scale-in was lifted");
        }
        Ok(())
    }

    fn protect(&mut self, group: &str, id: &str, protected: bool) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.protected != protected)
        else {
            return;
        };
        instance.protected = protected;
        let ordinal = instance.ordinal;
        if let Some(group) = self.groups.get_mut(group) {
            if protected {
                group.protected.insert(ordinal);
            } else {
                group.protected.remove(&ordinal);
            }
        }
        self.log(Happening::ProtectionSet { instance: id.to_owned(), protected });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{LifecycleState, WorldConfig};
    use super::*;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn world(instances: u32) -> (World, Vec<String>) {
        let world = World::new(WorldConfig { instances, ..WorldConfig::default() }, START);
        let ids = world.instances().into_iter().map(|instance| instance.id).collect();
        (world, ids)
    }

    fn leaving(world: &World, ids: &[String]) -> Vec<usize> {
        let stays =
            |id: &String| world.instance(id).is_some_and(|one| one.state == LifecycleState::InService);
        (0..ids.len()).filter(|place| !stays(&ids[*place])).collect()
    }

    /// In the zones a, b, c, a, b: scale-in picks the next one, and waits once all that are left are protected.
    #[test]
    fn scale_in() {
        let (mut world, ids) = world(5);
        world.set_protection(START, "workers", &[ids[0].clone(), ids[1].clone()], true).expect("in service");
        world.set_desired_capacity(START, "workers", 4).expect("valid");
        world.advance(START + secs(1));
        assert_eq!(leaving(&world, &ids), [3], "the next in the fullest zone");
        world.set_desired_capacity(START + secs(1), "workers", 0).expect("valid");
        world.advance(START + secs(2));
        assert_eq!(leaving(&world, &ids), [2, 3, 4]);
        world.set_protection(START + secs(3), "workers", &ids[..1], false).expect("in service");
        world.advance(START + secs(4));
        assert_eq!(leaving(&world, &ids), [0, 2, 3, 4], "the scale-in has waited for it");
    }

    /// TerminateInstanceInAutoScalingGroup ignores it, and it ends when the instance leaves service.
    #[test]
    fn terminated_all_the_same() {
        let (mut world, ids) = world(1);
        world.set_protection(START, "workers", &ids, true).expect("in service");
        world.terminate_instance(START, &ids[0], true).expect("may shrink");
        assert!(!world.instance(&ids[0]).expect("known").protected);
        let again = world.set_protection(START, "workers", &ids, true).expect_err("it is leaving");
        assert!(again.message.contains("is not in InService"), "{again}");
    }

    #[test]
    fn refused() {
        let (mut world, ids) = world(1);
        let unknown = vec!["i-00000000000000000".to_owned()];
        for (group, ids, why) in [
            ("others", ids.clone(), "not found"),
            ("workers", [ids.clone(), unknown].concat(), "is not part of"),
            ("workers", vec![ids[0].clone(); 51], "less than or equal to 50"),
        ] {
            let error = world.set_protection(START, group, &ids, true).expect_err(why);
            assert!(error.message.contains(why), "{error}");
        }
        assert!(!world.instance(&ids[0]).expect("known").protected, "all or none");
    }
}
