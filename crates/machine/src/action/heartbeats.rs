//! When heartbeats are sent, and their results.

use std::time::Duration;

use super::Wait;
use crate::effect::{ActionName, Effect, EffectId};
use crate::event::CallErrorKind;
use crate::heartbeat::{self, QUICK_TRIES};
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::{Attempts, Once, Turn};

/// The heartbeats of one action.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    first: FirstBeat,
    permission: Permission,
    /// How many succeeded.
    pub succeeded: u32,
    attempts: Attempts,
}

/// When the first heartbeat is due once Wait is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FirstBeat {
    /// A little over half the timeout after Wait began.
    #[default]
    Planned,
    /// At once, because the action's time in Wait is not known by our clock.
    AtOnce,
}

/// Whether the role permits heartbeats, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Permission {
    #[default]
    Assumed,
    /// The last heartbeat was denied, so nothing keeps the action from expiring.
    Denied,
}

impl Heartbeats {
    /// The state after a restart: the first heartbeat is due at once.
    pub fn at_once(now: Time) -> Self {
        let mut heartbeats = Heartbeats { first: FirstBeat::AtOnce, ..Heartbeats::default() };
        heartbeats.attempts.succeeded(now);
        heartbeats
    }

    /// Makes the first heartbeat due at once, because the action's time in Wait is not known by our clock.
    pub fn hurry(&mut self) {
        self.first = FirstBeat::AtOnce;
    }

    /// Makes the next heartbeat due now, unless three have failed. Then it is due soon anyway.
    pub fn due_now(&mut self, now: Time) {
        if self.attempts.failures < QUICK_TRIES {
            self.attempts.next_at = now;
        }
    }

    /// When the next heartbeat is due.
    pub fn next_at(&self) -> Time {
        self.attempts.next_at
    }

    /// Plans the next heartbeat, counted from the last one or from the start of Wait.
    pub fn plan(&mut self, turn: &mut Turn, from: Time, timeout: Duration) {
        let next_at = from + heartbeat::interval(timeout, turn);
        self.attempts.succeeded(match self.first {
            FirstBeat::AtOnce => turn.now,
            FirstBeat::Planned => next_at,
        });
    }

    /// Plans the first heartbeat for an action that is not known to be in Wait.
    pub fn plan_first(&mut self, wait: &Wait, timeout: Duration) {
        if self.attempts.next_at == Time::default()
            && let Wait::Expected { since, absent_at, .. } = wait
        {
            // Known absent a moment ago: it cannot have been in Wait for long. Otherwise it may have been, so try at once.
            let absent = absent_at.map(|at| at + heartbeat::probe_interval(timeout));
            self.attempts.next_at = absent.unwrap_or(*since);
        }
    }

    /// Plans the next heartbeat anew with the timeout that is now known. `assumed`: the timeout used before was assumed.
    pub fn plan_anew(&mut self, turn: &mut Turn, wait: &Wait, timeout: Duration, assumed: bool) {
        match wait {
            Wait::Waiting { since, last_beat, .. } => self.plan(turn, last_beat.unwrap_or(*since), timeout),
            Wait::Unexpected { .. } | Wait::Expected { .. } if assumed => {
                self.attempts.next_at = Time::default();
            }
            Wait::Unexpected { .. } | Wait::Expected { .. } => {
                let at = turn.now + heartbeat::probe_interval(timeout);
                self.attempts.next_at = self.attempts.next_at.min(at);
            }
        }
    }

    /// Whether the next heartbeat is due within one attempt's time limit.
    pub fn is_near(&self, turn: &mut Turn, timeout: Duration) -> bool {
        turn.due(self.attempts.next_at - heartbeat::attempt_limit(timeout), Timer::Describe)
    }

    /// Plans the next heartbeat for this time.
    pub fn plan_at(&mut self, at: Time) {
        self.attempts.succeeded(at);
    }

    /// Sends a heartbeat if one is due.
    pub fn send(&mut self, turn: &mut Turn, action: Option<ActionName>, timeout: Duration) {
        if turn.is_free(Once::Heartbeat)
            && self.attempts.ready(turn, Timer::Heartbeat)
            && let Some(action) = action
        {
            let limit = heartbeat::attempt_limit(timeout);
            self.attempts.start(turn, |id| Effect::Heartbeat { id, action, limit });
        }
    }

    /// When the heartbeat with this id was sent; `None` if its result is stale.
    pub fn take(&mut self, id: EffectId) -> Option<Time> {
        self.attempts.take(id)
    }

    /// When the heartbeat under way was sent, if there is one.
    pub fn pending_since(&self) -> Option<Time> {
        self.attempts.pending_since()
    }

    /// Whether the last heartbeat was denied.
    pub fn is_denied(&self) -> bool {
        self.permission == Permission::Denied
    }

    /// A heartbeat sent at `sent` succeeded.
    pub fn success(&mut self, turn: &mut Turn, sent: Time, timeout: Duration) {
        self.succeeded += 1;
        self.permission = Permission::Assumed;
        self.first = FirstBeat::Planned;
        self.plan(turn, sent, timeout);
    }

    /// A heartbeat sent at `sent` found no action, and none was known to be in Wait.
    pub fn nothing_waits_yet(&mut self, sent: Time, timeout: Duration) {
        self.attempts.succeeded(sent + heartbeat::probe_interval(timeout));
    }

    /// A heartbeat sent at `sent` failed. Three tries fit before the action expires. Later tries are slower.
    pub fn failure(&mut self, turn: &mut Turn, sent: Time, timeout: Duration, kind: CallErrorKind) {
        let quick = match kind {
            CallErrorKind::AccessDenied => {
                self.permission = Permission::Denied;
                return self.attempts.succeeded(turn.now + heartbeat::denied_retry(timeout));
            }
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected | CallErrorKind::Throttled => {
                heartbeat::throttled_retry(timeout)
            }
            CallErrorKind::Credentials | CallErrorKind::Unsent | CallErrorKind::Unanswered => {
                heartbeat::retry(timeout)
            }
        };
        heartbeat::failed(&mut self.attempts, turn, sent, timeout, quick);
    }
}
