//! Reports about an agent. They are rate-limited, so that an agent cannot fill the log.

use std::time::Duration;

use super::super::event::{AgentState, AgentStatus};
use super::super::report::{Progress, Report};
use super::super::time::Time;
use super::super::timer::Timer;
use super::super::turn::Turn;

/// The shortest time between two reports of work in flight.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// This many changes of state are reported at once. After that, one per [`PROGRESS_PERIOD`].
const PROGRESS_MAX: u32 = 8;

/// This many causes of trouble are reported as warnings. After that, one per [`TROUBLE_PERIOD`].
const TROUBLE_MAX: u32 = 5;

/// The period of [`TROUBLE_MAX`].
const TROUBLE_PERIOD: Duration = Duration::from_secs(60);

/// An agent that says `serving` once after it accepted a drain was restarted. One that says so this many times in a row has
/// a bug.
const SERVES_MAX: u32 = 2;

/// What has been reported about one agent.
#[derive(Debug)]
pub(super) struct Reports {
    told: Progress,
    told_at: Time,
    changes: Budget,
    /// The cause of the last warning since the agent last gave a good answer.
    cause: Option<String>,
    warnings: Budget,
    /// How often in a row it said `serving` although it was told to drain.
    serves: u32,
}

impl Reports {
    pub fn new() -> Self {
        Reports {
            told: Progress::default(),
            told_at: Time::default(),
            changes: Budget::new(PROGRESS_MAX, PROGRESS_PERIOD),
            cause: None,
            warnings: Budget::new(TROUBLE_MAX, TROUBLE_PERIOD),
            serves: 0,
        }
    }

    /// A drain starts or is over. Other reports show the agent's progress at this point.
    pub fn begin(&mut self, progress: Progress) {
        self.told = progress;
        self.told_at = Time::default();
        self.cause = None;
        self.serves = 0;
    }

    /// Reports the agent's progress if it changed: a new state at once, a new count after a pause. Sets a timer for a report
    /// that is put off.
    pub fn progress(&mut self, turn: &mut Turn, name: &str, progress: Progress) {
        if progress == self.told {
            return;
        }
        let state_changed = progress.phase != self.told.phase
            || progress.in_flight.is_some() != self.told.in_flight.is_some();
        let at_once = state_changed && self.changes.take(turn.now);
        if at_once || turn.due(self.told_at + PROGRESS_PERIOD, Timer::Progress) {
            self.tell(turn, name, progress);
        }
    }

    /// Reports the agent's progress now if it changed. For the end of a drain.
    pub fn last_progress(&mut self, turn: &mut Turn, name: &str, progress: Progress) {
        if progress != self.told {
            self.tell(turn, name, progress);
        }
    }

    fn tell(&mut self, turn: &mut Turn, name: &str, progress: Progress) {
        self.told = progress;
        self.told_at = turn.now;
        turn.report(Report::AgentProgress { agent: name.to_owned(), progress });
    }

    /// Reports a failed request. It is a warning if its cause differs from the last warning's.
    pub fn trouble(&mut self, turn: &mut Turn, name: &str, why: String) {
        let news = self.cause.as_ref() != Some(&why) && self.warnings.take(turn.now);
        if news {
            self.cause = Some(why.clone());
        }
        turn.report(Report::AgentTrouble { agent: name.to_owned(), why, news });
    }

    /// The agent gave a good answer, so the next failure is news.
    pub fn well(&mut self) {
        self.cause = None;
    }

    /// The agent sent its status document while it should drain.
    pub fn stated(&mut self, turn: &mut Turn, name: &str, status: &AgentStatus) {
        if status.state != AgentState::Serving {
            self.serves = 0;
            return;
        }
        self.serves = self.serves.saturating_add(1);
        if self.serves == SERVES_MAX {
            let why = "it accepted the drain request and still reports `serving`, so drainhook repeats the request until \
                       the deadline; an agent that takes no new work must report `draining` or `drained`";
            let news = self.warnings.take(turn.now);
            turn.report(Report::AgentTrouble { agent: name.to_owned(), why: why.to_owned(), news });
        }
    }
}

/// A rate limit: so many at once, and one more in each period.
#[derive(Debug)]
struct Budget {
    most: u32,
    period: Duration,
    spent: u32,
    /// When the current period started.
    since: Time,
}

impl Budget {
    fn new(most: u32, period: Duration) -> Self {
        Budget { most, period, spent: 0, since: Time::default() }
    }

    /// Spends one. Returns `false` if none is left.
    fn take(&mut self, now: Time) -> bool {
        while self.spent > 0 && self.since + self.period <= now {
            self.spent -= 1;
            self.since = self.since + self.period;
        }
        if self.spent == 0 {
            self.since = now;
        }
        let left = self.spent < self.most;
        self.spent += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_period() {
        let mut budget = Budget::new(3, Duration::from_secs(10));
        let mut taken = |s: u64| budget.take(Time::from_unix_ms(s * 1000));
        assert_eq!([100, 101, 102, 103].map(&mut taken), [true, true, true, false]);
        assert_eq!([109, 110, 111, 120].map(&mut taken), [false, true, false, true]);
        assert_eq!([500, 500, 500, 500].map(&mut taken), [true, true, true, false]);
    }
}
