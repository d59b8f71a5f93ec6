//! How often the protection may change.

use std::time::Duration;

use crate::time::Time;
use crate::timer::Timer;
use crate::turn::Turn;

/// Changes that may follow one another at once.
const AT_ONCE_MAX: u32 = 2;

/// After that, one change may be made in this time. In a fleet of 10,000, that is at most 17 calls per second.
const PERIOD: Duration = Duration::from_secs(600);

/// A token bucket.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// When it is full again.
    full_at: Time,
}

impl Budget {
    /// Whether the bucket has a change. If not, sets a timer.
    pub fn permits(&self, turn: &mut Turn) -> bool {
        turn.due(self.full_at - PERIOD * (AT_ONCE_MAX - 1), Timer::Protection)
    }

    /// Takes a change out of the bucket.
    pub fn take(&mut self, now: Time) {
        self.full_at = self.full_at.max(now) + PERIOD;
    }
}
