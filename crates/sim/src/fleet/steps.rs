//! After steps: what a daemon has, and how each run of one ends.

use std::time::Duration;

use machine::effect::EffectId;
use machine::settings::StepSettings;
use machine::{Event, Time};

use super::Fleet;

/// The shares of runs that never end, that cannot be started, and that fail.
const HANGS: f64 = 0.15;
const CANNOT_START: f64 = 0.1;
const FAILS: f64 = 0.15;

/// The after steps of a run's daemons.
pub(super) fn draw(rng: &mut fastrand::Rng) -> Vec<StepSettings> {
    let count = rng.usize(1..=3);
    let step = |number| StepSettings {
        name: format!("step-{number}"),
        timeout: Duration::from_secs(if rng.bool() { rng.u64(1..30) } else { rng.u64(30..240) }),
    };
    (1..=count).map(step).collect()
}

impl Fleet {
    /// Runs a step. Returns its end and when that comes, which may be after the daemon has stopped it. `None` if it hangs.
    pub(super) fn run_step(
        &mut self,
        host: usize,
        id: EffectId,
        deadline: Time,
    ) -> Option<(Duration, Event)> {
        let ended = |result: Result<(), &str>| Event::StepEnded { id, result: result.map_err(str::to_owned) };
        let draw = self.rng.f64();
        if draw < HANGS {
            return None;
        }
        if draw < HANGS + CANNOT_START {
            return Some((self.delay(1, 5), ended(Err("no such program"))));
        }
        let left = self.hosts[host].when(deadline).since(self.now).as_millis() as u64;
        let takes = self.delay(2, (left / 2).clamp(10, 60_000));
        let fails = draw < HANGS + CANNOT_START + FAILS;
        Some((takes, ended(if fails { Err("exited with status 1") } else { Ok(()) })))
    }
}
