//! The lifecycle action: which it is, whether it waits, keeping it alive, completing it.

use std::time::Duration;

use super::backoff::Backoff;
use super::effect::{ActionName, CompletionResult, Effect, EffectId};
use super::event::{CallError, CallErrorKind, DescribedInstance, Hook};
use super::heartbeat;
use super::hook;
use super::journal::{ActionRecord, HookFacts, Intention, JournalTrack, Outcome};
use super::message::LifecycleMessage;
use super::report::{Call, Report};
use super::settings::Settings;
use super::time::Time;
use super::timer::Timer;
use super::turn::{Attempts, Turn};
use super::verdict::Verdict;

/// Between completions that did not work.
const COMPLETION_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// Between questions that were not answered.
const DESCRIBE_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Between calls that lack a permission: tries are for the moment when somebody has added it.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// For how long "too early" is believed without asking again.
const TOO_EARLY_FRESH: Duration = Duration::from_secs(30);

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
    /// When the last of them was sent.
    pub last_beat: Option<Time>,
    expected_since: Option<Time>,
    wait_known_at: Option<Time>,
    /// The last time at which the action was known not to wait.
    not_waiting_at: Option<Time>,
    too_early_at: Option<Time>,
    /// `No active Lifecycle Action found` was answered: to a call that was sent when Wait was known, or before.
    question: Option<Conclusive>,
    token_sent: Option<Time>,
    intention_revision: u64,
    hooks_read: bool,
    /// The last heartbeat was refused for want of permission.
    denied: bool,
    hook_names: Vec<String>,
    heartbeat: Attempts,
    completion: Attempts,
    describe_instance: Attempts,
    describe_hooks: Attempts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conclusive(bool);

impl ActionTrack {
    /// Goes on with what the last run of the daemon had begun: its first call is due at once.
    pub fn recover(record: ActionRecord, started: Time, now: Time) -> Self {
        let wait_since = record.wait_since.map(|since| since.min(now));
        ActionTrack {
            wait_known_at: wait_since.map(|_| now),
            record: ActionRecord { wait_since, ..record },
            expected_since: Some(started.min(now)),
            ..ActionTrack::default()
        }
    }

    /// Whether the queue has nothing more to tell: hook and Wait are known.
    pub fn is_located(&self) -> bool {
        self.impossible.is_some() || (self.record.hook.is_some() && self.record.wait_since.is_some())
    }

    /// When the action expires, as far as is known.
    pub fn expires(&self) -> Option<Time> {
        Some(heartbeat::expiry(self.record.hook.as_ref()?, self.record.wait_since?, self.last_beat))
    }

    /// The end that the hook sets; without permission for heartbeats that is the action's expiry.
    pub fn hard_deadline(&self) -> Option<Time> {
        let hook = self.record.hook.as_ref()?;
        let global = heartbeat::global_deadline(hook, self.record.wait_since?);
        let denied = self.expires().filter(|_| self.denied);
        Some(
            denied.map_or(global, |expires| {
                global.min(expires - heartbeat::attempt_limit(hook.heartbeat_timeout))
            }),
        )
    }

    /// Whether no completion can have taken effect.
    pub fn can_withdraw(&self) -> bool {
        !self.completion.is_pending() && !self.record.intention.is_some_and(|intention| intention.unanswered)
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
        let Some(hook) = self.record.hook.clone() else { return };
        self.intend(turn, situation);
        if !situation.journal.is_released(self.intention_revision) {
            return;
        }
        if let Some(intention) = self.record.intention {
            self.complete(turn, intention);
        } else {
            self.beat(turn, &hook);
        }
    }

    /// The group, its hooks, and what `No active Lifecycle Action found` meant.
    fn learn_names(&mut self, turn: &mut Turn, settings: &Settings) {
        let unknown_group = self.record.group.is_none() && self.impossible.is_none();
        if (unknown_group || self.question.is_some()) && self.describe_instance.ready(turn, Timer::Describe) {
            self.describe_instance.start(turn, |id| Effect::DescribeInstance { id });
        }
        let Some(group) = self.record.group.clone().or_else(|| settings.group.clone()) else { return };
        self.record.group = Some(group.clone());
        if !self.hooks_read
            && self.record.intention.is_none()
            && self.describe_hooks.ready(turn, Timer::Describe)
        {
            self.describe_hooks.start(turn, |id| Effect::DescribeHooks { id, group });
        }
    }

