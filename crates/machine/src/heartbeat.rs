//! The timing of heartbeats: arithmetic only.

use std::time::Duration;

use super::backoff::Backoff;
use super::journal::HookFacts;
use super::time::Time;
use super::turn::{Attempts, Turn};

/// The longest pause between heartbeats while Wait is not known to have begun.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// The longest margin before the action's global timeout.
const GLOBAL_MARGIN_MAX: Duration = Duration::from_secs(60);

/// The pause between heartbeats while they are denied, for a timeout that is neither short nor long. An operator may add the
/// permission.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// The time from one heartbeat to the next. It is more than half the timeout, so that AWS never gets more than one per half
/// timeout, even if one is delayed in transit. It varies up to 0.6 of the timeout, so that a fleet spreads out.
pub(super) fn interval(timeout: Duration, turn: &mut Turn) -> Duration {
    turn.between(timeout.mul_f64(0.52), timeout.mul_f64(0.6))
}

/// The time limit of one attempt.
pub(super) fn attempt_limit(timeout: Duration) -> Duration {
    timeout / 10
}

/// Pause after a failed attempt. The first attempt starts at 0.6 of the timeout at the latest, and each takes at most a
/// tenth, so three fit before expiry.
pub(super) fn retry(timeout: Duration) -> Backoff {
    Backoff { first: timeout / 100, most: timeout / 50 }
}

/// How many tries fit before the action expires, at the pace of [`retry`] or [`throttled_retry`].
pub(super) const QUICK_TRIES: u32 = 3;

/// The shortest time from one try to the next, after any result.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// Plans the next try after one sent at `sent` failed. After the quick tries, there are eight to ten tries per timeout.
pub(super) fn failed(
    attempts: &mut Attempts,
    turn: &mut Turn,
    sent: Time,
    timeout: Duration,
    quick: Backoff,
) {
    attempts.failed(turn, quick);
    let mut earliest = sent + SPACING;
    if attempts.failures >= QUICK_TRIES {
        earliest = earliest.max(turn.now + turn.between(timeout / 10, timeout / 8));
    }
    attempts.next_at = attempts.next_at.max(earliest);
}

/// Pause after a throttled attempt. Such attempts are answered at once, so longer pauses still leave room for three.
pub(super) fn throttled_retry(timeout: Duration) -> Backoff {
    Backoff { first: timeout / 50, most: timeout / 15 }
}

/// Pause after a denied attempt. Makes three to ten attempts per timeout.
pub(super) fn denied_retry(timeout: Duration) -> Duration {
    (timeout / 3).min(DENIED_RETRY.max(timeout / 10))
}

/// Pause between heartbeats that probe for Wait. The first success shows that Wait has begun.
pub(super) fn probe_interval(timeout: Duration) -> Duration {
    (timeout / 3).min(PROBE_MAX)
}

/// Pause after a probe was denied or rejected. Doubled, because a backoff draws from its upper half.
pub(super) fn probe_retry(timeout: Duration) -> Backoff {
    let pause = probe_interval(timeout) * 2;
    Backoff { first: pause, most: pause }
}

/// When the action expires: one timeout after the last successful heartbeat was sent, but at the hook's global timeout at
/// the latest.
pub(super) fn expiry(hook: &HookFacts, wait_since: Time, last_sent: Option<Time>) -> Time {
    let beat = last_sent.map_or(wait_since, |sent| sent.max(wait_since));
    (beat + hook.heartbeat_timeout).min(wait_since + hook.global_timeout)
}

/// The deadline by the hook's global timeout. After it no heartbeat helps, and a completion may come too late.
pub(super) fn global_deadline(hook: &HookFacts, wait_since: Time) -> Time {
    wait_since + hook.global_timeout - GLOBAL_MARGIN_MAX.min(hook.global_timeout / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(heartbeat_s: u64, global_s: u64) -> HookFacts {
        HookFacts {
            name: "drain".to_owned(),
            heartbeat_timeout: Duration::from_secs(heartbeat_s),
            global_timeout: Duration::from_secs(global_s),
            read: true,
            has_others: false,
        }
    }

    #[test]
    fn three_tries_fit_before_expiry() {
        for timeout_s in [30, 300, 7200] {
            let timeout = Duration::from_secs(timeout_s);
            let latest_start = timeout.mul_f64(0.6);
            let three = attempt_limit(timeout) * 3 + retry(timeout).most * 2;
            assert!(latest_start + three < timeout, "{timeout_s}");
        }
    }

    #[test]
    fn interval_is_never_under_half_the_timeout() {
        let mut turn = Turn::new("i-0123456789abcdef0");
        let timeout = Duration::from_secs(300);
        let intervals: Vec<_> = (0..1000).map(|_| interval(timeout, &mut turn)).collect();
        assert!(intervals.iter().all(|i| *i >= timeout / 2 && *i <= timeout.mul_f64(0.6)));
        assert!(intervals.iter().any(|i| *i > timeout.mul_f64(0.58)), "no jitter");
    }

    #[test]
    fn expiry_stops_at_the_global_timeout() {
        let since = Time::from_unix_ms(1_000_000);
        let hook = hook(300, 400);
        assert_eq!(expiry(&hook, since, None), since + Duration::from_secs(300));
        let late = since + Duration::from_secs(250);
        assert_eq!(expiry(&hook, since, Some(late)), since + Duration::from_secs(400));
        assert_eq!(global_deadline(&hook, since), since + Duration::from_secs(360));
    }
}
