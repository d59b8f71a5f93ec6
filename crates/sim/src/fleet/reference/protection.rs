//! What a daemon may do and must do to protect a busy instance.

use std::collections::VecDeque;
use std::time::Duration;

use machine::effect::{Effect, EffectId};
use machine::event::{CallError, CallErrorKind, TargetState};
use machine::journal::Journal;
use machine::notice::Reason;
use machine::protection::Protection;
use machine::settings::ProtectionSettings;
use machine::{Event, Time};

use super::Reference;
use super::known::Phase;

/// How long an instance rests after it was protected for the longest time.
const REST: Duration = Duration::from_secs(15 * 60);

/// After two changes, one more is allowed per this time.
const BUDGET: Duration = Duration::from_secs(600);

/// Changes that may follow one another at once.
const AT_ONCE: usize = 2;

/// The longest time between a decision and its call, while the journal is written.
const JOURNALED: Duration = Duration::from_secs(30);

/// The longest time between two tries of a call that fails.
const RETRY: Duration = Duration::from_secs(660);

/// A question that has not been answered for this long may be asked again.
const UNANSWERED: Duration = Duration::from_secs(30);

/// An instance in service is asked about its work at least this often.
const ASKED: Duration = Duration::from_secs(45);

/// A notice must lift the protection within this time.
const NOTICE: Duration = Duration::from_secs(15);

/// What is known about the protection.
#[derive(Debug, Default)]
pub(super) struct Protections {
    /// Questions that are unanswered.
    asked: Vec<(EffectId, usize, Time)>,
    asked_at: Time,
    /// What the agents of this round have said.
    round: Vec<Result<u64, ()>>,
    /// When an agent last could not be read.
    unread_at: Time,
    busy_since: Option<Time>,
    idle_since: Option<Time>,
    /// The call under way, what it is to do, and `set` without it.
    call: Option<(EffectId, bool, Option<Time>)>,
    /// Since when AWS may have it, by the journal. `None`: it does not, or that is unknown.
    set: Option<Time>,
    /// It was protected for the longest time, and must be lifted.
    yields: bool,
    rests_until: Option<Time>,
    /// The last call that failed, and what it was to do.
    failed: Option<(Time, bool)>,
    /// A call was rejected, so Auto Scaling is asked first.
    rejected: bool,
    /// When Auto Scaling last did not say that the instance is in service.
    undescribed_at: Option<Time>,
    described: Vec<EffectId>,
    /// When the last changes began.
    changes: VecDeque<Time>,
    /// From then on, `changes` has all of them.
    forgot_at: Time,
    /// When the last event was.
    now: Time,
    /// When this life began.
    started: Time,
    /// Since when the instance has been in service, without a drain or a launch.
    serves_since: Option<Time>,
}

impl Protections {
    /// Nothing that was said before counts any longer.
    fn forget_work(&mut self) {
        self.asked.clear();
        self.round.clear();
        (self.busy_since, self.idle_since) = (None, None);
    }

    /// Auto Scaling takes the instance out of service.
    fn forget(&mut self) {
        self.forget_work();
        (self.set, self.yields, self.rests_until, self.failed) = (None, false, None, None);
        (self.rejected, self.call) = (false, None);
        self.described.clear();
    }

    /// The clock was set.
    pub fn move_times(&mut self, set: impl Fn(Time) -> Time) {
        (self.set, self.rests_until) = (self.set.map(&set), self.rests_until.map(&set));
    }

    /// Nothing began later than now, whatever an earlier clock showed.
    pub fn clamp(&mut self, now: Time) {
        self.set = self.set.map(|since| since.min(now));
        self.rests_until = self.rests_until.map(|until| until.min(now + REST));
        self.started = now;
    }

    fn answers(&mut self, now: Time, id: EffectId, result: &Result<u64, String>) {
        let Some(place) = self.asked.iter().position(|(asked, ..)| *asked == id) else { return };
        self.asked.swap_remove(place);
        self.round.push(result.clone().map_err(drop));
        if !self.asked.is_empty() {
            return;
        }
        let round = std::mem::take(&mut self.round);
        if round.iter().any(|said| said.is_ok_and(|count| count > 0)) {
            self.idle_since = None;
            self.busy_since.get_or_insert(now);
        } else if round.iter().all(|said| *said == Ok(0)) {
            self.busy_since = None;
            self.idle_since.get_or_insert(now);
        } else {
            self.unread_at = now;
        }
    }

    fn called(&mut self, now: Time, id: EffectId, result: &Result<(), CallError>) {
        let Some((_, protect, before)) = self.call.take_if(|(call, ..)| *call == id) else { return };
        match result {
            Ok(()) => {
                self.failed = None;
                if !protect {
                    self.rests_until = self.yields.then_some(now + REST);
                    (self.set, self.yields) = (None, false);
                }
            }
            Err(error) => {
                self.failed = Some((now, protect));
                self.rejected = error.kind == CallErrorKind::Rejected;
                // An idle instance is lifted again only as long as it is idle.
                if error.kind == CallErrorKind::Unanswered && !protect && !self.yields {
                    self.set = None;
                }
                if error.kind != CallErrorKind::Unanswered && protect {
                    self.set = before;
                }
            }
        }
    }

