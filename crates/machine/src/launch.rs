//! Launch readiness: completes the launching hook once all agents are ready.
//!
//! A launch begins with the boot of the instance, and when the instance leaves a warm pool. Neither IMDS nor a message announces
//! its lifecycle action, so the daemon learns from the calls themselves whether there is one. A launch ends when a call
//! completes the action, or when Auto Scaling says that the instance is not launching.

mod course;
mod news;

pub use news::{LaunchEnd, LaunchNews};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::agent::AgentTrack;
use super::backoff::Backoff;
use super::effect::{ActionName, CompletionResult, EffectId};
use super::event::{CallError, CallErrorKind, DescribedInstance, Event, Hook, TargetState};
use super::heartbeat;
use super::hook;
use super::report::{Call, Report};
use super::settings::{LaunchSettings, Settings};
use super::status::LaunchLine;
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;
use course::{Launch, QUICK, Round, Stage};

/// The pause between two rounds of questions to the agents.
const ROUND: Duration = Duration::from_secs(1);

/// Pause after a failed call.
const RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// Pause after a call that found no action, because it is too early or too late.
const REFUSED_RETRY: Backoff = Backoff::between_ms(1_000, 30_000);

/// Pause after a call was denied. An operator may add the permission.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// Once calls have found no action for this long, there is none.
const REFUSED_MAX: Duration = Duration::from_secs(600);

/// The longest that an action lasts (EC2 Auto Scaling user guide, "Prepare to add a lifecycle hook"). After it, there is none to
/// complete.
const ACTION_MAX: Duration = Duration::from_secs(48 * 3600);

/// The launch, as far as a restarted daemon needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchStage {
    /// None has begun in this boot.
    #[default]
    None,
    /// The agents were not known to be ready, or the action was not completed.
    UnderWay {
        /// The launching hook.
        hook: String,
        /// When it began.
        since: Time,
    },
    /// The action is over, or there was none.
    Over {
        /// The launching hook.
        hook: String,
    },
}

/// Completes the launching hook.
#[derive(Debug, Default)]
pub(super) struct LaunchTrack {
    state: State,
    /// Whether IMDS last said that the instance goes to a warm pool or stays there.
    pub pooled: bool,
}

#[derive(Debug, Default)]
enum State {
    /// No launching hook is configured, or the daemon has not started.
    #[default]
    None,
    UnderWay(Box<Launch>),
    Over,
}

/// What a launch needs to know about the rest of the machine.
struct Surroundings<'a> {
    settings: &'a Settings,
    /// The group, if known.
    group: Option<&'a str>,
    /// Whether the agents drain or have drained, or the instance is out of service.
    draining: bool,
    /// An agent that has not acknowledged its return to service, so that it may still be draining.
    returning: Option<&'a str>,
}

impl Machine {
    /// Begins the launch of this boot. `stage` is what is known of it.
    pub(super) fn begin_launch(&mut self, stage: LaunchStage) {
        self.launch.begin(&mut self.turn, &self.settings, &stage);
        if self.launch.stage(&self.settings) != stage {
            self.journal.touch();
        }
    }

    /// Records an event that is the launch's alone. Returns whether it is one.
    pub(super) fn launch_absorbs(&mut self, event: &Event) -> bool {
        let Machine { launch, turn, settings, .. } = self;
        let ended = match event {
            Event::ReadyAnswered { id, result } => {
                launch.answered(turn, settings, *id, result);
                Some(false)
            }
            Event::HeartbeatAnswered { id, result } => launch.on_heartbeat(turn, *id, result),
            Event::CompletionAnswered { id, result } => launch.on_completion(turn, *id, result),
            Event::HooksDescribed { id, result } => launch.on_hooks(turn, settings, *id, result),
            Event::InstanceDescribed { id, result } => {
                let ended = launch.on_instance(turn, *id, result);
                if let (Some(_), Ok(Some(instance))) = (ended, result) {
                    self.group = Some(instance.group.clone());
                }
                ended
            }
            _ => None,
        };
        if ended == Some(true) {
            self.journal.touch();
        }
        ended.is_some()
    }

    /// Does what is due for the launch. It waits until there is no drain.
    pub(super) fn direct_launch(&mut self) {
        let around = Surroundings {
            settings: &self.settings,
            group: self.group.as_deref(),
            // An instance in standby or in no group has no launch, even if the settings ignore that.
            draining: self.drain.is_some() || self.notices.has_target(),
            returning: self.agents.iter().find(|agent| agent.may_be_draining()).map(AgentTrack::name),
        };
        if self.launch.decide(&mut self.turn, &around) {
            self.journal.touch();
        }
    }
}

