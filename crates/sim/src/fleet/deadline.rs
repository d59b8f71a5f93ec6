//! Which deadlines are in force, as everybody but the daemon knows it; and whether a drain goes by another one.

use std::time::Duration;

use machine::journal::{Journal, Outcome};
use machine::notice::Reason;
use machine::report::Report;
use machine::{Event, Time};

use super::calls::Trouble;
use super::{Fleet, plan};

/// The longest margins that a daemon keeps: before EC2 takes an instance back, and before a global timeout.
const EC2_MARGIN: Duration = Duration::from_secs(10);
const GLOBAL_MARGIN: Duration = Duration::from_secs(60);

/// The daemon may know no better than that the action began after it last heard that the instance served.
const UNHEARD: Duration = Duration::from_secs(180);

/// What is read in one moment may be acted on in the next.
const SLACK: Duration = Duration::from_secs(2);

/// So long after IMDS has said something its silence is noticed.
const SILENCE: Duration = Duration::from_secs(60);

impl Fleet {
    /// Holds a report against what is in force.
    pub(super) fn check_report(&mut self, host: usize, now: Time, report: &Report) {
        match report {
            Report::DrainStarted { reason } => {
                self.hosts[host].told_at = None;
                self.hosts[host].is_astray = false;
                self.check_reason(host, now, *reason);
            }
            Report::AgentsTold { .. } => self.hosts[host].told_at = Some(now),
            Report::Completing { outcome: Outcome::Deadline, .. }
            | Report::DrainEnded { outcome: Outcome::Deadline, result: None, .. } => {
                self.check_deadline(host, now)
            }
            _ => {}
        }
    }

    /// A daemon goes on with the drain of its journal, which may be an older one than that of its last life.
    pub(super) fn goes_on(&mut self, host: usize, journal: Option<&Journal>) {
        let drain = journal.and_then(|journal| journal.drain.as_ref());
        let written = drain.and_then(|drain| drain.phase.told());
        let told = &mut self.hosts[host].told_at;
        *told = told.zip(written).map(|(told, written)| told.min(written));
    }

    /// An action of ours waits: from here its global timeout is a deadline, even when it is over and the daemon is unaware.
    pub(super) fn waits(&mut self, host: usize) {
        let Some(instance) = self.world.instance(&self.hosts[host].id) else { return };
        let Some(action) = instance.actions.iter().find(|action| action.hook == plan::HOOK) else { return };
        let whole = action.global_expiry.since(action.began);
        let began = self.hosts[host].asked_for.unwrap_or(action.began);
        self.hosts[host].action = Some((began, whole));
    }

    /// AWS tells a daemon of its hook. The action goes by the hook as it was when it began; the daemon goes by what it reads.
    pub(super) fn tell_hook(&mut self, host: usize, event: &Event) {
        let Event::HooksDescribed { result: Ok(hooks), .. } = event else { return };
        let Some(hook) = hooks.iter().find(|hook| hook.name == plan::HOOK) else { return };
        let told = &mut self.hosts[host].hook_told;
        *told = Some(told.map_or(hook.global_timeout, |before| before.min(hook.global_timeout)));
    }

    /// A drain that ends at a deadline ends at one that is in force.
    fn check_deadline(&mut self, host: usize, now: Time) {
        let Some(earliest) = self.earliest_deadline(host) else { return };
        if now + SLACK < earliest {
            let what = format!("a drain ends at its deadline, and the first that is in force is {earliest}");
            self.judge.complains(host, now, &what);
        }
    }

    /// The first deadline that is in force; `None` where that cannot be told.
    fn earliest_deadline(&self, host: usize) -> Option<Time> {
        let this = &self.hosts[host];
        let denied = !matches!(this.trouble, Trouble::None | Trouble::Doubted);
        // What stood still has had no news.
        if this.frozen_until + SILENCE > self.now {
            return None;
        }
        // The daemon may take the second action of a retained instance for the first. A journal that the disk refused is
        // out of date.
        if this.disk_refuses
            || this.clock_is_off
            || this.clock_ms != 0
            || denied
            || this.false_alarm >= Some(self.now)
            || this.released
            || this.is_astray
            || (this.has_forgotten && this.has_old_message)
        {
            return None;
        }
        let told = this.told_at?;
        let own = self.settings.agents.iter().map(|agent| told + agent.drain_timeout).min()?;
        let taken =
            [this.spot.map(|spot| spot.at), this.capacity].into_iter().flatten().map(|at| at - EC2_MARGIN);
        let maintenance = this.maintenance.map(|due| due.not_before - GLOBAL_MARGIN);
        let now = self.now;
        let moved = this.before_move.filter(|(_, until)| *until > now).map(|(at, _)| at - GLOBAL_MARGIN);
        let action = this.action.map(|(began, whole)| {
            let whole = this.hook_told.map_or(whole, |told| told.min(whole));
            began + whole - GLOBAL_MARGIN.min(whole / 10) - UNHEARD
        });
        taken.chain(moved).chain(action).chain(maintenance).chain([own]).min()
    }

    /// A drain begins for something that is so.
    fn check_reason(&mut self, host: usize, now: Time, reason: Reason) {
        let this = &self.hosts[host];
        // What stood still has not heard IMDS either.
        let silent = now < this.imds_silent_until.max(this.frozen_until) + SILENCE;
        let interrupted =
            this.spot.is_some() || this.capacity.is_some() || (silent && this.false_alarm >= Some(now));
        // What stood still, or has an old journal, has not heard that it was canceled.
        let unheard = this.frozen_until + SILENCE > now || !this.may_complain();
        let believed = this.before_move.map(|(_, until)| until).max(this.believes_until);
        let planned = this.maintenance.is_some() || unheard || believed >= Some(now);
        let wrong = match reason {
            Reason::SpotInterruption => !interrupted,
            Reason::CapacityInterruption => this.capacity.is_none(),
            Reason::ScheduledMaintenance => !planned,
            _ => false,
        };
        if wrong && !this.clock_is_off && this.clock_ms == 0 {
            self.judge.complains(host, now, &format!("a drain begins, and there is no reason: {reason}"));
        }
    }
}
