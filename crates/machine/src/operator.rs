//! Operators' commands and the answers to them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::drain::{Phase, latest_deadline};
use super::effect::CompletionResult;
use super::journal::Outcome;
use super::notice::{Notice, Reason, Source};
use super::time::Time;

/// The longest single extension. AWS keeps no action alive for longer (`GlobalTimeout`, at most 48 hours).
const EXTENSION_MAX: Duration = Duration::from_secs(48 * 3600);

/// The user on the other end of the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The user's id.
    pub uid: u32,
    /// The user's name, if the system knows one.
    pub name: Option<String>,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// A command from an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Drain, although AWS is not taking the instance away.
    Drain,
    /// Withdraw an earlier `Drain`.
    Cancel,
    /// Give the current drain more time.
    Extend(Duration),
    /// End the current drain now, with this result.
    Finish(CompletionResult),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Drain => f.write_str("drain"),
            Command::Cancel => f.write_str("drain --cancel"),
            Command::Extend(by) => write!(f, "extend {}", Whole(*by)),
            Command::Finish(result) => write!(f, "finish --result {}", result.as_str()),
        }
    }
}

/// The answer to an operator.
pub type Answer = Result<Done, Refusal>;

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// To [`Command::Drain`]: a drain starts.
    DrainStarted,
    /// To [`Command::Drain`]: a drain was already under way. It is not withdrawn while this command stands.
    DrainUnderWay,
    /// To [`Command::Drain`]: an earlier operator's drain ended as `drained`, and the agents are still drained.
    AlreadyDrained,
    /// To [`Command::Cancel`].
    Canceled {
        /// The most pressing of the remaining notices, for which the drain continues.
        still: Option<Reason>,
    },
    /// To [`Command::Extend`].
    Extended {
        /// The latest deadline of any agent.
        deadline: Time,
        /// What may end the drain before that.
        bound: Bound,
    },
    /// To [`Command::Finish`].
    Finishing {
        /// The result that the operator asked for.
        result: CompletionResult,
        /// What happens to the lifecycle action.
        action: ActionToFinish,
    },
}

/// What limits an extended deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Nothing known.
    None,
    /// AWS. An extension cannot move this deadline.
    Aws,
    /// The hook's global timeout, which starts when Wait does. Wait has not begun.
    WaitToCome,
}

/// The lifecycle action of a drain that an operator ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionToFinish {
    /// It is in Wait and gets completed now.
    Waits,
    /// It is not known to be in Wait, and gets completed once it is.
    ToCome,
    /// No action is expected.
    None,
    /// None of the group's hooks can be completed. Holds the cause.
    Impossible(String),
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// To [`Command::Cancel`].
    #[error("no drain is under way, so there is nothing to cancel")]
    NothingToCancel,
    /// To [`Command::Cancel`]: an operator did not start the drain.
    #[error(
        "this drain was started by {} and {}", starter(*reason),
        if *has_ended { "has ended, so it cannot be canceled" } else { "cannot be canceled; use drainhook extend or drainhook finish" }
    )]
    NotByOperator {
        /// Why the instance is going.
        reason: Reason,
        /// The drain has ended.
        has_ended: bool,
    },
    /// To [`Command::Extend`].
    #[error("no drain is under way, so there is nothing to extend")]
    NothingToExtend,
    /// To [`Command::Finish`].
    #[error("no drain is under way, so there is nothing to finish")]
    NothingToFinish,
    /// To [`Command::Extend`]: the time is zero or too long.
    #[error("cannot extend by {}: {}", Whole(*by), if by.is_zero() { "it must be more than 0" } else { "the most is 48h" })]
    Extension {
        /// The requested time.
        by: Duration,
    },
    /// To [`Command::Extend`]: a limit of AWS ends the drain, not the agents' time.
    #[error("not extended: AWS ends this drain at {deadline}, whatever time the agents have")]
    AwsLimit {
        /// The drain's deadline.
        deadline: Time,
    },
    /// To [`Command::Extend`].
    #[error("too late to extend: the lifecycle action is being completed")]
    Completing,
    /// To [`Command::Extend`].
    #[error(
        "there is nothing to extend yet: the agents are told to drain at Terminating:Wait (lifecycle.drain_at), and their full \
         time starts then"
    )]
    NotToldYet,
}

/// What started a drain.
fn starter(reason: Reason) -> &'static str {
    match reason {
        Reason::AutoscalingTermination | Reason::WarmPool | Reason::RootVolumeReplacement => "Auto Scaling",
        Reason::SpotInterruption => "EC2's spot interruption",
        Reason::CapacityInterruption => "EC2's capacity interruption",
        Reason::CapacityBlockEnd => "the end of the Capacity Block",
        Reason::RebalanceRecommendation => "EC2's rebalance recommendation",
        Reason::ScheduledMaintenance => "EC2's scheduled maintenance",
        Reason::Standby => "the instance's move into standby",
        Reason::Detachment => "the instance's detachment from its group",
        Reason::Operator => "an operator",
    }
}

