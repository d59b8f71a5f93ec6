//! The lifecycle action: which it is, whether it waits, keeping it alive, completing it.
//!
//! Here is what is known of it and what is done about it; `lookup` finds its names, `calls` takes the answers of
//! heartbeats and completions in, and `why` finds out what `No active Lifecycle Action found` meant.

mod calls;
mod lookup;
mod why;

use std::time::Duration;

use super::effect::{ActionName, CompletionResult, Effect};
use super::heartbeat;
use super::journal::{ActionRecord, Intention, JournalTrack, Outcome};
use super::report::Report;
use super::settings::Settings;
use super::time::Time;
use super::timer::Timer;
use super::turn::{Attempts, Once, Turn};
use why::Question;

/// Between calls that lack a permission: tries are for the moment when somebody has added it.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// So many failures in a row are no passing trouble.
const BLIND_AFTER: u32 = 3;

/// How the action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// By our completion.
    Completed(Outcome, CompletionResult),
    /// Without us.
    Overtaken,
    /// There was none: the message that spoke of it was an old one.
    Stale,
}

/// What the rest of the machine says of the drain.
pub(super) struct Situation<'a> {
    pub settings: &'a Settings,
    pub journal: &'a mut JournalTrack,
    /// The group runs, or will run, an action.
    pub expected: bool,
    /// How the agents' part has ended, once it has.
    pub done: Option<Outcome>,
    /// The result that an operator insists on.
    pub forced: Option<CompletionResult>,
}

#[derive(Debug, Default)]
pub(super) struct ActionTrack {
    pub record: ActionRecord,
    /// Why there is no hook to complete.
    pub impossible: Option<String>,
    /// Heartbeats that succeeded.
    pub heartbeats: u32,
    expected_since: Option<Time>,
    /// The last time at which the action was known not to wait.
    not_waiting_at: Option<Time>,
    too_early_at: Option<Time>,
    /// `No active Lifecycle Action found` was answered, and why is not known yet.
    question: Option<Question>,
    token_sent: Option<Time>,
    /// By the token of a message that was sent then AWS has found no action: no message up to then is ours.
    refuted_sent: Option<Time>,
    /// The revision of the journal that has the intention as it is here, or its absence.
    pub intention_revision: u64,
    hooks_read: bool,
    /// How long the action has waited is not known by our clock: its first heartbeat is due at once.
    beat_at_once: bool,
    /// The last heartbeat was refused for want of permission.
    denied: bool,
    hook_names: Vec<String>,
    heartbeat: Attempts,
    completion: Attempts,
    describe_instance: Attempts,
    describe_hooks: Attempts,
}

impl ActionTrack {
    /// The action of a new drain; `not_waiting_at` is when it was last known not to wait.
    pub fn new(group: Option<String>, not_waiting_at: Option<Time>) -> Self {
        ActionTrack {
            record: ActionRecord { group, ..ActionRecord::default() },
            not_waiting_at,
            ..ActionTrack::default()
        }
    }

    /// Goes on with what the last run of the daemon had begun: its first call is due at once, and a completion may
    /// have been sent.
    pub fn recover(record: ActionRecord, started: Time, now: Time) -> Self {
        let wait_since = record.wait_since.map(|since| since.min(now));
        let last_beat = record.last_beat.map(|sent| sent.min(now));
        let mut track = ActionTrack {
            expected_since: Some(started.min(now)),
            beat_at_once: true,
            record: ActionRecord {
                wait_since,
                wait_known_at: wait_since.map(|_| record.wait_known_at.map_or(now, |at| at.min(now))),
                last_beat,
                unanswered: record.unanswered.or(record.intention),
                ..record
            },
            ..ActionTrack::default()
        };
        track.heartbeat.succeeded(now);
        track
    }

    /// A heartbeat that was sent then has kept the action alive before it was known.
    pub fn beaten(&mut self, turn: &mut Turn, sent: Time) {
        let Some(hook) = &self.record.hook else { return };
        self.heartbeats = 1;
        self.record.last_beat = Some(sent);
        self.beat_at_once = false;
        self.heartbeat.succeeded(sent + heartbeat::interval(hook.heartbeat_timeout, turn));
    }

    /// Whether nothing is known of the hook, and asking has failed again and again: Wait will never be seen.
    pub fn is_blind(&self) -> bool {
        let failures = self.describe_instance.failures.max(self.describe_hooks.failures);
        self.record.hook.is_none() && failures >= BLIND_AFTER
    }

    /// Whether the queue has nothing more to tell: hook and Wait are known.
    pub fn is_located(&self) -> bool {
        self.impossible.is_some() || (self.record.hook.is_some() && self.record.wait_since.is_some())
    }

