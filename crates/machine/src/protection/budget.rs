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
    /// Takes a change out of the bucket. If it is empty, sets a timer.
    pub fn take(&mut self, turn: &mut Turn) -> bool {
        let free = turn.due(self.full_at - PERIOD * (AT_ONCE_MAX - 1), Timer::Protection);
        if free {
            self.full_at = self.full_at.max(turn.now) + PERIOD;
        }
        free
    }

    /// Puts back a change that was not made.
    pub fn give_back(&mut self) {
        self.full_at = self.full_at - PERIOD;
    }
}