    fn is_failing(&self, now: Time) -> bool {
        self.rejected
            || !self.described.is_empty()
            || self.failed.is_some_and(|(at, _)| now.since(at) < RETRY)
            || self.undescribed_at.is_some_and(|at| now.since(at) < RETRY)
    }
}

impl Reference {
    /// The daemon starts.
    pub(super) fn protections_at_start(&mut self, journal: &Journal) {
        let known = &mut self.protections;
        match journal.protection {
            Protection::Unknown => {}
            Protection::Setting { since } | Protection::Protected { since } => known.set = Some(since),
            Protection::Yielding => (known.set, known.yields) = (Some(Time::default()), true),
            Protection::Lifted { rests_until } => known.rests_until = rests_until,
        }
    }

    /// Records an event.
    pub(super) fn hears_of_protection(&mut self, now: Time, event: &Event) {
        let Some(idle_for) = self.settings.protection.as_ref().map(|settings| settings.idle_for) else {
            return;
        };
        let serves = self.serves() && !self.away;
        let known = &mut self.protections;
        known.serves_since = serves.then(|| known.serves_since.unwrap_or(now));
        if known.now != Time::default() && now.since(known.now) > UNANSWERED {
            known.forget_work();
            known.changes.clear();
            known.forgot_at = now;
        }
        known.now = now;
        if known.idle_since.is_some_and(|since| now >= since + idle_for) {
            known.rests_until = None;
        }
        match event {
            Event::BusyAnswered { id, result } => known.answers(now, *id, result),
            Event::ProtectionAnswered { id, result } => known.called(now, *id, result),
            Event::InstanceDescribed { id, result } if known.described.contains(id) => {
                known.described.retain(|asked| asked != id);
                let serves = result.as_ref().is_ok_and(|found| {
                    found.as_ref().is_some_and(|instance| instance.lifecycle_state == "InService")
                });
                if serves {
                    known.rejected = false;
                } else {
                    known.undescribed_at = Some(now);
                }
            }
            Event::Imds(machine::event::ImdsReading::TargetState(Some(state)))
                if *state != TargetState::InService =>
            {
                known.forget();
            }
            _ => {}
        }
    }

    /// A notice has appeared, or a drain has begun for it.
    pub(super) fn protection_hears_of(&mut self, reason: Reason) {
        self.protections.forget_work();
        if reason.has_action() || matches!(reason, Reason::Standby | Reason::Detachment) {
            self.protections.forget();
        }
    }

    /// The agents return to service.
    pub(super) fn protection_starts_anew(&mut self) {
        self.protections.forget_work();
    }

    /// Whether Auto Scaling may be asked for the instance, to protect it.
    pub(super) fn describes_to_protect(&mut self, effect: &Effect, id: EffectId) -> bool {
        let may = self.settings.protection.is_some() && matches!(effect, Effect::DescribeInstance { .. });
        if may {
            self.protections.described.push(id);
        }
        may
    }

    /// Checks an effect. Returns whether it is one of the protection.
    pub(super) fn takes_in_protection(&mut self, now: Time, effect: &Effect) -> bool {
        match effect {
            Effect::AskBusy { id, agent } => self.asks_busy(now, *id, *agent),
            Effect::Protect { id, group, protect } => {
                if !self.groups.contains(group) {
                    self.complain(format!("protects in {group}, which the instance is not known to be in"));
                }
                self.protects(now, *id, *protect);
            }
            _ => return false,
        }
        true
    }

    fn is_in_service(&self) -> bool {
        matches!(self.heard, Some((_, TargetState::InService)))
    }

    /// A drain that ends before the agents are told is not reported.
    fn drains(&self) -> bool {
        match self.drain {
            Phase::None => false,
            Phase::UnderWay => true,
            Phase::Ended => self.kept.told,
        }
    }

    fn serves(&self) -> bool {
        self.is_in_service() && !self.drains() && !self.launches.is_under_way()
    }

    fn asks_busy(&mut self, now: Time, id: EffectId, agent: usize) {
        if !self.serves() {
            self.complain("asked how busy an agent is, but the instance is not in service");
        }
        let known = &mut self.protections;
        let again = known.asked.iter().any(|(_, of, at)| *of == agent && now.since(*at) < UNANSWERED);
        known.asked.retain(|(_, of, _)| *of != agent);
        known.asked.push((id, agent, now));
        known.asked_at = now;
        if again {
            self.complain("asked an agent twice at once how busy it is");
        }
    }

