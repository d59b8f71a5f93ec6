//! What is reported about a launch.

use std::fmt;
use std::time::Duration;

use crate::effect::CompletionResult;
use crate::report::Loudness;

/// What happened to a launch.
#[derive(Debug, Clone, PartialEq)]
pub enum LaunchNews {
    /// The agents are being asked whether they are ready, to complete the launching hook.
    Started {
        /// The hook.
        hook: String,
    },
    /// An agent is not ready. Reported once per text.
    NotReady {
        /// Which agent.
        agent: String,
        /// What was tried and what came back.
        why: String,
    },
    /// The result is decided, and the action is being completed.
    Decided {
        /// The result to report.
        result: CompletionResult,
        /// Time since the launch began.
        took: Duration,
    },
    /// The launch is over.
    Ended {
        /// How it ended.
        how: LaunchEnd,
        /// Time since the launch began.
        took: Duration,
        /// Heartbeats that succeeded.
        heartbeats: u32,
    },
}

/// How a launch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchEnd {
    /// drainhook completed the action with this result.
    Completed(CompletionResult),
    /// There is no action to complete: the instance is not launching, or another program completed it.
    NoAction,
    /// The group has no launching hook of this name.
    HookMissing(String),
}

impl LaunchNews {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            LaunchNews::Started { .. } => "launch_started",
            LaunchNews::NotReady { .. } => "agent_not_ready",
            LaunchNews::Decided { result: CompletionResult::Continue, .. } => "launch_ready",
            LaunchNews::Decided { result: CompletionResult::Abandon, .. } => "launch_abandoned",
            LaunchNews::Ended { how: LaunchEnd::HookMissing(_), .. } => "launch_hook_missing",
            LaunchNews::Ended { .. } => "launch_ended",
        }
    }

    pub(crate) fn loudness(&self) -> Loudness {
        match self {
            LaunchNews::Ended { how: LaunchEnd::HookMissing(_), .. } => Loudness::Error,
            LaunchNews::Decided { result: CompletionResult::Abandon, .. } => Loudness::Warn,
            LaunchNews::Started { .. }
            | LaunchNews::NotReady { .. }
            | LaunchNews::Decided { result: CompletionResult::Continue, .. }
            | LaunchNews::Ended { .. } => Loudness::Info,
        }
    }
}

impl fmt::Display for LaunchNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaunchNews::Started { hook } => {
                write!(f, "asking the agents whether they are ready, to complete launching hook {hook}")
            }
            LaunchNews::NotReady { agent, why } => write!(f, "agent {agent} is not ready: {why}"),
            LaunchNews::Decided { result: CompletionResult::Continue, took } => {
                write!(
                    f,
                    "the agents are ready after {:.1} s; completing the launch with CONTINUE",
                    took.as_secs_f64()
                )
            }
            LaunchNews::Decided { result: CompletionResult::Abandon, took } => write!(
                f,
                "the agents are not ready after {:.1} s (launch.timeout); completing the launch with ABANDON, so Auto Scaling \
                 replaces this instance",
                took.as_secs_f64()
            ),
            LaunchNews::Ended { how: LaunchEnd::Completed(result), took, heartbeats } => write!(
                f,
                "launch completed with {result} after {:.1} s and {heartbeats} heartbeat{}",
                took.as_secs_f64(),
                if *heartbeats == 1 { "" } else { "s" }
            ),
            LaunchNews::Ended { how: LaunchEnd::NoAction, .. } => {
                f.write_str("this instance has no launch to complete")
            }
            LaunchNews::Ended { how: LaunchEnd::HookMissing(hook), .. } => write!(
                f,
                "the group has no launching hook {hook}; create it, or correct launch.hook in the configuration"
            ),
        }
    }
}
