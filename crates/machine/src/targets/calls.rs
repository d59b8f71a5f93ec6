//! The calls about one target: one at a time, each retried until it succeeds or is no longer needed.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::effect::{Effect, EffectId};
use crate::event::CallError;
use crate::report::Call;
use crate::time::Time;
use crate::timer::Timer;
use crate::told::Told;
use crate::turn::{Attempts, Turn};

/// Pause between two looks at a target that drains. The first pause is short, because a load balancer without a deregistration
/// delay is done at once.
const POLL: Backoff = Backoff::between_ms(2_000, 7_000);

/// Pause after a failed call.
const RETRY: Backoff = Backoff::between_ms(1_000, 15_000);

/// Pause after a call was denied.
const DENIED_RETRY: Duration = Duration::from_secs(30);

/// A call about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetCall {
    Describe,
    Deregister,
    Register,
}

/// The calls about one target.
#[derive(Debug, Default)]
pub(super) struct Calls {
    attempts: Attempts,
    /// How many looks in a row have found that it drains.
    looks: u32,
    /// The failures that were reported. The same one again is no news.
    told: Told,
}

impl Calls {
    /// Makes the call, if it is due and none is under way.
    pub fn make(&mut self, turn: &mut Turn, target: usize, call: TargetCall) {
        if !self.attempts.ready(turn, Timer::Target) {
            return;
        }
        self.attempts.start(turn, |id| match call {
            TargetCall::Describe => Effect::DescribeTarget { id, target },
            TargetCall::Deregister => Effect::DeregisterTarget { id, target },
            TargetCall::Register => Effect::RegisterTarget { id, target },
        });
    }

    /// Takes the call with this id. Returns `false` if its result is stale.
    pub fn take(&mut self, id: EffectId) -> bool {
        self.attempts.take(id).is_some()
    }

    /// The next call is another one, and may start at once.
    pub fn start_anew(&mut self, now: Time) {
        self.looks = 0;
        self.told = Told::default();
        self.attempts.succeeded(now);
    }

    /// The target is described again later.
    pub fn look_later(&mut self, turn: &mut Turn) {
        self.looks += 1;
        self.told = Told::default();
        let next_at = turn.after(POLL, self.looks);
        self.attempts.succeeded(next_at);
    }

    /// The call failed.
    pub fn failed(&mut self, turn: &mut Turn, call: Call, error: &CallError) {
        self.attempts.failed_by(turn, error.kind, RETRY, DENIED_RETRY);
        let known = !self.told.is_news(&error.message);
        turn.call_failed(call, error.clone(), known);
    }
}
