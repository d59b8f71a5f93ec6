//! Time, as the machine, the journal and the simulator use it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant, in Unix milliseconds.
///
/// It is readable in a journal, stays valid after a reboot, and can be made up in a test or a replay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The instant `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Time(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 timestamp, the format in AWS's messages and most IMDS responses.
    pub fn from_rfc3339(text: &str) -> Option<Time> {
        let stamp: jiff::Timestamp = text.trim().parse().ok()?;
        u64::try_from(stamp.as_millisecond()).ok().map(Time)
    }
}

/// A correction of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    ms: i64,
}

impl Correction {
    /// The correction that moves one instant from `before`, by the old clock, to `after`, by the corrected clock.
    pub fn between(before: Time, after: Time) -> Self {
        let ms = |time: Time| i64::try_from(time.0).unwrap_or(i64::MAX);
        Correction { ms: ms(after).saturating_sub(ms(before)) }
    }

    /// Whether it is under a second. Clocks usually differ by that much.
    pub fn is_negligible(self) -> bool {
        self.ms.unsigned_abs() < 1_000
    }

    /// Converts an instant from the old clock to the corrected clock.
    pub fn apply(self, time: Time) -> Time {
        Time(time.0.saturating_add_signed(self.ms))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC, to the millisecond: `2026-03-01T12:00:00.000Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match stamp {
            Some(stamp) => write!(f, "{stamp:.3}"),
            None => f.write_str("the end of time"),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trip() {
        let time = Time::from_rfc3339("2024-03-23T03:26:43.904Z").expect("AWS's own format");
        assert_eq!(time.unix_ms(), 1_711_164_403_904);
        assert_eq!(time.to_string(), "2024-03-23T03:26:43.904Z");
        assert_eq!(Time::from_rfc3339("soon"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let one = Time::from_unix_ms(1);
        assert_eq!(one - Duration::from_secs(1), Time::from_unix_ms(0));
        assert_eq!(one.since(Time::from_unix_ms(5)), Duration::ZERO);
        assert_eq!(Time::from_unix_ms(u64::MAX) + Duration::from_secs(1), Time::from_unix_ms(u64::MAX));
        assert_eq!(Time::from_unix_ms(u64::MAX).to_string(), "the end of time");
    }
}