    /// Takes, changes or drops the intention to complete; it can be dropped while no completion can have taken
    /// effect: an agent that has drained may be restarted before Wait.
    fn intend(&mut self, turn: &mut Turn, situation: &mut Situation) {
        if !self.can_withdraw() {
            return;
        }
        let wanted = situation.done.map(|outcome| Intention {
            outcome,
            result: situation.forced.unwrap_or_else(|| situation.settings.result_for(outcome)),
            unanswered: false,
        });
        if wanted == self.record.intention {
            return;
        }
        if self.record.intention.is_none() {
            self.completion.succeeded(turn.now);
        }
        self.record.intention = wanted;
        self.intention_revision = situation.journal.touch();
        if let Some(Intention { outcome, result, .. }) = wanted {
            turn.report(Report::Completing { outcome, result });
        }
    }

    fn complete(&mut self, turn: &mut Turn, intention: Intention) {
        let Some(action) = self.name() else { return };
        if self.completion.ready(turn, Timer::Completion) {
            let result = intention.result;
            self.completion.start(turn, |id| Effect::Complete { id, action, result });
        }
    }

    fn beat(&mut self, turn: &mut Turn, hook: &HookFacts) {
        if self.heartbeat.next_at == Time::default() && self.record.wait_since.is_none() {
            let since = self.expected_since.unwrap_or(turn.now);
            self.heartbeat.next_at = since + heartbeat::probe_interval(hook.heartbeat_timeout);
        }
        let Some(action) = self.name() else { return };
        if self.heartbeat.ready(turn, Timer::Heartbeat) {
            let limit = heartbeat::attempt_limit(hook.heartbeat_timeout);
            self.heartbeat.start(turn, |id| Effect::Heartbeat { id, action, limit });
        }
    }

    fn name(&self) -> Option<ActionName> {
        let hook = self.record.hook.as_ref()?.name.clone();
        Some(ActionName { hook, group: self.record.group.clone()?, token: self.record.token.clone() })
    }

    /// A message says that our action has reached Wait. Whether it is ours has been looked at before.
    pub fn on_message(&mut self, turn: &mut Turn, settings: &Settings, message: &LifecycleMessage) {
        self.record.group.get_or_insert_with(|| message.group.clone());
        if self.record.hook.is_none() && self.describe_hooks.failures > 0 {
            self.choose(turn, hook::assume(settings, &message.hook));
        }
        if self.record.token.is_none() || (!self.record.proven && message.sent >= self.token_sent) {
            self.record.token.clone_from(&message.token);
            self.token_sent = message.sent;
        }
        let since = message.sent.unwrap_or(turn.now).min(turn.now);
        if self.record.wait_since.is_none() {
            self.learn_wait(turn, since, "message");
        }
    }

    /// What was learnt from a message of another hook is not known.
    pub fn forget_message(&mut self) {
        self.record.token = None;
        self.token_sent = None;
        if !self.record.proven {
            self.record.wait_since = None;
            self.wait_known_at = None;
        }
    }

    fn learn_wait(&mut self, turn: &mut Turn, since: Time, by: &'static str) {
        self.record.wait_since = Some(since);
        self.wait_known_at = Some(turn.now);
        self.completion.succeeded(turn.now);
        // Without a hook the timeout is not known yet: the first heartbeat is then due as soon as it is.
        let interval =
            self.record.hook.as_ref().map(|hook| heartbeat::interval(hook.heartbeat_timeout, turn));
        self.heartbeat.succeeded(since + interval.unwrap_or_default());
        turn.report(Report::WaitBegan { since, by });
    }

    /// Takes the result of a heartbeat in; `true` says that something has changed which must outlive the daemon.
    pub fn on_heartbeat(&mut self, turn: &mut Turn, id: EffectId, result: Result<(), CallError>) -> bool {
        let Some(sent) = self.heartbeat.take(id) else { return false };
        let Some(timeout) = self.record.hook.as_ref().map(|hook| hook.heartbeat_timeout) else {
            return false;
        };
        match result {
            Ok(()) => {
                let news = !self.record.proven || self.record.wait_since.is_none();
                if self.record.wait_since.is_none() {
                    let since = self.not_waiting_at.or(self.expected_since).unwrap_or(sent);
                    self.learn_wait(turn, since, "heartbeat");
                }
                self.record.proven = true;
                self.heartbeats += 1;
                self.last_beat = Some(sent);
                self.denied = false;
                let next_at = sent + heartbeat::interval(timeout, turn);
                self.heartbeat.succeeded(next_at);
                turn.report(Report::HeartbeatSent { expires: self.expires() });
                news
            }
            Err(error) => {
                self.retry_heartbeat(turn, sent, timeout, error.kind);
                let expected =
                    error.kind == CallErrorKind::NoActiveAction && self.record.wait_since.is_none();
                turn.report(Report::CallFailed { call: Call::Heartbeat, error, expected });
                false
            }
        }
    }

