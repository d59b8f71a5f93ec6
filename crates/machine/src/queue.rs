//! The gate to the shared queue: when to receive, what to give back, what to delete.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use super::effect::{Effect, EffectId};
use super::event::{CallError, CallErrorKind};
use super::journal::{JournalTrack, Revision};
use super::message::Message;
use super::report::Call;
use super::time::Time;
use super::timer::Timer;
use super::told::Told;
use super::turn::{Attempts, Turn};

/// SQS's longest `WaitTimeSeconds`.
const LONG_POLL: Duration = Duration::from_secs(20);

/// SQS hides a message for at most 12 hours after its receipt. A minute less, because the call takes time.
const HIDDEN_MAX: Duration = Duration::from_secs(12 * 3600 - 60);

/// The shortest time that our own message is hidden.
const HIDDEN_MIN: Duration = Duration::from_secs(1);

/// SQS takes ten entries in one batch.
const BATCH_MAX: usize = 10;

/// A message that is given back stays hidden for a second, plus up to a second for each minute of its age. This bounds
/// the addition.
const GIVEN_BACK_MORE_MAX: u64 = 4;

/// Without IMDS a whole fleet polls the queue. A message younger than this is given back without a visibility timeout, so
/// that it changes hands quickly.
const PASSED_ON_MINUTES: u64 = 1;

/// After a receive that brought only others' messages.
const MISS: Backoff = Backoff::between_ms(250, 4_000);

/// This many messages of others are read in full batches without a pause: ours may stand behind them, and the first ones
/// become visible again during a pause.
const SEEN_MAX: usize = 60;

/// The pause after that many while heartbeats look for Wait: in a mass scale-in they find it before our message does.
const CROWD: Backoff = Backoff::between_ms(240_000, 240_000);

/// The shortest time between receives, for a queue that does not long-poll.
const RECEIVE_SPACING: Duration = Duration::from_millis(250);

/// After a receive that failed.
const RECEIVE_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Between tries to delete.
const DELETE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// After this many tries the queue's retention has to remove the message.
const DELETE_TRIES_MAX: u32 = 6;

/// Messages that wait to be hidden. Only a queue that repeats our messages without end has more.
const HIDES_MAX: usize = 64;

/// Deletions that wait. Only a queue that repeats our messages without end has more.
const DELETES_MAX: usize = 64;

/// What only the queue may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// That the instance goes: no drain is under way.
    Notice,
    /// That a lifecycle action is part of the drain that is under way.
    Action,
    /// Nothing: heartbeats or completions find the action of the drain.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct QueueTrack {
    receive: Attempts,
    misses: u32,
    /// Others' messages in a row.
    seen: usize,
    /// Receipts of our messages that are to be hidden, each with the revision of the journal that must be out first.
    hides: Vec<(String, Revision)>,
    /// How many messages the next receive asks for, where that is fewer than a batch.
    fewer: Option<usize>,
    /// What has been reported of messages that do not belong in this queue.
    pub strange: Told,
    delete: Attempts,
    /// Receipts, each with the revision of the journal that must be out first.
    deletes: VecDeque<(String, Revision)>,
}

impl QueueTrack {
    /// Starts a receive if one is wanted, hides our own messages until the deadline, and starts the next deletion.
    pub fn decide(&mut self, turn: &mut Turn, journal: &JournalTrack, wanted: bool, deadline: Option<Time>) {
        if wanted && self.receive.ready(turn, Timer::Queue) {
            let most = self.fewer.unwrap_or(BATCH_MAX);
            self.receive.start(turn, |id| Effect::ReceiveMessages { id, wait: LONG_POLL, most });
        }
        let due: Vec<_> = self.hides.extract_if(.., |(_, revision)| journal.is_released(*revision)).collect();
        let hidden = deadline.map_or(HIDDEN_MAX, |deadline| deadline.since(turn.now)).min(HIDDEN_MAX);
        set_visibility(turn, due.into_iter().map(|(receipt, _)| receipt), hidden.max(HIDDEN_MIN));
        if let Some((receipt, revision)) = self.deletes.front()
            && journal.is_released(*revision)
            && self.delete.ready(turn, Timer::Delete)
        {
            let receipt = receipt.clone();
            self.delete.start(turn, |id| Effect::DeleteMessage { id, receipt });
        }
    }

