//! What an agent's answers mean.

use std::collections::BTreeMap;

use super::super::effect::EffectId;
use super::super::event::{AgentAnswer, AgentState, AgentStatus};
use super::super::process::{Process, Sight};
use super::super::settings::OnExit;
use super::super::time::Time;
use super::super::turn::Turn;
use super::asked::{Asked, Question};
use super::life::Reading;
use super::order::OrderNumber;
use super::telling::Telling;
use super::{AgentTrack, HELD_POLL, RECHECK, RETRY, RETRY_CANNOT};

impl AgentTrack {
    /// Processes an answer. Returns whether the journal must be written.
    pub fn answered(&mut self, turn: &mut Turn, id: EffectId, answer: AgentAnswer) -> bool {
        let Some(asked) = self.asked.take_if(|asked| asked.id == id) else { return false };
        let before = (self.life.stage(), self.telling.record());
        match asked.what {
            Question::Overtaken => {}
            Question::Return => self.on_return_answered(turn, answer),
            Question::Tell(order, process) => self.on_told(turn, (order, process), answer),
            Question::Drain(..) | Question::Status => self.on_drain_answered(turn, &asked, answer),
        }
        self.tell_progress(turn);
        before != (self.life.stage(), self.telling.record())
    }

    fn on_return_answered(&mut self, turn: &mut Turn, answer: AgentAnswer) {
        match answer {
            AgentAnswer::Returned => self.life.returned(turn),
            AgentAnswer::Unsupported(why) => {
                self.trouble(turn, why);
                self.life.returned(turn);
            }
            AgentAnswer::Unreachable { why, gone: _ }
            | AgentAnswer::CannotDrain(why)
            | AgentAnswer::Busy(why)
            | AgentAnswer::Malformed(why) => self.trouble(turn, why),
            AgentAnswer::Accepted(_) | AgentAnswer::Status { .. } | AgentAnswer::Seen { .. } => {
                self.on_mismatch(turn);
            }
        }
    }

    fn on_told(&mut self, turn: &mut Turn, (order, process): (OrderNumber, Process), answer: AgentAnswer) {
        match answer {
            AgentAnswer::Accepted(_) => {
                self.telling.answered(process, true);
                self.life.accepted(turn, order);
                self.ask_at(turn.now);
            }
            AgentAnswer::Unreachable { why, gone: _ }
            | AgentAnswer::Unsupported(why)
            | AgentAnswer::CannotDrain(why)
            | AgentAnswer::Busy(why)
            | AgentAnswer::Malformed(why) => {
                self.telling.answered(process, false);
                self.life.unreachable(turn.now);
                self.trouble(turn, why);
            }
            AgentAnswer::Status { .. } | AgentAnswer::Seen { .. } | AgentAnswer::Returned => {
                self.on_mismatch(turn);
            }
        }
    }

    /// What is seen of an agent from outside, as a document of its own would say it.
    fn on_seen(
        &mut self,
        turn: &mut Turn,
        asked_at: Time,
        sight: Sight,
        in_flight: Option<u64>,
        waited: bool,
    ) {
        if self.life.deadline().is_none() {
            self.telling.seen_returning(sight);
            self.next_at = (asked_at + self.settings.poll).max(turn.now);
            return;
        }
        if self.is_told_once() {
            self.telling.seen(sight);
            if matches!(self.telling, Telling::Untold { .. }) {
                // It is told now. If that keeps failing, it stays unreachable.
                self.life.untold();
                self.next_at = turn.now;
                return;
            }
        }
        self.failures = 0;
        self.reports.well();
        let state = match sight {
            Sight::Runs(process) if self.telling.is_told(process) => AgentState::Draining,
            Sight::Runs(_) => AgentState::Serving,
            Sight::Leaves => AgentState::Draining,
            Sight::Gone => AgentState::Drained,
        };
        let status = AgentStatus { state, in_flight, gauges: BTreeMap::new(), detail: None };
        self.on_status(turn, asked_at, status, waited);
    }

    fn on_drain_answered(&mut self, turn: &mut Turn, asked: &Asked, answer: AgentAnswer) {
        match answer {
            AgentAnswer::Accepted(status) => self.on_accepted(turn, asked, status),
            AgentAnswer::Status { status, waited } => {
                // Only a status resets the failures. An agent that accepts but has no status must not be asked without a pause.
                self.failures = 0;
                self.reports.well();
                self.on_status(turn, asked.at, status, waited);
            }
            AgentAnswer::Seen { sight, in_flight, waited } => {
                self.on_seen(turn, asked.at, sight, in_flight, waited);
            }
            AgentAnswer::Unreachable { why, gone } => self.on_unreachable(turn, why, gone),
            AgentAnswer::Unsupported(why) => {
                self.life.unreachable(turn.now);
                self.trouble(turn, why);
            }
            AgentAnswer::CannotDrain(why) if self.life.deadline().is_none() => {
                // The process that was told has failed, so it runs no more.
                self.telling.seen_returning(Sight::Gone);
                self.trouble(turn, why);
            }
            AgentAnswer::CannotDrain(why) => {
                self.life.refused();
                self.trouble(turn, why);
                self.next_at = turn.now + RETRY_CANNOT;
            }
            AgentAnswer::Busy(why) | AgentAnswer::Malformed(why) => {
                self.life.listens();
                self.trouble(turn, why);
            }
            AgentAnswer::Returned => self.on_mismatch(turn),
        }
    }

    fn on_accepted(&mut self, turn: &mut Turn, asked: &Asked, status: Option<AgentStatus>) {
        let Question::Drain(order, _) = asked.what else { return self.on_mismatch(turn) };
        self.life.accepted(turn, order);
        match status {
            Some(status) => self.on_status(turn, asked.at, status, false),
            None if self.settings.answers_when_drained() => {
                self.life.answered_when_drained(order);
                self.ask_at(turn.now);
            }
            // Ask at once: an agent with nothing in flight may exit soon.
            None => self.next_at = turn.now,
        }
    }

    fn on_status(&mut self, turn: &mut Turn, asked_at: Time, status: AgentStatus, waited: bool) {
        // An agent that holds its answer until there is news is asked again at once, unless it only claims to hold it.
        let is_news = self.life.status() != Some(&status) || turn.now.since(asked_at) >= self.settings.poll;
        let poll = if waited && is_news { HELD_POLL } else { self.settings.poll.max(HELD_POLL) };
        self.next_at = (asked_at + poll).max(turn.now);
        if status.state == AgentState::Drained {
            self.next_at = turn.now + RECHECK;
        }
        if self.life.deadline().is_some() {
            self.reports.stated(turn, &self.settings.name, &status);
        }
        self.life.stated(status, Reading { asked_at, at: turn.now, zero_for: self.settings.zero_for });
    }

    fn on_unreachable(&mut self, turn: &mut Turn, why: String, gone: bool) {
        let hint = gone && self.life.was_draining() && self.settings.on_exit == OnExit::Failed;
        if gone {
            self.life.gone(turn.now, self.settings.on_exit);
        } else {
            self.life.unreachable(turn.now);
        }
        if self.life.is_drained() {
            // It drained and exited, which is no failure.
            return self.ask_at(turn.now + RECHECK);
        }
        let why = if hint {
            format!("{why}; it was draining, so if it exits when drained, set agent.on_exit to \"drained\"")
        } else {
            why
        };
        self.trouble(turn, why);
    }

    /// The answer belongs to another kind of request. The shell never does that.
    fn on_mismatch(&mut self, turn: &mut Turn) {
        turn.must(false, "an agent's answer matches its request");
        self.next_at = turn.after(RETRY, 1);
    }
}