impl LaunchTrack {
    /// Begins a launch, unless `stage` says that the one of this boot and hook is over. Does nothing if no launching hook is
    /// configured.
    pub fn begin(&mut self, turn: &mut Turn, settings: &Settings, stage: &LaunchStage) {
        let Some(configured) = &settings.launch else { return };
        let since = match stage {
            LaunchStage::Over { hook } if *hook == configured.hook => {
                self.state = State::Over;
                return;
            }
            LaunchStage::UnderWay { hook, since } if *hook == configured.hook => (*since).min(turn.now),
            // The hook was configured or corrected after the boot.
            LaunchStage::None | LaunchStage::UnderWay { .. } | LaunchStage::Over { .. } => turn.now,
        };
        self.state = State::UnderWay(Box::new(Launch::new(since, turn.now)));
        turn.report(Report::Launch(LaunchNews::Started { hook: configured.hook.clone() }));
    }

    fn launch(&mut self) -> Option<&mut Launch> {
        if let State::UnderWay(launch) = &mut self.state { Some(launch) } else { None }
    }

    /// There is a drain.
    pub fn pause(&mut self) {
        if let Some(launch) = self.launch() {
            launch.pause();
        }
    }

    /// For the journal.
    pub fn stage(&self, settings: &Settings) -> LaunchStage {
        let Some(hook) = settings.launch.as_ref().map(|launch| launch.hook.clone()) else {
            return LaunchStage::None;
        };
        match &self.state {
            State::None => LaunchStage::None,
            State::UnderWay(launch) => LaunchStage::UnderWay { hook, since: launch.since },
            State::Over => LaunchStage::Over { hook },
        }
    }

    /// IMDS says where the instance goes. An instance that leaves the warm pool launches. Returns whether the journal must be
    /// written.
    pub fn on_target(&mut self, turn: &mut Turn, settings: &Settings, state: &TargetState) -> bool {
        let pooled = matches!(state, TargetState::Warmed(_));
        let was_pooled = std::mem::replace(&mut self.pooled, pooled);
        if was_pooled && *state == TargetState::InService {
            self.begin(turn, settings, &LaunchStage::None);
        }
        was_pooled != pooled && settings.launch.is_some()
    }

    /// Does what is due. Returns whether the launch has ended.
    fn decide(&mut self, turn: &mut Turn, around: &Surroundings) -> bool {
        let (State::UnderWay(launch), Some(settings)) = (&mut self.state, &around.settings.launch) else {
            return false;
        };
        if around.draining {
            launch.pause();
            return false;
        }
        launch.resume(turn.now);
        let refused = launch.refused_since.is_some_and(|since| turn.due(since + REFUSED_MAX, Timer::Launch));
        if refused || turn.due(launch.since + ACTION_MAX, Timer::Launch) {
            return self.end(turn, LaunchEnd::NoAction);
        }
        launch.ask(turn, settings, around.settings.agents.len(), around.returning);
        let Some(group) = around.group else {
            launch.describe(turn);
            return false;
        };
        let action = ActionName { hook: settings.hook.clone(), group: group.to_owned() };
        launch.act(turn, action);
        if launch.doubted {
            launch.describe(turn);
        }
        false
    }

    /// An agent answered whether it is ready. `Err` says why it is not.
    pub fn answered(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: &Result<(), String>,
    ) {
        let (State::UnderWay(launch), Some(wanted)) = (&mut self.state, &settings.launch) else { return };
        let Stage::Asking { times, round, failed } = &mut launch.stage else { return };
        let Round::Open { asked, all_ready, .. } = round else { return };
        let Some(place) = asked.iter().position(|(open, _)| *open == id) else { return };
        let (_, agent) = asked.swap_remove(place);
        if let Err(why) = result {
            (*all_ready, *failed) = (false, true);
            let agent = settings.agents[agent].name.clone();
            let text = format!("{agent}: {why}");
            if launch.told.is_news(&text) {
                turn.report(Report::Launch(LaunchNews::NotReady { agent, why: why.clone() }));
            }
            launch.not_ready = Some(text);
        }
        if !asked.is_empty() {
            return;
        }
        if *all_ready {
            *times += 1;
            launch.not_ready = None;
        } else {
            *times = 0;
        }
        *round = Round::Next(turn.now + ROUND);
        if *times >= wanted.times {
            launch.settle(turn, CompletionResult::Continue);
        }
    }

    /// Takes the result of a heartbeat. `None` if it was not ours. It never ends the launch.
    fn on_heartbeat(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<(), CallError>,
    ) -> Option<bool> {
        let launch = self.launch()?;
        let sent = launch.beat.take(id)?;
        turn.answered(id);
        let timeout = launch.heartbeat_timeout.unwrap_or(QUICK);
        let Err(error) = result else {
            launch.heartbeats += 1;
            launch.found();
            let pause = heartbeat::interval(timeout, turn);
            launch.beat.succeeded(sent + pause);
            return Some(false);
        };
        let quick = match error.kind {
            CallErrorKind::Throttled => heartbeat::throttled_retry(timeout),
            _ => heartbeat::retry(timeout),
        };
        heartbeat::failed(&mut launch.beat, turn, sent, timeout, quick);
        let pause = match error.kind {
            CallErrorKind::AccessDenied => heartbeat::denied_retry(timeout),
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => heartbeat::probe_interval(timeout),
            CallErrorKind::Throttled
            | CallErrorKind::Credentials
            | CallErrorKind::Unsent
            | CallErrorKind::Unanswered => Duration::ZERO,
        };
        launch.beat.next_at = launch.beat.next_at.max(sent + pause);
        launch.failed(turn, Call::Heartbeat, error);
        Some(false)
    }

