//! The scenarios of `drainhook simulate`: the world, what happens in it, and the expected results. Pure.
//!
//! # Layout
//!
//! - `act`: what a scenario does, and when
//! - `expectation`: the expected results
//! - `basics`, `agents`, `daemons`, `events`, `actions`, `stays`, `notices`: the scenarios, by subject

mod act;
mod actions;
mod agents;
mod basics;
mod daemons;
mod events;
mod expectation;
mod notices;
mod stays;

use std::time::Duration;

use super::story::Moment;
use super::world::{ActionResult, HookSpec, Work, WorldConfig};
use machine::journal::Outcome;

pub use act::{Act, Deed};
pub use expectation::Expectation;

/// A story, most often a scale-in, and the result that is expected for every instance.
#[derive(Debug)]
pub struct Scenario {
    /// The name that users type.
    pub name: &'static str,
    /// One line for `--list`.
    pub about: &'static str,
    /// How fast time runs without `--speed`. A busy machine needs room: the part of the hook's timeout that is left when a
    /// heartbeat is due must be most of a second in real time, and anything else that depends on time must have half a
    /// second.
    pub speed: u32,
    /// How long the scenario may take, in simulated time.
    pub limit: Duration,
    /// The daemons' settings, as environment variables.
    pub settings: &'static [(&'static str, &'static str)],
    /// What begins the story, once the daemons have started.
    pub start: Deed,
    /// What happens after that. Each act is applied to every instance.
    pub acts: &'static [Act],
    /// The moment at which the scenario is over.
    pub end: Moment,
    /// The expected results.
    pub expectations: &'static [Expectation],
    change: fn(&mut WorldConfig),
}

/// Defaults for the scenarios.
const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    speed: 20,
    limit: secs(600),
    settings: &[],
    start: Deed::ScaleIn,
    acts: &[],
    end: Moment::Terminated,
    expectations: &[],
    change: |_| {},
};

/// A scale-in with the user's own agent, whose work this scenario does not know.
pub static OWN_AGENT: Scenario = Scenario {
    name: "your agent",
    about: "an instance with your agent is scaled in; the hook's heartbeat timeout is 60 s",
    speed: 1,
    limit: secs(2 * 3600),
    expectations: &[
        Expectation::Completed(&[ActionResult::Continue]),
        Expectation::Messages { sent: 1, deleted: 1 },
        Expectation::Outcomes(&[Outcome::Drained]),
    ],
    change: |world| {
        hook(world, 60);
        world.work = work(0, 0);
    },
    ..PLAIN
};

/// All scenarios, in the order of `--list`. The first is the default.
pub static SCENARIOS: &[&Scenario] = &[
    &basics::SCALE_IN,
    &basics::LONG_DRAIN,
    &basics::LOAD_BALANCER,
    &basics::TARGET_GROUP,
    &basics::NO_QUEUE,
    &basics::QUEUE_ONLY,
    &basics::MANY,
    &agents::HANGS,
    &agents::REFUSES,
    &agents::CRASHES,
    &agents::RESTARTS,
    &agents::EXITS,
    &daemons::KILLED,
    &daemons::STOPPED,
    &events::IMDS_FLAKY,
    &events::QUEUE_LOST,
    &events::EVENT_LATE,
    &events::EVENT_DUPLICATED,
    &actions::THROTTLED,
    &actions::TWO_HOOKS,
    &actions::HOOK_DELETED,
    &actions::OVERTAKEN,
    &actions::DEFAULT_RESULT,
    &stays::RETAINED,
    &stays::WARM_POOL,
    &notices::PROTECTION,
    &notices::SPOT,
    &notices::REBALANCE,
    &notices::MAINTENANCE,
    &notices::STANDBY,
    &notices::DETACHMENT,
    &notices::CAPACITY_RESERVATION,
    &notices::CAPACITY_BLOCK,
    &notices::LAUNCH,
    &notices::ROOT_VOLUME,
];

impl Scenario {
    /// Finds a scenario by its name.
    pub fn find(name: &str) -> Option<&'static Scenario> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).copied()
    }

    /// The world that the scenario plays in.
    pub fn world(&self, seed: u64) -> WorldConfig {
        let mut world = WorldConfig { seed, ..WorldConfig::default() };
        (self.change)(&mut world);
        world
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn hook(world: &mut WorldConfig, heartbeat_timeout_s: u64) {
    world.hooks = vec![HookSpec::terminating("drain", secs(heartbeat_timeout_s))];
}

fn work(items: u32, duration_s: u64) -> Work {
    Work { items, duration: secs(duration_s), ..Work::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heartbeats are sent at 0.6 of their timeout at the latest. The rest must be enough for a busy machine.
    #[test]
    fn speeds_leave_room() {
        for scenario in SCENARIOS {
            let timeout = scenario.world(1).hooks[0].heartbeat_timeout;
            let room = timeout.mul_f64(0.4) / scenario.speed;
            assert!(room >= Duration::from_millis(800), "{}: {room:?}", scenario.name);
        }
    }
}
