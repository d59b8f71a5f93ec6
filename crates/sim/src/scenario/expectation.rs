//! Expected results of a scenario.

use std::fmt;
use std::time::Duration;

use crate::story::{Moment, Story};
use crate::world::ActionResult;
use machine::Time;
use machine::journal::Outcome;

/// An expected result, for every instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The actions were completed with these results, in this order, and none expired.
    Completed(&'static [ActionResult]),
    /// The action expired with this default result.
    Expired(ActionResult),
    /// The action ended without a completion because its hook was deleted.
    Released,
    /// The last completion did not come before the agent had drained.
    CompletedDrained,
    /// The first completion came at the deadline that the agent was told, no earlier and at most a few seconds later.
    CompletedAtDeadline,
    /// The first completion came this long after the moment, no earlier and at most a few seconds later.
    CompletedAfter(Moment, Duration),
    /// The drains ended with these outcomes, in this order, as the daemon reports them.
    Outcomes(&'static [Outcome]),
    /// Scale-in picked the instance right after this moment, not before.
    PickedAfter(Moment),
    /// This many work items were lost with the instance.
    Lost(u32),
    /// The agent's process ended with this many work items.
    Exited(u32),
    /// The number of heartbeats that took effect.
    Heartbeats {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// The agent was told to drain at least this long before Wait, and had drained when Wait began.
    DrainedAhead(Duration),
    /// The first drain request gave this reason.
    Reason(&'static str),
    /// The agent was told to drain again after its restart.
    ToldAgain,
    /// The agent was returned to service.
    Returned,
    /// The agent was never returned to service.
    NotReturned,
    /// Counts of messages about the instance.
    Messages {
        /// How many arrived.
        sent: u32,
        /// How many were deleted.
        deleted: u32,
    },
    /// The daemon received no message.
    NoReceive,
    /// At least this many calls were throttled.
    Throttled(u32),
    /// The daemon was started this many times.
    DaemonStarts(u32),
    /// The daemon logged this as a warning or an error.
    Warned(&'static str),
    /// The same, exactly once.
    WarnedOnce(&'static str),
}

/// How late a result may be, in simulated time. The delays of a busy machine come on top.
const SLACK: Duration = Duration::from_secs(8);

impl Expectation {
    /// Whether the story meets the expectation. `busy` is how much later a busy machine may be, in simulated time.
    pub fn holds(self, story: &Story, busy: Duration) -> bool {
        let first = story.completions.first().map(|(at, _)| *at);
        let last = story.completions.last().map(|(at, _)| *at);
        let follows = |then: Option<Time>, due: Option<Time>| {
            then.zip(due).is_some_and(|(then, due)| then >= due && then.since(due) <= SLACK + busy)
        };
        let soon_after = |due: Option<Time>| follows(first, due);
        match self {
            // Without an action, a completion would be rejected.
            Expectation::Completed([]) => {
                story.completions.is_empty() && story.rejected == 0 && story.expired.is_none()
            }
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
            Expectation::PickedAfter(moment) => follows(story.requested, story.reached(moment)),
            Expectation::Lost(count) => story.terminated.is_some_and(|(_, lost)| lost == count),
            Expectation::Exited(count) => story.agent_exited.is_some_and(|(_, lost)| lost == count),
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
            Expectation::Completed([]) => f.write_str("no lifecycle action is completed"),
            Expectation::Completed(results) => {
                let results: Vec<_> = results.iter().map(|result| result.as_str()).collect();
                write!(f, "the lifecycle action is completed with {}", results.join(", then with "))
            }
            Expectation::Expired(result) => {
                write!(f, "the action expires with its default result, {}", result.as_str())
            }
            Expectation::Released => {
                f.write_str("the action ends because its hook is deleted, without a completion")
            }
            Expectation::CompletedDrained => {
                f.write_str("the completion does not come before the agent has drained")
            }
            Expectation::CompletedAtDeadline => {
                f.write_str("the completion comes at the deadline that the agent was told")
            }
            Expectation::CompletedAfter(moment, Duration::ZERO) => {
                write!(f, "the completion comes right after {moment}, not before")
            }
            Expectation::CompletedAfter(moment, after) => {
                write!(
                    f,
                    "the completion comes {} s after {moment}, not before and not much later",
                    after.as_secs()
                )
            }
            Expectation::Outcomes(outcomes) => {
                let outcomes: Vec<_> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
                write!(f, "the daemon reports the outcome: {}", outcomes.join(", then "))
            }
            Expectation::PickedAfter(moment) => {
                write!(f, "scale-in picks the instance right after {moment}, not before")
            }
            Expectation::Lost(0) => f.write_str("no work item is lost"),
            Expectation::Lost(1) => f.write_str("1 work item is lost: it could not finish"),
            Expectation::Lost(count) => {
                write!(f, "{count} work items are lost: they could not finish")
            }
            Expectation::Exited(0) => f.write_str("the agent has no work when its process ends"),
            Expectation::Exited(count) => write!(f, "the agent has {count} work items when its process ends"),
            Expectation::Heartbeats { least, most } => write!(f, "{least} to {most} heartbeats"),
            Expectation::DrainedAhead(lead) => {
                write!(
                    f,
                    "the agent is told at least {} s before Terminating:Wait, and drains by then",
                    lead.as_secs()
                )
            }
            Expectation::Reason(reason) => write!(f, "the reason that the agent is told is {reason}"),
            Expectation::ToldAgain => f.write_str("the agent is told to drain again after its restart"),
            Expectation::Returned => f.write_str("the agent is returned to service"),
            Expectation::NotReturned => f.write_str("the agent is never returned to service"),
            Expectation::Messages { sent, deleted } => {
                write!(f, "messages about the instance: {sent} arrived, {deleted} received and deleted")
            }
            Expectation::NoReceive => f.write_str("no message is received"),
            Expectation::Throttled(least) => write!(f, "at least {least} calls are throttled"),
            Expectation::DaemonStarts(count) => write!(f, "the daemon is started {count} times"),
            Expectation::Warned(text) => write!(f, "the daemon warns: {text}"),
            Expectation::WarnedOnce(text) => write!(f, "the daemon warns exactly once: {text}"),
        }
    }
}
