//! The replacement of an instance's root volume.
//!
//! Source: EC2 Auto Scaling user guide, "Replace root volume". The terminating hooks run at `ReplacingRootVolume:Wait`, with
//! `Action` in their events. The instance then reboots with its new volume, and the launching hooks run. AWS does not document what
//! IMDS says meanwhile. Here it says what it said before.

use machine::Time;

use super::instance::{Bound, LifecycleState};
use super::{Happening, Wake, World};

impl World {
    /// Auto Scaling begins to replace the root volume of an instance in service, unless it is about to leave service.
    pub fn replace_root_volume(&mut self, now: Time, id: &str) {
        self.advance(now);
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.serves()) else { return };
        instance.bound = Bound::NewRootVolume;
        self.begin_activity(id, "Replacing root volume", "an instance refresh");
        self.enter(id, LifecycleState::ReplacingRootVolume);
        self.log(Happening::ReplacingRootVolume { instance: id.to_owned() });
        self.schedule(self.now + self.config.timing.wait, Wake::VolumeWait { instance: id.to_owned() });
    }

    pub(super) fn bound(&self, id: &str) -> Bound {
        self.instances.get(id).map_or(Bound::Out, |instance| instance.bound)
    }

    /// All hooks are done.
    pub(super) fn proceed_to_reboot(&mut self, id: &str) {
        self.enter(id, LifecycleState::ReplacingRootVolumeProceed);
        self.schedule(self.now + self.config.timing.terminated, Wake::Reboot { instance: id.to_owned() });
    }

    /// Its hooks run, unless it has been terminated meanwhile.
    pub(super) fn volume_wait(&mut self, id: &str) {
        let replaces = self.state_of(id) == Some(LifecycleState::ReplacingRootVolume);
        if replaces && self.bound(id) == Bound::NewRootVolume {
            self.terminating_wait(id);
        }
    }

    /// The instance reboots, and its launching hooks run. Its work is lost, and its agent does not run until it is started.
    pub(super) fn reboot(&mut self, id: &str) {
        if self.state_of(id) != Some(LifecycleState::ReplacingRootVolumeProceed) {
            return;
        }
        self.exit_agent(self.now, id);
        self.log(Happening::RootVolumeReplaced { instance: id.to_owned() });
        self.launch_again(self.now, id);
    }

    /// The instance has booted with its new root volume, so its launching hooks run again.
    pub fn launch_again(&mut self, now: Time, id: &str) {
        self.advance(now);
        self.enter(id, LifecycleState::Pending);
        self.launched(id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ActionRef, ActionResult, HookSpec, Transition, WorldConfig};
    use super::*;

    const START: Time = Time::from_unix_ms(1_764_000_000_000);

    /// An instance that Auto Scaling is about to terminate gets no new root volume.
    #[test]
    fn of_a_leaving_instance() {
        let mut world = World::new(WorldConfig::default(), START);
        let id = world.instances()[0].id.clone();
        world.terminate_instance(START, &id, false).expect("in service");
        world.replace_root_volume(START, &id);
        world.advance(START + Duration::from_secs(5));
        assert_eq!(world.instance(&id).expect("known").state, LifecycleState::TerminatingWait);
    }

    /// Both hooks run, and the work that the agent still had is lost with its process.
    #[test]
    fn both_halves() {
        let drain = HookSpec::terminating("drain", Duration::from_secs(60));
        let warm_up =
            HookSpec { transition: Transition::Launching, name: "warm-up".to_owned(), ..drain.clone() };
        let mut world =
            World::new(WorldConfig { hooks: vec![drain, warm_up], ..WorldConfig::default() }, START);
        let id = world.instances()[0].id.clone();
        let state = |world: &World| world.instance(&id).expect("known").state.as_str();
        let complete = |world: &mut World, at: Time, hook: &str| {
            let (hook, group) = (hook.to_owned(), "workers".to_owned());
            let action = ActionRef { hook, group, token: None, instance: Some(id.clone()) };
            world.complete(at, &action, ActionResult::Continue).expect("open");
        };
        let after = |seconds| START + Duration::from_secs(seconds);
        world.replace_root_volume(START, &id);
        assert_eq!(state(&world), "ReplacingRootVolume");
        let received = world.receive(after(5), "workers-termination", 10, None, None).expect("exists");
        assert!(received[0].body.contains(r#""Action":"ReplaceRootVolume""#), "{}", received[0].body);
        assert_eq!(state(&world), "ReplacingRootVolume:Wait");
        complete(&mut world, after(5), "drain");
        assert_eq!(state(&world), "ReplacingRootVolume:Proceed");
        world.advance(after(11));
        assert_eq!(state(&world), "Pending:Wait");
        assert_eq!(world.agent(&id).expect("known").lost, 3);
        complete(&mut world, after(12), "warm-up");
        world.advance(after(20));
        assert_eq!(state(&world), "InService");
        assert_eq!(world.instances().len(), 1, "no other instance was launched");
    }
}
