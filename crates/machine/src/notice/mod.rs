//! Notices: what says that the instance is going.
//!
//! They are one table, [`Notices`]. Each row is one notice: who told of it, why the instance goes, and when. Four rules
//! keep the table:
//!
//! 1. IMDS hands in what it lists now, one [`Category`] at a time. What it no longer lists is gone.
//! 2. IMDS outranks messages. A row that it lists too becomes its own, and a spot interruption or a recommendation that
//!    it does not list is gone, from any source.
//! 3. Messages overtake each other: of two that tell of the same, the one that was sent later counts. What a message says
//!    is over stays in the table as closed, so that an older one does not bring it back.
//! 4. A row that only a message told of expires, because AWS need not send another message. The row of a lifecycle action
//!    does not: it ends with the action.
//!
//! Whether a row is in force, and which deadline it sets, follows from the row and the time, whenever it is asked.
//! Nothing is remembered of a deadline that a row no longer sets.

mod reason;
mod table;

pub use reason::{Category, Reason};
pub use table::Notices;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::{OnRebalance, Settings};
use super::time::Time;

/// Draining for maintenance starts this long before it must, so that the agents' whole time fits.
const MAINTENANCE_MARGIN: Duration = Duration::from_secs(60);

/// How long before EC2 takes an instance back the agents must be done.
const INTERRUPTION_MARGIN: Duration = Duration::from_secs(10);

/// One notice: a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who tells of it. IMDS, where both IMDS and a message do.
    pub source: Source,
    /// Why the instance is going.
    pub reason: Reason,
    /// Tells it from the next one for the same reason: the action's token, the maintenance event's id. Empty where there
    /// is one at a time.
    pub id: String,
    /// Since when it has stood as it does here.
    pub since: Time,
    /// When the message was sent that tells of it: what was sent before changes nothing. `None`: that is not known, or no
    /// message does.
    #[serde(default)]
    pub sent: Option<Time>,
    /// When EC2 acts.
    pub due: Due,
    /// When it is dropped. `None`: its source tells when it is gone.
    pub expires: Option<Time>,
    /// Whether it is acted on, and whether a drain has dealt with it.
    pub state: NoticeState,
}

/// Who tells of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The instance metadata service.
    Imds,
    /// A message of the termination queue.
    Queue,
    /// Auto Scaling's own answer to a call.
    AutoScaling,
    /// An operator, on the control socket.
    Operator,
}

/// When EC2 acts on a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// Nothing says when.
    Unknown,
    /// It has begun: hibernation.
    Begun,
    /// Then, at the earliest.
    At(Time),
}

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// A message told of it, and IMDS, which answers, has until then to deny it. Until then nothing follows from it.
    Held {
        /// From then on it is open.
        until: Time,
    },
    /// It starts a drain, or keeps one going.
    Open,
    /// A drain that it was part of has ended. It starts no second one.
    Settled,
    /// A message says that it is over, or called off. Nothing follows from it.
    Closed,
}

impl Notice {
    /// A notice that counts from now on, of which nothing more is known.
    pub fn new(source: Source, reason: Reason, id: impl Into<String>, now: Time) -> Self {
        let (due, expires, state) = (Due::Unknown, None, NoticeState::Open);
        Notice { source, reason, id: id.into(), since: now, sent: None, due, expires, state }
    }

    /// A notice that a message told of. `sent` is AWS's time: the daemon's clock may be wrong, and does not order messages.
    pub fn of_message(reason: Reason, id: impl Into<String>, sent: Option<Time>, now: Time) -> Self {
        Notice { sent, ..Notice::new(Source::Queue, reason, id, now) }
    }

    /// Whether both are the same notice, told once more.
    pub fn is(&self, other: &Notice) -> bool {
        self.reason == other.reason && self.id == other.id
    }

    /// From when it is in force: draining for it must be under way then. `None`: never.
    pub fn starts(&self, settings: &Settings) -> Option<Time> {
        let held = match self.state {
            NoticeState::Held { until } => until,
            NoticeState::Open | NoticeState::Settled => Time::default(),
            NoticeState::Closed => return None,
        };
        match (self.reason, self.due) {
            (Reason::RebalanceRecommendation, _) if settings.on_rebalance == OnRebalance::Ignore => None,
            (Reason::ScheduledMaintenance, Due::At(at)) => {
                Some(held.max(at - (settings.drain_timeout() + MAINTENANCE_MARGIN)))
            }
            (_, Due::Unknown | Due::Begun | Due::At(_)) => Some(held),
        }
    }

    /// The instant after which it no longer helps to drain for it, if it sets one, for a drain that started then. A time
    /// that had passed already, or when it was told, does not say when EC2 acts.
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

    /// Whether that row knows better: it is IMDS's, and this comes with a message; or its message was sent later.
    fn is_outdated_by(&self, row: &Notice) -> bool {
        let by_imds = row.source == Source::Imds && self.source != Source::Imds;
        by_imds || self.sent.zip(row.sent).is_some_and(|(own, newer)| own < newer)
    }

    /// Whether it tells of a lifecycle action itself, not only of what the group is about to do.
    fn is_action(&self) -> bool {
        match self.source {
            Source::Queue | Source::AutoScaling => self.reason.has_action(),
            Source::Imds | Source::Operator => false,
        }
    }
}

/// How long before it is due draining must have ended.
fn margin(reason: Reason) -> Duration {
    match reason {
        Reason::SpotInterruption | Reason::CapacityInterruption => INTERRUPTION_MARGIN,
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
    /// As logs and metrics spell it.
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
