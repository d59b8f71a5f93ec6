//! What messages tell of this instance, beside its lifecycle action: which of them become notices.
//!
//! Messages may be days old, repeated or made up. A time that has passed, or that lies farther ahead than EC2 ever warns,
//! is not believed. What IMDS answers while it can be heard is: see [`Notices`](super::notice::Notices).

use std::time::Duration;

use super::Machine;
use super::imds::spot_due;
use super::message::InstanceNews;
use super::notice::{Due, Notice, NoticeState, Reason};
use super::report::{Disbelief, Report};
use super::time::Time;

/// By so much our clock and AWS's may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// From a warning to the interruption, where the message does not say (EC2 user guide, "Spot Instance interruption
/// notices").
const WARNING: Duration = Duration::from_secs(120);

/// The farthest ahead that EC2 warns of a spot interruption, with time to spare. It is two minutes.
const SPOT_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// The farthest ahead that EC2 warns that capacity ends, with time to spare. It is about ten minutes for a Capacity Block.
const CAPACITY_AHEAD_MAX: Duration = Duration::from_secs(30 * 60);

/// A recommendation is about now.
const REBALANCE_AHEAD_MAX: Duration = CLOCK_TOLERANCE;

/// AWS Health announces maintenance some weeks ahead, and major changes some months.
const MAINTENANCE_AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

/// An instance that is still here so long after its interruption was due is not interrupted.
pub(super) const INTERRUPTION_EXPIRY: Duration = Duration::from_secs(5 * 60);

/// With Capacity Rebalancing the group replaces the instance within minutes. So long after, it does not.
pub(super) const REBALANCE_EXPIRY: Duration = Duration::from_secs(6 * 3600);

/// So long after its window maintenance has happened or will not.
pub(super) const MAINTENANCE_EXPIRY: Duration = Duration::from_secs(3600);

/// Maintenance without a window is forgotten after so long.
pub(super) const MAINTENANCE_UNDATED_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The longest that a message lies in a queue (SQS API, `MessageRetentionPeriod`): after so long none comes that is older.
const RETENTION_MAX: Duration = Duration::from_secs(14 * 86_400);

impl Machine {
    /// A message that was sent then tells this of the instance.
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
                // What has passed is over, too: an older message may name a time to come.
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

    /// Takes a notice in, unless its time has passed for longer than `past_max` or is farther ahead than `ahead_max`.
    fn tell_news(&mut self, at: Time, past_max: Duration, ahead_max: Duration, told: Notice) {
        let now = self.turn.now;
        let why = if at + past_max < now {
            Disbelief::Passed
        } else if at > now + ahead_max {
            Disbelief::TooFarAhead
        } else {
            return self.notices.tell(&mut self.turn, told);
        };
        let report = Report::NoticeIgnored { reason: told.reason, at, why };
        if self.queue.strange.is_news(&report.to_string()) {
            self.turn.report(report);
        }
    }
}
