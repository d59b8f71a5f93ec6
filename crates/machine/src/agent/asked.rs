//! The request to an agent that is under way, and what a later request does to it.

use super::super::effect::EffectId;
use super::super::process::Process;
use super::super::settings::Protocol;
use super::super::time::Time;
use super::order::OrderNumber;

/// A request under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub id: EffectId,
    pub at: Time,
    pub what: Question,
}

/// The kinds of requests, by the meaning of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// An order to drain, with its deadline.
    Drain(OrderNumber, Time),
    /// The signal that tells a process to drain.
    Tell(OrderNumber, Process),
    Status,
    Return,
    /// A return request that was under way when a new drain started. The drain request waits for its answer, so that the
    /// agent cannot get it after the drain request. The answer is ignored.
    Overtaken,
}

impl Asked {
    /// Whether it is an order that the agent answers when it has drained. The agent may be draining under it: a connection
    /// that cannot be made, and a process that cannot be started, are known soon.
    pub fn is_held_order(&self, protocol: Protocol) -> bool {
        protocol.blocks() && self.deadline().is_some()
    }

    /// The deadline of an order.
    pub fn deadline(&self) -> Option<Time> {
        if let Question::Drain(_, deadline) = self.what { Some(deadline) } else { None }
    }

    /// Lets a process go on under an order that gives it as much time or more.
    pub fn prolong(&mut self, next: Question, protocol: Protocol) {
        if let (Question::Drain(_, deadline), Question::Drain(_, later), Protocol::Running) =
            (self.what, next, protocol)
            && later >= deadline
        {
            self.what = next;
        }
    }
}

impl Question {
    /// Whether it should be canceled for the next request. An agent may hold its answer to a status request for long, and its
    /// answer to a blocking drain request until it has drained.
    pub fn is_outdated_by(self, next: Question, protocol: Protocol) -> bool {
        match (self, next) {
            (Question::Status, Question::Drain(..) | Question::Tell(..) | Question::Return) => true,
            (Question::Drain(..), Question::Return) => protocol.blocks(),
            (Question::Drain(asked, _), Question::Drain(next, _)) => protocol.blocks() && asked != next,
            (
                Question::Drain(..) | Question::Status,
                Question::Status | Question::Tell(..) | Question::Overtaken,
            )
            | (Question::Return | Question::Tell(..) | Question::Overtaken, _) => false,
        }
    }
}