    fn retry_heartbeat(&mut self, turn: &mut Turn, sent: Time, timeout: Duration, kind: CallErrorKind) {
        let waiting = self.record.wait_since.is_some();
        match kind {
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => {
                self.heartbeat.failed(turn, heartbeat::throttled_retry(timeout));
                if !waiting {
                    self.not_waiting_at = Some(sent);
                    self.heartbeat.succeeded(sent + heartbeat::probe_interval(timeout));
                }
                self.ask_why(sent, turn.now, kind);
            }
            CallErrorKind::Throttled => self.heartbeat.failed(turn, heartbeat::throttled_retry(timeout)),
            CallErrorKind::AccessDenied => {
                self.denied = true;
                self.heartbeat.succeeded(turn.now + heartbeat::denied_retry(timeout));
            }
            CallErrorKind::Unsent | CallErrorKind::Unanswered => {
                self.heartbeat.failed(turn, heartbeat::retry(timeout));
            }
        }
    }

    /// Takes the result of a completion in; `Some` says that the action is over.
    pub fn on_completion(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        id: EffectId,
        result: Result<(), CallError>,
    ) -> Option<Over> {
        let sent = self.completion.take(id)?;
        let intention = self.record.intention.as_mut()?;
        let Err(error) = result else { return Some(Over::Completed(intention.outcome, intention.result)) };
        match error.kind {
            CallErrorKind::Unanswered if !intention.unanswered => {
                intention.unanswered = true;
                journal.touch();
            }
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => {
                self.ask_why(sent, turn.now, error.kind)
            }
            CallErrorKind::Unanswered
            | CallErrorKind::Throttled
            | CallErrorKind::AccessDenied
            | CallErrorKind::Unsent => {}
        }
        self.completion.failed(turn, COMPLETION_RETRY);
        if error.kind == CallErrorKind::AccessDenied {
            self.completion.next_at = turn.now + DENIED_RETRY;
        }
        let expected = error.kind == CallErrorKind::NoActiveAction && self.record.wait_since.is_none();
        turn.report(Report::CallFailed { call: Call::Complete, error, expected });
        None
    }

    /// `No active Lifecycle Action found` means too early, already done, expired or the wrong name. It says more
    /// than "too early" only if the call was sent when Wait was known; another refusal says nothing of the action, but
    /// the instance may be gone.
    fn ask_why(&mut self, sent: Time, now: Time, kind: CallErrorKind) {
        let conclusive =
            kind == CallErrorKind::NoActiveAction && self.wait_known_at.is_some_and(|at| at <= sent);
        let fresh = self.too_early_at.is_some_and(|at| now.since(at) < TOO_EARLY_FRESH);
        if conclusive || !fresh {
            self.question = Some(Conclusive(conclusive));
        }
    }

