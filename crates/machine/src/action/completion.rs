//! What has been decided about completing the action, and what may have come of it.

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

/// Between completions that did not work.
const RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// The life of a completion.
///
/// An intention is withdrawn where an agent that had drained turns out to hold work again, as long as no completion can
/// have taken effect; what may have taken effect stays known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// Nothing has been decided, and nothing can have taken effect.
    #[default]
    Open,
    /// It has been decided on. Once this is on disk, nothing but completions is sent.
    Intended(Intention),
    /// One was sent, and what became of it is not known: it may have taken effect.
    Unanswered {
        /// What was sent.
        sent: Intention,
        /// What is intended now, if anything is.
        next: Option<Intention>,
    },
}

impl Completion {
    /// What is intended now.
    pub fn intention(&self) -> Option<Intention> {
        match self {
            Completion::Open => None,
            Completion::Intended(intention) => Some(*intention),
            Completion::Unanswered { next, .. } => *next,
        }
    }

    /// What may have taken effect.
    pub fn unanswered(&self) -> Option<Intention> {
        match self {
            Completion::Open | Completion::Intended(_) => None,
            Completion::Unanswered { sent, .. } => Some(*sent),
        }
    }

    /// Takes, changes or drops the intention.
    pub fn intend(&mut self, wanted: Option<Intention>) {
        *self = match (*self, wanted) {
            (Completion::Unanswered { sent, .. }, next) => Completion::Unanswered { sent, next },
            (Completion::Open | Completion::Intended(_), Some(intention)) => Completion::Intended(intention),
            (Completion::Open | Completion::Intended(_), None) => Completion::Open,
        };
    }

    /// The completion that is intended was sent, and its answer is missing. Whether that was not known before.
    pub fn lost(&mut self) -> bool {
        let Some(intention) = self.intention() else { return false };
        let before =
            std::mem::replace(self, Completion::Unanswered { sent: intention, next: Some(intention) });
        before != *self
    }

    /// Auto Scaling says that no completion has taken effect.
    pub fn refuted(&mut self) {
        *self = self.intention().map_or(Completion::Open, Completion::Intended);
    }

    /// As a restarted daemon takes it: what was intended may have been sent.
    pub fn recovered(self) -> Self {
        match self {
            Completion::Intended(intention) => {
                Completion::Unanswered { sent: intention, next: Some(intention) }
            }
            Completion::Open | Completion::Unanswered { .. } => self,
        }
    }
}

/// The completions of one action: what has been decided, and the calls.
#[derive(Debug, Default)]
pub(super) struct Completions {
    pub state: Completion,
    /// The revision of the journal that has the intention as it is here, or its absence.
    recorded: Revision,
    attempts: Attempts,
    /// The last one was refused for its credentials.
    refused: bool,
}

impl Completions {
    /// None yet; calls wait for that revision of the journal.
    pub fn new(state: Completion, recorded: Revision) -> Self {
        Completions { state, recorded, attempts: Attempts::default(), refused: false }
    }

    /// Whether the journal has the intention as it is here, or its absence.
    pub fn is_recorded(&self, journal: &JournalTrack) -> bool {
        journal.is_released(self.recorded)
    }

    /// Takes, changes or drops the intention: an agent that has drained may be restarted before Wait. While a completion
    /// is under way the intention stands. Whether it has changed.
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

    /// The next one is due now, or after a second if three have failed.
    pub fn due_now(&mut self, now: Time) {
        self.attempts.next_at = if self.attempts.failures < QUICK_TRIES { now } else { now + SPACING };
    }

    /// The next one is due now, and nothing that failed before counts.
    pub fn start_anew(&mut self, now: Time) {
        self.attempts.succeeded(now);
    }

    /// Sends one if it is due.
    pub fn send(&mut self, turn: &mut Turn, action: Option<ActionName>, result: CompletionResult) {
        if turn.is_free(Once::Completion)
            && self.attempts.ready(turn, Timer::Completion)
            && let Some(action) = action
        {
            self.attempts.start(turn, |id| Effect::Complete { id, action, result });
        }
    }

    /// Whether one is under way.
    pub fn is_pending(&self) -> bool {
        self.attempts.is_pending()
    }

    /// When the one of this id was sent; `None` if its result is stale.
    pub fn take(&mut self, id: EffectId) -> Option<Time> {
        self.attempts.take(id)
    }

    /// One has failed.
    pub fn failure(&mut self, turn: &mut Turn, journal: &mut JournalTrack, kind: CallErrorKind) {
        if kind == CallErrorKind::Unanswered && self.state.lost() {
            journal.touch();
        }
        self.attempts.failed(turn, RETRY);
        let refused_before = std::mem::replace(&mut self.refused, kind == CallErrorKind::Credentials);
        match kind {
            CallErrorKind::AccessDenied => self.attempts.next_at = turn.now + DENIED_RETRY,
            // The next call reads them anew.
            CallErrorKind::Credentials if !refused_before => {
                self.attempts.next_at = self.attempts.next_at.min(turn.now + SPACING);
            }
            _ => {}
        }
    }
}
