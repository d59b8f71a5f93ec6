//! Where the lifecycle action stands at AWS, as far as is known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::heartbeat;
use crate::journal::HookFacts;
use crate::time::{Correction, Time};

/// For how long "it does not wait yet" is believed without asking Auto Scaling again.
const TOO_EARLY_FRESH: Duration = Duration::from_secs(30);

/// The life of a lifecycle action before it is over.
///
/// Only a fresh refusal leads back from `Waiting`: Auto Scaling says that the instance does not wait, so what was taken
/// for its action was an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// No notice says that the group runs an action for this instance.
    Unexpected {
        /// The last time at which none waited, where that is known.
        absent_at: Option<Time>,
    },
    /// The group runs one, or will, and it is not known to wait: heartbeats probe for it.
    Expected {
        /// Since when it has been expected.
        since: Time,
        /// The last time at which it did not wait, where that is known.
        absent_at: Option<Time>,
        /// When Auto Scaling last said so itself.
        described_at: Option<Time>,
        /// A message that was sent then told of an earlier action, and so does any older one.
        refuted: Option<Time>,
    },
    /// It waits.
    Waiting {
        /// Since then, at the earliest.
        since: Time,
        /// When that became known: what was sent before says nothing.
        known_at: Time,
        /// How it became known.
        by: WaitSource,
        /// When the last heartbeat that succeeded was sent: the action's expiry counts from it.
        last_beat: Option<Time>,
        /// Since when it was expected, where that is known: nothing of ours has kept it alive before.
        expected_at: Option<Time>,
    },
}

/// What has told that the action waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitSource {
    /// A message, sent then: it can be an old one.
    Message {
        /// When, by AWS's clock.
        sent: Option<Time>,
    },
    /// A heartbeat that succeeded.
    Heartbeat,
    /// DescribeAutoScalingInstances.
    Description,
}

impl WaitSource {
    /// In a word.
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
    /// What is known before the first notice: when none waited, and since when heartbeats have looked for one all the same. They
    /// may have kept it alive.
    pub fn before(absent_at: Option<Time>, probed_since: Option<Time>) -> Self {
        let mut wait = Wait::Unexpected { absent_at: absent_at.max(probed_since) };
        if let Some(since) = probed_since {
            wait.expect(since);
        }
        wait
    }

    /// A notice says that there is, or will be, an action. Whether that is new.
    pub fn expect(&mut self, now: Time) -> bool {
        let Wait::Unexpected { absent_at } = *self else { return false };
        *self = Wait::Expected { since: now, absent_at, described_at: None, refuted: None };
        true
    }

    /// No notice says so any more.
    pub fn unexpect(&mut self) {
        if let Wait::Expected { absent_at, .. } = *self {
            *self = Wait::Unexpected { absent_at };
        }
    }

    /// It waits, since then at the earliest.
    pub fn begin(&mut self, now: Time, since: Time, by: WaitSource) {
        let expected_at = match *self {
            Wait::Expected { since, .. } => Some(since),
            Wait::Unexpected { .. } => Some(now),
            Wait::Waiting { expected_at, .. } => expected_at,
        };
        *self = Wait::Waiting { since, known_at: now, by, last_beat: None, expected_at };
    }

    /// After the end of another, a heartbeat that was sent at `beat` has found one that waits.
    pub fn found(since: Time, now: Time, beat: Time) -> Self {
        let by = WaitSource::Heartbeat;
        Wait::Waiting { since, known_at: now, by, last_beat: Some(beat), expected_at: None }
    }

    /// A message had told of it, and Auto Scaling confirms that the instance waits: what is refused from now on is refused
    /// for another reason.
    pub fn confirm(&mut self, now: Time) {
        if let Wait::Waiting { known_at, by, .. } = self {
            (*known_at, *by) = (now, WaitSource::Description);
        }
    }

    /// Another message tells of it. The newest is believed: an older one told of an earlier action.
    pub fn told_again(&mut self, now: Time, sent: Option<Time>) {
        if let Wait::Waiting { since, by: WaitSource::Message { sent: known }, .. } = self
            && let Some(at) = sent.filter(|_| sent > *known)
        {
            *known = sent;
            *since = at.min(now).max(*since);
        }
    }

