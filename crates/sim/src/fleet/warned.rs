//! How soon the instances of a fleet that listens to one queue hear of warnings that IMDS does not list. There are no faults,
//! but another group's Capacity Block ends, too.

use std::time::Duration;

use machine::settings::{Listen, Settings};

use super::agents::Manner;
use super::block::{self, Block};
use super::cost::{self, Queue, ScaleIn};
use super::{Fleet, Plan, Setup, plan};
use crate::fault::Faults;
use crate::world::warning;

/// From the start of the run to the warning. By then every daemon long-polls.
const BEFORE: Duration = Duration::from_secs(120);

/// EC2 terminates an instance of an interruptible reservation so long after its warning, and the daemon wants the agents to be
/// done ten seconds before that.
const WARNING: Duration = Duration::from_secs(120);
const IN_TIME: Duration = Duration::from_secs(110);

/// What EC2 warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// It reclaims the capacity of this many instances, with a message about each.
    Interruptions(u32),
    /// The Capacity Block of all instances ends, which is one message.
    BlockEnd,
}

/// How soon the agents were told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// The median, in seconds after the message was sent. `None` if no agent was told.
    pub delay_s: Option<f64>,
    /// The longest.
    pub delay_most_s: Option<f64>,
    /// The share of the warned instances whose agents were told within 110 s.
    pub in_time: f64,
}

/// Warns a fleet of this size once and measures when its agents are told.
pub fn measure(instances: u32, warning: Warning, seed: u64) -> Heard {
    let plan =
        Plan { seed, instances, span: WARNING * 10, leaving: 0.0, faults: Faults::none(), trace: false };
    let settings = Settings {
        listen: Listen::Always,
        capacity_reservation: Some(block::RESERVATION.to_owned()),
        hook: Some(plan::HOOK.to_owned()),
        ..plan::settings(true)
    };
    let scale_in = ScaleIn { instances, leaving: 0, queue: Queue::Gated, seed };
    let setup = Setup { world: cost::world(&scale_in), settings, manner: Manner::default() };
    let mut fleet = Fleet::in_world(plan, setup, fastrand::Rng::with_seed(seed));
    fleet.run_until(plan::START + BEFORE);
    let sent = fleet.now;
    let warned = match warning {
        Warning::Interruptions(warned) => {
            for host in 0..warned as usize {
                let body = warning::interruption(&fleet.hosts[host].id, sent, sent + WARNING);
                fleet.hosts[host].capacity = Some(sent + WARNING);
                fleet.send_about(host, body);
            }
            warned
        }
        Warning::BlockEnd => {
            fleet.warn_of_block(Block::Extended);
            instances
        }
    };
    fleet.run_until(sent + WARNING * 4);
    let told = fleet.hosts.iter().filter_map(|host| host.told_at.map(|told| told.since(sent)));
    let mut delays: Vec<Duration> = told.collect();
    delays.sort();
    let in_time = delays.iter().filter(|delay| **delay <= IN_TIME).count();
    Heard {
        delay_s: delays.get(delays.len() / 2).map(Duration::as_secs_f64),
        delay_most_s: delays.last().map(Duration::as_secs_f64),
        in_time: in_time as f64 / f64::from(warned.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten instances of a reservation are reclaimed at once, and ten others lose their Capacity Block.
    #[test]
    fn a_small_fleet_hears_in_time() {
        for warning in [Warning::Interruptions(10), Warning::BlockEnd] {
            assert_eq!(measure(10, warning, 1).in_time, 1.0, "{warning:?}");
        }
    }
}
