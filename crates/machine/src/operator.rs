//! What operators ask for, and what they are told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::drain::latest_deadline;
use super::effect::CompletionResult;
use super::journal::Outcome;
use super::notice::{Notice, Reason, Source};
use super::time::Time;

/// The longest extension at once: AWS keeps no action alive for longer (`GlobalTimeout`, at most 48 hours).
const EXTENSION_MAX: Duration = Duration::from_secs(48 * 3600);

/// Who asks: the peer of the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The user's number.
    pub uid: u32,
    /// The user's name, where the system knows one.
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

/// What an operator may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Drain, although AWS does not take the instance away.
    Drain,
    /// Withdraw an earlier `Drain`.
    Cancel,
    /// Give the drain under way more time.
    Extend(Duration),
    /// End the drain under way now, with this result.
    Finish(CompletionResult),
}

/// What an operator is told.
pub type Answer = Result<Done, Refusal>;

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// To [`Command::Drain`]: a drain begins.
    DrainStarted,
    /// To [`Command::Drain`]: one is under way already, and does not end before this command is withdrawn.
    DrainUnderWay,
    /// To [`Command::Drain`]: an operator's drain has ended as drained.
    AlreadyDrained,
    /// To [`Command::Cancel`].
    Canceled {
        /// The notice for which the drain continues.
        still: Option<Reason>,
    },
    /// To [`Command::Extend`].
    Extended {
        /// The latest deadline of any agent now.
        deadline: Time,
        /// What may end the drain before that.
        bound: Bound,
    },
    /// To [`Command::Finish`].
    Finishing {
        /// The result that the operator asked for.
        result: CompletionResult,
        /// What becomes of it.
        action: ActionToFinish,
    },
}

/// What bounds an extended deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Nothing that is known.
    None,
    /// The deadline is the one that AWS sets, and an extension cannot move it.
    Aws,
    /// The hook's global timeout, which counts from a Wait that has not begun.
    WaitToCome,
}

/// The lifecycle action of a drain that an operator ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionToFinish {
    /// It waits, and is completed now.
    Waits,
    /// It is not known to wait, and is completed as soon as it does.
    ToCome,
    /// There is none to complete.
    None,
    /// None of the group's hooks can be completed; says why.
    Impossible(String),
}

/// A command that was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// To [`Command::Cancel`].
    #[error("no drain was started by an operator, so there is nothing to cancel: see drainhook status")]
    NothingToCancel,
    /// To [`Command::Extend`].
    #[error("no drain is under way: there is nothing to extend")]
    NothingToExtend,
    /// To [`Command::Finish`].
    #[error("no drain is under way: there is nothing to finish")]
    NothingToFinish,
    /// To [`Command::Extend`]: no time, or too much.
    #[error("cannot extend by {}: {}", Whole(*by), if by.is_zero() { "it must be more than 0" } else { "the most is 48h" })]
    Extension {
        /// The time that was asked for.
        by: Duration,
    },
    /// To [`Command::Extend`].
    #[error("too late: the lifecycle action is being completed")]
    Completing,
    /// To [`Command::Extend`].
    #[error(
        "the agents are told to drain at Terminating:Wait (lifecycle.drain_at) and have their whole time then: there is \
         nothing to extend yet"
    )]
    NotToldYet,
}

