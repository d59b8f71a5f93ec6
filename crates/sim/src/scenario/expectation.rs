//! What must come out of a scenario.

use std::fmt;
use std::time::Duration;

use crate::story::{Moment, Story};
use crate::world::ActionResult;
use machine::Time;
use machine::journal::Outcome;

/// Something that must come out, for every instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The actions were completed with these results, one after the other, and none expired.
    Completed(&'static [ActionResult]),
    /// The action expired with this default result.
    Expired(ActionResult),
    /// The action was not completed: its hook was deleted.
    Released,
    /// The (last) completion did not come before the agent was drained.
    CompletedDrained,
    /// The first completion came at the deadline that the agent was told, not before and not much later.
    CompletedAtDeadline,
    /// The first completion came so long after this moment, not before and not much later.
    CompletedAfter(Moment, Duration),
    /// How the drains ended, one after the other, as the daemon says.
    Outcomes(&'static [Outcome]),
    /// So many pieces of work went with the instance.
    Lost(u32),
    /// Heartbeats that took effect.
    Heartbeats {
        /// At least.
        least: usize,
        /// At most.
        most: usize,
    },
    /// The agent was told to drain so long before Wait, and had drained by then.
    DrainedAhead(Duration),
    /// The agent was told this reason first.
    Reason(&'static str),
    /// The agent was told again after it was started again.
    ToldAgain,
    /// The agent was told to serve again.
    Returned,
    /// The agent was never told to serve again.
    NotReturned,
    /// So many messages about the instance arrived, and so many of them were deleted.
    Messages {
        /// Arrived.
        sent: u32,
        /// Deleted.
        deleted: u32,
    },
    /// No message was received.
    NoReceive,
    /// So many calls were throttled, or more.
    Throttled(u32),
    /// The daemon was started this often.
    DaemonStarts(u32),
    /// The daemon warned of this, or called it an error.
    Warned(&'static str),
    /// Only once.
    WarnedOnce(&'static str),
}

/// How much later than it should a thing may come, in simulated time; what a busy machine adds comes on top.
const SLACK: Duration = Duration::from_secs(8);

impl Expectation {
    /// Whether it came out so, on a machine that is busy for so long (in simulated time).
    pub fn holds(self, story: &Story, busy: Duration) -> bool {
        let first = story.completions.first().map(|(at, _)| *at);
        let last = story.completions.last().map(|(at, _)| *at);
        let soon_after = |due: Option<Time>| {
            first
                .zip(due)
                .is_some_and(|(completed, due)| completed >= due && completed.since(due) <= SLACK + busy)
        };
        match self {
            Expectation::Completed(results) => {
                story.completions.iter().map(|(_, result)| result).eq(results) && story.expired.is_none()
            }
            Expectation::Expired(result) => story.completions.is_empty() && story.expired == Some(result),
            Expectation::Released => story.completions.is_empty() && story.released,
            Expectation::CompletedDrained => last.zip(story.drained).is_some_and(|(last, at)| last >= at),
            Expectation::CompletedAtDeadline => {
                // Only the deadlines of the first drain count.
                let mut told = story.deadlines.iter().filter(|at| first.is_none_or(|first| **at <= first));
                soon_after(told.next_back().copied())
            }
            Expectation::CompletedAfter(moment, duration) => {
                soon_after(story.reached(moment).map(|at| at + duration))
            }
            Expectation::Outcomes(outcomes) => {
                story.outcomes.iter().eq(outcomes.iter().map(|outcome| outcome.as_str()))
            }
            Expectation::Lost(count) => story.terminated.is_some_and(|(_, lost)| lost == count),
            Expectation::Heartbeats { least, most } => (least..=most).contains(&story.heartbeats.len()),
            Expectation::DrainedAhead(lead) => {
                let led =
                    story.told.zip(story.waited).is_some_and(|((told, _), wait)| wait.since(told) >= lead);
                led && story.drained.zip(story.waited).is_some_and(|(drained, wait)| drained < wait)
            }
            Expectation::Reason(reason) => story.reason.as_deref() == Some(reason),
            Expectation::ToldAgain => story.agent_started.zip(story.told_last).is_some_and(|(a, b)| a < b),
            Expectation::Returned => story.returned.is_some(),
            Expectation::NotReturned => story.returned.is_none(),
            Expectation::Messages { sent, deleted } => {
                (story.sent, story.deletes) == (sent, deleted) && story.receives >= deleted
            }
            Expectation::NoReceive => story.receives == 0,
            Expectation::Throttled(least) => story.throttled >= least,
            Expectation::DaemonStarts(count) => story.daemon_starts == count,
            Expectation::Warned(text) => warnings_of(story, text) > 0,
            Expectation::WarnedOnce(text) => warnings_of(story, text) == 1,
        }
    }
}

fn warnings_of(story: &Story, text: &str) -> usize {
    story.warnings.iter().filter(|warning| warning.contains(text)).count()
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Completed(results) => {
                let results: Vec<_> = results.iter().map(|result| result.as_str()).collect();
                write!(f, "the lifecycle action is completed, with {}", results.join(" and then with "))
            }
            Expectation::Expired(result) => {
                write!(f, "the action expires, with its default result {}", result.as_str())
            }
            Expectation::Released => f.write_str("the action ends with its hook, without a completion"),
            Expectation::CompletedDrained => f.write_str("and not before the agent is drained"),
            Expectation::CompletedAtDeadline => f.write_str("at the deadline that the agent was told"),
            Expectation::CompletedAfter(moment, Duration::ZERO) => {
                write!(f, "as soon as {moment}, and not before")
            }
            Expectation::CompletedAfter(moment, after) => {
                write!(f, "{} s after {moment}, not before and not much later", after.as_secs())
            }
            Expectation::Outcomes(outcomes) => {
                let outcomes: Vec<_> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
                write!(f, "the daemon says how it ended: {}", outcomes.join(", then "))
            }
            Expectation::Lost(0) => f.write_str("no work goes with the instance"),
            Expectation::Lost(1) => {
                f.write_str("1 piece of work goes with the instance: it could not finish")
            }
            Expectation::Lost(count) => {
                write!(f, "{count} pieces of work go with the instance: they could not finish")
            }
            Expectation::Heartbeats { least, most } => write!(f, "{least} to {most} heartbeats"),
            Expectation::DrainedAhead(lead) => {
                write!(f, "the agent drains before Terminating:Wait, told {} s ahead or more", lead.as_secs())
            }
            Expectation::Reason(reason) => write!(f, "the agent is told the reason {reason}"),
            Expectation::ToldAgain => f.write_str("the agent is told again when it is there again"),
            Expectation::Returned => f.write_str("the agent is told to serve again"),
            Expectation::NotReturned => f.write_str("the agent is never told to serve again"),
            Expectation::Messages { sent, deleted } => {
                write!(f, "messages about the instance: {sent} arrived, {deleted} received and deleted")
            }
            Expectation::NoReceive => f.write_str("no message is received"),
            Expectation::Throttled(least) => write!(f, "{least} calls or more are throttled"),
            Expectation::DaemonStarts(count) => write!(f, "the daemon is started {count} times"),
            Expectation::Warned(text) => write!(f, "the daemon's log warns: {text}"),
            Expectation::WarnedOnce(text) => write!(f, "the daemon's log says once: {text}"),
        }
    }
}
