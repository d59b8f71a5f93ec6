//! The gate to the shared queue: when to receive, and what to return, hide and delete.

use std::collections::VecDeque;
use std::time::Duration;

use super::Machine;
use super::agent::AgentTrack;
use super::backoff::Backoff;
use super::drain::latest_deadline;
use super::effect::{Effect, EffectId};
use super::event::{CallError, CallErrorKind};
use super::journal::{JournalTrack, Revision};
use super::message::Message;
use super::report::Call;
use super::settings::Listen;
use super::time::Time;
use super::timer::Timer;
use super::told::Told;
use super::turn::{Attempts, Turn};

/// SQS's longest `WaitTimeSeconds`.
const LONG_POLL: Duration = Duration::from_secs(20);

/// The longest time to hide a message. SQS allows 12 hours from its receipt. This is a minute less, because the call takes
/// time.
const HIDDEN_MAX: Duration = Duration::from_secs(12 * 3600 - 60);

/// The shortest time to hide our own message.
const HIDDEN_MIN: Duration = Duration::from_secs(1);

/// SQS accepts ten entries in a batch.
const BATCH_MAX: usize = 10;

/// A returned message stays hidden for a second, plus up to a second per minute of its age. This is the most that its age
/// adds, in seconds.
const GIVEN_BACK_MORE_MAX: u64 = 4;

/// Without IMDS a whole fleet polls the queue. A message younger than this is returned without the first second, so that it
/// reaches its owner quickly.
const PASSED_ON_MINUTES: u64 = 1;

/// The same for warnings. EC2 warns two minutes ahead.
const WARNING_PASSED_ON_MINUTES: u64 = 3;

/// Pause after a receive with only others' messages.
const MISS: Backoff = Backoff::between_ms(250, 4_000);

/// Pause after a receive with only others' messages while the daemon listens for warnings. It is longer, because an account has
/// warnings for many groups, and every instance sees them all.
const MISSED_WARNING: Backoff = Backoff::between_ms(250, 15_000);

/// This many of others' messages are received in full batches without a pause. Ours may be behind them, and during a pause
/// the first ones would become visible again.
const SEEN_MAX: usize = 60;

/// The pause after [`SEEN_MAX`] messages while heartbeats probe for Wait. In a mass scale-in, a heartbeat finds Wait before
/// our message does.
const CROWD: Backoff = Backoff::between_ms(240_000, 240_000);

/// The shortest time between receives, in case the queue does not long-poll.
const RECEIVE_SPACING: Duration = Duration::from_millis(250);

/// Pause after our own message was left visible.
const OWN_PAUSE: Duration = Duration::from_secs(1);

/// Pause after a failed receive.
const RECEIVE_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Pause after a failed deletion.
const DELETE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// After this many tries a message is left to the queue's retention period.
const DELETE_TRIES_MAX: u32 = 6;

/// The most messages that wait to be hidden. Only a queue that repeats our messages endlessly has more.
const HIDES_MAX: usize = 64;

/// The most deletions that wait. Only a queue that repeats our messages endlessly has more.
const DELETES_MAX: usize = 64;

/// What the daemon needs from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A notice: no drain is under way.
    Notice,
    /// The lifecycle action of the drain under way.
    Action,
    /// A warning that IMDS does not list.
    Warning,
    /// The action, which heartbeats or completions find as well. Or nothing: the answer has come too late.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct QueueTrack {
    receive: Attempts,
    /// When a receive last succeeded.
    answered_at: Option<Time>,
    misses: u32,
    /// How many of others' messages came in a row.
    seen: usize,
    /// Receipts of our messages to hide, each with the journal revision that must be released first.
    hides: Vec<(String, Revision)>,
    /// Whether the last receive left its messages visible.
    peeked: bool,
    /// Whether the next receive hides its messages: ours is among them, or may be behind a full batch.
    searches: bool,
    /// How many messages the next receive asks for, if fewer than a batch.
    fewer: Option<usize>,
    /// What was reported about messages that do not belong in this queue.
    pub strange: Told,
    delete: Attempts,
    /// Receipts to delete, each with the journal revision that must be released first.
    deletes: VecDeque<(String, Revision)>,
}

impl Machine {
    /// What the daemon needs from the queue. `None`: nothing, so it does not ask.
    pub(super) fn queue_need(&self) -> Option<Need> {
        let under_way = self.drain.as_ref().filter(|drain| drain.is_under_way());
        let located = under_way.map(|drain| drain.action.is_located());
        let expects = self.notices.expects_action() && located == Some(false);
        // The end of a Capacity Block stays in the queue for the others, so an instance that knows it leaves it to them.
        let listens = self.settings.listen == Listen::Always && !self.notices.has_block_end();
        match under_way {
            _ if !self.settings.queue => None,
            None if self.imds.is_deaf() => Some(Need::Notice),
            Some(drain) if expects || (self.imds.is_deaf() && located == Some(false)) => {
                Some(if drain.probes(&self.notices) { Need::Nothing } else { Need::Action })
            }
            None | Some(_) => listens.then_some(Need::Warning),
        }
    }

    /// Receives, hides, gives back and deletes messages.
    pub(super) fn direct_queue(&mut self) {
        let (need, deadline) = (self.queue_need(), self.message_deadline());
        self.queue.decide(&mut self.turn, &self.journal, need, deadline);
    }

