//! Daemons that listen to the queue all the time, and the end of their Capacity Block.

use std::time::Duration;

use machine::Time;
use machine::journal::Journal;
use machine::message::ReservationMessage;
use machine::notice::{Due, Reason};
use machine::settings::Listen;

use super::Reference;
use super::known::{Call, Phase};

/// EC2 begins to terminate the instances this long before the end of the block.
const TERMINATION: Duration = Duration::from_secs(30 * 60);

/// A drain for it starts this much earlier than the agents' timeouts require.
const MARGIN: Duration = Duration::from_secs(60);

/// How far a time in the warning may have passed, and how far ahead it may be.
const PASSED_MAX: Duration = Duration::from_secs(60);
const AHEAD_MAX: Duration = Duration::from_secs(30 * 60);

/// An instance that still runs this long after that was not in the block, or the block was extended.
const EXPIRY: Duration = Duration::from_secs(300);

/// The longest pause between receives. It is that long only after a mass scale-in.
const PAUSE_MAX: Duration = Duration::from_secs(300);

impl Reference {
    /// The warning of the end of a block. A time that has passed, or that is too far ahead, means nothing.
    pub(super) fn hears_of_block(&mut self, now: Time, told: &ReservationMessage) {
        let Some(at) = told.ends.map(|ends| ends - TERMINATION) else { return };
        let is_ours = self.settings.capacity_reservation.as_ref() == Some(&told.reservation);
        if is_ours && at + PASSED_MAX >= now && at <= now + AHEAD_MAX {
            self.block = Some(at);
        }
    }

    /// The block in the journal of the previous life.
    pub(super) fn knows_block(&mut self, journal: &Journal) {
        let mut rows = journal.notices.rows().iter().filter(|row| row.reason == Reason::CapacityBlockEnd);
        self.block = rows.find_map(|row| if let Due::At(at) = row.due { Some(at) } else { None });
    }

    /// When EC2 begins to terminate the instances of the block, while the daemon believes that.
    pub(super) fn block_ends(&self, now: Time) -> Option<Time> {
        self.block.filter(|at| now < *at + EXPIRY)
    }

    /// Whether the daemon asks the queue all the time. It stops once it knows of the end, because other instances need that
    /// message.
    pub(super) fn listens(&self, now: Time) -> bool {
        self.settings.queue && self.settings.listen == Listen::Always && self.block_ends(now).is_none()
    }

    pub(super) fn receives_messages(&self) -> bool {
        self.calls.iter().any(|(_, call)| matches!(call, Call::Receive { .. }))
    }

    /// Checks that a daemon that listens asks the queue, and that it drains in time.
    pub(super) fn must_listen(&mut self, now: Time, wake: Option<Time>) {
        let receives = self.receives_messages();
        let soon = wake.is_some_and(|wake| wake <= now + PAUSE_MAX);
        if self.listens(now) && self.drain == Phase::None && !receives && !soon {
            self.complain("did not plan to ask the queue, to which it must listen");
        }
        let starts = self.block_ends(now).map(|at| at - (self.settings.drain_timeout() + MARGIN));
        if starts.is_some_and(|starts| starts <= now) && self.drain == Phase::None {
            self.complain("did not drain before the end of the Capacity Block");
        }
    }
}
