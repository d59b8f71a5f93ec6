//! Looking up what names the action: the group, its hooks, and what messages tell.

use std::time::Duration;

use super::super::backoff::Backoff;
use super::super::effect::{Effect, EffectId};
use super::super::event::{CallError, CallErrorKind, Hook};
use super::super::heartbeat;
use super::super::hook;
use super::super::journal::HookFacts;
use super::super::message::LifecycleMessage;
use super::super::report::{Call, Report};
use super::super::settings::Settings;
use super::super::time::Time;
use super::super::timer::Timer;
use super::super::turn::{Attempts, Turn};
use super::{ActionTrack, DENIED_RETRY};

/// Between questions that were not answered.
const DESCRIBE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// By so much may a message be older than the last look at IMDS that found the instance in service, and be believed.
const DOUBT: Duration = Duration::from_secs(5);

impl ActionTrack {
    /// The group, its hooks, and what `No active Lifecycle Action found` meant.
    pub(super) fn learn_names(&mut self, turn: &mut Turn, settings: &Settings) {
        let unknown_group = self.record.group.is_none() && self.impossible.is_none();
        if (unknown_group || self.question.is_some()) && self.describe_instance.ready(turn, Timer::Describe) {
            self.describe_instance.start(turn, |id| Effect::DescribeInstance { id });
        }
        if self.record.group.is_none() {
            self.record.group.clone_from(&settings.group);
        }
        if !self.hooks_read
            && self.record.intention.is_none()
            && let Some(group) = &self.record.group
            && self.describe_hooks.ready(turn, Timer::Describe)
        {
            let group = group.clone();
            self.describe_hooks.start(turn, |id| Effect::DescribeHooks { id, group });
        }
    }

    /// A message says that our action has reached Wait. Whether it is ours has been looked at before.
    pub fn on_message(&mut self, turn: &mut Turn, settings: &Settings, message: &LifecycleMessage) {
        if message.sent.is_some() && message.sent <= self.refuted_sent {
            return;
        }
        self.record.group.get_or_insert_with(|| message.group.clone());
        if self.impossible.take().is_some() {
            // There is a hook to complete after all: it was made, or renamed, since its group was asked.
            self.hooks_read = false;
        }
        if self.record.hook.is_none() && self.describe_hooks.failures > 0 {
            self.choose(turn, hook::assume(settings, &message.hook));
        }
        if self.record.token.is_none() || (!self.record.proven && message.sent >= self.token_sent) {
            self.record.token.clone_from(&message.token);
            self.token_sent = message.sent;
        }
        if self.record.wait_since.is_none() {
            let (sent, seen) = (message.sent.unwrap_or(turn.now), self.not_waiting_at.unwrap_or_default());
            // An old message, a metadata service that lags or a clock that is off: it may have waited for long.
            self.beat_at_once |= sent > turn.now || sent + DOUBT < seen;
            // An old message must not make an action old that has only just begun.
            self.learn_wait(turn, sent.max(seen).min(turn.now), "message");
        }
    }

    /// Whether a message tells of a later action, by what its own message said.
    pub fn is_older_than(&self, message: &LifecycleMessage) -> bool {
        self.token_sent.is_some() && message.sent > self.token_sent
    }

    /// What was learnt from a message of another hook is not known.
    pub fn forget_message(&mut self) {
        self.forget_token();
        if !self.record.proven {
            self.record.wait_since = None;
            self.record.wait_known_at = None;
        }
    }

    pub(super) fn forget_token(&mut self) {
        self.record.token = None;
        self.token_sent = None;
    }

    /// AWS has found nothing by our token: it is an earlier action's, and so is that of any older message.
    pub(super) fn refute_token(&mut self) {
        self.refuted_sent = self.refuted_sent.max(self.token_sent);
        self.forget_token();
    }

    pub(super) fn learn_wait(&mut self, turn: &mut Turn, since: Time, by: &'static str) {
        self.record.wait_since = Some(since);
        self.record.wait_known_at = Some(turn.now);
        self.completion.succeeded(turn.now);
        // Without a hook the timeout is not known yet: the first heartbeat is then due as soon as it is.
        if let Some(timeout) = self.record.hook.as_ref().map(|hook| hook.heartbeat_timeout) {
            self.plan_beat(turn, since, timeout);
        } else {
            self.heartbeat.succeeded(since);
        }
        turn.report(Report::WaitBegan { since, by });
    }

    pub(super) fn give_up(&mut self, turn: &mut Turn, why: String) {
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
            self.plan_beat(turn, self.record.last_beat.unwrap_or(since), facts.heartbeat_timeout);
        } else {
            let soon = turn.now + heartbeat::probe_interval(facts.heartbeat_timeout);
            self.heartbeat.next_at = self.heartbeat.next_at.min(soon);
        }
        self.record.hook = Some(facts);
    }

    /// Plans the next heartbeat after one that was sent then, or after the beginning of Wait.
    fn plan_beat(&mut self, turn: &mut Turn, from: Time, timeout: Duration) {
        let next_at = from + heartbeat::interval(timeout, turn);
        self.heartbeat.succeeded(if self.beat_at_once { turn.now } else { next_at });
    }
}

pub(super) fn failed_describe(attempts: &mut Attempts, turn: &mut Turn, call: Call, error: CallError) {
    attempts.failed(turn, DESCRIBE_RETRY);
    if error.kind == CallErrorKind::AccessDenied {
        attempts.next_at = turn.now + DENIED_RETRY;
    }
    turn.call_failed(call, error, false);
}
