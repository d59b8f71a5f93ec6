//! The lifecycle action's state at AWS, as far as is known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::heartbeat;
use crate::journal::HookFacts;
use crate::time::{Correction, Time};

/// How long the answer "not in Wait yet" holds before Auto Scaling is asked again.
const TOO_EARLY_FRESH: Duration = Duration::from_secs(30);

/// The state of a lifecycle action before it is over.
///
/// `Waiting` goes back to `Expected` only if Auto Scaling says that the instance is not in Wait: the message that announced
/// the action was about an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// No notice says that the group runs an action for this instance.
    Unexpected {
        /// The last time at which no action was in Wait, if known.
        absent_at: Option<Time>,
    },
    /// The group runs or will run an action that is not known to be in Wait. Heartbeats probe for it.
    Expected {
        /// Since when it has been expected.
        since: Time,
        /// The last time at which it was not in Wait, if known.
        absent_at: Option<Time>,
        /// When Auto Scaling last said that it is not in Wait.
        described_at: Option<Time>,
        /// Messages sent at this time or earlier are about an earlier action.
        refuted: Option<Time>,
    },
    /// It is in Wait.
    Waiting {
        /// The earliest time at which it can have reached Wait.
        since: Time,
        /// When that became known. Refusals of calls sent earlier say nothing.
        known_at: Time,
        /// How that became known.
        by: WaitSource,
        /// When the last successful heartbeat was sent. The action's expiry counts from it.
        last_beat: Option<Time>,
        /// Since when it was expected, if known. Before that, no heartbeat of ours kept it alive.
        expected_at: Option<Time>,
    },
}

/// How the daemon learned that the action is in Wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitSource {
    /// From a message, which can be old.
    Message {
        /// When it was sent, by AWS's clock.
        sent: Option<Time>,
    },
    /// From a successful heartbeat.
    Heartbeat,
    /// From DescribeAutoScalingInstances.
    Description,
}

impl WaitSource {
    /// One word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitSource::Message { .. } => "message",
            WaitSource::Heartbeat => "heartbeat",
            WaitSource::Description => "description",
        }
    }
}

impl Default for Wait {
    fn default() -> Self {
        Wait::Unexpected { absent_at: None }
    }
}

impl Wait {
    /// The state before the first notice. `absent_at`: the last time at which no action was in Wait. `probed_since`: since when
    /// the watch's heartbeats may have kept one alive.
    pub fn before(absent_at: Option<Time>, probed_since: Option<Time>) -> Self {
        let mut wait = Wait::Unexpected { absent_at: absent_at.max(probed_since) };
        if let Some(since) = probed_since {
            wait.expect(since);
        }
        wait
    }

    /// A notice says that there is or will be an action. Returns whether that is new.
    pub fn expect(&mut self, now: Time) -> bool {
        let Wait::Unexpected { absent_at } = *self else { return false };
        *self = Wait::Expected { since: now, absent_at, described_at: None, refuted: None };
        true
    }

    /// No notice says so anymore.
    pub fn unexpect(&mut self) {
        if let Wait::Expected { absent_at, .. } = *self {
            *self = Wait::Unexpected { absent_at };
        }
    }

    /// It is in Wait, since `since` at the earliest.
    pub fn begin(&mut self, now: Time, since: Time, by: WaitSource) {
        let expected_at = match *self {
            Wait::Expected { since, .. } => Some(since),
            Wait::Unexpected { .. } => Some(now),
            Wait::Waiting { expected_at, .. } => expected_at,
        };
        *self = Wait::Waiting { since, known_at: now, by, last_beat: None, expected_at };
    }

    /// After an earlier action's end, a heartbeat sent at `beat` found a new one in Wait.
    pub fn found(since: Time, now: Time, beat: Time) -> Self {
        let by = WaitSource::Heartbeat;
        Wait::Waiting { since, known_at: now, by, last_beat: Some(beat), expected_at: None }
    }

    /// Auto Scaling confirms a message: the instance is in Wait. Refusals of calls sent from now on have another cause.
    pub fn confirm(&mut self, now: Time) {
        if let Wait::Waiting { known_at, by, .. } = self {
            (*known_at, *by) = (now, WaitSource::Description);
        }
    }

    /// Another message announces it. The newest counts, because an older one was about an earlier action.
    pub fn told_again(&mut self, now: Time, sent: Option<Time>) {
        if let Wait::Waiting { since, by: WaitSource::Message { sent: known }, .. } = self
            && let Some(at) = sent.filter(|_| sent > *known)
        {
            *known = sent;
            *since = at.min(now).max(*since);
        }
    }

    /// A heartbeat sent at `sent` succeeded, so the timeout restarts there.
    pub fn beaten(&mut self, sent: Time) {
        if let Wait::Waiting { last_beat, .. } = self {
            *last_beat = Some(sent);
        }
    }

    /// A call sent at `at` found no action.
    pub fn absent(&mut self, at: Time) {
        match self {
            Wait::Unexpected { absent_at } | Wait::Expected { absent_at, .. } => *absent_at = Some(at),
            Wait::Waiting { .. } => {}
        }
    }

    /// Auto Scaling says that the instance is not in Wait.
    pub fn described_absent(&mut self, now: Time) {
        let (since, refuted) = match *self {
            Wait::Expected { since, refuted, .. } => (since, refuted),
            Wait::Waiting { by: WaitSource::Message { sent }, .. } => (now, sent),
            Wait::Unexpected { .. } | Wait::Waiting { .. } => (now, None),
        };
        *self = Wait::Expected { since, absent_at: Some(now), described_at: Some(now), refuted };
    }

