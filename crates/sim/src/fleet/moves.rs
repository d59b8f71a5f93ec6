//! Changes under a running daemon: of its group, of its place there, and of its clock.

use std::time::Duration;

use crate::world::{GroupSpec, HookSpec, LifecycleState};

use super::{Fleet, Step, plan};

/// The group that instances are attached to.
const SECOND: &str = "fleet-second";

/// How far off a clock can be before it is corrected.
const CLOCK_OFF_MS: [i64; 4] = [-3_600_000, -360_000, 360_000, 3_600_000];

impl Fleet {
    /// Creates the group that instances are attached to. It has its own hook, and its events go to the same queue.
    pub(super) fn make_second_group(&mut self) {
        let timeout = Duration::from_secs(plan::TIMEOUTS[self.rng.usize(..3)]);
        let spec = GroupSpec {
            name: SECOND.to_owned(),
            min: 0,
            max: self.plan.instances.max(1),
            desired: 0,
            load_balanced: false,
            target_groups: Vec::new(),
            retain_on_abandon: false,
            hooks: vec![HookSpec::terminating(plan::HOOK, timeout)],
        };
        let made = self.world.create_group(self.now, spec);
        debug_assert!(made.is_ok(), "{made:?}");
        if let Some(queue) = self.world.config().queue.clone() {
            self.world.route_group(SECOND, &queue);
        }
    }

    /// An instance is detached from its group, and attached to the other one some time later.
    pub(super) fn detach(&mut self, host: usize) {
        if self.world.config().warm_pool {
            return;
        }
        let id = self.hosts[host].id.clone();
        let in_first = self.world.instance(&id).is_some_and(|instance| instance.group == plan::GROUP);
        if in_first && self.world.detach_instance(self.now, &id).is_ok() {
            self.judge.many_drains(host);
            let pause = self.delay(2_000, 120_000);
            self.after(pause, Step::Attach { host });
        }
        self.digest(None);
    }

    pub(super) fn attach(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        if self.world.attach_instance(self.now, &id, SECOND).is_ok() {
            self.leave_second_group(host);
        } else if !self.hosts[host].gone {
            self.after(Duration::from_secs(5), Step::Attach { host });
        }
        self.digest(None);
    }

    /// An instance is put into standby, and returns to service some time later.
    pub(super) fn enter_standby(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        if !self.world.config().warm_pool && self.world.enter_standby(self.now, &id).is_ok() {
            self.judge.many_drains(host);
            let pause = self.delay(2_000, 300_000);
            self.after(pause, Step::ExitStandby { host });
        }
        self.digest(None);
    }

    pub(super) fn exit_standby(&mut self, host: usize) {
        let id = self.hosts[host].id.clone();
        let stays =
            self.world.instance(&id).is_some_and(|instance| instance.state == LifecycleState::Standby);
        if stays && self.world.exit_standby(self.now, &id).is_err() {
            self.after(Duration::from_secs(5), Step::ExitStandby { host });
        }
        self.digest(None);
    }

    /// The second group terminates half of the instances that were attached to it.
    fn leave_second_group(&mut self, host: usize) {
        let stay = self.delay(20_000, 900_000);
        if self.rng.bool() && self.now + stay < self.plan.faults_end() {
            self.after(stay, Step::ScaleIn { host });
        }
    }

    /// The daemon starts with a wrong clock, which is corrected within minutes.
    pub(super) fn start_with_wrong_clock(&mut self, host: usize) {
        let off_ms = CLOCK_OFF_MS[self.rng.usize(..CLOCK_OFF_MS.len())];
        self.hosts[host].clock_ms = off_ms;
        self.tell(host, || format!("the clock is off by {off_ms} ms"));
        self.judge.clock_jumped(host, off_ms);
        let until = self.delay(2_000, 300_000);
        self.after(until, Step::ClockSet { host });
    }

    /// The clock is corrected. The daemon notices, and restarts within its process from the last journal that it made, even
    /// if that is not on the disk.
    pub(super) fn set_clock(&mut self, host: usize) {
        if self.hosts[host].gone {
            return;
        }
        self.tell(host, || "the clock is corrected".to_owned());
        self.catch_up(host);
        self.hosts[host].clock_ms = 0;
        self.judge.clock_jumped(host, 0);
        if self.hosts[host].machine.is_some() {
            self.hosts[host].stop();
            self.judge.stopped(host);
            let this = &self.hosts[host];
            self.resume(host, this.unwritten.clone().or_else(|| this.disk.clone()));
        }
    }
}
