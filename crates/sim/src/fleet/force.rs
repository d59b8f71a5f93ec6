//! Force steps: which agents have one, and how each run of one ends.

use std::time::Duration;

use machine::effect::EffectId;
use machine::settings::AgentSettings;
use machine::{Event, Time};

use super::{Fleet, plan};

/// The share of agents that have a force step, in a run that has such.
const HAS: f64 = 0.7;

/// The shares of runs that never end, and that fail before they do anything.
const HANGS: f64 = 0.15;
const FAILS: f64 = 0.15;

/// Gives some agents a force step, at most five minutes before their deadline.
pub(super) fn draw(agents: &mut [AgentSettings], rng: &mut fastrand::Rng) {
    for agent in agents {
        let before = Duration::from_secs(rng.u64(5..300)).min(plan::DRAIN_TIMEOUT / 3);
        agent.force = (rng.f64() < HAS).then_some(before);
    }
}

impl Fleet {
    /// Runs the force step of an agent. Returns its end and when that comes, which may be after the daemon has stopped it. `None`
    /// if it hangs. The world's own agent does not heed it; another agent ends its work at once.
    pub(super) fn force_agent(
        &mut self,
        host: usize,
        id: EffectId,
        agent: usize,
        deadline: Time,
    ) -> Option<(Duration, Event)> {
        let ended = |result: Result<(), &str>| Event::StepEnded { id, result: result.map_err(str::to_owned) };
        let draw = self.rng.f64();
        if draw < FAILS {
            return Some((self.delay(1, 5), ended(Err("no such program"))));
        }
        let now = self.now;
        if let Some(place) = agent.checked_sub(1)
            && let Some(drained) = &mut self.hosts[host].others[place].drained
            && *drained > now
        {
            *drained = now;
            self.release_held(host, agent);
        }
        if draw < FAILS + HANGS {
            return None;
        }
        let left = self.hosts[host].when(deadline).since(self.now).as_millis() as u64;
        Some((self.delay(2, (left / 2).clamp(10, 10_000)), ended(Ok(()))))
    }
}