    /// The messages of a receive. They are used even if the receive is no longer awaited.
    pub fn on_received(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Vec<Message>, CallError>,
    ) -> Vec<Message> {
        let sent = self.receive.take(id);
        match result {
            Ok(messages) => {
                if let Some(sent) = sent {
                    self.receive.succeeded((sent + RECEIVE_SPACING).max(turn.now));
                }
                self.fewer = self.fewer.map(|fewer| fewer * 2).filter(|fewer| *fewer < BATCH_MAX);
                messages
            }
            Err(error) => {
                if sent.is_some() {
                    self.receive.failed(turn, RECEIVE_RETRY);
                }
                if error.kind == CallErrorKind::Unanswered {
                    // The messages together may be more than is read. One alone never is.
                    self.fewer = Some(1);
                }
                turn.call_failed(Call::Receive, error, false);
                Vec::new()
            }
        }
    }

    /// Gives others' messages back. They stay hidden for a moment, so that their owners do not race this instance, and
    /// longer if they are old, because their owners are likely gone. The receive count says nothing: in a mass scale-in,
    /// every instance receives the messages of all.
    pub fn give_back(&mut self, turn: &mut Turn, others: &[Message], own: usize, need: Need) {
        if others.is_empty() {
            (self.misses, self.seen) = (0, 0);
            return;
        }
        let entries = others
            .iter()
            .map(|message| {
                let minutes = message.sent.map_or(u64::MAX, |sent| turn.now.since(sent).as_secs() / 60);
                let least = u64::from(need != Need::Notice || minutes >= PASSED_ON_MINUTES);
                let most = least + minutes.min(GIVEN_BACK_MORE_MAX);
                let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
                let seconds = turn.between(least, most).as_secs_f64();
                (message.receipt.clone(), Duration::from_secs(seconds.round() as u64))
            })
            .collect();
        turn.emit(|id| Effect::SetVisibility { id, entries });
        if own > 0 {
            (self.misses, self.seen) = (0, 0);
            return;
        }
        self.seen += others.len();
        let crowded = self.seen >= SEEN_MAX;
        if crowded || others.len() < BATCH_MAX {
            self.misses = self.misses.saturating_add(1);
            let pause = if crowded && need == Need::Nothing { CROWD } else { MISS };
            self.receive.next_at = turn.after(pause, self.misses);
        }
        if crowded {
            self.seen = 0;
        }
    }

    /// Gives messages back that were taken for ours.
    pub fn give_back_receipts(&mut self, turn: &mut Turn, receipts: Vec<String>) {
        self.hides.retain(|(hidden, _)| !receipts.contains(hidden));
        set_visibility(turn, receipts.into_iter(), HIDDEN_MIN);
    }

    /// Hides our own message until the deadline, once it is journaled: a hidden message that is forgotten would never be
    /// deleted.
    pub fn hide(&mut self, receipt: String, revision: Revision) {
        if self.hides.len() < HIDES_MAX {
            self.hides.push((receipt, revision));
        }
    }

    /// Deletes a message whose action is over, or that has been taken in whole, once that is written down.
    pub fn delete(&mut self, receipt: String, revision: Revision) {
        self.hides.retain(|(hidden, _)| *hidden != receipt);
        if self.deletes.len() < DELETES_MAX && !self.deletes.iter().any(|(kept, _)| *kept == receipt) {
            self.deletes.push_back((receipt, revision));
        }
    }

    /// Takes the result of a deletion in; `Some` is the receipt that needs no more care.
    pub fn on_deleted(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<(), CallError>,
    ) -> Option<String> {
        self.delete.take(id)?;
        if let Err(error) = result {
            self.delete.failed(turn, DELETE_RETRY);
            turn.call_failed(Call::Delete, error, false);
            // Each message has as many tries. What failed for one will fail for the next, so the pause stays.
            if !self.delete.failures.is_multiple_of(DELETE_TRIES_MAX) {
                return None;
            }
        } else {
            self.delete.succeeded(turn.now);
        }
        self.deletes.pop_front().map(|(receipt, _)| receipt)
    }
}

fn set_visibility(turn: &mut Turn, receipts: impl Iterator<Item = String>, hidden: Duration) {
    let entries: Vec<_> = receipts.map(|receipt| (receipt, hidden)).collect();
    for chunk in entries.chunks(BATCH_MAX) {
        turn.emit(|id| Effect::SetVisibility { id, entries: chunk.to_vec() });
    }
}
