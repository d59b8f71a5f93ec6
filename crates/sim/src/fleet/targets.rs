//! Target groups of a run, which the Auto Scaling group does not manage.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{Health, LifecycleState, TargetGroupSpec, TargetRef, World, WorldConfig};
use machine::effect::Effect;
use machine::event::{CallError, CallErrorKind, TargetHealth};
use machine::settings::{Settings, TargetSettings};
use machine::status::State;
use machine::targets::TargetName;
use machine::{Event, Time};

use super::perform::CALL_LIMIT;
use super::{Fleet, Plan, network, plan};

/// Draws of target groups come from generators of their own, so that a run without any is the same as before there were any.
const SALT: u64 = 0x7461_7267_6574;

/// The same for what is drawn during a run.
const CALLS_SALT: u64 = 0x0065_6c62;

/// The share of instances that are targets at first.
const TARGETS: f64 = 0.8;

/// The share of runs in which the role lacks a permission while there are faults.
const DENIED: f64 = 0.1;

/// The share of runs in which no load balancer uses the target groups, so that their targets are `unused`.
const UNATTACHED: f64 = 0.1;

/// The share of calls that fail in other runs, while there are faults.
const FAILS: f64 = 0.2;

/// The failures that are drawn. In half of the `Unanswered` ones, the call takes effect.
const FAILURES: [CallErrorKind; 4] =
    [CallErrorKind::Unsent, CallErrorKind::Unanswered, CallErrorKind::Unanswered, CallErrorKind::Throttled];

/// Draws whether a run has target groups. The daemons may wait for a shorter time than the load balancer drains.
pub(super) fn draw(plan: &Plan, world: &mut WorldConfig, settings: &mut Settings) {
    let rng = &mut fastrand::Rng::with_seed(plan.seed ^ SALT);
    if !plan.faults.strikes(rng, Fault::TargetGroups, plan::START) {
        return;
    }
    for name in ["web", "admin"].into_iter().take(rng.usize(1..=2)) {
        let delay = Duration::from_secs(rng.u64(0..240));
        world.target_groups.push(TargetGroupSpec { name: name.to_owned(), port: 80, delay });
        let port = rng.bool().then_some(8080);
        let target = TargetName { group: String::new(), id: String::new(), port };
        let timeout = Duration::from_secs(rng.u64(30..300));
        settings.targets.push(TargetSettings { name: name.to_owned(), target, timeout });
    }
}

/// What is drawn of target groups during a run.
#[derive(Debug)]
pub(super) struct Draws {
    rng: fastrand::Rng,
    /// The place of the call that the role may not make while there are faults.
    denied: Option<u8>,
    /// What a registered target is.
    registered: TargetHealth,
}

impl Draws {
    pub fn new(plan: &Plan) -> Self {
        let mut rng = fastrand::Rng::with_seed(plan.seed ^ CALLS_SALT);
        let denied = (rng.f64() < DENIED).then(|| rng.u8(0..3));
        let attached = rng.f64() >= UNATTACHED;
        let registered = if attached { TargetHealth::Registered } else { TargetHealth::Unused };
        Draws { rng, denied, registered }
    }

    /// The failure of a call, by its place among the three calls.
    fn failure(&mut self, call: u8) -> Option<CallErrorKind> {
        match self.denied {
            Some(denied) => (denied == call).then_some(CallErrorKind::AccessDenied),
            None => (self.rng.f64() < FAILS).then(|| FAILURES[self.rng.usize(..FAILURES.len())]),
        }
    }
}

impl Fleet {
    /// Names the targets of an instance in its daemon's settings, and draws whether it is one.
    pub(super) fn name_targets(&mut self, settings: &mut Settings) -> bool {
        if settings.targets.is_empty() {
            return false;
        }
        let (groups, id) = (self.world.target_groups(), &settings.instance_id);
        for (target, group) in settings.targets.iter_mut().zip(&groups) {
            (target.target.group, target.target.id) = (group.arn.clone(), id.clone());
        }
        let is_target = self.targets.rng.f64() < TARGETS;
        for TargetSettings { target, .. } in &settings.targets {
            let by_default = TargetRef { id: id.clone(), port: None };
            // The target groups exist, and so does the instance. The world has registered the first ones, at the target groups'
            // ports.
            let _ = self.world.deregister_target(self.now, &target.group, &by_default);
            if is_target {
                let _ = self.world.register_target(self.now, &target.group, &target_ref(target));
            }
        }
        is_target
    }

