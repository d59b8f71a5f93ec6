//! Watches an instance that stays after its action is over: retained for salvage, kept in a warm pool, or given a new root
//! volume. Its release starts a new action. Its return to service ends the notices.

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

/// The time from the end of the action to the first description of the instance.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// The time between descriptions.
const LOOK: Duration = Duration::from_secs(60);

/// Pause after a failed description.
const LOOK_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// What the watch saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The instance is in service, or on its way there: from the warm pool, or after a reboot.
    InService,
    /// A different group is taking the instance away.
    OtherGroup,
    /// A new action is in Wait.
    NewAction {
        /// The last time at which none was known to be in Wait, and so the earliest time at which it can have reached Wait.
        since: Time,
        /// When the heartbeat that found it was sent.
        beat: Time,
    },
}

#[derive(Debug)]
pub(super) struct Watch {
    describe: Attempts,
    probe: Attempts,
    /// A new action cannot have reached Wait before this.
    none_before: Time,
    /// Whether heartbeats were sent, or may have been by the last run of the daemon.
    probed: bool,
    stage: Stage,
}

/// What the last description showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No action of ours can be in Wait.
    Quiet,
    /// The instance is in Wait or about to be: for another hook, or for ours again.
    Waits,
    /// Auto Scaling retains the instance for salvage. From now on only heartbeats find a new action.
    Retained,
    /// The instance is gone, or at rest in the warm pool.
    Over,
}

impl Watch {
    /// Watches an instance whose action ended at `ended`. A new action cannot have begun before that.
    pub fn new(ended: Time) -> Self {
        Watch::begin(ended, ended, false)
    }

    /// Continues the last run's watch.
    pub fn recover(now: Time, ended: Time) -> Self {
        Watch::begin(now, ended.min(now), true)
    }

    fn begin(now: Time, none_before: Time, probed: bool) -> Self {
        let mut describe = Attempts::default();
        describe.succeeded(now + FIRST_LOOK);
        Watch { describe, probe: Attempts::default(), none_before, probed, stage: Stage::Quiet }
    }

    /// Describes the instance when due. While it is retained or in Wait, probes for a new action with heartbeats.
    pub fn decide(&mut self, turn: &mut Turn, action: &ActionRecord) {
        let (describes, probes) = match self.stage {
            Stage::Quiet => (true, false),
            Stage::Waits => (true, true),
            Stage::Retained => (false, true),
            Stage::Over => return,
        };
        if describes && self.describe.ready(turn, Timer::Describe) {
            self.describe.start(turn, |id| Effect::DescribeInstance { id });
        }
        let (Some(hook), Some(group)) = (&action.hook, &action.group) else { return };
        if probes && turn.is_free(Once::Heartbeat) && self.probe.ready(turn, Timer::Heartbeat) {
            let name = ActionName { hook: hook.name.clone(), group: group.name.clone() };
            let limit = heartbeat::attempt_limit(hook.heartbeat_timeout);
            self.probe.start(turn, |id| Effect::Heartbeat { id, action: name, limit });
            self.probed = true;
        }
    }

    /// Whether Auto Scaling retains the instance for salvage.
    pub fn is_retained(&self) -> bool {
        self.stage == Stage::Retained
    }

    /// Whether the instance is still described now and then.
    pub fn goes_on(&self) -> bool {
        self.stage != Stage::Over
    }

    /// Since when heartbeats may have kept a new action alive; `None` if none was sent.
    pub fn probed_since(&self) -> Option<Time> {
        self.probed.then_some(self.none_before)
    }

    /// Whether the description with this id is awaited.
    pub fn awaits_description(&self, id: EffectId) -> bool {
        self.describe.awaits(id)
    }

    /// Whether the probing heartbeat with this id is awaited.
    pub fn awaits_heartbeat(&self, id: EffectId) -> bool {
        self.probe.awaits(id)
    }

    /// Processes the description of the instance. `group` is the group whose action is over.
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
                self.stage = Stage::Over;
                return None;
            }
            Ok(Some(instance)) => instance,
        };
        self.describe.succeeded(turn.now + LOOK);
        self.stage = match Standing::of(Some(instance)) {
            Standing::InService => return Some(Seen::InService),
            Standing::Retained => {
                self.none_before = turn.now;
                turn.report(Report::Retained);
                Stage::Retained
            }
            Standing::TooEarly | Standing::Waiting => Stage::Waits,
            // IMDS announces when the instance leaves the warm pool.
            Standing::Over if !deaf && is_at_rest(&instance.lifecycle_state) => Stage::Over,
            Standing::Over => Stage::Quiet,
        };
        let another = group.is_some_and(|group| group != instance.group);
        (another && self.stage == Stage::Waits).then_some(Seen::OtherGroup)
    }

    /// Processes the result of a probing heartbeat. Only `No active Lifecycle Action found` shows that no action is in
    /// Wait.
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

/// Whether the instance rests in the warm pool.
fn is_at_rest(state: &str) -> bool {
    matches!(state, "Warmed:Stopped" | "Warmed:Running" | "Warmed:Hibernated")
}
