//! What a run starts with.

use std::time::Duration;

use crate::machine::Time;
use crate::sim::fault::Faults;
use crate::sim::world::{HookSpec, Timing, Work, WorldConfig};

/// 2026-01-01T00:00:00Z
pub(super) const START: Time = Time::from_unix_ms(1_767_225_600_000);

/// `agent.drain_timeout` of every daemon.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(900);

/// What is left to be done when faults have ended must end within this time: a drain, and what a heartbeat timeout adds.
const TAIL: Duration = Duration::from_secs(900 + 2 * 300 + 120);

/// What is run. The same plan gives the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Decides all that is left to chance.
    pub seed: u64,
    /// How many instances there are at the start.
    pub instances: u32,
    /// How long faults happen and instances are taken away, in virtual time.
    pub span: Duration,
    /// The part of them that is taken away within that time, from 0 to 1: half of them one by one, half all at once.
    pub leaving: f64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether each event and each effect is written down.
    pub trace: bool,
}

impl Plan {
    /// A world of this seed: with hooks and work of many kinds, with and without a queue and a load balancer.
    pub(super) fn world(&self, rng: &mut fastrand::Rng) -> WorldConfig {
        let timeout = Duration::from_secs([30, 60, 300][rng.usize(..3)]);
        let queue = (rng.f64() < 0.8).then(|| "fleet-termination".to_owned());
        let balancer = (rng.f64() < 0.3).then(|| Duration::from_secs(rng.u64(5..120)));
        let work = Work { items: rng.u32(0..6), duration: Duration::from_secs(rng.u64(5..600)), stuck: 0 };
        WorldConfig {
            seed: self.seed,
            group: "fleet".to_owned(),
            instances: self.instances,
            hooks: vec![HookSpec::terminating("drain", timeout)],
            queue,
            load_balancer_drain: balancer,
            timing: Timing::default(),
            delivery: self.faults.delivery(),
            work,
            throttle: self.faults.throttle(self.instances),
            ..WorldConfig::default()
        }
    }

    /// When an instance is taken away, if it is.
    pub(super) fn leaves_at(&self, rng: &mut fastrand::Rng) -> Option<Time> {
        let (draw, at) = (rng.f64(), rng.f64());
        let when = if draw < self.leaving / 2.0 { at } else { 0.5 };
        (draw < self.leaving).then(|| START + self.span.mul_f64(when))
    }

    /// No fault begins after this, and nothing is taken away.
    pub(super) fn faults_end(&self) -> Time {
        START + self.span
    }

    /// The run's end.
    pub(super) fn end(&self) -> Time {
        self.faults_end() + TAIL
    }
}