    /// Until when our own message may stay hidden.
    fn message_deadline(&self) -> Option<Time> {
        let bound = self.drain.as_ref().and_then(|drain| drain.bound(&self.notices, self.turn.now));
        let deadline = latest_deadline(&self.agents, bound);
        // An agent that waits for its turn gets its time after that.
        let waits = self.agents.iter().any(AgentTrack::is_waiting);
        let longest = self.turn.now + self.settings.drain_timeout();
        if waits { [bound, Some(longest)].into_iter().flatten().min() } else { deadline.or(Some(longest)) }
    }
}

impl QueueTrack {
    /// Whether the last receive left its messages visible.
    pub fn peeked(&self) -> bool {
        self.peeked
    }

    /// When a receive last succeeded.
    pub fn answered_at(&self) -> Option<Time> {
        self.answered_at
    }

    /// Starts a receive if there is a need, hides our own messages until the deadline, and starts the next deletion.
    pub fn decide(
        &mut self,
        turn: &mut Turn,
        journal: &JournalTrack,
        need: Option<Need>,
        deadline: Option<Time>,
    ) {
        if let Some(need) = need
            && self.receive.ready(turn, Timer::Queue)
        {
            let most = self.fewer.unwrap_or(BATCH_MAX);
            // A peeked message reaches every instance that listens at once. Hidden messages let those behind them come first.
            let peek = need == Need::Warning && !self.searches;
            self.peeked = peek;
            self.receive.start(turn, |id| Effect::ReceiveMessages { id, wait: LONG_POLL, most, peek });
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

    /// The messages of a receive. They count even if the receive is no longer awaited.
    pub fn on_received(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Vec<Message>, CallError>,
    ) -> Vec<Message> {
        let sent = self.receive.take(id);
        match result {
            Ok(messages) => {
                self.answered_at = Some(turn.now);
                self.searches = messages.len() >= BATCH_MAX;
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
                    // Ten messages together may exceed the limit on what is read. A single one never does.
                    self.fewer = Some(1);
                }
                turn.call_failed(Call::Receive, error, false);
                Vec::new()
            }
        }
    }

    /// Returns others' messages. They stay hidden for a moment, so that their owners do not race this instance for them, and
    /// longer if they are old, because their owners are likely gone. Their receive counts mean nothing, because in a mass
    /// scale-in every instance receives everyone's messages.
    pub fn give_back(&mut self, turn: &mut Turn, others: &[Message], own: usize, need: Need) {
        if !self.peeked && !others.is_empty() {
            self.show(turn, others, need);
        }
        if own > 0 || others.is_empty() {
            (self.misses, self.seen) = (0, 0);
            if own > 0 && self.peeked {
                // Our message is still visible, unless it is deleted by then. It can be hidden once it is not peeked.
                (self.receive.next_at, self.searches) = (turn.now + OWN_PAUSE, true);
            }
            return;
        }
        self.seen += others.len();
        let crowded = self.seen >= SEEN_MAX;
        if crowded || others.len() < BATCH_MAX {
            self.misses = self.misses.saturating_add(1);
            let pause = match need {
                Need::Nothing if crowded => CROWD,
                Need::Warning => MISSED_WARNING,
                Need::Notice | Need::Action | Need::Nothing => MISS,
            };
            self.receive.next_at = turn.after(pause, self.misses);
        }
        if crowded {
            self.seen = 0;
        }
    }

    /// Makes others' messages visible again.
    fn show(&self, turn: &mut Turn, others: &[Message], need: Need) {
        let entries = others
            .iter()
            .map(|message| {
                let minutes = message.sent.map_or(u64::MAX, |sent| turn.now.since(sent).as_secs() / 60);
                let (least, most) = match need {
                    Need::Warning if minutes < WARNING_PASSED_ON_MINUTES => (0, 0),
                    Need::Notice if minutes < PASSED_ON_MINUTES => (0, 0),
                    Need::Notice | Need::Warning | Need::Action | Need::Nothing => {
                        (1, 1 + minutes.min(GIVEN_BACK_MORE_MAX))
                    }
                };
                let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
                let seconds = turn.between(least, most).as_secs_f64();
                (message.receipt.clone(), Duration::from_secs(seconds.round() as u64))
            })
            .collect();
        turn.emit(|id| Effect::SetVisibility { id, entries });
    }

    /// Returns messages that turned out not to be ours.
    pub fn give_back_receipts(&mut self, turn: &mut Turn, receipts: Vec<String>) {
        self.hides.retain(|(hidden, _)| !receipts.contains(hidden));
        set_visibility(turn, receipts.into_iter(), HIDDEN_MIN);
    }

    /// Hides our own message until the deadline, once it is journaled. Otherwise a crash could leave it hidden and never
    /// deleted.
    pub fn hide(&mut self, receipt: String, revision: Revision) {
        if self.hides.len() < HIDES_MAX {
            self.hides.push((receipt, revision));
        }
    }

    /// Deletes a message once the end of its action, or all of its content, is journaled.
    pub fn delete(&mut self, receipt: String, revision: Revision) {
        self.hides.retain(|(hidden, _)| *hidden != receipt);
        if self.deletes.len() < DELETES_MAX && !self.deletes.iter().any(|(kept, _)| *kept == receipt) {
            self.deletes.push_back((receipt, revision));
        }
    }

    /// Processes the result of a deletion. Returns the receipt if it is deleted or given up.
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
            // Each message has this many tries. The next message will likely fail too, so the pause stays.
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
