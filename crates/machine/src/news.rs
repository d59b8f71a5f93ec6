//! Decides which messages about this instance, other than lifecycle messages, become notices.
//!
//! Messages may be days old, repeated or forged. The daemon does not believe a time that has passed or that is farther ahead
//! than EC2 ever warns. While IMDS answers, it outranks messages. An on-demand instance has no spot notices at all. See
//! [`Notices`](super::notice::Notices).

use std::time::Duration;

use super::Machine;
use super::imds::spot_due;
use super::message::{InstanceNews, ReservationMessage};
use super::notice::{Category, Due, Notice, NoticeState, Reason};
use super::report::{Disbelief, Report};
use super::time::Time;

/// How much our clock and AWS's may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// The time from a warning to the interruption, if the message does not say (EC2 user guide, "Spot Instance interruption
/// notices").
const WARNING: Duration = Duration::from_secs(120);

/// How far ahead a spot interruption may be. EC2 warns two minutes ahead.
const SPOT_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// How far ahead the end of capacity may be. EC2 warns about ten minutes ahead for a Capacity Block.
const CAPACITY_AHEAD_MAX: Duration = Duration::from_secs(30 * 60);

/// A Capacity Block's instances are terminated this long before its end (EC2 user guide, "How Capacity Blocks work"). Those of
/// UltraServers are terminated an hour before it, before the warning comes.
const BLOCK_TERMINATION: Duration = Duration::from_secs(30 * 60);

/// The time from the warning to the end of a Capacity Block (EC2 user guide, "Monitor Capacity Blocks using EventBridge").
const BLOCK_WARNING: Duration = Duration::from_secs(40 * 60);

/// How far ahead a rebalance recommendation may be. It is about now.
const REBALANCE_AHEAD_MAX: Duration = CLOCK_TOLERANCE;

/// How far ahead maintenance may be. AWS Health announces it weeks ahead, and major changes months ahead.
const MAINTENANCE_AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

/// An instance that is still running this long after its interruption was due is not interrupted.
pub(super) const INTERRUPTION_EXPIRY: Duration = Duration::from_secs(5 * 60);

/// How long a rebalance recommendation lasts. With Capacity Rebalancing, the group replaces the instance within minutes.
pub(super) const REBALANCE_EXPIRY: Duration = Duration::from_secs(6 * 3600);

/// This long after its window, maintenance has happened or will not.
pub(super) const MAINTENANCE_EXPIRY: Duration = Duration::from_secs(3600);

/// Maintenance without a window is forgotten after this time.
pub(super) const MAINTENANCE_UNDATED_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The longest time that SQS keeps a message (SQS API, `MessageRetentionPeriod`). After this no older message can come.
const RETENTION_MAX: Duration = Duration::from_secs(14 * 86_400);

impl Machine {
    /// Processes a message about this instance, sent at `sent`.
    pub(super) fn on_news(&mut self, news: &InstanceNews, sent: Option<Time>) {
        let now = self.turn.now;
        let told_at = sent.unwrap_or(now);
        let told = |reason, id: &str| Notice::of_message(reason, id, sent, now);
        match news {
            InstanceNews::SpotInterruption { action, at } => {
                let at = at.unwrap_or(told_at + WARNING);
                let told = Notice {
                    state: self.imds.state_of_news(now),
                    due: spot_due(*action, at),
                    expires: Some(at + INTERRUPTION_EXPIRY),
                    ..told(Reason::SpotInterruption, "")
                };
                self.tell_news(at, CLOCK_TOLERANCE, SPOT_AHEAD_MAX, told);
            }
            InstanceNews::CapacityInterruption { at } => {
                let at = at.unwrap_or(told_at + WARNING);
                let told = Notice {
                    due: Due::At(at),
                    expires: Some(at + INTERRUPTION_EXPIRY),
                    ..told(Reason::CapacityInterruption, "")
                };
                self.tell_news(at, CLOCK_TOLERANCE, CAPACITY_AHEAD_MAX, told);
            }
            InstanceNews::Rebalance { at } => {
                let at = at.unwrap_or(told_at);
                let told = Notice {
                    state: self.imds.state_of_news(now),
                    expires: Some(at + REBALANCE_EXPIRY),
                    ..told(Reason::RebalanceRecommendation, "")
                };
                self.tell_news(at, REBALANCE_EXPIRY, REBALANCE_AHEAD_MAX, told);
            }
            InstanceNews::Maintenance { event_id, not_before, ends, closed, code: _ } => {
                let (end, expiry) = match (*not_before).max(*ends) {
                    Some(end) => (end, MAINTENANCE_EXPIRY),
                    None => (told_at, MAINTENANCE_UNDATED_EXPIRY),
                };
                let told = Notice {
                    due: not_before.map_or(Due::Unknown, Due::At),
                    expires: Some(end + expiry),
                    ..told(Reason::ScheduledMaintenance, event_id)
                };
                // Maintenance that has passed is closed too, because an older message may name a time in the future.
                if *closed || end + expiry < now {
                    let (state, expires) = (NoticeState::Closed, Some(now + RETENTION_MAX));
                    self.notices.tell(&mut self.turn, Notice { state, expires, ..told.clone() });
                }
                if !closed {
                    self.tell_news(end, expiry, MAINTENANCE_AHEAD_MAX, told);
                }
            }
            InstanceNews::StateChange(_) => {}
        }
    }

    /// Processes the end of a capacity reservation, sent at `sent`.
    pub(super) fn on_reservation(&mut self, told: &ReservationMessage, sent: Option<Time>) {
        let now = self.turn.now;
        let at = told.ends.unwrap_or(sent.unwrap_or(now) + BLOCK_WARNING) - BLOCK_TERMINATION;
        let reason = Reason::CapacityBlockEnd;
        match &self.settings.capacity_reservation {
            Some(ours) if *ours == told.reservation => {}
            Some(_) => return,
            None => return self.ignore(reason, at, Disbelief::Reservation(told.reservation.clone())),
        }
        let before = self.notices.clone();
        let told = Notice {
            due: Due::At(at),
            expires: Some(at + INTERRUPTION_EXPIRY),
            ..Notice::of_message(reason, &told.reservation, sent, now)
        };
        self.tell_news(at, CLOCK_TOLERANCE, CAPACITY_AHEAD_MAX, told);
        if self.notices != before {
            self.journal.touch();
        }
    }

    /// Adds a notice to the table, unless `at` is more than `past_max` ago or more than `ahead_max` ahead, or the notice is
    /// for spot instances and this one is on-demand.
    fn tell_news(&mut self, at: Time, past_max: Duration, ahead_max: Duration, told: Notice) {
        let now = self.turn.now;
        let of_spot = Category::Spot.covers(told.reason) || Category::Rebalance.covers(told.reason);
        let why = if of_spot && self.imds.is_on_demand() {
            Disbelief::OnDemand
        } else if at + past_max < now {
            Disbelief::Passed
        } else if at > now + ahead_max {
            Disbelief::TooFarAhead
        } else {
            return self.notices.tell(&mut self.turn, told);
        };
        self.ignore(told.reason, at, why);
    }

    fn ignore(&mut self, reason: Reason, at: Time, why: Disbelief) {
        let report = Report::NoticeIgnored { reason, at, why };
        if self.queue.strange.is_news(&report.to_string()) {
            self.turn.report(report);
        }
    }
}
