//! How many busy instances a scale-in picks, with and without busy protection, and what the protection costs. The fleet shares
//! one throttle bucket. There are no faults.

use std::time::Duration;

use crate::fault::Faults;
use crate::world::Rhythm;
use machine::settings::{ProtectionSettings, Settings};

use super::agents::Manner;
use super::cost::{HEARTBEAT_TIMEOUT, Ledger, Queue, ScaleIn, world};
use super::{Fleet, Plan, Setup, plan};

/// The defaults of the section `protection`.
const PROTECTION: ProtectionSettings = ProtectionSettings {
    busy_for: Duration::from_secs(30),
    idle_for: Duration::from_secs(300),
    longest: Duration::from_secs(3000),
};

/// Until the first protections are set. After that, the calls of an hour are counted, and then the group is scaled in.
const STARTING: Duration = Duration::from_secs(1800);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest run.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// A scale-in to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picking {
    /// The size of the fleet. A tenth of it is terminated at once.
    pub instances: u32,
    /// How long an instance has work, and how long it then has none. At any time, half of the instances are busy.
    pub work: Duration,
    /// Whether busy instances are protected.
    pub protects: bool,
    /// The seed of the run.
    pub seed: u64,
}

/// What was picked, and what that cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picks {
    /// The instances that were picked.
    pub picked: u32,
    /// Those of them that had work.
    pub busy: u32,
    /// SetInstanceProtection calls per instance and hour, throttled ones included.
    pub calls: f64,
    /// The share of these calls that were throttled.
    pub throttled: f64,
    /// The longest delay of a completion, in seconds, as in [`Cost`](super::cost::Cost).
    pub delay_most_s: Option<f64>,
    /// The share of actions that expired.
    pub expired: f64,
}

/// Runs a scale-in and measures it.
pub fn pick(picking: &Picking) -> Picks {
    let Picking { instances, work, protects, seed } = *picking;
    let leaving = (instances / 10).max(1);
    let plan = Plan { seed, instances, span: LONGEST, leaving: 0.0, faults: Faults::none(), trace: false };
    let (hook, heartbeat_timeout) = (Some(plan::HOOK.to_owned()), Some(HEARTBEAT_TIMEOUT));
    let protection = protects.then_some(PROTECTION);
    let settings = Settings { hook, heartbeat_timeout, protection, ..plan::settings(true) };
    let mut world = world(&ScaleIn { instances, leaving, queue: Queue::Gated, seed });
    world.rhythm = Some(Rhythm { busy: work, idle: work });
    let setup = Setup { world, settings, manner: Manner::default() };
    let mut fleet = Fleet::in_world(plan, setup, fastrand::Rng::with_seed(seed));
    fleet.run_until(plan::START + STARTING);
    fleet.ledger = Some(Ledger::default());
    fleet.run_until(plan::START + STARTING + HOUR);
    let hour = fleet.ledger.replace(Ledger::default()).unwrap_or_default().protections;
    // Each seed scales in at another point of the rhythm.
    fleet.run_until(plan::START + STARTING + HOUR + Duration::from_secs(seed * 437 % 1800));
    let is_busy = |fleet: &Fleet, id: &str| fleet.world.agent(id).is_some_and(|agent| agent.in_flight > 0);
    let working: Vec<String> =
        fleet.hosts.iter().map(|host| host.id.clone()).filter(|id| is_busy(&fleet, id)).collect();
    fleet.scale_to(instances - leaving);
    let gone = |fleet: &Fleet| fleet.ledger.as_ref().is_some_and(|ledger| ledger.gone >= leaving);
    while !gone(&fleet) && fleet.step() {}
    let ledger = fleet.ledger.take().unwrap_or_default();
    let (_, figures) = fleet.judge.verdict();
    let busy = ledger.requested.iter().filter(|id| working.contains(id)).count();
    Picks {
        picked: ledger.requested.len() as u32,
        busy: busy as u32,
        calls: hour.calls as f64 / f64::from(instances),
        throttled: hour.throttled as f64 / (hour.calls as f64).max(1.0),
        delay_most_s: ledger.delays.iter().max().map(Duration::as_secs_f64),
        expired: figures.expired as f64 / f64::from(leaving),
    }
}

/// The calls for protections.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Protections {
    calls: u64,
    throttled: u64,
}

impl Protections {
    /// A call was made.
    pub fn count(&mut self, throttled: bool) {
        self.calls += 1;
        self.throttled += u64::from(throttled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_instances_are_not_picked() {
        let picks =
            |protects| pick(&Picking { instances: 40, work: Duration::from_secs(900), protects, seed: 1 });
        let Picks { picked, busy, calls, .. } = picks(true);
        assert_eq!((picked, busy), (4, 0));
        // Two changes in half an hour.
        assert!((3.0..=5.0).contains(&calls), "{calls}");
        let without = picks(false);
        assert!(without.busy > 0 && without.calls == 0.0, "{without:?}");
    }
}
