//! The warm pool: how an instance enters it at a scale-in and leaves it at a scale-out.
//!
//! Source: EC2 Auto Scaling user guide, "Warm pools" and "Lifecycle hooks and warm pools". A return to the pool runs the
//! terminating hooks, with the destination `WarmPool` in their events, and pauses at `Warmed:Pending:Wait`.

use super::instance::{Bound, LifecycleState};
use super::{Happening, Wake, World};

/// What IMDS says once the instance starts to return. Inferred: AWS does not document when it changes.
pub(super) const TARGET_POOLED: &str = "Warmed:Running";

const TARGET_IN_SERVICE: &str = "InService";

impl World {
    /// Whether an instance is on its way to the warm pool, or in it.
    pub(super) fn is_to_pool(&self, id: &str) -> bool {
        self.instances.get(id).is_some_and(|instance| instance.bound == Bound::Pool)
    }

    /// All hooks are done.
    pub(super) fn proceed_to_pool(&mut self, id: &str) {
        self.enter(id, LifecycleState::WarmedPendingProceed);
        let at = self.now + self.config.timing.terminated;
        self.schedule(at, Wake::Pooled { instance: id.to_owned() });
    }

    /// The instance has arrived in the pool.
    pub(super) fn pooled(&mut self, id: &str) {
        let returns = |one: &super::instance::Instance| one.state == LifecycleState::WarmedPendingProceed;
        if !self.instances.get(id).is_some_and(returns) {
            return;
        }
        let group = self.enter(id, LifecycleState::WarmedRunning);
        let ordinal = self.instances.get(id).map(|instance| instance.ordinal);
        if let (Some(group), Some(ordinal)) = (group.and_then(|group| self.groups.get_mut(&group)), ordinal) {
            group.pooled.insert(ordinal, id.to_owned());
        }
        self.set_activity(id, super::ActivityStatus::Successful);
        self.log(Happening::InstancePooled { instance: id.to_owned() });
    }

    /// Returns an instance from the pool to service, by way of Pending. `false` if the pool is empty.
    pub(super) fn resume(&mut self, group: &str, cause: &str) -> bool {
        let Ok(found) = self.group_mut(group) else { return false };
        let Some((_, id)) = found.pooled.pop_first() else { return false };
        self.begin_activity(&id, "Launching a new EC2 instance from warm pool", cause);
        self.set_leaving(&id, false);
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.bound = Bound::Out;
        }
        self.enter(&id, LifecycleState::Pending);
        self.imds_flip(&id, TARGET_IN_SERVICE);
        self.schedule(self.now + self.config.timing.launch, Wake::Launched { instance: id });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ActionRef, ActionResult, WorldConfig};
    use super::*;
    use machine::Time;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn into_the_pool_and_back() {
        let mut world = World::new(WorldConfig { warm_pool: true, ..WorldConfig::default() }, START);
        let id = world.instances()[0].id.clone();
        let seen = |world: &World| {
            let view = world.instance(&id).expect("known");
            (view.state.as_str(), view.imds_target)
        };
        world.set_desired_capacity(START, "workers", 0).expect("valid");
        world.advance(START + secs(1));
        assert_eq!(seen(&world), ("Warmed:Pending", "Warmed:Running"));
        let received = world.receive(START + secs(5), "workers-termination", 10, None, None).expect("exists");
        assert!(received[0].body.contains(r#""Destination":"WarmPool""#), "{}", received[0].body);
        assert_eq!(seen(&world), ("Warmed:Pending:Wait", "Warmed:Running"));
        let action = ActionRef {
            hook: "drain".into(),
            group: "workers".into(),
            token: None,
            instance: Some(id.clone()),
        };
        // An abandoned action also returns the instance to the pool.
        world.complete(START + secs(5), &action, ActionResult::Abandon).expect("open");
        assert_eq!(seen(&world), ("Warmed:Pending:Proceed", "Warmed:Running"));
        world.advance(START + secs(10));
        assert_eq!(seen(&world), ("Warmed:Running", "Warmed:Running"));
        world.set_desired_capacity(START + secs(20), "workers", 1).expect("valid");
        assert_eq!(seen(&world), ("Pending", "InService"));
        world.advance(START + secs(21));
        assert_eq!(seen(&world), ("InService", "InService"));
        assert_eq!(world.instances().len(), 1, "no other instance was launched");
    }
}
