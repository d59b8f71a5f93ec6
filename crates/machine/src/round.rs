//! A round of questions: one to each agent, asked again and again.

use std::time::Duration;

use super::effect::{Effect, EffectId};
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;

/// The daemon waits for an answer for ten seconds, so an agent that has not answered for this long never will.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) enum Round {
    /// The agents are asked at this time.
    Next(Time),
    /// These questions are unanswered, each to the agent with this index.
    Open { since: Time, asked: Vec<(EffectId, usize)> },
}

impl Default for Round {
    fn default() -> Self {
        Round::Next(Time::default())
    }
}

impl Round {
    /// Asks each agent if that is due. Returns whether it did.
    pub fn ask(
        &mut self,
        turn: &mut Turn,
        timer: Timer,
        agents: usize,
        question: impl Fn(EffectId, usize) -> Effect,
    ) -> bool {
        let Round::Next(at) = *self else { return false };
        let due = turn.due(at, timer);
        if due {
            let asked = (0..agents).map(|agent| (turn.emit(|id| question(id, agent)), agent)).collect();
            *self = Round::Open { since: turn.now, asked };
        }
        due
    }

    /// Takes an answer. Returns the agent's index, and whether it was the last answer.
    pub fn answered(&mut self, id: EffectId) -> Option<(usize, bool)> {
        let Round::Open { asked, .. } = self else { return None };
        let place = asked.iter().position(|(open, _)| *open == id)?;
        let (_, agent) = asked.swap_remove(place);
        Some((agent, asked.is_empty()))
    }

    /// Whether an answer is overdue.
    pub fn hangs(&self, turn: &mut Turn, timer: Timer) -> bool {
        matches!(self, Round::Open { since, .. } if turn.due(*since + ANSWER_MAX, timer))
    }
}
