//! Notices that the instance is going.
//!
//! They form one table, [`Notices`]. Each row is one notice: its source, why the instance is going, and when. Four rules
//! maintain the table:
//!
//! 1. IMDS hands in its current list, one [`Category`] at a time. A row that IMDS no longer lists is removed.
//! 2. IMDS outranks messages. A row that IMDS also lists becomes an IMDS row. A spot interruption or rebalance
//!    recommendation that IMDS does not list is removed, even if it came from a message. So is one for an on-demand instance.
//! 3. Messages can arrive out of order. Of two about the same notice, the one sent later counts. A notice that a message
//!    ends stays in the table as closed, so that an older message does not bring it back.
//! 4. A row known only from a message expires, because AWS may send no further message. The row of a lifecycle action does
//!    not expire. It ends with the action.
//!
//! Whether a row is in force, and which deadline it sets, is computed from the row and the time on every use. Earlier
//! deadlines of a row are not remembered.

mod reason;
mod table;

pub use reason::{Category, Reason};
pub use table::Notices;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::time::Time;

/// Draining for something that EC2 has planned starts at its due time less the drain timeout and this margin.
const PLANNED_MARGIN: Duration = Duration::from_secs(60);

/// How long before an interruption the agents must be done.
const INTERRUPTION_MARGIN: Duration = Duration::from_secs(10);

/// One notice: a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its source. IMDS if it is known from both IMDS and a message.
    pub source: Source,
    /// Why the instance is going.
    pub reason: Reason,
    /// Tells it apart from others for the same reason: the action's token or the maintenance event's id. Empty for reasons
    /// with one notice at a time.
    pub id: String,
    /// Since when it has had its current due time.
    pub since: Time,
    /// When the message behind it was sent. Messages sent earlier are ignored. `None` if that is unknown or no message is
    /// behind it.
    #[serde(default)]
    pub sent: Option<Time>,
    /// When EC2 acts.
    pub due: Due,
    /// When it is dropped. `None` if its source says when it is gone.
    pub expires: Option<Time>,
    /// Whether it counts, and whether a drain has dealt with it.
    pub state: NoticeState,
}

/// The source of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The instance metadata service.
    Imds,
    /// A message of the termination queue.
    Queue,
    /// The result of a call to Auto Scaling.
    AutoScaling,
    /// An operator, on the control socket.
    Operator,
}

/// When EC2 acts on a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// Unknown.
    Unknown,
    /// It has begun, as hibernation does at once.
    Begun,
    /// At this time at the earliest.
    At(Time),
}

/// The state of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It came in a message while IMDS was answering. It has no effect until `until`, so that IMDS can deny it.
    Held {
        /// From this time on it is open.
        until: Time,
    },
    /// It starts a drain, or keeps one going.
    Open,
    /// A drain for it has ended. It starts no second one.
    Settled,
    /// A message says that it is over or called off. It has no effect.
    Closed,
}

impl Notice {
    /// An open notice without a due time.
    pub fn new(source: Source, reason: Reason, id: impl Into<String>, now: Time) -> Self {
        let (due, expires, state) = (Due::Unknown, None, NoticeState::Open);
        Notice { source, reason, id: id.into(), since: now, sent: None, due, expires, state }
    }

    /// An open notice from a message. `sent` is AWS's time, because the daemon's clock may be wrong and cannot order messages.
    pub fn of_message(reason: Reason, id: impl Into<String>, sent: Option<Time>, now: Time) -> Self {
        Notice { sent, ..Notice::new(Source::Queue, reason, id, now) }
    }

    /// Whether both are the same notice.
    pub fn is(&self, other: &Notice) -> bool {
        self.reason == other.reason && self.id == other.id
    }

    /// When it comes into force, so that a drain for it must be under way. `None`: never.
    pub fn starts(&self, settings: &Settings) -> Option<Time> {
        let held = match self.state {
            NoticeState::Held { until } => until,
            NoticeState::Open | NoticeState::Settled => Time::default(),
            NoticeState::Closed => return None,
        };
        match (self.reason, self.due) {
            (reason, _) if reason.is_ignored(settings) => None,
            (Reason::ScheduledMaintenance | Reason::CapacityBlockEnd, Due::At(at)) => {
                Some(held.max(at - (settings.drain_timeout() + PLANNED_MARGIN)))
            }
            (_, Due::Unknown | Due::Begun | Due::At(_)) => Some(held),
        }
    }

    /// The deadline that it sets for a drain started at `started`. `None` if it sets none, or if its due time had already
    /// passed when it came or when the drain started.
    pub fn deadline(&self, started: Time) -> Option<Time> {
        let earliest = self.since.max(started);
        match self.due {
            _ if self.state == NoticeState::Closed => None,
            Due::Unknown => None,
            Due::Begun => Some(earliest),
            Due::At(at) if at <= earliest => None,
            Due::At(at) => Some((at - margin(self.reason)).max(earliest)),
        }
    }

    /// Whether `row` has newer facts: it is from IMDS and this notice is not, or its message was sent later.
    fn is_outdated_by(&self, row: &Notice) -> bool {
        let by_imds = row.source == Source::Imds && self.source != Source::Imds;
        by_imds || self.sent.zip(row.sent).is_some_and(|(own, newer)| own < newer)
    }

    /// Whether the instance reboots once its action is over.
    pub(crate) fn ends_with_a_reboot(&self) -> bool {
        self.reason == Reason::RootVolumeReplacement
    }

    /// Whether it is about an existing lifecycle action, not only about what the group intends.
    fn is_action(&self) -> bool {
        match self.source {
            Source::Queue | Source::AutoScaling => self.reason.has_action(),
            Source::Imds | Source::Operator => false,
        }
    }
}

/// How long before the due time a drain must have ended.
fn margin(reason: Reason) -> Duration {
    match reason {
        Reason::SpotInterruption | Reason::CapacityInterruption | Reason::CapacityBlockEnd => {
            INTERRUPTION_MARGIN
        }
        Reason::AutoscalingTermination
        | Reason::WarmPool
        | Reason::RootVolumeReplacement
        | Reason::RebalanceRecommendation
        | Reason::ScheduledMaintenance
        | Reason::Standby
        | Reason::Detachment
        | Reason::Operator => Duration::ZERO,
    }
}

impl Source {
    /// The spelling in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Imds => "imds",
            Source::Queue => "queue",
            Source::AutoScaling => "auto_scaling",
            Source::Operator => "operator",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Imds => "IMDS",
            Source::Queue => "the queue",
            Source::AutoScaling => "Auto Scaling",
            Source::Operator => "the control socket",
        })
    }
}
