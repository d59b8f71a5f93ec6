//! What operators ask for, and what they are told.

use std::time::Duration;

use super::Machine;
use super::drain::latest_deadline;
use super::effect::CompletionResult;
use super::event::OperatorCommand;
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
        let draining = self.is_draining();
        self.notices.operator = true;
        self.journal.touch();
        Ok(if draining { "a drain is under way already".to_owned() } else { "drain started".to_owned() })
    }

    fn operator_cancel(&mut self) -> Result<String, String> {
        if !std::mem::take(&mut self.notices.operator) {
            return Err("no operator's drain to cancel: see drainhook status".to_owned());
        }
        self.journal.touch();
        let others = self.notices.in_force(&self.settings, &mut self.turn);
        match others.first() {
            None => Ok("cancelled: the agents are told to serve again".to_owned()),
            Some((reason, _)) => Ok(format!("cancelled, but the drain goes on: {}", reason.sentence())),
        }
    }

    fn operator_extend(&mut self, by: Duration) -> Result<String, String> {
        let Some(drain) = self.drain.as_ref().filter(|drain| drain.ended.is_none() && drain.told.is_some())
        else {
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
        let hard = drain.hard_deadline;
        for agent in &mut self.agents {
            agent.extend(by);
        }
        self.journal.touch();
        let deadline = latest_deadline(&self.agents, hard);
        let bounded =
            if deadline.is_some() && deadline == hard { ", which AWS sets and nobody can move" } else { "" };
        Ok(format!("deadline is now {}{bounded}", deadline.map(|at| at.to_string()).unwrap_or_default()))
    }

    fn operator_finish(&mut self, result: CompletionResult) -> Result<String, String> {
        let now = self.turn.now;
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.ended.is_none()) else {
            return Err("no drain is under way: there is nothing to finish".to_owned());
        };
        drain.forced = Some(result);
        drain.hard_deadline = Some(drain.hard_deadline.map_or(now, |hard| hard.min(now)));
        drain.recorded = self.journal.touch();
        Ok(format!("finishing now, with {result}"))
    }
}
