//! The only file that reads a clock.
//!
//! Time is the wall clock at start plus `CLOCK_BOOTTIME` since. It counts through hibernation, and setting the wall clock
//! during a drain does not move our own deadlines. AWS's deadlines are wall-clock instants, so [`Clock`] also detects when
//! the wall clock was set, and the daemon then restarts with a new one. Under the simulator, time can run faster than real
//! time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use machine::Time;

/// How simulated time runs: `speed` times as fast as real time, equal to it at `epoch`.
///
/// Written as `1764000000000x60`. A simulated AWS and its daemons share one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scale {
    /// The instant at which simulated and real time agree.
    pub epoch: Time,
    /// Simulated seconds per real second; at least 1.
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

/// The wall clock counts as set once it differs from ours by more than this. Time daemons slew smaller differences, and
/// slewing moves `CLOCK_BOOTTIME` too.
const SET_MIN: Duration = Duration::from_secs(2);

/// The system's wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallClockSet {
    /// It was slow, and was set ahead by this much.
    Ahead(Duration),
    /// It was fast, and was set back by this much.
    Back(Duration),
}

/// When the runtime was made. Its timers count milliseconds from then.
static RUNTIME_START: OnceLock<Instant> = OnceLock::new();

/// The width of a slot in the second level of the runtime's timers. A timer of a second waits there. When its slot begins, the
/// thread wakes up and moves it to the first level, unless the timer ends at that moment.
const SLOT: Duration = Duration::from_millis(64);

/// [`Clock::pause`] ends up to half a slot early or late. For shorter pauses that would be too much.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// Notes when the runtime starts. Call it right before the runtime is made.
pub fn runtime_starts() {
    RUNTIME_START.get_or_init(Instant::now);
}

/// Reads the time, and sleeps by it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start: Time,
    boottime_at_start: Duration,
    scale: Option<Scale>,
}

impl Clock {
    /// A clock that shows real time, or simulated time if a scale is given.
    pub fn start(scale: Option<Scale>) -> Self {
        let wall_at_start = wall();
        Clock { wall_at_start, boottime_at_start: boottime(), scale }
    }

    /// The current time.
    pub fn now(&self) -> Time {
        self.scaled(self.real_now())
    }

    /// How the system's wall clock was set since this clock was started; `None` if it was not.
    pub fn wall_clock_set(&self) -> Option<WallClockSet> {
        let (believed, wall) = (self.real_now(), wall());
        let (ahead, back) = (wall.since(believed), believed.since(wall));
        if ahead > SET_MIN {
            Some(WallClockSet::Ahead(ahead))
        } else if back > SET_MIN {
            Some(WallClockSet::Back(back))
        } else {
            None
        }
    }

    /// The boot time, by this clock. Two clocks from the same boot are as far apart as their boot times.
    pub fn booted_at(&self) -> Time {
        self.scaled(self.wall_at_start - self.boottime_at_start)
    }

    /// Converts real time to this clock's time.
    fn scaled(&self, real: Time) -> Time {
        let Some(Scale { epoch, speed }) = self.scale else { return real };
        if real < epoch {
            epoch - epoch.since(real).saturating_mul(speed)
        } else {
            epoch + real.since(epoch).saturating_mul(speed)
        }
    }

    fn real_now(&self) -> Time {
        self.wall_at_start + boottime().saturating_sub(self.boottime_at_start)
    }

    /// How much real time passes while this clock counts `duration`.
    pub fn real(&self, duration: Duration) -> Duration {
        duration / self.scale.map_or(1, |scale| scale.speed)
    }

    /// Sleeps for as long as this clock counts `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.real(duration)).await;
    }

    /// Sleeps for about as long. Ends where a slot of the runtime's timers begins, so that an idle process wakes up once for it
    /// and not twice.
    pub async fn pause(&self, duration: Duration) {
        let real = self.real(duration);
        match RUNTIME_START.get() {
            Some(start) if real >= PAUSE_MIN => {
                tokio::time::sleep_until((*start + slot_near(start.elapsed() + real)).into()).await;
            }
            Some(_) | None => tokio::time::sleep(real).await,
        }
    }

    /// Sleeps until this clock shows `time`.
    pub async fn sleep_until(&self, time: Time) {
        self.sleep(time.since(self.now())).await;
    }
}

