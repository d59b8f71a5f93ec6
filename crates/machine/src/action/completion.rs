//! Completing the action: what has been decided and sent, and what may have taken effect.

use serde::{Deserialize, Serialize};

use super::DENIED_RETRY;
use crate::backoff::Backoff;
use crate::effect::{ActionName, CompletionResult, Effect, EffectId};
use crate::event::CallErrorKind;
use crate::heartbeat::{QUICK_TRIES, SPACING};
use crate::journal::{Intention, JournalTrack, Revision};
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::{Attempts, Once, Turn};

/// Pause after a failed completion.
const RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// The state of a completion.
///
/// If a drained agent turns out to hold work again, the intention is dropped. A completion that may have taken effect is
/// never forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Nothing has been decided, and nothing can have taken effect.
    #[default]
    Open,
    /// A completion has been decided. Once this is on disk, only completions are sent.
    Intended(Intention),
    /// A completion was sent and its answer is missing. It may have taken effect.
    Unanswered {
        /// What was sent.
        sent: Intention,
        /// The current intention, if there is one.
        next: Option<Intention>,
    },
}

impl Completion {
    /// The current intention.
    pub fn intention(&self) -> Option<Intention> {
        match self {
            Completion::Open => None,
            Completion::Intended(intention) => Some(*intention),
            Completion::Unanswered { next, .. } => *next,
        }
    }

    /// The completion that may have taken effect.
    pub fn unanswered(&self) -> Option<Intention> {
        match self {
            Completion::Open | Completion::Intended(_) => None,
            Completion::Unanswered { sent, .. } => Some(*sent),
        }
    }

    /// Sets, changes or drops the intention.
    pub fn intend(&mut self, wanted: Option<Intention>) {
        *self = match (*self, wanted) {
            (Completion::Unanswered { sent, .. }, next) => Completion::Unanswered { sent, next },
            (Completion::Open | Completion::Intended(_), Some(intention)) => Completion::Intended(intention),
            (Completion::Open | Completion::Intended(_), None) => Completion::Open,
        };
    }

    /// Records that the intended completion was sent and its answer is missing. Returns whether that is new.
    pub fn lost(&mut self) -> bool {
        let Some(intention) = self.intention() else { return false };
        let before =
            std::mem::replace(self, Completion::Unanswered { sent: intention, next: Some(intention) });
        before != *self
    }

    /// Records that no completion has taken effect, according to Auto Scaling.
    pub fn refuted(&mut self) {
        *self = self.intention().map_or(Completion::Open, Completion::Intended);
    }

    /// The state after a restart: an intended completion may have been sent.
    pub fn recovered(self) -> Self {
        match self {
            Completion::Intended(intention) => {
                Completion::Unanswered { sent: intention, next: Some(intention) }
            }
            Completion::Open | Completion::Unanswered { .. } => self,
        }
    }
}

/// The completions of one action: the decision and the calls.
#[derive(Debug, Default)]
pub(super) struct Completions {
    pub state: Completion,
    /// The journal revision that has the current intention, or its absence.
    recorded: Revision,
    attempts: Attempts,
    /// AWS rejected the credentials of the last completion.
    refused: bool,
}

impl Completions {
    /// No calls yet. They wait for this journal revision.
    pub fn new(state: Completion, recorded: Revision) -> Self {
        Completions { state, recorded, attempts: Attempts::default(), refused: false }
    }

    /// Whether the journal has the current intention, or its absence.
    pub fn is_recorded(&self, journal: &JournalTrack) -> bool {
        journal.is_released(self.recorded)
    }

    /// Sets, changes or drops the intention. An agent that has drained may be restarted before Wait. While a completion is
    /// under way, the intention stands. Returns whether it changed.
    pub fn intend(&mut self, now: Time, journal: &mut JournalTrack, wanted: Option<Intention>) -> bool {
        if self.attempts.is_pending() || wanted == self.state.intention() {
            return false;
        }
        if self.state.intention().is_none() {
            self.attempts.succeeded(now);
        }
        self.state.intend(wanted);
        self.recorded = journal.touch();
        true
    }

    /// Makes the next completion due now, or in a second if three have failed.
    pub fn due_now(&mut self, now: Time) {
        self.attempts.next_at = if self.attempts.failures < QUICK_TRIES { now } else { now + SPACING };
    }

    /// Makes the next completion due now and forgets earlier failures.
    pub fn start_anew(&mut self, now: Time) {
        self.attempts.succeeded(now);
    }

    /// Sends a completion if one is due.
    pub fn send(&mut self, turn: &mut Turn, action: Option<ActionName>, result: CompletionResult) {
        if turn.is_free(Once::Completion)
            && self.attempts.ready(turn, Timer::Completion)
            && let Some(action) = action
        {
            self.attempts.start(turn, |id| Effect::Complete { id, action, result });
        }
    }

    /// Whether a completion is under way.
    pub fn is_pending(&self) -> bool {
        self.attempts.is_pending()
    }

    /// When the completion with this id was sent; `None` if its result is stale.
    pub fn take(&mut self, id: EffectId) -> Option<Time> {
        self.attempts.take(id)
    }

    /// A completion failed.
    pub fn failure(&mut self, turn: &mut Turn, journal: &mut JournalTrack, kind: CallErrorKind) {
        if kind == CallErrorKind::Unanswered && self.state.lost() {
            journal.touch();
        }
        self.attempts.failed(turn, RETRY);
        let refused_before = std::mem::replace(&mut self.refused, kind == CallErrorKind::Credentials);
        match kind {
            CallErrorKind::AccessDenied => self.attempts.next_at = turn.now + DENIED_RETRY,
            // The next call reads the credentials anew.
            CallErrorKind::Credentials if !refused_before => {
                self.attempts.next_at = self.attempts.next_at.min(turn.now + SPACING);
            }
            _ => {}
        }
    }
}
