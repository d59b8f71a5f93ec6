//! One turn of the machine: the outputs so far, and the next wake-up.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Output;
use super::backoff::Backoff;
use super::defect::Defects;
use super::effect::{Effect, EffectId};
use super::event::{CallError, CallErrorKind};
use super::operator::Answer;
use super::report::{Call, Report};
use super::status::LastError;
use super::time::Time;
use super::timer::Timer;

/// Collects the outputs of one call of [`Machine::handle`](super::Machine::handle), and the earliest time at which something
/// becomes due.
#[derive(Debug)]
pub(super) struct Turn {
    /// The time at which the event is handled.
    pub now: Time,
    output: Output,
    wake: Option<(Time, Timer)>,
    next_id: u64,
    /// The call under way of each kind in [`Once`], whichever drain made it.
    under_way: [Option<EffectId>; 2],
    /// The calls whose missing permission was already reported in this drain.
    denied: BTreeSet<Call>,
    rng: fastrand::Rng,
    defects: Defects,
    /// The last error that was reported.
    pub last_error: Option<LastError>,
}

/// A call that never overlaps with another of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    /// RecordLifecycleActionHeartbeat
    Heartbeat,
    /// CompleteLifecycleAction
    Completion,
}

impl Turn {
    /// Seeds the jitter with the instance id, so that instances differ but runs on one instance do not.
    pub fn new(instance_id: &str) -> Self {
        // FNV-1a, because the standard hasher may change between releases.
        let seed = instance_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Turn {
            now: Time::default(),
            output: Output::default(),
            wake: None,
            next_id: 0,
            under_way: [None; 2],
            denied: BTreeSet::new(),
            rng: fastrand::Rng::with_seed(seed),
            defects: Defects::default(),
            last_error: None,
        }
    }

    pub fn begin(&mut self, now: Time) {
        self.now = now;
        self.wake = None;
    }

    pub fn finish(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    pub fn wake(&self) -> Option<(Time, Timer)> {
        self.wake
    }

    /// Whether `at` has come. If not, sets a timer for it.
    pub fn due(&mut self, at: Time, timer: Timer) -> bool {
        if at <= self.now {
            return true;
        }
        if self.wake.is_none_or(|(earliest, _)| at < earliest) {
            self.wake = Some((at, timer));
        }
        false
    }

    pub fn emit(&mut self, effect: impl FnOnce(EffectId) -> Effect) -> EffectId {
        self.next_id += 1;
        let id = EffectId(self.next_id);
        let effect = effect(id);
        if matches!(effect, Effect::Heartbeat { .. }) {
            self.must(self.is_free(Once::Heartbeat), "at most one heartbeat is under way");
            self.under_way[Once::Heartbeat as usize] = Some(id);
        } else if matches!(effect, Effect::Complete { .. }) {
            self.must(self.is_free(Once::Completion), "at most one completion is under way");
            self.under_way[Once::Completion as usize] = Some(id);
        }
        self.output.effects.push(effect);
        id
    }

    /// Cancels a request to an agent.
    pub fn cancel(&mut self, id: EffectId) {
        self.output.effects.push(Effect::CancelRequest { id });
    }

    /// Stops a step.
    pub fn stop(&mut self, id: EffectId) {
        self.output.effects.push(Effect::StopStep { id });
    }

    /// Whether no call of this kind is under way. If one is, its result wakes the machine.
    pub fn is_free(&self, call: Once) -> bool {
        self.under_way[call as usize].is_none()
    }

    /// Records that the call with this id is no longer under way.
    pub fn answered(&mut self, id: EffectId) {
        for call in &mut self.under_way {
            call.take_if(|under_way| *under_way == id);
        }
    }

    pub fn report(&mut self, report: Report) {
        if report.is_error() {
            self.last_error = Some(LastError { at: self.now, what: report.to_string() });
        }
        self.output.reports.push(report);
    }

    /// Asserts that `holds` is true. If not, debug builds panic. Release builds report it once, and the daemon then starts a
    /// new machine from the journal.
    pub fn must(&mut self, holds: bool, what: &'static str) {
        if !holds && let Some(report) = self.defects.found(what) {
            self.report(report);
        }
    }

    /// Sets the answer to the operator.
    pub fn answer(&mut self, answer: Answer) {
        self.output.answer = Some(answer);
    }

    /// Reports a failed call. A missing permission is news once per drain. `expected` failures are logged at debug level.
    pub fn call_failed(&mut self, call: Call, error: CallError, expected: bool) {
        let known = error.kind == CallErrorKind::AccessDenied && !self.denied.insert(call);
        self.report(Report::CallFailed { call, error, expected: expected || known });
    }

    /// Makes missing permissions news again, because a new drain starts.
    pub fn forget_denials(&mut self) {
        self.denied.clear();
    }

    /// The time of the next try after `failures` failures in a row.
    pub fn after(&mut self, backoff: Backoff, failures: u32) -> Time {
        self.now + backoff.delay(failures, &mut self.rng)
    }

    /// A random duration from `least` to `most`, uniformly distributed.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.rng.f64())
    }
}

/// A call that is retried until it succeeds: one at a time, and never before it is due.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    pending: Option<(EffectId, Time)>,
    /// No try before this.
    pub next_at: Time,
    /// Failures in a row.
    pub failures: u32,
}

impl Attempts {
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// When the try under way was sent.
    pub fn pending_since(&self) -> Option<Time> {
        self.pending.map(|(_, sent)| sent)
    }

    /// Whether the next try may start now. If it is only not due yet, sets a timer for it.
    pub fn ready(&self, turn: &mut Turn, timer: Timer) -> bool {
        self.pending.is_none() && turn.due(self.next_at, timer)
    }

    pub fn start(&mut self, turn: &mut Turn, effect: impl FnOnce(EffectId) -> Effect) {
        self.pending = Some((turn.emit(effect), turn.now));
    }

    pub fn awaits(&self, id: EffectId) -> bool {
        self.pending.is_some_and(|(pending, _)| pending == id)
    }

    /// When the try with this id was sent; `None` if its result is stale.
    pub fn take(&mut self, id: EffectId) -> Option<Time> {
        let (pending, sent) = self.pending?;
        (pending == id).then(|| {
            self.pending = None;
            sent
        })
    }

    /// Stops waiting for the try under way. Its result will be stale.
    pub fn abandon(&mut self) {
        self.pending = None;
    }

    pub fn failed(&mut self, turn: &mut Turn, backoff: Backoff) {
        self.failures = self.failures.saturating_add(1);
        self.next_at = turn.after(backoff, self.failures);
    }

    /// As [`failed`](Self::failed). An operator may add a missing permission, so after that the next try waits for `denied`.
    pub fn failed_by(&mut self, turn: &mut Turn, kind: CallErrorKind, backoff: Backoff, denied: Duration) {
        self.failed(turn, backoff);
        if kind == CallErrorKind::AccessDenied {
            self.next_at = turn.now + denied;
        }
    }

    pub fn succeeded(&mut self, next_at: Time) {
        self.failures = 0;
        self.next_at = next_at;
    }
}