    /// Takes in what Auto Scaling says of the instance; `Some` says that the action is over.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Option<DescribedInstance>, CallError>,
    ) -> Option<Over> {
        self.describe_instance.take(id)?;
        let instance = match result {
            Ok(instance) => instance,
            Err(error) => {
                failed_describe(&mut self.describe_instance, turn, Call::DescribeInstance, error);
                return None;
            }
        };
        self.describe_instance.succeeded(turn.now);
        if let Some(instance) = &instance {
            self.record.group.get_or_insert_with(|| instance.group.clone());
        }
        let Some(Conclusive(conclusive)) = self.question.take() else {
            if instance.is_none() {
                self.give_up(turn, "Auto Scaling knows no such instance: it is in no group".to_owned());
            }
            return None;
        };
        self.judge(turn, Verdict::of(instance.as_ref()), conclusive)
    }

    fn judge(&mut self, turn: &mut Turn, verdict: Verdict, conclusive: bool) -> Option<Over> {
        let unanswered = self.record.intention.filter(|intention| intention.unanswered);
        let over =
            unanswered.map_or(Over::Overtaken, |intent| Over::Completed(intent.outcome, intent.result));
        let ours = self.record.proven || unanswered.is_some();
        match verdict {
            Verdict::Over => Some(over),
            Verdict::InService if ours => Some(over),
            Verdict::InService if conclusive => Some(Over::Stale),
            Verdict::TooEarly | Verdict::InService => {
                self.too_early_at = Some(turn.now);
                self.not_waiting_at = Some(turn.now);
                self.record.wait_since = None;
                self.wait_known_at = None;
                None
            }
            Verdict::Waiting if !conclusive => {
                if self.record.wait_since.is_none() {
                    let since = self.not_waiting_at.or(self.expected_since).unwrap_or(turn.now);
                    self.learn_wait(turn, since, "description");
                    // What was answered before Wait was known is asked once more, now that it is.
                    self.heartbeat.next_at = turn.now;
                }
                None
            }
            Verdict::Waiting if ours => Some(over),
            Verdict::Waiting => {
                self.doubt_name(turn);
                None
            }
        }
    }

    /// The instance waits, and yet our name for the action finds none: the token is an old one, or the hook is
    /// somebody else's.
    fn doubt_name(&mut self, turn: &mut Turn) {
        self.heartbeat.next_at = turn.now;
        self.completion.next_at = turn.now;
        if self.record.token.take().is_some() {
            return;
        }
        let hook = self.record.hook.as_ref().map_or("", |hook| hook.name.as_str());
        let names = if self.hook_names.is_empty() { "none".to_owned() } else { self.hook_names.join(", ") };
        self.give_up(
            turn,
            format!(
                "the instance waits, but not for hook {hook}: the group's terminating hooks are {names}; set \
                 lifecycle.hook to the one that waits for this instance"
            ),
        );
    }

    fn give_up(&mut self, turn: &mut Turn, why: String) {
        turn.report(Report::HookImpossible { why: why.clone() });
        self.impossible = Some(why);
    }

    /// Takes the group's hooks in; `true` says that something has changed which must outlive the daemon.
    pub fn on_hooks(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: Result<Vec<Hook>, CallError>,
        message_hook: Option<&str>,
    ) -> bool {
        if self.describe_hooks.take(id).is_none() {
            return false;
        }
        let hooks = match result {
            Ok(hooks) => hooks,
            Err(error) => {
                failed_describe(&mut self.describe_hooks, turn, Call::DescribeHooks, error);
                let Some(name) = settings.hook.as_deref().or(message_hook) else { return false };
                if self.record.hook.is_some() {
                    return false;
                }
                self.choose(turn, hook::assume(settings, name));
                return true;
            }
        };
        self.hooks_read = true;
        self.hook_names =
            hooks.iter().filter(|hook| hook.terminating).map(|hook| hook.name.clone()).collect();
        match hook::choose(settings, self.record.group.as_deref().unwrap_or_default(), &hooks) {
            Ok(facts) => self.choose(turn, facts),
            // A hook that has proven itself and is gone now was deleted: its action is asked about, not forgotten.
            Err(_) if self.record.proven || self.record.intention.is_some() => {}
            Err(why) => self.give_up(turn, why),
        }
        true
    }

    fn choose(&mut self, turn: &mut Turn, facts: HookFacts) {
        if self.record.hook.as_ref() == Some(&facts) {
            return;
        }
        turn.report(Report::HookChosen { hook: facts.clone() });
        // A heartbeat that was planned by another timeout, or by none, is planned anew.
        if let Some(since) = self.record.wait_since {
            let from = self.last_beat.unwrap_or(since);
            let next_at = from + heartbeat::interval(facts.heartbeat_timeout, turn);
            self.heartbeat.succeeded(next_at);
        }
        self.record.hook = Some(facts);
    }

    /// The next heartbeat is due now.
    pub fn hurry(&mut self, now: Time) {
        self.heartbeat.succeeded(now);
    }
}

fn failed_describe(attempts: &mut Attempts, turn: &mut Turn, call: Call, error: CallError) {
    attempts.failed(turn, DESCRIBE_RETRY);
    if error.kind == CallErrorKind::AccessDenied {
        attempts.next_at = turn.now + DENIED_RETRY;
    }
    turn.report(Report::CallFailed { call, error, expected: false });
}