    /// Takes the result of a completion. `None` if it was not ours, else whether the launch has ended.
    fn on_completion(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<(), CallError>,
    ) -> Option<bool> {
        let launch = self.launch()?;
        launch.completion.take(id)?;
        turn.answered(id);
        let sent = launch.sent.take();
        let Err(error) = result else {
            return Some(self.end(turn, sent.map_or(LaunchEnd::NoAction, LaunchEnd::Completed)));
        };
        let pause = match error.kind {
            CallErrorKind::NoActiveAction | CallErrorKind::Rejected => REFUSED_RETRY,
            _ => RETRY,
        };
        launch.completion.failed(turn, pause);
        match error.kind {
            CallErrorKind::AccessDenied => launch.completion.next_at = turn.now + DENIED_RETRY,
            CallErrorKind::Unanswered => launch.unanswered = sent,
            CallErrorKind::NoActiveAction
            | CallErrorKind::Throttled
            | CallErrorKind::Credentials
            | CallErrorKind::Unsent
            | CallErrorKind::Rejected => {}
        }
        launch.failed(turn, Call::Complete, error);
        Some(false)
    }

    /// Takes the group's hooks. `None` if this launch did not ask for them, else whether it has ended.
    fn on_hooks(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: &Result<Vec<Hook>, CallError>,
    ) -> Option<bool> {
        let (launch, wanted) = (self.launch()?, settings.launch.as_ref()?);
        launch.describe_hooks.take(id)?;
        match result {
            Err(error) => {
                launch.heartbeat_timeout = Some(hook::assume(settings, &wanted.hook).heartbeat_timeout);
                turn.call_failed(Call::DescribeHooks, error.clone(), false);
                Some(false)
            }
            Ok(hooks) => {
                let ours = hooks.iter().find(|hook| hook.name == wanted.hook && !hook.terminating);
                launch.heartbeat_timeout = ours.map(|hook| hook.heartbeat_timeout);
                Some(ours.is_none() && self.end(turn, LaunchEnd::HookMissing(wanted.hook.clone())))
            }
        }
    }

    /// Takes the description of the instance. `None` if this launch did not ask for it, else whether it has ended.
    fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<Option<DescribedInstance>, CallError>,
    ) -> Option<bool> {
        let launch = self.launch()?;
        launch.describe_instance.take(id)?;
        let instance = match result {
            Err(error) => {
                launch.describe_instance.failed(turn, RETRY);
                if error.kind == CallErrorKind::AccessDenied {
                    launch.describe_instance.next_at = turn.now + DENIED_RETRY;
                }
                turn.call_failed(Call::DescribeInstance, error.clone(), false);
                return Some(false);
            }
            Ok(instance) => instance,
        };
        let was_doubted = std::mem::take(&mut launch.doubted);
        launch.describe_instance.succeeded(turn.now);
        // A completion under way may be why the instance goes on.
        let state = instance.as_ref().map_or("", |instance| instance.lifecycle_state.as_str());
        let over = is_past_launch(state) && !launch.completion.is_pending();
        // Without a refusal, only the group was asked for. The action may still be open, and a call will say so.
        let over = over && (was_doubted || state == "InService");
        let end = launch.unanswered.map_or(LaunchEnd::NoAction, LaunchEnd::Completed);
        Some(over && self.end(turn, end))
    }

    /// For the status.
    pub fn line(&self, settings: &LaunchSettings) -> Option<LaunchLine> {
        let State::UnderWay(launch) = &self.state else { return None };
        let (result, not_ready) = match &launch.stage {
            Stage::Paused => (None, Some("a drain is under way".to_owned())),
            Stage::Asking { .. } => (None, launch.not_ready.clone()),
            Stage::Completing(result) => (Some(*result), None),
        };
        let (since, until) = (launch.since, launch.since + settings.timeout);
        Some(LaunchLine { hook: settings.hook.clone(), since, until, result, not_ready })
    }

    fn end(&mut self, turn: &mut Turn, how: LaunchEnd) -> bool {
        let State::UnderWay(launch) = std::mem::replace(&mut self.state, State::Over) else { return false };
        let (took, heartbeats) = (turn.now.since(launch.since), launch.heartbeats);
        turn.report(Report::Launch(LaunchNews::Ended { how, took, heartbeats }));
        true
    }
}

/// Whether an instance in this state has no open action of a launching hook. Any other state may be out of date, or one that AWS
/// has added: `ReplacingRootVolume:Proceed` and `RootVolumeReplaced` come before the launching hook.
fn is_past_launch(state: &str) -> bool {
    let past = ["InService", "EnteringStandby", "Standby", "Detach", "Terminat", "Warmed:Terminat"];
    past.iter().any(|start| state.starts_with(start))
        || matches!(state, "Pending:Proceed" | "Warmed:Pending:Proceed")
}
