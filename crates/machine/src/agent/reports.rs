//! What people are told of an agent. An agent decides what it says and how often, and must not fill the log.

use std::time::Duration;

use super::super::event::{AgentState, AgentStatus};
use super::super::report::{Progress, Report};
use super::super::time::Time;
use super::super::timer::Timer;
use super::super::turn::Turn;

/// Counts of work in flight are told this often at most.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// So many changes of state are told at once; after that, one in each period.
const PROGRESS_MAX: u32 = 8;

/// So many different causes of trouble are told as warnings; after that, one in each period.
const TROUBLE_MAX: u32 = 5;

/// After so long one more cause of trouble may be told as a warning.
const TROUBLE_PERIOD: Duration = Duration::from_secs(60);

/// An agent that serves although it was told to drain was restarted. One that says so again has a defect.
const SERVES_MAX: u32 = 2;

/// What people have been told of one agent.
#[derive(Debug)]
pub(super) struct Reports {
    told: Progress,
    told_at: Time,
    changes: Budget,
    /// The cause of trouble that was last told as a warning, since the agent was last well.
    cause: Option<String>,
    warnings: Budget,
    /// How often in a row it has said that it serves, though it was told to drain.
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

    /// A drain begins, or is over: how the agent stands now is told otherwise.
    pub fn begin(&mut self, progress: Progress) {
        self.told = progress;
        self.told_at = Time::default();
        self.cause = None;
        self.serves = 0;
    }

    /// Tells how the agent stands where that has changed: a state at once, a count once in a while. What is not told
    /// now is told later, and the machine is woken for it.
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

    /// Tells how the agent stands now where that has changed: nothing more will be told for a while.
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

    /// The agent did not do as it was asked. A warning where the cause is another one than that of the last warning.
    pub fn trouble(&mut self, turn: &mut Turn, name: &str, why: String) {
        let news = self.cause.as_ref() != Some(&why) && self.warnings.take(turn.now);
        if news {
            self.cause = Some(why.clone());
        }
        turn.report(Report::AgentTrouble { agent: name.to_owned(), why, news });
    }

    /// The agent has done as it was asked: the next trouble is news.
    pub fn well(&mut self) {
        self.cause = None;
    }

    /// The agent has given its status while it is to drain.
    pub fn stated(&mut self, turn: &mut Turn, name: &str, status: &AgentStatus) {
        if status.state != AgentState::Serving {
            self.serves = 0;
            return;
        }
        self.serves = self.serves.saturating_add(1);
        if self.serves == SERVES_MAX {
            let why = "it was told to drain, accepted that, and says again that it is serving; it is told again until \
                       its deadline: only `draining` and `drained` say that it takes no more work";
            let news = self.warnings.take(turn.now);
            turn.report(Report::AgentTrouble { agent: name.to_owned(), why: why.to_owned(), news });
        }
    }
}

/// So many at once, and one more in each period.
#[derive(Debug)]
struct Budget {
    most: u32,
    period: Duration,
    spent: u32,
    /// From when on the periods count.
    since: Time,
}

impl Budget {
    fn new(most: u32, period: Duration) -> Self {
        Budget { most, period, spent: 0, since: Time::default() }
    }

    /// Whether one more is left. It is spent then.
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
    fn so_many_at_once_and_one_in_each_period() {
        let mut budget = Budget::new(3, Duration::from_secs(10));
        let mut taken = |s: u64| budget.take(Time::from_unix_ms(s * 1000));
        assert_eq!([100, 101, 102, 103].map(&mut taken), [true, true, true, false]);
        assert_eq!([109, 110, 111, 120].map(&mut taken), [false, true, false, true]);
        assert_eq!([500, 500, 500, 500].map(&mut taken), [true, true, true, false]);
    }
}
