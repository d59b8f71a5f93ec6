//! What it costs to terminate many instances of a fleet at once, while they share one queue and one throttle bucket. There
//! are no faults.

use std::time::Duration;

use crate::fault::Faults;
use crate::world::{ByInstance, Happening, HookSpec, ImdsConfig, ImdsMode, Throttle, Work, WorldConfig};
use machine::settings::Settings;
use machine::{Event, Time};

use super::agents::Manner;
use super::picks::Protections;
use super::{Fleet, Plan, Setup, plan};

/// The work of every agent. A drain takes as long as one item.
const WORK: Work = Work { items: 3, duration: Duration::from_secs(60), stuck: 0 };

pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);

/// AWS does not document the bucket of Auto Scaling. This is EC2's for read-only calls (EC2 API reference, "Request
/// throttling").
const THROTTLE: Throttle = Throttle { burst: 100, per_second: 20.0 };

/// From the start of the run to the scale-in. The first part, in which daemons start, does not count as idle.
const BEFORE: Duration = Duration::from_secs(660);
const STARTING: Duration = Duration::from_secs(60);

/// The longest run. A run ends when all instances that leave are gone.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// A scale-in to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleIn {
    /// The size of the fleet.
    pub instances: u32,
    /// How many instances are terminated at once.
    pub leaving: u32,
    /// When the daemons poll the queue.
    pub queue: Queue,
    /// The seed of the run.
    pub seed: u64,
}

/// When daemons poll the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// After a notice from IMDS.
    Gated,
    /// All the time, because IMDS has no target state.
    Ungated,
}

/// The cost of a scale-in. Counts are per termination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// ReceiveMessage calls that brought a message to any instance, and those of the instances that leave.
    pub receives: f64,
    /// Messages received by an instance that they are not about.
    pub misdelivered: f64,
    /// Auto Scaling calls, throttled and retried ones included.
    pub calls: f64,
    /// The median delay of completions, in seconds. It counts from the time when the action waits and an agent that was
    /// told at Terminating has finished its work. `None` if there was no completion.
    pub delay_s: Option<f64>,
    /// The longest of these delays.
    pub delay_most_s: Option<f64>,
    /// The share of actions that expired, because the daemon did not hear of them in time or no call got through.
    pub expired: f64,
    /// Empty ReceiveMessage calls per hour, of an instance that stays.
    pub idle_receives: f64,
}

/// Runs a scale-in and measures it.
pub fn measure(scale_in: &ScaleIn) -> Cost {
    let plan = Plan {
        seed: scale_in.seed,
        instances: scale_in.instances,
        span: LONGEST,
        leaving: 0.0,
        faults: Faults::none(),
        trace: false,
    };
    let rng = fastrand::Rng::with_seed(scale_in.seed);
    // As the Terraform module configures it.
    let (hook, heartbeat_timeout) = (Some(plan::HOOK.to_owned()), Some(HEARTBEAT_TIMEOUT));
    let settings = Settings { hook, heartbeat_timeout, ..plan::settings(true) };
    let setup = Setup { world: world(scale_in), settings, manner: Manner::default() };
    let mut fleet = Fleet::in_world(plan, setup, rng);
    fleet.ledger = Some(Ledger::default());
    fleet.run_until(plan::START + STARTING);
    fleet.ledger = Some(Ledger::default());
    fleet.run_until(plan::START + BEFORE);
    let idle = fleet.ledger.replace(Ledger::default()).unwrap_or_default();
    fleet.scale_to(scale_in.instances - scale_in.leaving);
    while fleet.ledger.as_ref().is_some_and(|ledger| ledger.gone < scale_in.leaving) && fleet.step() {}
    let busy = fleet.ledger.take().unwrap_or_default();
    let (_, figures) = fleet.judge.verdict();
    let each = |count: u64| count as f64 / f64::from(scale_in.leaving.max(1));
    let hours = (BEFORE - STARTING).as_secs_f64() / 3600.0;
    let mut delays = busy.delays;
    delays.sort();
    Cost {
        receives: each(busy.receives),
        misdelivered: each(figures.misdelivered),
        calls: each(figures.calls),
        delay_s: delays.get(delays.len() / 2).map(Duration::as_secs_f64),
        delay_most_s: delays.last().map(Duration::as_secs_f64),
        expired: each(figures.expired),
        idle_receives: idle.idle_receives as f64 / f64::from(scale_in.instances) / hours,
    }
}

