//! What the agents do: the questions to them, and what follows from the answers.

use std::time::Duration;

use crate::effect::{Effect, EffectId};
use crate::settings::ProtectionSettings;
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::Turn;

/// The shortest and the longest pause between two rounds of questions.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The daemon waits for an answer for ten seconds, so an agent that has not answered for this long never will.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// For this long, an agent that cannot be read counts as it was last seen.
const GRACE: Duration = Duration::from_secs(60);

/// What all agents together do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Work {
    /// Not all of them could be read.
    #[default]
    Unknown,
    /// At least one has had work in flight since then. From `due` on, that has lasted for long enough.
    Busy { since: Time, due: Time },
    /// None has had any since then.
    Idle { since: Time, due: Time },
}

/// What one round of questions shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// None has work in flight.
    Idle,
    /// No agent is known to have work, but one could not be read. It has been so since then.
    Unread { since: Time },
    /// At least one has.
    Busy,
}

impl Work {
    /// Takes the result of a round.
    pub fn observe(&mut self, turn: &mut Turn, settings: &ProtectionSettings, seen: Seen) {
        // The jitter spreads the calls of a fleet that gets its work at the same time.
        let mut lasts = |at_least: Duration| {
            let due = turn.now + turn.between(at_least, at_least.mul_f64(1.5));
            (turn.now, due)
        };
        match (*self, seen) {
            (Work::Busy { .. }, Seen::Busy) | (Work::Idle { .. }, Seen::Idle) => {}
            (_, Seen::Busy) => {
                let (since, due) = lasts(settings.busy_for);
                *self = Work::Busy { since, due };
            }
            (_, Seen::Idle) => {
                let (since, due) = lasts(settings.idle_for);
                *self = Work::Idle { since, due };
            }
            (_, Seen::Unread { since }) if turn.now.since(since) >= GRACE => *self = Work::Unknown,
            (_, Seen::Unread { .. }) => {}
        }
    }

    /// Whether there has been work for long enough.
    pub fn is_busy(self, turn: &mut Turn) -> bool {
        matches!(self, Work::Busy { due, .. } if turn.due(due, Timer::Protection))
    }

    /// Whether there has been none for long enough.
    pub fn is_idle(self, turn: &mut Turn) -> bool {
        matches!(self, Work::Idle { due, .. } if turn.due(due, Timer::Protection))
    }

    /// Whether the agents are busy, and since when they have been as they are.
    pub fn since(self) -> Option<(bool, Time)> {
        match self {
            Work::Unknown => None,
            Work::Busy { since, .. } => Some((true, since)),
            Work::Idle { since, .. } => Some((false, since)),
        }
    }
}

/// The questions to the agents, in rounds.
#[derive(Debug, Default)]
pub(super) struct Questions {
    round: Round,
    /// Since when not all agents could be read.
    unread_since: Option<Time>,
}

/// One question to each agent.
#[derive(Debug)]
enum Round {
    /// The next one is asked at this time.
    Next(Time),
    /// These questions are unanswered, and `next` is when the next ones are due.
    Open { since: Time, next: Time, asked: Vec<EffectId>, most: Said },
}

impl Default for Round {
    fn default() -> Self {
        Round::Next(Time::default())
    }
}

/// What an agent said. The greatest of a round counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Idle,
    Nothing,
    Busy,
}

impl Questions {
    /// Asks the agents if that is due. Returns what a round shows that was not answered in time.
    pub fn ask(&mut self, turn: &mut Turn, settings: &ProtectionSettings, agents: usize) -> Option<Seen> {
        let mut seen = None;
        if let Round::Open { since, most, .. } = &mut self.round
            && turn.due(*since + ANSWER_MAX, Timer::Busy)
        {
            let most = (*most).max(Said::Nothing);
            self.round = Round::Next(turn.now);
            seen = Some(self.ends(turn, most));
        }
        if let Round::Next(at) = self.round
            && turn.due(at, Timer::Busy)
        {
            let asked = (0..agents).map(|agent| turn.emit(|id| Effect::AskBusy { id, agent })).collect();
            let pace = (settings.busy_for / 3).clamp(PACE.0, PACE.1);
            let next = turn.now + turn.between(pace.mul_f64(0.9), pace.mul_f64(1.1));
            self.round = Round::Open { since: turn.now, next, asked, most: Said::Idle };
        }
        seen
    }

    /// Takes an answer. Returns what the round shows if it was the last one.
    pub fn answered(&mut self, turn: &Turn, id: EffectId, result: &Result<u64, String>) -> Option<Seen> {
        let Round::Open { next, asked, most, .. } = &mut self.round else { return None };
        let place = asked.iter().position(|open| *open == id)?;
        asked.swap_remove(place);
        *most = (*most).max(match result {
            Ok(0) => Said::Idle,
            Ok(_) => Said::Busy,
            Err(_) => Said::Nothing,
        });
        if !asked.is_empty() {
            return None;
        }
        let (next, most) = (*next, *most);
        self.round = Round::Next(next);
        Some(self.ends(turn, most))
    }

    fn ends(&mut self, turn: &Turn, most: Said) -> Seen {
        match most {
            Said::Nothing => Seen::Unread { since: *self.unread_since.get_or_insert(turn.now) },
            Said::Idle | Said::Busy => {
                self.unread_since = None;
                if most == Said::Busy { Seen::Busy } else { Seen::Idle }
            }
        }
    }

    /// Asks nothing more. Answers that are on their way count for nothing.
    pub fn stop(&mut self) {
        *self = Questions::default();
    }
}