    /// Whether it is known to be in Wait.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Wait::Waiting { .. })
    }

    /// Whether a message sent at this time is known to be about an earlier action.
    pub fn is_refuted(&self, message: Option<Time>) -> bool {
        matches!(self, Wait::Expected { refuted, .. } if message.is_some() && message <= *refuted)
    }

    /// Whether only a message says that it is in Wait.
    pub fn is_hearsay(&self) -> bool {
        matches!(self, Wait::Waiting { by: WaitSource::Message { .. }, .. })
    }

    /// When the message that announced it was sent, if one did.
    pub fn message_sent(&self) -> Option<Time> {
        match self {
            Wait::Waiting { by: WaitSource::Message { sent }, .. } => *sent,
            Wait::Waiting { .. } | Wait::Unexpected { .. } | Wait::Expected { .. } => None,
        }
    }

    /// The earliest time at which it can have reached Wait; `None` if it is not known to be in Wait.
    pub fn since(&self) -> Option<Time> {
        if let Wait::Waiting { since, .. } = self { Some(*since) } else { None }
    }

    /// Whether the action was already known to be in Wait when a call was sent, so that its refusal means something.
    pub fn was_known_at(&self, sent: Time) -> bool {
        matches!(self, Wait::Waiting { known_at, .. } if *known_at <= sent)
    }

    /// Whether Auto Scaling has just said that it is not in Wait.
    pub fn is_freshly_absent(&self, now: Time) -> bool {
        let Wait::Expected { described_at: Some(at), .. } = self else { return false };
        now.since(*at) < TOO_EARLY_FRESH
    }

    /// The last time at which no action was in Wait, if known.
    pub fn absent_at(&self) -> Option<Time> {
        match self {
            Wait::Unexpected { absent_at } | Wait::Expected { absent_at, .. } => *absent_at,
            Wait::Waiting { .. } => None,
        }
    }

    /// The earliest time at which the action can have reached Wait.
    pub fn earliest(&self) -> Option<Time> {
        match self {
            Wait::Unexpected { absent_at } => *absent_at,
            Wait::Expected { since, absent_at, .. } => absent_at.or(Some(*since)),
            Wait::Waiting { since, .. } => Some(*since),
        }
    }

    /// When it expires without another heartbeat.
    pub fn expires(&self, hook: &HookFacts) -> Option<Time> {
        let Wait::Waiting { last_beat, .. } = self else { return None };
        Some(heartbeat::expiry(hook, self.alive_since(hook)?, *last_beat))
    }

    /// The time after which no heartbeat helps. `None` for an action whose global timeout had passed before it became known:
    /// it is over, or it is another one.
    pub fn global_deadline(&self, hook: &HookFacts) -> Option<Time> {
        let Wait::Waiting { known_at, .. } = self else { return None };
        let since = self.alive_since(hook)?;
        let is_over = since + hook.global_timeout <= *known_at;
        (!is_over).then(|| heartbeat::global_deadline(hook, since))
    }

    /// The earliest time at which it can have reached Wait, given that it is alive. An old message may date it too early,
    /// but an action without heartbeats cannot have been in Wait for longer than its timeout. (A daemon that lost its
    /// journal during a drain does not know about its last run's heartbeats. The hook's global timeout may then end the
    /// action before the deadline.)
    fn alive_since(&self, hook: &HookFacts) -> Option<Time> {
        let Wait::Waiting { since, expected_at, .. } = self else { return None };
        let floor = expected_at.map(|at| at - hook.heartbeat_timeout);
        Some(floor.unwrap_or_default().max(*since))
    }

    /// Moves the times that our clock measured, after a correction of the clock. When a message was sent is AWS's time.
    pub(crate) fn correct(&mut self, by: Correction) {
        let move_by = |time: &mut Option<Time>| *time = time.map(|time| by.apply(time));
        match self {
            Wait::Unexpected { absent_at } => move_by(absent_at),
            Wait::Expected { since, absent_at, described_at, refuted: _ } => {
                *since = by.apply(*since);
                move_by(absent_at);
                move_by(described_at);
            }
            Wait::Waiting { since, known_at, by: source, last_beat, expected_at } => {
                let sent = if let WaitSource::Message { sent } = source { *sent } else { None };
                if sent != Some(*since) {
                    *since = by.apply(*since).max(sent.unwrap_or_default());
                }
                *known_at = by.apply(*known_at);
                move_by(last_beat);
                move_by(expected_at);
            }
        }
    }

    /// The state after a restart. No time is later than now, and `described_at` and `refuted` are dropped.
    pub fn recovered(self, started: Time, now: Time) -> Self {
        match self {
            Wait::Unexpected { absent_at } | Wait::Expected { absent_at, .. } => Wait::Expected {
                since: started.min(now),
                absent_at: absent_at.map(|at| at.min(started).min(now)),
                described_at: None,
                refuted: None,
            },
            Wait::Waiting { since, known_at, by, last_beat, expected_at } => Wait::Waiting {
                since: since.min(now),
                known_at: known_at.min(now),
                by,
                last_beat: last_beat.map(|sent| sent.min(now)),
                expected_at: expected_at.map(|at| at.min(now)),
            },
        }
    }
}
