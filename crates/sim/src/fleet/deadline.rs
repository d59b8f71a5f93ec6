//! The deadlines that are really in force, and the check that a drain ends at one of them.

use std::time::Duration;

use crate::world::LifeCycle;
use machine::journal::{Journal, Outcome};
use machine::notice::Reason;
use machine::report::Report;
use machine::{Event, Time};

use super::calls::Trouble;
use super::{Fleet, plan};

/// The longest margins that a daemon keeps before EC2 interrupts an instance and before a global timeout.
const EC2_MARGIN: Duration = Duration::from_secs(10);
const GLOBAL_MARGIN: Duration = Duration::from_secs(60);

/// A warning of EC2 is in force for this long after its time.
const BLOCK_EXPIRY: Duration = Duration::from_secs(300);

/// The daemon may only know that the action began after IMDS last said `InService`.
const UNHEARD: Duration = Duration::from_secs(180);

/// The daemon may act on a reading a moment later.
const SLACK: Duration = Duration::from_secs(2);

/// How long IMDS may be silent before the daemon notices.
const SILENCE: Duration = Duration::from_secs(60);

impl Fleet {
    /// Checks a machine's report against what is in force.
    pub(super) fn check_report(&mut self, host: usize, now: Time, report: &Report) {
        match report {
            Report::DrainStarted { reason } => {
                self.hosts[host].told_at = None;
                self.hosts[host].is_astray = false;
                self.hosts[host].is_forced = false;
                self.check_reason(host, now, *reason);
            }
            Report::AgentsTold { .. } => {
                self.hosts[host].told_at.get_or_insert(now);
            }
            Report::AgentForced { .. } => self.hosts[host].is_forced = true,
            Report::Completing { outcome: Outcome::Deadline, .. }
            | Report::DrainEnded { outcome: Outcome::Deadline, result: None, .. } => {
                self.check_deadline(host, now)
            }
            _ => {}
        }
    }

    /// A daemon continues the drain in its journal, which may be older than its last life.
    pub(super) fn goes_on(&mut self, host: usize, journal: Option<&Journal>) {
        let drain = journal.and_then(|journal| journal.drain.as_ref());
        let written = drain.and_then(|drain| drain.phase.told());
        let forced = journal.iter().flat_map(|journal| &journal.agents).any(|agent| agent.forced);
        self.hosts[host].is_forced |= forced;
        let told = &mut self.hosts[host].told_at;
        *told = told.zip(written).map(|(told, written)| told.min(written));
    }

    /// Our action waits. From now on its global timeout is a deadline, even after the action has ended without the daemon's
    /// knowledge.
    pub(super) fn waits(&mut self, host: usize) {
        let Some(instance) = self.world.instance(&self.hosts[host].id) else { return };
        let Some(action) = instance.actions.iter().find(|action| action.hook == plan::HOOK) else { return };
        let whole = action.global_expiry.since(action.began);
        let began = self.hosts[host].asked_for.unwrap_or(action.began);
        self.hosts[host].action = Some((began, whole));
    }

    /// AWS tells a daemon about its hook. The action uses the hook as it was when the action began. The daemon uses what it
    /// reads.
    pub(super) fn tell_hook(&mut self, host: usize, event: &Event) {
        let Event::HooksDescribed { result: Ok(hooks), .. } = event else { return };
        let Some(hook) = hooks.iter().find(|hook| hook.name == plan::HOOK) else { return };
        let told = &mut self.hosts[host].hook_told;
        *told = Some(told.map_or(hook.global_timeout, |before| before.min(hook.global_timeout)));
    }

    /// A drain that ends at its deadline must end at one that is in force.
    fn check_deadline(&mut self, host: usize, now: Time) {
        let Some(earliest) = self.earliest_deadline(host) else { return };
        if now + SLACK < earliest {
            let what = format!("ended a drain at its deadline, but the earliest one in force is {earliest}");
            self.judge.complains(host, now, &what);
        }
    }

    /// The earliest deadline in force. `None` if that is unknown.
    fn earliest_deadline(&self, host: usize) -> Option<Time> {
        let this = &self.hosts[host];
        let denied = !matches!(this.trouble, Trouble::None | Trouble::Doubted);
        // A frozen instance has heard no news.
        if this.frozen_until + SILENCE > self.now {
            return None;
        }
        // The daemon may confuse the second action of a retained instance with the first. A journal that the disk refused
        // is out of date.
        if this.disk_refuses
            || this.clock_is_off
            || this.clock_ms != 0
            || denied
            || this.false_alarm >= Some(self.now)
            || this.released
            || this.is_astray
            || this.is_forced
            || (this.has_forgotten && this.has_old_message)
        {
            return None;
        }
        let told = this.told_at?;
        let own = self.settings.agents.iter().map(|agent| told + agent.drain_timeout).min()?;
        // A block that was extended stays in force for five minutes.
        let block = self.block.filter(|at| told < *at + BLOCK_EXPIRY);
        let taken = [this.spot.map(|spot| spot.at), this.capacity, block];
        let taken = taken.into_iter().flatten().map(|at| at - EC2_MARGIN);
        let maintenance = this.maintenance.map(|due| due.not_before - GLOBAL_MARGIN);
        let now = self.now;
        let moved = this.before_move.filter(|(_, until)| *until > now).map(|(at, _)| at - GLOBAL_MARGIN);
        let action = this.action.map(|(began, whole)| {
            let whole = this.hook_told.map_or(whole, |told| told.min(whole));
            began + whole - GLOBAL_MARGIN.min(whole / 10) - UNHEARD
        });
        taken.chain(moved).chain(action).chain(maintenance).chain([own]).min()
    }

    /// A drain must start for a reason that exists.
    fn check_reason(&mut self, host: usize, now: Time, reason: Reason) {
        let this = &self.hosts[host];
        // A frozen instance has not heard IMDS either.
        let silent = now < this.imds_silent_until.max(this.frozen_until) + SILENCE;
        // The daemon of an on-demand instance believes no warning.
        let unsure = silent && this.life_cycle != Some(LifeCycle::OnDemand);
        let interrupted =
            this.spot.is_some() || this.capacity.is_some() || (unsure && this.false_alarm >= Some(now));
        // A frozen instance, or one with an old journal, has not heard that the maintenance was canceled.
        let unheard = this.frozen_until + SILENCE > now || !this.may_complain();
        let believed = this.before_move.map(|(_, until)| until).max(this.believes_until);
        let planned = this.maintenance.is_some() || unheard || believed >= Some(now);
        let wrong = match reason {
            Reason::SpotInterruption => !interrupted,
            Reason::CapacityInterruption => this.capacity.is_none(),
            Reason::CapacityBlockEnd => self.block.is_none_or(|at| now > at + BLOCK_EXPIRY),
            Reason::ScheduledMaintenance => !planned,
            _ => false,
        };
        if wrong && !this.clock_is_off && this.clock_ms == 0 {
            self.judge.complains(
                host,
                now,
                &format!("started a drain for {reason}, but there was no such notice"),
            );
        }
    }
}
