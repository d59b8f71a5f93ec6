//! The text of each report, as the log shows it.

use std::fmt;

use super::{ForceNews, NoticeChange, Report, StepNews};
use crate::journal::Outcome;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Notice { change, source, reason, id, deadline } => {
                let sentence = reason.sentence();
                match change {
                    NoticeChange::Appeared => write!(f, "notice from {source}: {sentence}")?,
                    NoticeChange::Rescheduled => write!(f, "notice rescheduled by {source}: {sentence}")?,
                    NoticeChange::Withdrawn => write!(f, "notice withdrawn: {sentence}")?,
                    NoticeChange::Expired => write!(f, "notice expired: {sentence}")?,
                }
                if !id.is_empty() {
                    write!(f, " ({id})")?;
                }
                match (change, deadline) {
                    (NoticeChange::Appeared | NoticeChange::Rescheduled, Some(deadline)) => {
                        write!(f, ", deadline {deadline}")
                    }
                    (NoticeChange::Appeared | NoticeChange::Rescheduled, None)
                    | (NoticeChange::Withdrawn | NoticeChange::Expired, _) => Ok(()),
                }
            }
            Report::NoticeIgnored { reason, at, why } => {
                write!(f, "ignored a message about {reason} at {at}: {why}")
            }
            Report::DrainStarted { reason } => write!(f, "drain started: {}", reason.sentence()),
            Report::DrainRecovered { started } => {
                write!(f, "drain continues after a restart; it started at {started}")
            }
            Report::AgentsTold { order, deadline } => {
                f.write_str("telling the agents ")?;
                if let Some(order) = order {
                    write!(f, "of order {order} ")?;
                }
                f.write_str("to drain")?;
                deadline.map_or(Ok(()), |deadline| write!(f, " by {deadline}"))
            }
            Report::DeadlineMoved { deadline } => write!(f, "deadline moved to {deadline}"),
            Report::AgentProgress { agent, progress } => write!(f, "agent {agent}: {progress}"),
            Report::AgentTrouble { agent, why, .. } => write!(f, "agent {agent}: {why}"),
            Report::AgentForced { agent, news } => {
                write!(f, "agent {agent}: ")?;
                match news {
                    ForceNews::Started { deadline } => {
                        write!(f, "it has not drained, and its deadline is {deadline}; running its force step")
                    }
                    ForceNews::Done => f.write_str("the force step is done"),
                    ForceNews::Failed { why } => write!(f, "the force step failed and is not repeated: {why}"),
                    ForceNews::TimedOut => f.write_str("the force step was stopped at the agent's deadline"),
                }
            }
            Report::AfterStep { number, name, news } => {
                write!(f, "after step {number}, {name}: ")?;
                match news {
                    StepNews::Started { deadline } => write!(f, "started; it has until {deadline}"),
                    StepNews::Done => f.write_str("done"),
                    StepNews::Failed { why } => write!(f, "{why}; the drain goes on without it"),
                    StepNews::TimedOut => f.write_str("stopped, because its time is over; the drain goes on without it"),
                    StepNews::Skipped => f.write_str("not run, because no time is left before the deadline"),
                    StepNews::Canceled => f.write_str("stopped; the steps run again if the drain gets that far again"),
                }
            }
            Report::Launch(news) => news.fmt(f),
            Report::Protection(news) => news.fmt(f),
            Report::Target { group, news } => write!(f, "target group {group}: {news}"),
            Report::HookChosen { hook } => write!(
                f,
                "using lifecycle hook {}: heartbeat timeout {:?}, global timeout {:?}{}",
                hook.name,
                hook.heartbeat_timeout,
                hook.global_timeout,
                if hook.read { "" } else { " (assumed until the hook is read)" }
            ),
            Report::HookImpossible { why } => write!(f, "no lifecycle action to complete: {why}"),
            Report::GroupChanged { before, now } => {
                write!(f, "this instance is in group {now}, not {before}; calls now name {now}")
            }
            Report::WaitBegan { since, by } => {
                write!(f, "lifecycle action in Wait since {since} (from a {})", by.as_str())
            }
            Report::HeartbeatSent { expires: Some(expires) } => {
                write!(f, "heartbeat accepted; the action expires at {expires}")
            }
            Report::HeartbeatSent { expires: None } => f.write_str("heartbeat accepted"),
            Report::CallFailed { error, .. } => write!(f, "{error}"),
            Report::Completing { outcome, result } => {
                let agents = match outcome {
                    Outcome::Drained => "the agents have drained",
                    Outcome::Deadline => "the agents' time is over",
                    Outcome::Failed => "an agent could not be drained",
                    Outcome::Finished => "an operator ended the drain",
                    Outcome::Withdrawn | Outcome::Overtaken => "the drain is over",
                };
                write!(f, "{agents}; completing the lifecycle action with {result}")
            }
            Report::DrainEnded { outcome, result, by, took, heartbeats, .. } => {
                write!(f, "drain ended: {outcome}")?;
                if let Some(by) = by {
                    write!(f, " by {by}")?;
                }
                let took = took.as_secs_f64();
                match result {
                    Some(result) => write!(
                        f,
                        ", completed with {result} after {took:.1} s and {heartbeats} heartbeat{}",
                        if *heartbeats == 1 { "" } else { "s" }
                    ),
                    None => write!(f, " after {took:.1} s; drainhook completed no lifecycle action"),
                }
            }
            Report::StaleMessage => f.write_str("ignored a message about a lifecycle action that is over"),
            Report::StrangeMessage { why } => write!(f, "returned a message to the queue: {why}"),
            Report::Retained => f.write_str("Auto Scaling retained the instance; watching for its release"),
            Report::AgentsReturned => f.write_str("the instance stays; telling the agents to serve again"),
            Report::ImdsSilent { why, queue: true } => {
                write!(f, "IMDS has not answered for a minute; polling the queue instead: {why}")
            }
            Report::ImdsSilent { why, queue: false } => write!(
                f,
                "IMDS has not answered for a minute and no queue is configured, so the daemon receives no notices: {why}; \
                 check the instance's metadata options, or set queue.url"
            ),
            Report::ImdsMissing { queue: true } => f.write_str(
                "IMDS has no autoscaling/target-lifecycle-state (404); polling the queue for terminations instead",
            ),
            Report::ImdsMissing { queue: false } => f.write_str(
                "IMDS has no autoscaling/target-lifecycle-state (404) and no queue is configured, so the daemon cannot see a \
                 termination; set queue.url, or check that this instance is in an Auto Scaling group",
            ),
            Report::ImdsHeard => f.write_str("IMDS answers again"),
            Report::ImdsMalformed { why } => write!(f, "ignored a malformed response from IMDS: {why}"),
            Report::UnknownTargetState { state } => {
                write!(f, "ignored an unknown target lifecycle state from IMDS: {state}")
            }
            Report::JournalFailed { why, .. } => {
                write!(f, "the journal was not written, so a restart now would lose the latest state: {why}")
            }
            Report::Defect { what } => {
                write!(f, "defect in drainhook, please report it: assertion failed: {what}")
            }
        }
    }
}
