//! What the agents do: the questions to them, and what follows from the answers.

use std::time::Duration;

use crate::effect::{Effect, EffectId};
use crate::round::Round;
use crate::settings::ProtectionSettings;
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::Turn;

/// The shortest and the longest pause between two rounds of questions.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

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
    /// When the round after this one is due.
    next: Time,
    /// The most that an agent has said in this round.
    most: Said,
    /// Since when not all agents could be read.
    unread_since: Option<Time>,
}

/// What an agent said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Said {
    #[default]
    Idle,
    Nothing,
    Busy,
}

impl Questions {
    /// Asks the agents if that is due. Returns what a round shows that was not answered in time.
    pub fn ask(&mut self, turn: &mut Turn, settings: &ProtectionSettings, agents: usize) -> Option<Seen> {
        let seen = self.round.hangs(turn, Timer::Busy).then(|| {
            self.most = self.most.max(Said::Nothing);
            self.ends(turn, turn.now)
        });
        if self.round.ask(turn, Timer::Busy, agents, |id, agent| Effect::AskBusy { id, agent }) {
            let pace = (settings.busy_for / 3).clamp(PACE.0, PACE.1);
            self.next = turn.now + turn.between(pace.mul_f64(0.9), pace.mul_f64(1.1));
            self.most = Said::Idle;
        }
        seen
    }

    /// Takes an answer. Returns what the round shows if it was the last one.
    pub fn answered(&mut self, turn: &Turn, id: EffectId, result: &Result<u64, String>) -> Option<Seen> {
        let (_, is_last) = self.round.answered(id)?;
        self.most = self.most.max(match result {
            Ok(0) => Said::Idle,
            Ok(_) => Said::Busy,
            Err(_) => Said::Nothing,
        });
        is_last.then(|| self.ends(turn, self.next))
    }

    /// The round is over, and the next one is due at this time.
    fn ends(&mut self, turn: &Turn, next: Time) -> Seen {
        self.round = Round::Next(next);
        if self.most != Said::Nothing {
            self.unread_since = None;
        }
        match self.most {
            Said::Idle => Seen::Idle,
            Said::Nothing => Seen::Unread { since: *self.unread_since.get_or_insert(turn.now) },
            Said::Busy => Seen::Busy,
        }
    }

    /// Asks nothing more. Answers that are on their way count for nothing.
    pub fn stop(&mut self) {
        *self = Questions::default();
    }
}