/// The world of a run that measures.
pub(super) fn world(scale_in: &ScaleIn) -> WorldConfig {
    let mode = match scale_in.queue {
        Queue::Gated => ImdsMode::Answers,
        Queue::Ungated => ImdsMode::WithoutTargetState,
    };
    WorldConfig {
        seed: scale_in.seed,
        group: "fleet".to_owned(),
        instances: scale_in.instances,
        hooks: vec![HookSpec::terminating("drain", HEARTBEAT_TIMEOUT)],
        queue: Some("fleet-termination".to_owned()),
        imds: ImdsConfig { mode, ..ImdsConfig::default() },
        work: WORK,
        throttle: Some(THROTTLE),
        ..WorldConfig::default()
    }
}

impl Fleet {
    pub(super) fn run_until(&mut self, time: Time) {
        while self.next().is_some_and(|next| next < time) && self.step() {}
        self.now = time;
        self.world.advance(time);
    }

    pub(super) fn scale_to(&mut self, desired: u32) {
        let group = self.world.config().group.clone();
        // Cannot fail: the bucket is full, and the size is within the group's limits.
        let _ = self.world.set_desired_capacity(self.now, &group, desired);
        self.digest(None);
    }
}

/// Counts kept while a fleet runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    leaving: ByInstance<Leaving>,
    receives: u64,
    idle_receives: u64,
    pub delays: Vec<Duration>,
    /// The instances that Auto Scaling picked.
    pub requested: Vec<String>,
    pub protections: Protections,
    pub gone: u32,
}

#[derive(Debug)]
struct Leaving {
    /// When an agent that was told at Terminating finishes its work.
    drained: Time,
    wait: Time,
}

impl Ledger {
    /// Records an event before a machine handles it.
    pub fn hears(&mut self, instance: &str, event: &Event) {
        let Event::MessagesReceived { result: Ok(messages), .. } = event else { return };
        if messages.is_empty() && self.leaving.get(instance).is_none() {
            self.idle_receives += 1;
        } else {
            self.receives += 1;
        }
    }

    /// Records what happened.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        match happening {
            Happening::TerminationRequested { instance, .. } => self.requested.push(instance.clone()),
            Happening::InstanceTerminating { instance, .. } => {
                let leaving = Leaving { drained: at + WORK.duration, wait: at };
                self.leaving.insert(instance, leaving);
            }
            Happening::WaitBegan { instance, .. } => {
                if let Some(leaving) = self.leaving.get_mut(instance) {
                    leaving.wait = at;
                }
            }
            Happening::Completed { instance, .. } => {
                if let Some(leaving) = self.leaving.get(instance) {
                    self.delays.push(at.since(leaving.drained.max(leaving.wait)));
                }
            }
            Happening::InstanceTerminated { .. } => self.gone += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instances: u32, leaving: u32, queue: Queue) -> Cost {
        measure(&ScaleIn { instances, leaving, queue, seed: 1 })
    }

    #[test]
    fn idle_fleet_with_imds_does_not_poll_the_queue() {
        assert_eq!(cost(20, 2, Queue::Gated).idle_receives, 0.0);
        // The instance long-polls for twenty seconds at a time, without a pause.
        let ungated = cost(20, 2, Queue::Ungated).idle_receives;
        assert!((150.0..=180.0).contains(&ungated), "{ungated}");
    }
}
