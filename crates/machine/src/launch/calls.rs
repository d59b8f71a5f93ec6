//! The calls of a launch, and what they say of its lifecycle action.

use std::time::Duration;

use super::LaunchEnd;
use super::stage::Stage;
use crate::action::Heartbeats;
use crate::backoff::Backoff;
use crate::effect::{ActionName, CompletionResult, Effect, EffectId};
use crate::event::{CallError, CallErrorKind, DescribedInstance, Hook};
use crate::hook;
use crate::report::Call;
use crate::standing;
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::{Attempts, Once, Turn};

/// A launch that takes longer sends heartbeats. A shorter one costs one call. The shortest heartbeat timeout is 30 s.
const QUICK: Duration = Duration::from_secs(10);

/// Pause after a failed call.
const RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// Pause after a call that found no action, or no instance. It may be too early or too late.
const REFUSED_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Pause after a call was denied.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// The daemon stops looking for an action that it has not found for this long.
const REFUSED_MAX: Duration = Duration::from_secs(600);

/// What an answer means for the launch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The launch did not ask.
    NotOurs,
    /// The launch goes on.
    GoesOn,
    /// It is over.
    Ended(LaunchEnd),
}

/// Whether the action exists, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Presence {
    /// Nothing speaks against it.
    #[default]
    Assumed,
    /// It has not been found since this time. Auto Scaling is asked what the instance does.
    Doubted { since: Time },
    /// It has not been found since this time, and Auto Scaling does not say that the launch is over.
    Unclear { since: Time },
}

impl Presence {
    /// Since when the action has not been found.
    fn missing_since(self) -> Option<Time> {
        match self {
            Presence::Assumed => None,
            Presence::Doubted { since } | Presence::Unclear { since } => Some(since),
        }
    }

    /// A call found no action, or Auto Scaling does not know the instance.
    fn doubt(&mut self, now: Time) {
        *self = Presence::Doubted { since: self.missing_since().unwrap_or(now) };
    }

    /// The instance is in a state in which the action may exist.
    fn may_be(&mut self) {
        if let Presence::Doubted { since } = *self {
            *self = Presence::Unclear { since };
        }
    }
}

/// The hook's heartbeat timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Timeout {
    #[default]
    Unread,
    /// Reading it failed, so it is assumed to be the shortest. The configured one is the terminating hook's.
    Assumed,
    Read(Duration),
}

impl Timeout {
    fn get(self) -> Option<Duration> {
        match self {
            Timeout::Unread => None,
            Timeout::Assumed => Some(hook::HEARTBEAT_TIMEOUT_ASSUMED),
            Timeout::Read(timeout) => Some(timeout),
        }
    }
}

/// The calls of a launch.
#[derive(Debug, Default)]
pub(super) struct Calls {
    presence: Presence,
    timeout: Timeout,
    heartbeats: Heartbeats,
    completion: Attempts,
    /// The result in the completion under way.
    sent: Option<CompletionResult>,
    /// The result in the last completion that got no answer, and may have taken effect.
    unanswered: Option<CompletionResult>,
    describe_hooks: Attempts,
    describe_instance: Attempts,
}

impl Calls {
    /// Heartbeats that succeeded.
    pub fn heartbeats(&self) -> u32 {
        self.heartbeats.succeeded
    }

    /// The launch starts anew, so what was found before counts for nothing.
    pub fn start_anew(&mut self) {
        self.presence = Presence::Assumed;
    }

    /// Whether to stop looking for the action.
    pub fn give_up(&self, turn: &mut Turn) -> bool {
        self.presence.missing_since().is_some_and(|since| turn.due(since + REFUSED_MAX, Timer::Launch))
    }

    /// Makes the calls that are due in a launch that began at `since`. Without the group's name, none about the action can be
    /// made.
    pub fn make(&mut self, turn: &mut Turn, stage: &Stage, since: Time, action: Option<ActionName>) {
        let doubted = matches!(self.presence, Presence::Doubted { .. });
        if (doubted || action.is_none()) && self.describe_instance.ready(turn, Timer::Describe) {
            self.describe_instance.start(turn, |id| Effect::DescribeInstance { id });
        }
        let Some(action) = action else { return };
        let needs_heartbeats = match stage {
            Stage::Paused => return,
            Stage::Asking(_) => turn.due(since + QUICK, Timer::Heartbeat),
            Stage::Completing(result) => {
                self.complete(turn, &action, *result);
                // Most often, the first completion is all, or there is no action.
                self.completion.failures > 0 && !doubted
            }
        };
        if needs_heartbeats {
            self.keep_alive(turn, action);
        }
    }

    fn complete(&mut self, turn: &mut Turn, action: &ActionName, result: CompletionResult) {
        if turn.is_free(Once::Completion) && self.completion.ready(turn, Timer::Completion) {
            self.sent = Some(result);
            self.completion.start(turn, |id| Effect::Complete { id, action: action.clone(), result });
        }
    }

