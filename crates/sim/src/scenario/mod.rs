//! The scenarios of `drainhook simulate`: what the world is like, what happens in it, and what must come out. Pure.
//!
//! # Layout
//!
//! - `act`: what is done in the middle of a scenario, and when
//! - `expectation`: what must come out
//! - `basics`, `agents`, `daemons`, `events`, `actions`, `stays`: the scenarios, by what they are about

mod act;
mod actions;
mod agents;
mod basics;
mod daemons;
mod events;
mod expectation;
mod stays;

use std::time::Duration;

use super::story::Moment;
use super::world::{ActionResult, HookSpec, Work, WorldConfig};
use machine::journal::Outcome;

pub use act::{Act, Deed};
pub use expectation::Expectation;

/// A scale-in, and what must come out of it for every instance.
#[derive(Debug)]
pub struct Scenario {
    /// What users type.
    pub name: &'static str,
    /// One line for `--list`.
    pub about: &'static str,
    /// How fast time runs unless `--speed` says otherwise. What the hook's timeout leaves for a heartbeat that is
    /// late must be most of a second of real time, for a busy machine; what else is a matter of time, half a second.
    pub speed: u32,
    /// How long it may take, in simulated time.
    pub limit: Duration,
    /// The daemons' settings, as environment variables.
    pub settings: &'static [(&'static str, &'static str)],
    /// What is done besides the scale-in, each to every instance.
    pub acts: &'static [Act],
    /// When it is over.
    pub end: Moment,
    /// What must come out.
    pub expectations: &'static [Expectation],
    change: fn(&mut WorldConfig),
}

/// What a scenario is unless it says otherwise.
const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    speed: 20,
    limit: secs(600),
    settings: &[],
    acts: &[],
    end: Moment::Terminated,
    expectations: &[],
    change: |_| {},
};

/// A scale-in with an agent of the user's own: what it holds, and how long that takes, is its own affair.
pub static OWN_AGENT: Scenario = Scenario {
    name: "your agent",
    about: "an instance with your agent is scaled in, under a hook whose heartbeat timeout is 60 s",
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

/// All scenarios, in the order of the list; the first is the default.
pub static SCENARIOS: &[&Scenario] = &[
    &basics::SCALE_IN,
    &basics::LONG_DRAIN,
    &basics::LOAD_BALANCER,
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
];

impl Scenario {
    /// The scenario of that name.
    pub fn find(name: &str) -> Option<&'static Scenario> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).copied()
    }

    /// The world that it plays in.
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

    /// A heartbeat is sent after 0.6 of its timeout at the latest; the rest must not be too little for a busy machine.
    #[test]
    fn speeds_leave_room() {
        for scenario in SCENARIOS {
            let timeout = scenario.world(1).hooks[0].heartbeat_timeout;
            let room = timeout.mul_f64(0.4) / scenario.speed;
            assert!(room >= Duration::from_millis(800), "{}: {room:?}", scenario.name);
        }
    }
}