    /// A heartbeat that was sent then has succeeded, so it waits for another timeout from then.
    pub fn beaten(&mut self, sent: Time) {
        if let Wait::Waiting { last_beat, .. } = self {
            *last_beat = Some(sent);
        }
    }

    /// A call that was sent then has found no action: none waited.
    pub fn absent(&mut self, at: Time) {
        match self {
            Wait::Unexpected { absent_at } | Wait::Expected { absent_at, .. } => *absent_at = Some(at),
            Wait::Waiting { .. } => {}
        }
    }

    /// Auto Scaling says that the instance does not wait.
    pub fn described_absent(&mut self, now: Time) {
        let (since, refuted) = match *self {
            Wait::Expected { since, refuted, .. } => (since, refuted),
            Wait::Waiting { by: WaitSource::Message { sent }, .. } => (now, sent),
            Wait::Unexpected { .. } | Wait::Waiting { .. } => (now, None),
        };
        *self = Wait::Expected { since, absent_at: Some(now), described_at: Some(now), refuted };
    }

    /// Whether it is known to wait.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Wait::Waiting { .. })
    }

    /// Whether a message that was sent then tells of an earlier action, as is known.
    pub fn is_refuted(&self, message: Option<Time>) -> bool {
        matches!(self, Wait::Expected { refuted, .. } if message.is_some() && message <= *refuted)
    }

    /// Whether only a message says that it waits.
    pub fn is_hearsay(&self) -> bool {
        matches!(self, Wait::Waiting { by: WaitSource::Message { .. }, .. })
    }

    /// When the message was sent that has told of it, where one has.
    pub fn message_sent(&self) -> Option<Time> {
        match self {
            Wait::Waiting { by: WaitSource::Message { sent }, .. } => *sent,
            Wait::Waiting { .. } | Wait::Unexpected { .. } | Wait::Expected { .. } => None,
        }
    }

    /// Since when it waits at the earliest, where it is known to wait.
    pub fn since(&self) -> Option<Time> {
        if let Wait::Waiting { since, .. } = self { Some(*since) } else { None }
    }

    /// Whether a call that was sent then was sent when the action was known to wait: its refusal means something.
    pub fn was_known_at(&self, sent: Time) -> bool {
        matches!(self, Wait::Waiting { known_at, .. } if *known_at <= sent)
    }

    /// Whether Auto Scaling has said a moment ago that it does not wait.
    pub fn is_freshly_absent(&self, now: Time) -> bool {
        let Wait::Expected { described_at: Some(at), .. } = self else { return false };
        now.since(*at) < TOO_EARLY_FRESH
    }

    /// The last time at which none waited, where that is known.
    pub fn absent_at(&self) -> Option<Time> {
        match self {
            Wait::Unexpected { absent_at } | Wait::Expected { absent_at, .. } => *absent_at,
            Wait::Waiting { .. } => None,
        }
    }

    /// The earliest time at which one that is not known to wait may have begun to.
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

    /// After this no heartbeat helps. `None` for an action that had timed out before it was heard of: it is over, or it
    /// is not this one.
    pub fn global_deadline(&self, hook: &HookFacts) -> Option<Time> {
        let Wait::Waiting { known_at, .. } = self else { return None };
        let since = self.alive_since(hook)?;
        let is_over = since + hook.global_timeout <= *known_at;
        (!is_over).then(|| heartbeat::global_deadline(hook, since))
    }

    /// Since when it waits at the earliest, if it is alive: an old message may date it too early. What nothing has kept
    /// alive cannot have waited for longer than its timeout. (A daemon that has lost its journal in mid-drain does not know
    /// that its last run kept it alive. Its action may then end by the hook's global timeout, and not by a deadline.)
    fn alive_since(&self, hook: &HookFacts) -> Option<Time> {
        let Wait::Waiting { since, expected_at, .. } = self else { return None };
        let floor = expected_at.map(|at| at - hook.heartbeat_timeout);
        Some(floor.unwrap_or_default().max(*since))
    }

    /// The clock was corrected: moves what was reckoned by it. When a message was sent is AWS's time.
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

    /// As a restarted daemon takes it: no time is later than now, and nothing that it had sent is waited for.
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