/// A duration in whole hours, minutes or seconds.
struct Whole(Duration);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("0s"),
            seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::DrainStarted => f.write_str("drain started"),
            Done::DrainUnderWay => f.write_str("a drain is under way already"),
            Done::AlreadyDrained => {
                f.write_str("drained already: drainhook drain --cancel returns the agents to service")
            }
            Done::Canceled { still: None } => f.write_str("canceled: the agents return to service"),
            Done::Canceled { still: Some(reason) } => {
                write!(f, "canceled, but the drain continues: {}", reason.sentence())
            }
            Done::Extended { deadline, bound } => {
                let bound = match bound {
                    Bound::None => "",
                    Bound::Aws => ", which AWS sets and an extension cannot move",
                    Bound::WaitToCome => {
                        ", or earlier: the hook's global timeout counts from Terminating:Wait"
                    }
                };
                write!(f, "deadline is now {deadline}{bound}")
            }
            Done::Finishing { result, action: ActionToFinish::Waits } => {
                write!(f, "finishing now, with {result}")
            }
            Done::Finishing { result, action: ActionToFinish::ToCome } => write!(
                f,
                "no longer waiting for the agents; the lifecycle action is completed with {result} as soon as it reaches \
                 Terminating:Wait"
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

impl Machine {
    pub(super) fn on_operator(&mut self, by: &Operator, command: Command) {
        let answer = match command {
            Command::Drain => Ok(self.operator_drain()),
            Command::Cancel => self.operator_cancel(),
            Command::Extend(by) => self.operator_extend(by),
            Command::Finish(result) => self.operator_finish(by, result),
        };
        self.turn.answer(answer);
    }

    fn operator_drain(&mut self) -> Done {
        let asked_before = self.notices.has_operator();
        let told = Notice::new(Source::Operator, Reason::Operator, "", self.turn.now);
        self.notices.tell(&mut self.turn, told);
        self.journal.touch();
        let ended = self.drain.as_ref().map(|drain| drain.ended);
        match ended {
            Some(None) => Done::DrainUnderWay,
            Some(Some(ended)) if asked_before && ended.outcome == Outcome::Drained => Done::AlreadyDrained,
            Some(Some(_)) | None => {
                // A drain that did not succeed is tried anew.
                self.notices.reopen_operator();
                Done::DrainStarted
            }
        }
    }

    fn operator_cancel(&mut self) -> Answer {
        if !self.notices.withdraw_operator(&mut self.turn) {
            return Err(Refusal::NothingToCancel);
        }
        self.journal.touch();
        let others = self.notices.in_force(&self.settings, &mut self.turn);
        Ok(Done::Canceled { still: others.first().copied() })
    }

    fn operator_extend(&mut self, by: Duration) -> Answer {
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.ended.is_none()) else {
            return Err(Refusal::NothingToExtend);
        };
        if by.is_zero() || by > EXTENSION_MAX {
            return Err(Refusal::Extension { by });
        }
        if drain.action.record.intention.is_some() {
            return Err(Refusal::Completing);
        }
        if drain.told.is_none() {
            return Err(Refusal::NotToldYet);
        }
        let hard = drain.hard_deadline;
        let waits = !self.notices.expects_action() || drain.action.record.wait_since.is_some();
        for agent in &mut self.agents {
            agent.extend(by);
        }
        // Agents hear of it once it is written down, so that a restart does not move it back.
        drain.recorded = self.journal.touch();
        let deadline = latest_deadline(&self.agents, hard);
        let bound = match deadline {
            Some(_) if deadline == hard => Bound::Aws,
            Some(_) | None if waits => Bound::None,
            Some(_) | None => Bound::WaitToCome,
        };
        // Once the agents are told, each has a deadline.
        deadline.map(|deadline| Done::Extended { deadline, bound }).ok_or(Refusal::NotToldYet)
    }

    fn operator_finish(&mut self, _by: &Operator, result: CompletionResult) -> Answer {
        let now = self.turn.now;
        let expected = self.notices.expects_action();
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.ended.is_none()) else {
            return Err(Refusal::NothingToFinish);
        };
        drain.forced = Some(result);
        drain.finished_at.get_or_insert(now);
        drain.recorded = self.journal.touch();
        let action = &drain.action;
        let action = match (&action.impossible, action.record.wait_since) {
            _ if !expected => ActionToFinish::None,
            (Some(why), _) => ActionToFinish::Impossible(why.clone()),
            (None, Some(_)) => ActionToFinish::Waits,
            (None, None) => ActionToFinish::ToCome,
        };
        Ok(Done::Finishing { result, action })
    }
}