    /// Performs a call about a target. Returns how long it takes.
    pub(super) fn call_elb(&mut self, host: usize, effect: &Effect) -> Option<(Duration, Event)> {
        let (id, target, place) = match effect {
            Effect::DescribeTarget { id, target } => (*id, *target, 0),
            Effect::DeregisterTarget { id, target } => (*id, *target, 1),
            Effect::RegisterTarget { id, target } => (*id, *target, 2),
            _ => return None,
        };
        let target = self.hosts[host].settings().targets[target].target.clone();
        let calm = self.now >= self.plan.faults_end();
        let failure = self.targets.failure(place).filter(|_| !calm);
        let arrives =
            failure.is_none() || failure == Some(CallErrorKind::Unanswered) && self.targets.rng.bool();
        let now = self.now;
        let mut health =
            if arrives { change(&mut self.world, now, &target, place) } else { Ok(TargetHealth::Draining) };
        if health == Ok(TargetHealth::Registered) {
            health = Ok(self.targets.registered);
        }
        self.digest(Some(host));
        let failed = failure.map(|kind| CallError { kind, message: format!("{kind:?}") });
        let result = failed.map_or(health, Err);
        let limit = CALL_LIMIT.as_millis() as u64;
        let lost = failure == Some(CallErrorKind::Unanswered);
        let delay = Duration::from_millis(if lost { limit } else { self.targets.rng.u64(40..240) });
        let event = match place {
            0 => Event::TargetDescribed { id, result },
            1 => Event::TargetDeregistered { id, result: result.map(drop) },
            _ => Event::TargetRegistered { id, result: result.map(drop) },
        };
        Some((delay, event))
    }

    /// At the end of a run, an instance that serves is a target if it was one before, and only then.
    pub(super) fn check_targets(&mut self, host: usize) {
        let this = &mut self.hosts[host];
        let serves = this.machine.as_mut().is_some_and(|machine| machine.status().state == State::Serving);
        let in_service =
            self.world.instance(&this.id).is_some_and(|view| view.state == LifecycleState::InService);
        if !serves || !in_service || !this.may_complain() {
            return;
        }
        let (is_target, targets) = (this.is_target, this.settings().targets.clone());
        for TargetSettings { name, target, .. } in targets {
            let found = self.world.describe_targets(self.now, &target.group, &[target_ref(&target)]);
            let health = found.ok().and_then(|found| found.first().map(|found| found.health));
            let registered = matches!(health, Some(Health::Initial | Health::Healthy));
            if registered != is_target {
                let what =
                    format!("serves, and its target in {name} is {health:?}, but at first: {is_target}");
                self.judge.complains(host, self.now, &what);
            }
        }
    }
}

fn target_ref(target: &TargetName) -> TargetRef {
    TargetRef { id: target.id.clone(), port: target.port }
}

/// Makes a call about a target. All but the first return no health.
fn change(world: &mut World, now: Time, target: &TargetName, call: u8) -> Result<TargetHealth, CallError> {
    let (group, target) = (&target.group, target_ref(target));
    let result = match call {
        0 => world.describe_targets(now, group, &[target]).map(|found| {
            match found.first().map(|one| one.health) {
                Some(Health::Initial | Health::Healthy) => TargetHealth::Registered,
                Some(Health::Draining) => TargetHealth::Draining,
                Some(Health::Unused) | None => TargetHealth::NotRegistered,
            }
        }),
        1 => world.deregister_target(now, group, &target).map(|()| TargetHealth::Draining),
        _ => world.register_target(now, group, &target).map(|()| TargetHealth::Registered),
    };
    result.map_err(|error| network::call_error(&error))
}

/// How long a drain may wait for its target groups: until each is deregistered, and then until it is unused.
pub(super) fn longest(settings: &Settings) -> Duration {
    settings.targets.iter().map(|target| target.timeout * 2).max().unwrap_or_default()
}
