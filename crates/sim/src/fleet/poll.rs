//! What the metadata service tells a daemon.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::LifeCycle;
use formats::imds;
use machine::Event;
use machine::event::{ImdsReading, TargetState};

use super::Fleet;

/// The poll interval while something is under way and IMDS has no news of it. The reference considers IMDS silent after a
/// minute.
const DULL_POLL: Duration = Duration::from_secs(50);

/// The poll interval while IMDS is silent and has denied the target state once. From then on every poll says the same.
const SILENT_POLL: Duration = Duration::from_secs(10);

/// The longest lag of IMDS behind the world.
const LAG_MAX: Duration = Duration::from_secs(5);

/// The daemon's own poll interval.
pub(super) const POLL: Duration = Duration::from_secs(1);

impl Fleet {
    pub(super) fn poll(&mut self, host: usize) {
        if self.hosts[host].machine.is_none() {
            return;
        }
        let reading = self.reading(host);
        let silent = self.now < self.hosts[host].imds_silent_until;
        if self.hosts[host].knows(&reading, self.now) {
            self.hosts[host].skipped = Some(self.now);
        } else {
            self.hear(host, reading, silent);
        }
        self.plan_next_poll(host, silent);
    }

    /// Feeds the machine everything that IMDS says in one poll.
    fn hear(&mut self, host: usize, reading: ImdsReading, silent: bool) {
        self.catch_up(host);
        if let ImdsReading::TargetState(heard) = &reading {
            self.hosts[host].heard.clone_from(heard);
            self.hosts[host].denied = heard.is_none();
        } else {
            self.hosts[host].heard = None;
        }
        let served = self.hosts[host].heard == Some(TargetState::InService);
        self.hosts[host].forgetful &= !served;
        if silent || self.hosts[host].forgetful {
            self.judge.deaf(host, self.now, self.hosts[host].is_draining());
        }
        self.hosts[host].steady = true;
        self.feed(host, Event::Imds(reading));
        if !silent {
            self.tell_life_cycle(host);
        }
        if let Some(spot) = self.hosts[host].spot.filter(|_| !silent) {
            self.feed(host, Event::Imds(ImdsReading::Spot(Some(spot))));
        }
        if !silent {
            self.tell_news(host);
        }
    }

    /// Tells the daemon once in its life how the instance was bought.
    fn tell_life_cycle(&mut self, host: usize) {
        if self.hosts[host].life_cycle.is_none()
            && let Some(life_cycle) = self.world.life_cycle(&self.hosts[host].id)
            && let Ok(told) = imds::life_cycle(life_cycle.as_str())
        {
            self.hosts[host].life_cycle = Some(life_cycle);
            self.feed(host, Event::Imds(ImdsReading::LifeCycle(told)));
        }
    }

    fn plan_next_poll(&mut self, host: usize, silent: bool) {
        let dull = !silent && self.has_no_news(host);
        if dull && self.hosts[host].is_idle() {
            self.hosts[host].rests = Some(self.now);
            return;
        }
        let pause = match (silent, dull) {
            (true, _) if self.hosts[host].denied => SILENT_POLL,
            (false, true) => DULL_POLL,
            (_, _) => POLL,
        };
        let mut next = self.hosts[host].next_poll(self.now, pause);
        if silent {
            next = next.min(self.hosts[host].next_poll(self.hosts[host].imds_silent_until, POLL));
        }
        self.poll_at(host, next);
    }

    /// What IMDS says of interruptions and maintenance, in runs where that could contradict a message. The daemon of an
    /// on-demand instance does not ask about interruptions.
    pub(super) fn tell_news(&mut self, host: usize) {
        let on = |fault| self.plan.faults.is_on(fault);
        let (alarms, maintenance) = (on(Fault::FalseMessage), on(Fault::Maintenance));
        let asks = self.hosts[host].life_cycle != Some(LifeCycle::OnDemand);
        if alarms && asks && self.hosts[host].spot.is_none() {
            self.feed(host, Event::Imds(ImdsReading::Spot(None)));
        }
        let listed = self.listed_maintenance(host);
        if maintenance && !(listed.is_empty() && self.hosts[host].told_of_maintenance) {
            self.hosts[host].told_of_maintenance = listed.is_empty();
            self.feed(host, Event::Imds(ImdsReading::Maintenance(listed)));
        }
    }

    /// Feeds the machine the last of the skipped polls.
    pub(super) fn catch_up(&mut self, host: usize) {
        if let Some(at) = self.hosts[host].skipped.take() {
            let heard = self.hosts[host].heard.clone();
            self.hand_in(host, at, Event::Imds(ImdsReading::TargetState(heard)));
            debug_assert!(self.hosts[host].steady, "a skipped poll of {} had news", self.hosts[host].id);
        }
        if let Some(at) = self.hosts[host].last_skipped(self.now) {
            self.hosts[host].rests = Some(at);
            self.hand_in(host, at, Event::Imds(ImdsReading::TargetState(Some(TargetState::InService))));
        }
    }

    /// Resumes the polls of an idle daemon, unless it is still idle.
    pub(super) fn poll_again(&mut self, host: usize) {
        if self.hosts[host].rests.is_none() {
            return;
        }
        if self.hosts[host].is_idle() {
            self.hosts[host].rests = Some(self.now);
        } else {
            let next = self.hosts[host].next_poll(self.now, POLL);
            self.plan_poll(host, next);
        }
    }

    /// Whether the next poll would hear what the last one heard, without effect.
    fn has_no_news(&self, host: usize) -> bool {
        let host = &self.hosts[host];
        let Some(target) = self.world.target_state(&host.id) else { return true };
        // After a stale answer, IMDS is asked again.
        match host.heard.as_ref() {
            Some(TargetState::InService) => target == "InService" && host.is_idle(),
            Some(TargetState::Terminated) => target == "Terminated",
            Some(TargetState::Warmed(heard)) => target == heard && !host.forgetful,
            Some(TargetState::Standby | TargetState::Detached | TargetState::Other(_)) | None => false,
        }
    }

    fn reading(&mut self, host: usize) -> ImdsReading {
        if self.now < self.hosts[host].imds_silent_until {
            // A proxy in between may deny that there is such a category.
            return match self.rng.u8(..4) {
                0 => ImdsReading::TargetState(None),
                _ => ImdsReading::Silent { why: "no answer".to_owned() },
            };
        }
        // IMDS lags by seconds. A reading from before the instance was frozen is older.
        if self.strikes(Fault::ImdsStale)
            && self.hosts[host].frozen_until + LAG_MAX <= self.now
            && let Some(heard) = self.hosts[host].heard.clone()
        {
            return ImdsReading::TargetState(Some(heard));
        }
        let target = self.world.target_state(&self.hosts[host].id);
        ImdsReading::TargetState(target.and_then(|target| imds::target_state(target).ok()))
    }
}
