//! The only file that reads a clock.
//!
//! Time is the wall clock at start plus `CLOCK_BOOTTIME` since: it counts through hibernation, and a wall clock
//! that is set in mid-drain moves no deadline. Under the simulator it can run faster than real time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use machine::Time;

/// How simulated time runs: `speed` times as fast as real time, equal to it at `epoch`.
///
/// Written `1764000000000x60`, so that a simulated AWS and the daemons under it can share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scale {
    /// The instant at which both clocks agree.
    pub epoch: Time,
    /// How many simulated seconds pass in a real one; at least 1.
    pub speed: u32,
}

impl TryFrom<String> for Scale {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once('x').and_then(|(epoch_ms, speed)| {
            let epoch = Time::from_unix_ms(epoch_ms.parse().ok()?);
            let speed = speed.parse().ok().filter(|speed| *speed >= 1)?;
            Some(Scale { epoch, speed })
        });
        parsed.ok_or_else(|| format!("{text:?} is not EPOCH_MSxSPEED, such as 1764000000000x60"))
    }
}

impl From<Scale> for String {
    fn from(scale: Scale) -> String {
        format!("{}x{}", scale.epoch.unix_ms(), scale.speed)
    }
}

/// Reads the time, and sleeps by it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start: Time,
    boottime_at_start: Duration,
    scale: Option<Scale>,
}

impl Clock {
    /// A clock that shows real time, or simulated time where a scale is given.
    pub fn start(scale: Option<Scale>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let wall_at_start = Time::from_unix_ms(0) + since_epoch;
        Clock { wall_at_start, boottime_at_start: boottime(), scale }
    }

    /// The time.
    pub fn now(&self) -> Time {
        let real = self.wall_at_start + boottime().saturating_sub(self.boottime_at_start);
        match self.scale {
            Some(Scale { epoch, speed }) => epoch + real.since(epoch) * speed,
            None => real,
        }
    }

    /// How much real time passes while this clock counts `duration`.
    pub fn real(&self, duration: Duration) -> Duration {
        duration / self.scale.map_or(1, |scale| scale.speed)
    }

    /// Sleeps for as long as this clock counts `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.real(duration)).await;
    }

    /// Sleeps until this clock shows `time`.
    pub async fn sleep_until(&self, time: Time) {
        self.sleep(time.since(self.now())).await;
    }
}

fn boottime() -> Duration {
    let spec = clock_gettime(ClockId::Boottime);
    // Neither part of a boottime is ever negative.
    Duration::new(spec.tv_sec.unsigned_abs(), spec.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_there_and_back() {
        let scale = Scale::try_from("1764000000000x60".to_owned()).expect("well-formed");
        assert_eq!(scale, Scale { epoch: Time::from_unix_ms(1_764_000_000_000), speed: 60 });
        assert_eq!(String::from(scale), "1764000000000x60");
        for bad in ["", "60", "x60", "5x", "5x0", "5x-1"] {
            assert!(Scale::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn scaled_clock_agrees_with_another_that_started_later() {
        let epoch = Clock::start(None).now() - Duration::from_secs(10);
        let scale = Some(Scale { epoch, speed: 60 });
        let (first, second) = (Clock::start(scale), Clock::start(scale));
        let apart = second.now().since(first.now());
        assert!(first.now() >= epoch + Duration::from_secs(600));
        assert!(apart < Duration::from_secs(60), "{apart:?}");
    }
}
