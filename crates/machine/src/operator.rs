//! What operators ask for, and what they are told.

use std::time::Duration;

use super::Machine;
use super::drain::latest_deadline;
use super::effect::CompletionResult;
use super::event::OperatorCommand;
use super::journal::Outcome;
use super::notice::OPERATOR;
use super::report::Report;

/// The longest extension at once: AWS keeps no action alive for longer (`GlobalTimeout`, at most 48 hours).
const EXTENSION_MAX: Duration = Duration::from_secs(48 * 3600);

impl Machine {
    pub(super) fn on_operator(&mut self, command: OperatorCommand) {
        let answer = match command {
            OperatorCommand::Drain => self.operator_drain(),
            OperatorCommand::Cancel => self.operator_cancel(),
            OperatorCommand::Extend(by) => self.operator_extend(by),
            OperatorCommand::Finish(result) => self.operator_finish(result),
        };
        self.turn.report(Report::Answer(answer));
    }

    fn operator_drain(&mut self) -> Result<String, String> {
        let asked_before = std::mem::replace(&mut self.notices.operator, true);
        self.journal.touch();
        let ended = self.drain.as_ref().map(|drain| drain.ended);
        Ok(match ended {
            Some(None) => "a drain is under way already".to_owned(),
            Some(Some(ended)) if asked_before && ended.outcome == Outcome::Drained => {
                "drained already: drainhook drain --cancel returns the agents to service".to_owned()
            }
            Some(Some(_)) | None => {
                // A drain that did not succeed is tried anew.
                self.notices.settled.remove(OPERATOR);
                "drain started".to_owned()
            }
        })
    }

    fn operator_cancel(&mut self) -> Result<String, String> {
        if !std::mem::take(&mut self.notices.operator) {
            return Err("no operator's drain to cancel: see drainhook status".to_owned());
        }
        self.journal.touch();
        let others = self.notices.in_force(&self.settings, &mut self.turn);
        match others.first() {
            None => Ok("cancelled: the agents are told to serve again".to_owned()),
            Some(reason) => Ok(format!("cancelled, but the drain goes on: {}", reason.sentence())),
        }
    }

    fn operator_extend(&mut self, by: Duration) -> Result<String, String> {
        let Some(drain) = self.drain.as_ref().filter(|drain| drain.ended.is_none()) else {
            return Err("no drain is under way: there is nothing to extend".to_owned());
        };
        if by.is_zero() || by > EXTENSION_MAX {
            return Err(format!(
                "cannot extend by {by:?}: between nothing and {EXTENSION_MAX:?} is possible"
            ));
        }
        if drain.action.record.intention.is_some() {
            return Err("too late: the lifecycle action is being completed".to_owned());
        }
        if drain.told.is_none() {
            return Err(
                "the agents are not told before Terminating:Wait (lifecycle.drain_at), and have all their \
                        time then: there is nothing to extend yet"
                    .to_owned(),
            );
        }
        let hard = drain.hard_deadline;
        let waits = !self.notices.expects_action() || drain.action.record.wait_since.is_some();
        for agent in &mut self.agents {
            agent.extend(by);
        }
        self.journal.touch();
        let deadline = latest_deadline(&self.agents, hard);
        let bound = match deadline {
            Some(_) if deadline == hard => ", which AWS sets and nobody can move",
            Some(_) | None if waits => "",
            Some(_) | None => {
                ", or earlier: how long the hook can be kept alive counts from Terminating:Wait"
            }
        };
        Ok(format!("deadline is now {}{bound}", deadline.map(|at| at.to_string()).unwrap_or_default()))
    }

    fn operator_finish(&mut self, result: CompletionResult) -> Result<String, String> {
        let now = self.turn.now;
        let expected = self.notices.expects_action();
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.ended.is_none()) else {
            return Err("no drain is under way: there is nothing to finish".to_owned());
        };
        drain.forced = Some(result);
        drain.hard_deadline = Some(drain.hard_deadline.map_or(now, |hard| hard.min(now)));
        drain.recorded = self.journal.touch();
        let action = &drain.action;
        Ok(match &action.impossible {
            _ if !expected => format!("finishing now; no lifecycle action waits, so nobody is told {result}"),
            Some(why) => format!("finishing now, and nobody is told {result}: {why}"),
            None if action.record.wait_since.is_some() => format!("finishing now, with {result}"),
            None => format!(
                "the agents are not waited for any more; the lifecycle action is completed with {result} as soon as \
                 it waits (Terminating:Wait), which it is not known to do yet"
            ),
        })
    }
}
