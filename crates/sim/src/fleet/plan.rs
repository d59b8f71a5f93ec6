//! What a run starts with.

use std::time::Duration;

use super::agents::{self, Manner, Request};
use super::{block, force, launch, protection, steps, targets};
use crate::fault::{Fault, Faults};
use crate::world::{HookSpec, ImdsConfig, ImdsFlip, Timing, Work, WorldConfig};
use machine::Time;
use machine::effect::CompletionResult;
use machine::settings::{AgentSettings, DrainAt, Listen, OnExit, OnNotice, Protocol, Settings};

/// 2026-01-01T00:00:00Z
pub(super) const START: Time = Time::from_unix_ms(1_767_225_600_000);

/// `agent.unreachable_grace` of every daemon.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// `agent.drain_timeout` of every daemon.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(900);

/// How long an agent that reports only a number must say 0, in seconds.
const ZERO_FOR: std::ops::RangeInclusive<u64> = 5..=15;

/// The hook that the daemons complete.
pub(super) const HOOK: &str = "drain";

pub(super) const GROUP: &str = "fleet";

/// Heartbeat timeouts of hooks, in seconds.
pub(super) const TIMEOUTS: [u64; 4] = [30, 60, 300, 900];

/// Draws of what daemons do about standby and detachment come from a generator of their own, so that they change no other draw.
const STAY_SALT: u64 = 0x7374_6179;

/// Time for the rest of the run once faults have ended. It allows for two drains, because an instance that is retained
/// after the first is released and drained again, and for a heartbeat timeout each.
const TAIL: Duration = Duration::from_secs(2 * 900 + 2 * 300 + 120);

/// A run. The same plan gives the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The seed of everything that is random.
    pub seed: u64,
    /// How many instances there are at the start.
    pub instances: u32,
    /// How long faults happen and instances are terminated, in virtual time.
    pub span: Duration,
    /// The share of instances that is terminated within that time, from 0 to 1: half of them one by one, half all at once.
    pub leaving: f64,
    /// The faults.
    pub faults: Faults,
    /// Whether to record each event and each effect.
    pub trace: bool,
}

/// The parts of a run that the seed determines.
pub(super) struct Setup {
    pub world: WorldConfig,
    /// The settings of every daemon, except for the instance's id.
    pub settings: Settings,
    pub manner: Manner,
}

impl Plan {
    /// Draws the setup from the seed: hooks and work of many kinds, with and without a queue and a load balancer.
    pub(super) fn setup(&self, rng: &mut fastrand::Rng) -> Setup {
        let has = |rng: &mut fastrand::Rng, fault| self.faults.strikes(rng, fault, START);
        let timeout = Duration::from_secs(TIMEOUTS[rng.usize(..3)]);
        let queue = (rng.f64() < 0.8).then(|| "fleet-termination".to_owned());
        let balancer = (rng.f64() < 0.3).then(|| Duration::from_secs(rng.u64(5..120)));
        let stuck = u32::from(has(rng, Fault::AgentStuck));
        let work = Work { items: rng.u32(0..6), duration: Duration::from_secs(rng.u64(5..600)), stuck };
        let several = has(rng, Fault::SeveralHooks);
        let mut hooks = vec![HookSpec::terminating(HOOK, timeout)];
        hooks.extend(several.then(|| HookSpec::terminating("others", timeout)));
        let world = WorldConfig {
            seed: self.seed,
            group: GROUP.to_owned(),
            instances: self.instances,
            hooks,
            queue,
            load_balancer_drain: balancer,
            warm_pool: has(rng, Fault::WarmPool),
            retain_on_abandon: has(rng, Fault::Retention),
            imds: ImdsConfig { flip: flip(rng), ..ImdsConfig::default() },
            timing: Timing { terminated: Duration::from_secs(rng.u64(5..120)), ..Timing::default() },
            delivery: self.faults.delivery(START),
            work,
            agent_exits: rng.f64() < 0.2,
            throttle: self.faults.throttle(self.instances),
            ..WorldConfig::default()
        };
        let mut settings = settings_for(&world, rng);
        let request = self.request(rng);
        // A number has no optional fields.
        let odd = has(rng, Fault::OddDocument) && !matches!(request, Request::Counts { .. });
        let manner = Manner { request, odd };
        let protocol = match manner.request {
            Request::Documents | Request::Mute { .. } | Request::Counts { runs: false } => Protocol::Polled,
            Request::Blocks => Protocol::Blocking,
            Request::Runs | Request::Counts { runs: true } => Protocol::Running,
            Request::Signaled => Protocol::Once,
        };
        settings.agents.iter_mut().for_each(|agent| agent.protocol = protocol);
        if matches!(manner.request, Request::Counts { .. }) {
            settings.agents[0].zero_for = Some(Duration::from_secs(rng.u64(ZERO_FOR)));
        }
        if has(rng, Fault::SeveralAgents) {
            let more = agents::more_agents(&settings.agents[0], rng);
            settings.agents.extend(more);
            if has(rng, Fault::AgentOrder) {
                agents::in_turn(&mut settings.agents, rng);
            }
        }
        if has(rng, Fault::AfterSteps) {
            settings.after = steps::draw(rng);
        }
        if has(rng, Fault::ForceSteps) {
            force::draw(&mut settings.agents, rng);
        }
        if has(rng, Fault::DrainAtWait) {
            settings.drain_at = DrainAt::Wait;
        }
        let mut world = world;
        if protocol == Protocol::Running {
            // Only an agent that is reached by a connection can be seen to exit.
            world.agent_exits = false;
            settings.agents.iter_mut().for_each(|agent| agent.on_exit = OnExit::Failed);
        }
        if manner.request == Request::Signaled {
            world.agent_exits = true;
        }
        if matches!(manner.request, Request::Mute { .. }) {
            // Agents drain before Wait, and have time to come back with work.
            world.load_balancer_drain = Some(Duration::from_secs(rng.u64(30..240)));
            let (items, duration) = (rng.u32(1..6), Duration::from_secs(rng.u64(5..60)));
            world.work = Work { items, duration, ..world.work };
        }
        if has(rng, Fault::GlobalTimeout) {
            world.global_timeout_max = Duration::from_secs(rng.u64(200..800));
        }
        launch::draw(self, &mut world, &mut settings);
        protection::draw(self, &mut world, &mut settings);
        targets::draw(self, &mut world, &mut settings);
        self.draw_stays(&mut settings);
        block::draw(self, &mut settings);
        Setup { world, settings, manner }
    }

