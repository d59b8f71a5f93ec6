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

/// SQS hides a message for 12 hours after its receipt at most; a minute less, as the call takes time too.
const HIDDEN_MOST: Duration = Duration::from_secs(12 * 3600 - 60);

/// For how long a message is hidden at least: time to leave it alone.
const HIDDEN_LEAST: Duration = Duration::from_secs(1);

/// SQS takes ten entries in one batch.
const BATCH_MAX: usize = 10;

/// A message that is given back is hidden for a second, and for up to one more for each minute of its age; at most for
/// so many more.
const GIVEN_BACK_MORE_MAX: u64 = 4;

/// Where a whole fleet asks the queue for want of IMDS, a message goes from hand to hand until it is this old, and is not
/// hidden at all.
const PASSED_ON_MINUTES: u64 = 1;

/// After a receive that brought only others' messages.
const MISS: Backoff = Backoff::between_ms(250, 4_000);

/// So many of others' messages are looked through, full batches of them one after the other: ours may stand behind
/// them, and the first ones become visible again while one waits.
const SEEN_MAX: usize = 60;

/// After so many of them in a drain: where so many leave at once, a heartbeat will say sooner what our message would.
const CROWD: Backoff = Backoff::between_ms(240_000, 240_000);

/// From receive to receive, where a queue does not hold them as it is asked to.
const RECEIVE_SPACING: Duration = Duration::from_millis(250);

/// After a receive that failed.
const RECEIVE_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Between tries to delete.
const DELETE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// After so many tries the queue's retention has to remove the message.
const DELETE_TRIES_MAX: u32 = 6;

/// Messages that wait to be hidden; more can only come from a queue that repeats our messages without end.
const HIDES_MAX: usize = 64;

/// Deletions that wait; more can only come from a queue that repeats our messages without end.
const DELETES_MAX: usize = 64;

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
    /// What has been said of messages that nobody here should get.
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
        let hidden = deadline.map_or(HIDDEN_MOST, |deadline| deadline.since(turn.now)).min(HIDDEN_MOST);
        set_visibility(turn, due.into_iter().map(|(receipt, _)| receipt), hidden.max(HIDDEN_LEAST));
        if let Some((receipt, revision)) = self.deletes.front()
            && journal.is_released(*revision)
            && self.delete.ready(turn, Timer::Delete)
        {
            let receipt = receipt.clone();
            self.delete.start(turn, |id| Effect::DeleteMessage { id, receipt });
        }
    }

    /// The messages of a receive, to be looked at even where nobody waits for it any more.
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

    /// Gives others' messages back, soon but not at once, so that whoever they are for shall not have to race us; and
    /// later where they are old, since nobody seems to wait for those. How often one was received says nothing: where
    /// many instances leave at once, all look at each other's messages.
    pub fn give_back(&mut self, turn: &mut Turn, others: &[Message], own: usize, draining: bool) {
        if others.is_empty() {
            (self.misses, self.seen) = (0, 0);
            return;
        }
        let entries = others
            .iter()
            .map(|message| {
                let minutes = message.sent.map_or(u64::MAX, |sent| turn.now.since(sent).as_secs() / 60);
                let least = u64::from(draining || minutes >= PASSED_ON_MINUTES);
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
            let pause = if crowded && draining { CROWD } else { MISS };
            self.receive.next_at = turn.after(pause, self.misses);
        }
        if crowded {
            self.seen = 0;
        }
    }

    /// Gives messages back that were taken for ours.
    pub fn give_back_receipts(&mut self, turn: &mut Turn, receipts: Vec<String>) {
        self.hides.retain(|(hidden, _)| !receipts.contains(hidden));
        set_visibility(turn, receipts.into_iter(), HIDDEN_LEAST);
    }

    /// Hides our own message until the deadline, for nobody else needs to see it, once it is written down: one that is
    /// hidden and forgotten would never be deleted.
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
            if self.delete.failures < DELETE_TRIES_MAX {
                return None;
            }
        }
        self.delete.succeeded(turn.now);
        self.deletes.pop_front().map(|(receipt, _)| receipt)
    }
}

fn set_visibility(turn: &mut Turn, receipts: impl Iterator<Item = String>, hidden: Duration) {
    let entries: Vec<_> = receipts.map(|receipt| (receipt, hidden)).collect();
    for chunk in entries.chunks(BATCH_MAX) {
        turn.emit(|id| Effect::SetVisibility { id, entries: chunk.to_vec() });
    }
}