    /// When the action expires, as far as is known.
    pub fn expires(&self) -> Option<Time> {
        Some(heartbeat::expiry(self.record.hook.as_ref()?, self.record.wait_since?, self.record.last_beat))
    }

    /// When the next heartbeat is due, if one is to be sent at all.
    pub fn next_heartbeat(&self) -> Option<Time> {
        let beats = self.is_possible() && self.record.hook.is_some() && self.record.intention.is_none();
        beats.then_some(self.heartbeat.next_at)
    }

    /// The end that the hook sets; without permission for heartbeats that is the action's expiry.
    pub fn hard_deadline(&self) -> Option<Time> {
        let hook = self.record.hook.as_ref()?;
        let global = heartbeat::global_deadline(hook, self.record.wait_since?);
        if self.record.wait_known_at.is_some_and(|known| global <= known) {
            // An action that had timed out before it was heard of is over, or not this one.
            return None;
        }
        let denied = self.expires().filter(|_| self.denied);
        let expiry = denied.map(|expires| expires - heartbeat::attempt_limit(hook.heartbeat_timeout));
        Some(expiry.map_or(global, |expiry| global.min(expiry)))
    }

    /// Whether no completion can have taken effect.
    pub fn can_withdraw(&self) -> bool {
        !self.completion.is_pending() && self.record.unanswered.is_none()
    }

    /// Whether a completion has been decided on or sent, so that the action must be seen to its end.
    pub fn is_committed(&self) -> bool {
        self.record.intention.is_some() || !self.can_withdraw()
    }

    /// Whether an action is the drain's to complete, or may turn out to be.
    pub fn is_possible(&self) -> bool {
        self.impossible.is_none()
    }

    /// Decides the next calls.
    pub fn decide(&mut self, turn: &mut Turn, situation: &mut Situation) {
        if situation.expected {
            self.expected_since.get_or_insert(turn.now);
        }
        self.learn_names(turn, situation.settings);
        if !situation.expected || self.impossible.is_some() {
            return;
        }
        let Some(timeout) = self.record.hook.as_ref().map(|hook| hook.heartbeat_timeout) else { return };
        self.intend(turn, situation);
        if self.record.group.is_none() || !situation.journal.is_released(self.intention_revision) {
            return;
        }
        if let Some(intention) = self.record.intention {
            self.complete(turn, intention);
        } else {
            self.beat(turn, timeout);
        }
    }

    /// Takes, changes or drops the intention to complete: an agent that has drained may be restarted before Wait.
    /// While a completion is under way the intention stands.
    fn intend(&mut self, turn: &mut Turn, situation: &mut Situation) {
        let wanted = situation.done.map(|outcome| Intention {
            outcome,
            result: situation.forced.unwrap_or_else(|| situation.settings.result_for(outcome)),
        });
        if self.completion.is_pending() || wanted == self.record.intention {
            return;
        }
        if self.record.intention.is_none() {
            self.completion.succeeded(turn.now);
        }
        self.record.intention = wanted;
        self.intention_revision = situation.journal.touch();
        if let Some(Intention { outcome, result }) = wanted {
            turn.report(Report::Completing { outcome, result });
        }
    }

    fn complete(&mut self, turn: &mut Turn, intention: Intention) {
        if turn.is_free(Once::Completion)
            && self.completion.ready(turn, Timer::Completion)
            && let Some(action) = self.name()
        {
            let result = intention.result;
            self.completion.start(turn, |id| Effect::Complete { id, action, result });
        }
    }

    fn beat(&mut self, turn: &mut Turn, timeout: Duration) {
        if self.heartbeat.next_at == Time::default() && self.record.wait_since.is_none() {
            // What was in service a moment ago cannot wait yet; of anything else it is not known for how long it has.
            let probe = heartbeat::probe_interval(timeout);
            let seen = self.not_waiting_at.map(|at| at + probe);
            self.heartbeat.next_at = seen.or(self.expected_since).unwrap_or(turn.now);
        }
        if turn.is_free(Once::Heartbeat)
            && self.heartbeat.ready(turn, Timer::Heartbeat)
            && let Some(action) = self.name()
        {
            let limit = heartbeat::attempt_limit(timeout);
            self.heartbeat.start(turn, |id| Effect::Heartbeat { id, action, limit });
        }
    }

    fn name(&self) -> Option<ActionName> {
        let hook = self.record.hook.as_ref()?.name.clone();
        Some(ActionName { hook, group: self.record.group.clone()?, token: self.record.token.clone() })
    }
}