    fn protects(&mut self, now: Time, id: EffectId, protect: bool) {
        let Some(settings) = self.settings.protection.clone() else {
            return self.complain("changed a protection that is not configured");
        };
        let before = self.protections.set;
        if self.protections.call.replace((id, protect, before)).is_some() {
            self.complain("sent two calls about the protection at once");
        }
        // A protection that is lifted twice stays lifted, and one that is being set may be set or not.
        let said = match self.kept.protection {
            Protection::Setting { .. } => true,
            Protection::Unknown | Protection::Yielding | Protection::Lifted { .. } => !protect,
            Protection::Protected { .. } => false,
        };
        if !said {
            self.complain("changed the protection before the journal said so");
        }
        if protect { self.sets(now, &settings) } else { self.lifts(now, &settings) }
    }

    fn sets(&mut self, now: Time, settings: &ProtectionSettings) {
        if !self.serves() {
            self.complain("protected an instance that is not in service");
        }
        let known = &self.protections;
        let busy = known.busy_since.is_some_and(|since| now >= since + settings.busy_for);
        let rests = known.rests_until.is_some_and(|until| now < until);
        if !busy || (rests && !self.clock_set) {
            let which = if busy { "rests" } else { "has not been busy for long enough" };
            self.complain(format!("protected an instance that {which}"));
        }
        let is_new = self.protections.set.is_none();
        let since = if let Protection::Setting { since } = self.kept.protection { since } else { now };
        self.protections.set.get_or_insert(since);
        self.charges(now, true, is_new);
    }

    fn lifts(&mut self, now: Time, settings: &ProtectionSettings) {
        let known = &self.protections;
        let (set, idle) = (known.set, known.idle_since.is_some_and(|since| now >= since + settings.idle_for));
        let over = known.yields || set.is_some_and(|since| now >= since + settings.longest);
        // The drain may be so short that the journal does not have it yet.
        let (leaves, yields) = (self.drain != Phase::None, self.kept.protection == Protection::Yielding);
        let reason = if yields { over } else { idle || leaves };
        let is_new = set.is_some() && !known.yields && !leaves;
        if !self.is_in_service() {
            self.complain("lifted the protection of an instance that is not in service");
        } else if !reason && !self.clock_set {
            self.complain("lifted the protection for no reason");
        }
        self.protections.yields = yields;
        self.charges(now, false, is_new);
    }

    /// At most two changes at once, and then one per ten minutes.
    fn charges(&mut self, now: Time, protect: bool, is_new: bool) {
        let known = &mut self.protections;
        let retries = known.failed.is_some_and(|(_, failed)| failed == protect);
        if !is_new || retries {
            return;
        }
        known.changes.push_back(now);
        if known.changes.len() > AT_ONCE
            && let Some(before) = known.changes.pop_front()
            && now + JOURNALED < before + BUDGET
        {
            self.complain("changed the protection too often");
        }
    }

    /// Checks what must have happened.
    pub(super) fn must_protect(&mut self, now: Time) {
        let Some(settings) = self.settings.protection.clone() else { return };
        let known = &self.protections;
        let waits = self.refused
            || known.call.is_some()
            || known.is_failing(now)
            || !self.writes.is_empty()
            || self.clock_set;
        if waits || self.groups.len() != 1 || !self.is_in_service() || self.launches.is_under_way() {
            return;
        }
        let late = |since: Option<Time>, after: Duration| since.is_some_and(|since| now > since + after);
        // The time counts anew once an agent that could not be read is read.
        let read = |since: Option<Time>| since.map(|since| since.max(known.unread_at));
        let lately = |at: Time| now.since(at) < BUDGET * 2;
        let spent = known.changes.iter().filter(|at| lately(**at)).count() >= AT_ONCE;
        let slack = if spent || lately(known.forgot_at) { BUDGET + RETRY } else { ASKED };
        let is_set = known.set.is_some();
        // Whether the agents were idle for long enough to end the rest depends on what the daemon has drawn.
        let rests = known.rests_until.is_some_and(|until| now < until + slack)
            || matches!(self.kept.protection, Protection::Lifted { rests_until: Some(until) } if now < until + slack);
        let wrong = if self.drains() {
            let unlifted = is_set && now > self.began.max(known.started) + NOTICE;
            unlifted.then_some("did not lift the protection when a drain began")
        } else if now.since(known.asked_at.max(known.serves_since.unwrap_or(now))) > ASKED {
            Some("does not ask how busy its agents are")
        } else if late(known.set, settings.longest + slack) {
            Some("has been protected for too long")
        } else if is_set && late(read(known.idle_since), settings.idle_for * 2 + slack) {
            Some("has been idle for long and is still protected")
        } else if !is_set && !rests && late(read(known.busy_since), settings.busy_for * 2 + slack) {
            Some("has been busy for long and is not protected")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            // Once is enough.
            self.protections.forget();
            self.complain(wrong);
        }
    }
}
