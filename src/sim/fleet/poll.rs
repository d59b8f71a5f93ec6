//! What the metadata service tells a daemon.

use std::time::Duration;

use crate::aws::answer;
use crate::machine::Event;
use crate::machine::event::{ImdsReading, TargetState};
use crate::sim::fault::Fault;

use super::Fleet;

/// A poll of IMDS that would hear what the last one heard is not made, but for one so
/// often: after a minute without any the machine would take IMDS for silent.
const IDLE_POLL: Duration = Duration::from_secs(50);

/// While something is under way.
pub(super) const POLL: Duration = Duration::from_secs(1);

impl Fleet {
    pub(super) fn poll(&mut self, host: usize) {
        let reading = self.reading(host);
        let silent = self.now < self.hosts[host].imds_silent_until;
        if let ImdsReading::TargetState(heard) = &reading {
            self.hosts[host].heard.clone_from(heard);
        } else {
            self.hosts[host].heard = None;
        }
        let served = self.hosts[host].heard == Some(TargetState::InService);
        self.hosts[host].forgetful &= !served;
        if (silent || self.hosts[host].forgetful) && !self.hosts[host].is_draining() {
            self.judge.deaf(host, self.now);
        }
        self.feed(host, Event::Imds(reading));
        if let Some(spot) = self.hosts[host].spot.filter(|_| !silent) {
            self.feed(host, Event::Imds(ImdsReading::Spot(Some(spot))));
        }
        let pause = if !silent && self.has_no_news(host) { IDLE_POLL } else { POLL };
        let next = self.hosts[host].next_poll(self.now, pause);
        self.plan_poll(host, next);
    }

    /// Whether the next poll would hear what the last one heard, and that changes nothing.
    fn has_no_news(&self, host: usize) -> bool {
        let host = &self.hosts[host];
        let Some(target) = self.world.target_state(&host.id) else { return true };
        // What was stale is asked for again.
        match host.heard.as_ref() {
            Some(TargetState::InService) => target == "InService" && host.is_idle(),
            Some(TargetState::Terminated) => target == "Terminated",
            Some(TargetState::Warmed(heard)) => target == heard && !host.forgetful,
            Some(TargetState::Standby | TargetState::Detached | TargetState::Other(_)) | None => false,
        }
    }

    fn reading(&mut self, host: usize) -> ImdsReading {
        if self.now < self.hosts[host].imds_silent_until {
            // A proxy in between may deny that there is such a thing.
            return match self.rng.u8(..4) {
                0 => ImdsReading::TargetState(None),
                _ => ImdsReading::Silent { why: "no answer".to_owned() },
            };
        }
        if self.strikes(Fault::ImdsStale)
            && let Some(heard) = self.hosts[host].heard.clone()
        {
            return ImdsReading::TargetState(Some(heard));
        }
        let target = self.world.target_state(&self.hosts[host].id);
        ImdsReading::TargetState(target.and_then(|target| answer::target_state(target).ok()))
    }
}