    /// Draws whether the daemons drain instances in standby and detached instances.
    fn draw_stays(&self, settings: &mut Settings) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ STAY_SALT);
        let mut draw = || if rng.bool() { OnNotice::Drain } else { OnNotice::Ignore };
        settings.on_detachment = draw();
        settings.on_standby = draw();
    }

    /// How the agents of this run answer requests.
    fn request(&self, rng: &mut fastrand::Rng) -> Request {
        if self.faults.strikes(rng, Fault::AgentMute, START) {
            Request::Mute { holds: rng.f64() < 0.7 }
        } else if self.faults.strikes(rng, Fault::AgentBlocks, START) {
            Request::Blocks
        } else if self.faults.strikes(rng, Fault::AgentRuns, START) {
            Request::Runs
        } else if self.faults.strikes(rng, Fault::AgentSignaled, START) {
            Request::Signaled
        } else if self.faults.strikes(rng, Fault::AgentCounts, START) {
            Request::Counts { runs: rng.bool() }
        } else {
            Request::Documents
        }
    }

    /// When an instance is terminated, if it is.
    pub(super) fn leaves_at(&self, rng: &mut fastrand::Rng) -> Option<Time> {
        let (draw, at) = (rng.f64(), rng.f64());
        let when = if draw < self.leaving / 2.0 { at } else { 0.5 };
        (draw < self.leaving).then(|| START + self.span.mul_f64(when))
    }

    /// No fault starts and no instance is terminated after this.
    pub(super) fn faults_end(&self) -> Time {
        START + self.span
    }

    /// The end of the run.
    pub(super) fn end(&self) -> Time {
        self.faults_end() + TAIL
    }
}

/// A daemon's basic settings.
pub(super) fn settings(queue: bool) -> Settings {
    let agent = AgentSettings {
        name: "agent".to_owned(),
        drain_timeout: DRAIN_TIMEOUT,
        unreachable_grace: GRACE,
        order: 1,
        on_exit: OnExit::Failed,
        poll: Duration::from_secs(1),
        protocol: Protocol::Polled,
        zero_for: None,
        force: None,
    };
    Settings {
        instance_id: String::new(),
        boot_id: Some("boot 0".to_owned()),
        booted_at: None,
        group: Some(GROUP.to_owned()),
        agents: vec![agent],
        after: Vec::new(),
        targets: Vec::new(),
        queue,
        queue_name: None,
        listen: Listen::AtNotice,
        capacity_reservation: None,
        hook: None,
        heartbeat_timeout: None,
        drain_at: DrainAt::Notice,
        on_drained: CompletionResult::Continue,
        on_deadline: CompletionResult::Continue,
        on_failed: CompletionResult::Continue,
        on_rebalance: OnNotice::Drain,
        on_standby: OnNotice::Drain,
        on_detachment: OnNotice::Drain,
        launch: None,
        protection: None,
    }
}

/// Settings that suit a world.
fn settings_for(world: &WorldConfig, rng: &mut fastrand::Rng) -> Settings {
    let mut settings = settings(world.queue.is_some());
    if world.agent_exits {
        settings.agents.iter_mut().for_each(|agent| agent.on_exit = OnExit::Drained);
    }
    if world.retain_on_abandon && rng.bool() {
        settings.on_deadline = CompletionResult::Abandon;
        settings.on_failed = CompletionResult::Abandon;
    }
    if world.load_balancer_drain.is_some() && rng.bool() {
        settings.drain_at = DrainAt::Wait;
    }
    // With several hooks, ours must be named.
    let hook = world.hooks.len() > 1 || rng.bool();
    Settings { group: settings.group.filter(|_| rng.bool()), hook: hook.then(|| HOOK.to_owned()), ..settings }
}

/// When IMDS announces a termination. AWS does not document that.
fn flip(rng: &mut fastrand::Rng) -> ImdsFlip {
    match rng.u8(..10) {
        0..6 => ImdsFlip::AfterTerminating(Duration::ZERO),
        6..8 => ImdsFlip::AfterTerminating(Duration::from_secs(rng.u64(1..10))),
        _ => ImdsFlip::AfterWait(Duration::from_secs(rng.u64(0..10))),
    }
}
