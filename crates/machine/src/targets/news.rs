//! What is reported about a target group.

use std::fmt;
use std::time::Duration;

use crate::report::{Loudness, Report};
use crate::time::Time;
use crate::turn::Turn;

/// What happened to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetNews {
    /// The instance is not registered, so there is nothing to wait for.
    NotRegistered,
    /// It was deregistered before drainhook looked.
    IsDraining,
    /// drainhook deregistered it.
    Deregistered {
        /// How long the drain waits for the load balancer.
        until: Time,
    },
    /// The load balancer sends no more requests to it.
    Unused {
        /// Time since it was deregistered.
        after: Duration,
    },
    /// Its time is over, or the drain's. The drain goes on.
    GaveUp {
        /// Whether it was deregistered.
        deregistered: bool,
    },
    /// The instance stays, and it is registered again.
    Registered,
}

impl TargetNews {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            TargetNews::NotRegistered => "target_not_registered",
            TargetNews::IsDraining => "target_is_draining",
            TargetNews::Deregistered { .. } => "target_deregistered",
            TargetNews::Unused { .. } => "target_unused",
            TargetNews::GaveUp { .. } => "target_given_up",
            TargetNews::Registered => "target_registered",
        }
    }

    pub(crate) fn loudness(&self) -> Loudness {
        match self {
            TargetNews::GaveUp { .. } => Loudness::Warn,
            TargetNews::NotRegistered
            | TargetNews::IsDraining
            | TargetNews::Deregistered { .. }
            | TargetNews::Unused { .. }
            | TargetNews::Registered => Loudness::Info,
        }
    }
}

impl fmt::Display for TargetNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetNews::NotRegistered => f.write_str("this instance is not registered"),
            TargetNews::IsDraining => {
                f.write_str("this instance was already deregistered; waiting until the load balancer has drained it")
            }
            TargetNews::Deregistered { until } => {
                write!(f, "deregistered; waiting until {until} at the latest for the load balancer")
            }
            TargetNews::Unused { after } => {
                write!(f, "unused {:.1} s after it was deregistered", after.as_secs_f64())
            }
            TargetNews::GaveUp { deregistered: true } => f.write_str(
                "the load balancer is still draining, but there is no more time (target_group.timeout, or the drain's \
                 deadline); the drain goes on",
            ),
            TargetNews::GaveUp { deregistered: false } => f.write_str(
                "not deregistered, and there is no more time (target_group.timeout, or the drain's deadline); the drain goes \
                 on, and the load balancer may still send requests",
            ),
            TargetNews::Registered => f.write_str("registered again"),
        }
    }
}

/// Reports news of a target group.
pub(super) fn tell(turn: &mut Turn, group: &str, news: TargetNews) {
    turn.report(Report::Target { group: group.to_owned(), news });
}