/// A duration in whole seconds: `1h2m3s`.
struct Whole(Duration);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, seconds) in [("h", 3600), ("m", 60), ("s", 1)] {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
            }
            rest %= seconds;
        }
        Ok(())
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::DrainStarted => f.write_str("drain started"),
            Done::DrainUnderWay => f.write_str("a drain is already under way"),
            Done::AlreadyDrained => {
                f.write_str("already drained; to return the agents to service, run drainhook drain --cancel")
            }
            Done::Canceled { still: None } => f.write_str("canceled; the agents return to service"),
            Done::Canceled { still: Some(reason) } => {
                write!(f, "canceled, but the drain continues: {}", reason.sentence())
            }
            Done::Extended { deadline, bound } => {
                let bound = match bound {
                    Bound::None => "",
                    Bound::Aws => "; AWS ends the drain then, so it cannot be extended further",
                    Bound::WaitToCome => ", or earlier: the hook's global timeout starts at Terminating:Wait",
                };
                write!(f, "deadline is now {deadline}{bound}")
            }
            Done::Finishing { result, action: ActionToFinish::Waits } => {
                write!(f, "finishing now; completing the lifecycle action with {result}")
            }
            Done::Finishing { result, action: ActionToFinish::ToCome } => write!(
                f,
                "no longer waiting for the agents; drainhook completes the lifecycle action with {result} as soon as it \
                 reaches Terminating:Wait"
            ),
            Done::Finishing { action: ActionToFinish::None, .. } => {
                f.write_str("finishing now; there is no lifecycle action to complete")
            }
            Done::Finishing { action: ActionToFinish::Impossible(why), .. } => {
                write!(f, "finishing now; there is no lifecycle action to complete: {why}")
            }
        }
    }
}

impl Command {
    /// Records the command. `decide` then acts on it together with everything else that is known.
    pub(super) fn carry_out(self, machine: &mut Machine, by: Operator) -> Answer {
        match self {
            Command::Drain => Ok(drain(machine)),
            Command::Cancel => cancel(machine),
            Command::Extend(time) => extend(machine, time),
            Command::Finish(result) => finish(machine, by, result),
        }
    }
}

fn drain(machine: &mut Machine) -> Done {
    let asked_before = machine.notices.has_operator();
    let told = Notice::new(Source::Operator, Reason::Operator, "", machine.turn.now);
    machine.notices.tell(&mut machine.turn, told);
    machine.journal.touch();
    match machine.drain.as_ref().map(|drain| drain.ended()) {
        Some(None) => Done::DrainUnderWay,
        Some(Some(ended)) if asked_before && ended.outcome == Outcome::Drained => Done::AlreadyDrained,
        Some(Some(_)) | None => {
            // Retry a drain that did not succeed.
            machine.notices.reopen_operator();
            Done::DrainStarted
        }
    }
}

fn cancel(machine: &mut Machine) -> Answer {
    if !machine.notices.withdraw_operator(&mut machine.turn) {
        let has_ended = machine.drain.as_ref().map(|drain| !drain.is_under_way());
        let others = has_ended.zip(machine.reason);
        return Err(others.map_or(Refusal::NothingToCancel, |(has_ended, reason)| Refusal::NotByOperator {
            reason,
            has_ended,
        }));
    }
    machine.journal.touch();
    let others = machine.notices.in_force(&machine.settings, &mut machine.turn);
    Ok(Done::Canceled { still: others.first().copied() })
}

fn extend(machine: &mut Machine, by: Duration) -> Answer {
    let Some(drain) = machine.drain.as_mut().filter(|drain| drain.is_under_way()) else {
        return Err(Refusal::NothingToExtend);
    };
    if by.is_zero() || by > EXTENSION_MAX {
        return Err(Refusal::Extension { by });
    }
    if drain.action.intention().is_some() {
        return Err(Refusal::Completing);
    }
    match &drain.phase {
        Phase::Draining { .. } => {}
        Phase::Noticed => return Err(Refusal::NotToldYet),
        Phase::Finishing { .. } | Phase::Ended { .. } => return Err(Refusal::Completing),
    }
    let outside = drain.bound(&machine.notices, machine.turn.now);
    let before = latest_deadline(&machine.agents, outside);
    if let Some(deadline) = before.filter(|_| before == outside) {
        return Err(Refusal::AwsLimit { deadline });
    }
    for agent in &mut machine.agents {
        agent.extend(by);
    }
    drain.extended(&mut machine.journal);
    let waits = !machine.notices.expects_action() || drain.action.waits_since().is_some();
    let deadline = latest_deadline(&machine.agents, outside);
    let bound = match deadline {
        Some(_) if deadline == outside => Bound::Aws,
        Some(_) | None if waits => Bound::None,
        Some(_) | None => Bound::WaitToCome,
    };
    // Every agent that was told to drain has a deadline.
    deadline.map(|deadline| Done::Extended { deadline, bound }).ok_or(Refusal::NotToldYet)
}

fn finish(machine: &mut Machine, by: Operator, result: CompletionResult) -> Answer {
    let expected = machine.notices.expects_action();
    let Some(drain) = machine.drain.as_mut().filter(|drain| drain.is_under_way()) else {
        return Err(Refusal::NothingToFinish);
    };
    drain.finish_by(by, machine.turn.now, result, &mut machine.journal);
    let action = match (drain.action.impossible(), drain.action.waits_since()) {
        _ if !expected => ActionToFinish::None,
        (Some(why), _) => ActionToFinish::Impossible(why.to_owned()),
        (None, Some(_)) => ActionToFinish::Waits,
        (None, None) => ActionToFinish::ToCome,
    };
    Ok(Done::Finishing { result, action })
}
