//! Watches an instance that stays after its action is over: retained for salvage, kept in a warm pool, or with a new
//! root volume. Its release is a new action; its return ends the notices.

use std::time::Duration;

use super::backoff::Backoff;
use super::effect::{ActionName, Effect, EffectId};
use super::event::{CallError, CallErrorKind, DescribedInstance};
use super::heartbeat;
use super::journal::ActionRecord;
use super::report::{Call, Report};
use super::standing::Standing;
use super::time::Time;
use super::timer::Timer;
use super::turn::{Attempts, Once, Turn};

/// From the end of the action to the first look.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// From look to look.
const LOOK: Duration = Duration::from_secs(60);

/// Between looks that were not answered.
const LOOK_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The instance serves again.
    InService,
    /// Another group than the one whose action is over takes the instance away.
    OtherGroup,
    /// A new action waits.
    NewAction {
        /// The last try that found none: it waits since then at the earliest.
        since: Time,
        /// When the heartbeat was sent whose success is the news.
        beat: Time,
    },
}

#[derive(Debug)]
pub(super) struct Watch {
    describe: Attempts,
    probe: Attempts,
    /// An action that is found to wait has begun after this.
    none_before: Time,
    /// Heartbeats have been sent, or may have been by the last run of the daemon.
    probed: bool,
    retained: bool,
    /// Auto Scaling waits, or is about to: for another hook or, where the instance was retained before, for ours.
    waits: bool,
    over: bool,
}

impl Watch {
    /// Looks from now on, after an action that ended at `ended`: another one cannot have begun before.
    pub fn new(ended: Time) -> Self {
        Watch::begin(ended, ended, false)
    }

    /// Goes on with what the last run of the daemon had begun.
    pub fn recover(now: Time, ended: Time) -> Self {
        Watch::begin(now, ended.min(now), true)
    }

    fn begin(now: Time, none_before: Time, probed: bool) -> Self {
        let mut describe = Attempts::default();
        describe.succeeded(now + FIRST_LOOK);
        Watch {
            describe,
            probe: Attempts::default(),
            none_before,
            probed,
            retained: false,
            waits: false,
            over: false,
        }
    }

    /// Looks again; and where the instance is retained or waits, tries the heartbeat whose success is the news of a
    /// new action.
    pub fn decide(&mut self, turn: &mut Turn, action: &ActionRecord) {
        if self.over {
            return;
        }
        if !self.retained && self.describe.ready(turn, Timer::Describe) {
            self.describe.start(turn, |id| Effect::DescribeInstance { id });
        }
        let (Some(hook), Some(group)) = (&action.hook, &action.group) else { return };
        let may_begin = self.retained || self.waits;
        if may_begin && turn.is_free(Once::Heartbeat) && self.probe.ready(turn, Timer::Heartbeat) {
            let name = ActionName { hook: hook.name.clone(), group: group.name.clone() };
            let limit = heartbeat::attempt_limit(hook.heartbeat_timeout);
            self.probe.start(turn, |id| Effect::Heartbeat { id, action: name, limit });
            self.probed = true;
        }
    }

    /// Whether Auto Scaling keeps the instance for salvage.
    pub fn is_retained(&self) -> bool {
        self.retained
    }

    /// Since when heartbeats may have kept a new action alive.
    pub fn probed_since(&self) -> Option<Time> {
        self.probed.then_some(self.none_before)
    }

    /// Whether the look of this id is waited for.
    pub fn awaits_description(&self, id: EffectId) -> bool {
        self.describe.awaits(id)
    }

    /// Whether the probing heartbeat of this id is waited for.
    pub fn awaits_heartbeat(&self, id: EffectId) -> bool {
        self.probe.awaits(id)
    }

    /// Takes in what Auto Scaling says of the instance. `group` is the one whose action is over.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        group: Option<&str>,
        result: &Result<Option<DescribedInstance>, CallError>,
        deaf: bool,
    ) -> Option<Seen> {
        self.describe.take(id)?;
        let instance = match result {
            Err(error) => {
                self.describe.failed(turn, LOOK_RETRY);
                turn.call_failed(Call::DescribeInstance, error.clone(), false);
                return None;
            }
            Ok(None) => {
                self.over = true;
                return None;
            }
            Ok(Some(instance)) => instance,
        };
        self.describe.succeeded(turn.now + LOOK);
        let state = instance.lifecycle_state.as_str();
        if state == "InService" {
            return Some(Seen::InService);
        }
        let standing = Standing::of(Some(instance));
        if standing == Standing::Retained && !self.retained {
            self.retained = true;
            self.none_before = turn.now;
            turn.report(Report::Retained);
        }
        self.waits = matches!(standing, Standing::TooEarly | Standing::Waiting);
        if self.waits && group.is_some_and(|group| group != instance.group) {
            return Some(Seen::OtherGroup);
        }
        // At rest in the warm pool; IMDS tells when it leaves.
        self.over = !deaf
            && !self.retained
            && matches!(state, "Warmed:Stopped" | "Warmed:Running" | "Warmed:Hibernated");
        None
    }

    /// Takes the result of a probing heartbeat in. Only Auto Scaling's own word that nothing waits counts as a look.
    pub fn on_heartbeat(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        timeout: Duration,
        result: Result<(), CallError>,
    ) -> Option<Seen> {
        let sent = self.probe.take(id)?;
        let Err(error) = result else {
            return Some(Seen::NewAction { since: self.none_before, beat: sent });
        };
        match error.kind {
            CallErrorKind::NoActiveAction => {
                self.none_before = sent;
                self.probe.succeeded(sent + heartbeat::probe_interval(timeout));
            }
            CallErrorKind::AccessDenied | CallErrorKind::Rejected => {
                heartbeat::failed(&mut self.probe, turn, sent, timeout, heartbeat::probe_retry(timeout));
            }
            CallErrorKind::Throttled
            | CallErrorKind::Credentials
            | CallErrorKind::Unsent
            | CallErrorKind::Unanswered => {
                heartbeat::failed(&mut self.probe, turn, sent, timeout, heartbeat::retry(timeout));
            }
        }
        let expected = error.kind == CallErrorKind::NoActiveAction;
        turn.call_failed(Call::Heartbeat, error, expected);
        None
    }
}