    fn keep_alive(&mut self, turn: &mut Turn, action: ActionName) {
        let unread = !matches!(self.timeout, Timeout::Read(_));
        if unread && self.describe_hooks.ready(turn, Timer::Describe) {
            let group = action.group.clone();
            self.describe_hooks.start(turn, |id| Effect::DescribeHooks { id, group });
        }
        if let Some(timeout) = self.timeout.get() {
            self.heartbeats.send(turn, Some(action), timeout);
        }
    }

    /// Takes the result of a heartbeat.
    pub fn on_heartbeat(&mut self, turn: &mut Turn, id: EffectId, result: &Result<(), CallError>) -> Heard {
        let Some(sent) = self.heartbeats.take(id) else { return Heard::NotOurs };
        turn.answered(id);
        let timeout = self.timeout.get().unwrap_or(hook::HEARTBEAT_TIMEOUT_ASSUMED);
        match result {
            Ok(()) => {
                self.heartbeats.success(turn, sent, timeout);
                self.presence = Presence::Assumed;
            }
            Err(error) => {
                match error.kind {
                    CallErrorKind::NoActiveAction | CallErrorKind::Rejected => {
                        self.heartbeats.nothing_waits_yet(sent, timeout);
                    }
                    kind => self.heartbeats.failure(turn, sent, timeout, kind),
                }
                self.refused(turn, Call::Heartbeat, error);
            }
        }
        Heard::GoesOn
    }

    /// Takes the result of a completion.
    pub fn on_completion(&mut self, turn: &mut Turn, id: EffectId, result: &Result<(), CallError>) -> Heard {
        if self.completion.take(id).is_none() {
            return Heard::NotOurs;
        }
        turn.answered(id);
        let sent = self.sent.take();
        let Err(error) = result else {
            return Heard::Ended(sent.map_or(LaunchEnd::NoAction, LaunchEnd::Completed));
        };
        plan_retry(&mut self.completion, turn, error.kind);
        if error.kind == CallErrorKind::Unanswered {
            self.unanswered = sent;
        }
        self.refused(turn, Call::Complete, error);
        Heard::GoesOn
    }

    /// A call about the action failed.
    fn refused(&mut self, turn: &mut Turn, call: Call, error: &CallError) {
        let none = error.kind == CallErrorKind::NoActiveAction;
        if none || error.kind == CallErrorKind::Rejected {
            self.presence.doubt(turn.now);
        }
        turn.call_failed(call, error.clone(), none);
    }

    /// Takes the group's hooks. `wanted` is the name of the launching one.
    pub fn on_hooks(
        &mut self,
        turn: &mut Turn,
        wanted: &str,
        id: EffectId,
        result: &Result<Vec<Hook>, CallError>,
    ) -> Heard {
        if self.describe_hooks.take(id).is_none() {
            return Heard::NotOurs;
        }
        match result {
            Err(error) => {
                self.timeout = Timeout::Assumed;
                plan_retry(&mut self.describe_hooks, turn, error.kind);
                turn.call_failed(Call::DescribeHooks, error.clone(), false);
                Heard::GoesOn
            }
            Ok(hooks) => match hooks.iter().find(|hook| hook.name == wanted && !hook.terminating) {
                Some(hook) => {
                    self.timeout = Timeout::Read(hook::heartbeat_timeout(hook));
                    Heard::GoesOn
                }
                None => Heard::Ended(LaunchEnd::HookMissing(wanted.to_owned())),
            },
        }
    }

    /// Takes the description of the instance.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<Option<DescribedInstance>, CallError>,
    ) -> Heard {
        if self.describe_instance.take(id).is_none() {
            return Heard::NotOurs;
        }
        match result {
            Err(error) => {
                plan_retry(&mut self.describe_instance, turn, error.kind);
                turn.call_failed(Call::DescribeInstance, error.clone(), false);
            }
            // It is in no group, or Auto Scaling does not know it yet.
            Ok(None) => {
                self.describe_instance.failed(turn, REFUSED_RETRY);
                self.presence.doubt(turn.now);
            }
            // A completion under way may be why the instance goes on.
            Ok(Some(instance)) if standing::is_past_launch(instance) && !self.completion.is_pending() => {
                return Heard::Ended(self.unanswered.map_or(LaunchEnd::NoAction, LaunchEnd::Completed));
            }
            Ok(Some(_)) => {
                self.describe_instance.succeeded(turn.now);
                self.presence.may_be();
            }
        }
        Heard::GoesOn
    }
}

/// Plans the next try of a call that failed.
fn plan_retry(attempts: &mut Attempts, turn: &mut Turn, kind: CallErrorKind) {
    let pause = match kind {
        CallErrorKind::NoActiveAction | CallErrorKind::Rejected => REFUSED_RETRY,
        CallErrorKind::AccessDenied
        | CallErrorKind::Throttled
        | CallErrorKind::Credentials
        | CallErrorKind::Unsent
        | CallErrorKind::Unanswered => RETRY,
    };
    attempts.failed_by(turn, kind, pause, DENIED_RETRY);
}
