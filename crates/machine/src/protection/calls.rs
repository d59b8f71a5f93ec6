//! The calls that change the protection: one at a time, within a budget, and slower after each failure.

use std::time::Duration;

use super::budget::Budget;
use super::news::ProtectionNews;
use super::standing::{Change, LiftCause, Protection};
use crate::backoff::Backoff;
use crate::effect::{Effect, EffectId};
use crate::event::{CallError, CallErrorKind, DescribedInstance};
use crate::journal::{JournalTrack, Revision};
use crate::report::{Call, Report};
use crate::timer::Timer;
use crate::turn::{Attempts, Turn};

/// Pause after a call that failed by chance.
const RETRY: Backoff = Backoff::between_ms(2_000, 60_000);

/// Pause after a call that was throttled. Heartbeats and completions share the account's budget of calls, and they are urgent.
/// The same after a call that AWS rejected: the instance is not yet in service, or is in another group.
const SLOW_RETRY: Backoff = Backoff::between_ms(30_000, 600_000);

/// Pause after a call was denied.
const DENIED_RETRY: Duration = Duration::from_secs(600);

/// The calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The change that is under way.
    planned: Option<Planned>,
    attempts: Attempts,
    /// The change whose last call failed.
    failed: Option<Change>,
    budget: Budget,
    /// AWS has rejected a call, so it is asked first whether the instance is in service.
    doubted: bool,
    describe: Attempts,
}

/// A change that is sent once the journal has it. Only then is it taken out of the budget.
#[derive(Debug, Clone, Copy)]
struct Planned {
    change: Change,
    /// What AWS may have once it is sent.
    ahead: Protection,
    revision: Revision,
}

impl Calls {
    /// Makes the call for this change. Without the group's name it cannot be made.
    pub fn make(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        standing: Protection,
        change: Option<Change>,
        group: Option<&str>,
    ) {
        if self.attempts.is_pending() {
            return;
        }
        if self.planned.as_ref().map(|planned| planned.change) != change {
            self.hold(journal, standing);
        }
        let Some(change) = change else { return };
        if self.failed.is_some_and(|failed| failed != change) {
            // What kept an earlier change back says nothing about this one.
            self.attempts = Attempts::default();
        }
        let Some(group) = group.filter(|_| !self.doubted) else {
            if self.describe.ready(turn, Timer::Protection) {
                self.describe.start(turn, |id| Effect::DescribeInstance { id });
            }
            return;
        };
        if self.planned.is_none() {
            self.planned = self.plan(turn, journal, standing, change);
        }
        let Some(Planned { ahead, revision, .. }) = self.planned else { return };
        let protect = change.protects();
        // A restarted daemon must know of a protection, or it would never lift it. So without a disk, none is set.
        if journal.is_on_disk(revision) || (!protect && journal.is_released(revision)) {
            if !self.is_free(change, ahead, standing) {
                self.budget.take(turn.now);
            }
            let group = group.to_owned();
            self.attempts.start(turn, |id| Effect::Protect { id, group, protect });
        }
    }

    /// Plans a change if it is due, and lets the journal have what it may make of the protection.
    fn plan(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        standing: Protection,
        change: Change,
    ) -> Option<Planned> {
        let ahead = standing.ahead_of(change, turn.now);
        let permitted = self.is_free(change, ahead, standing) || self.budget.permits(turn);
        if !permitted || !self.attempts.ready(turn, Timer::Protection) {
            return None;
        }
        let revision = if ahead == standing { journal.latest() } else { journal.touch() };
        Some(Planned { change, ahead, revision })
    }

    /// Whether a change is not taken out of the budget.
    fn is_free(&self, change: Change, ahead: Protection, standing: Protection) -> bool {
        match change {
            Change::Lift(LiftCause::Notice | LiftCause::Removed) => true,
            // A retry, for whatever reason, or the rest of a change that has begun.
            Change::Protect | Change::Lift(LiftCause::Idle | LiftCause::Longest) => {
                self.failed.is_some_and(|failed| failed.protects() == change.protects()) || ahead == standing
            }
        }
    }

    /// Drops a change that was not sent. One that was sent goes on.
    pub fn hold(&mut self, journal: &mut JournalTrack, standing: Protection) {
        if !self.attempts.is_pending() && self.planned.take().is_some_and(|planned| planned.ahead != standing)
        {
            journal.touch();
        }
    }

    /// What AWS may have, for the journal.
    pub fn ahead(&self) -> Option<Protection> {
        self.planned.as_ref().map(|planned| planned.ahead)
    }

    /// Drops every change. The answer to one that was sent counts for nothing. A description on its way is still its own.
    pub fn forget(&mut self) {
        let Calls { budget, describe, .. } = std::mem::take(self);
        *self = Calls { budget, describe, ..Calls::default() };
    }

    /// Takes the answer to a call.
    pub fn answered(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        standing: &mut Protection,
        id: EffectId,
        result: &Result<(), CallError>,
    ) {
        if self.attempts.take(id).is_none() {
            return;
        }
        let Some(Planned { change, ahead, .. }) = self.planned.take() else { return };
        let Err(error) = result else {
            *standing = ahead.made(change, turn.now);
            journal.touch();
            self.failed = None;
            self.attempts.succeeded(turn.now);
            turn.report(Report::Protection(match change {
                Change::Protect => ProtectionNews::Protected,
                Change::Lift(cause) => ProtectionNews::Lifted(cause),
            }));
            return;
        };
        self.failed = Some(change);
        let pause = match error.kind {
            CallErrorKind::Unanswered | CallErrorKind::Unsent | CallErrorKind::Credentials => RETRY,
            CallErrorKind::Throttled
            | CallErrorKind::AccessDenied
            | CallErrorKind::Rejected
            | CallErrorKind::NoActiveAction => SLOW_RETRY,
        };
        self.attempts.failed_by(turn, error.kind, pause, DENIED_RETRY);
        if error.kind == CallErrorKind::Unanswered {
            // It may have taken effect.
            *standing = ahead;
        } else if *standing != ahead {
            journal.touch();
        }
        self.doubted = error.kind == CallErrorKind::Rejected;
        turn.call_failed(Call::SetProtection, error.clone(), false);
    }

    pub fn awaits_description(&self, id: EffectId) -> bool {
        self.describe.awaits(id)
    }

    /// Takes the description of the instance.
    pub fn described(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<Option<DescribedInstance>, CallError>,
    ) {
        if self.describe.take(id).is_none() {
            return;
        }
        let serves = |instance: &DescribedInstance| instance.lifecycle_state == "InService";
        self.doubted = !matches!(result, Ok(Some(instance)) if serves(instance));
        if self.doubted {
            self.describe.failed(turn, SLOW_RETRY);
        } else {
            self.describe.succeeded(turn.now);
        }
        if let Err(error) = result {
            turn.call_failed(Call::DescribeInstance, error.clone(), false);
        }
    }
}