/// When a slot of the runtime's timers begins near `end`, both from the runtime's start. The runtime counts the millisecond that
/// has begun, and started a moment later than we noted: half a millisecond less is surely in the right one.
fn slot_near(end: Duration) -> Duration {
    let slots = (end + SLOT / 2).as_millis() / SLOT.as_millis();
    SLOT.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX)).saturating_sub(Duration::from_micros(500))
}

/// The system's wall clock.
fn wall() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let time = Time::from_unix_ms(0) + since_epoch;
    #[cfg(debug_assertions)]
    let time = wrong_by(time);
    time
}

/// Only in debug builds: `DRAINHOOK_CLOCK_OFFSET` names a file that holds an offset in milliseconds, such as `-360000`,
/// which is added to the system's clock. A test sets a running daemon's clock by writing to the file.
#[cfg(debug_assertions)]
fn wrong_by(time: Time) -> Time {
    let Some(path) = std::env::var_os("DRAINHOOK_CLOCK_OFFSET") else { return time };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let offset: i64 = text.trim().parse().unwrap_or(0);
    Time::from_unix_ms(time.unix_ms().saturating_add_signed(offset))
}

/// Real time since boot.
pub fn boottime() -> Duration {
    let spec = clock_gettime(ClockId::Boottime);
    // Neither part of a boottime is ever negative.
    Duration::new(spec.tv_sec.unsigned_abs(), spec.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pause ends in the first millisecond of a slot, and close to its time.
    #[test]
    fn pauses_end_at_slots() {
        for end_ms in [1000, 1024, 1055, 1056, 86_400_000, 90 * 86_400_000_u64] {
            let end = Duration::from_millis(end_ms);
            let found = slot_near(end);
            let counted = found.as_micros().div_ceil(1000);
            assert_eq!(counted % SLOT.as_millis(), 0, "{end_ms}: {found:?}");
            assert!(found.abs_diff(end) <= SLOT / 2 + Duration::from_millis(1), "{end_ms}: {found:?}");
        }
    }

    #[test]
    fn scale_round_trip() {
        let scale = Scale::try_from("1764000000000x60".to_owned()).expect("well-formed");
        assert_eq!(scale, Scale { epoch: Time::from_unix_ms(1_764_000_000_000), speed: 60 });
        assert_eq!(String::from(scale), "1764000000000x60");
        for bad in ["", "60", "x60", "5x", "5x0", "5x-1"] {
            assert!(Scale::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    fn clock(wall_at_start: Time, scale: Option<Scale>) -> Clock {
        Clock { wall_at_start, boottime_at_start: boottime(), scale }
    }

    #[test]
    fn wall_clock_changes() {
        let now = wall();
        let wrong = Duration::from_secs(360);
        assert_eq!(clock(now, None).wall_clock_set(), None);
        // Tolerates slewing and the time between two readings.
        assert_eq!(clock(now + Duration::from_secs(1), None).wall_clock_set(), None);
        let near = |by: Duration| by >= wrong - SET_MIN && by <= wrong + SET_MIN;
        assert!(
            matches!(clock(now - wrong, None).wall_clock_set(), Some(WallClockSet::Ahead(by)) if near(by))
        );
        assert!(
            matches!(clock(now + wrong, None).wall_clock_set(), Some(WallClockSet::Back(by)) if near(by))
        );
    }

    #[test]
    fn clocks_of_one_boot_differ_by_their_boot_times() {
        let now = wall();
        let apart = |scale| {
            let (right, fast) = (clock(now, scale), clock(now + Duration::from_secs(360), scale));
            fast.booted_at().since(right.booted_at()).as_secs()
        };
        assert!((359..=360).contains(&apart(None)), "{}", apart(None));
        let scaled = apart(Some(Scale { epoch: now, speed: 2 }));
        assert!((719..=720).contains(&scaled), "{scaled}");
    }

    #[test]
    fn scaled_time_saturates() {
        let now = wall();
        let scaled = |epoch, at| clock(now, Some(Scale { epoch, speed: u32::MAX })).scaled(at);
        let end = Time::from_unix_ms(u64::MAX);
        assert_eq!(scaled(Time::from_unix_ms(0), end), end);
        assert_eq!(scaled(end, Time::from_unix_ms(0)), Time::from_unix_ms(0));
        assert_eq!(
            scaled(now, now - Duration::from_millis(1)),
            now - Duration::from_millis(u64::from(u32::MAX))
        );
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
