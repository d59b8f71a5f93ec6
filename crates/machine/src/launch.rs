//! Launch readiness: completes the launching hook once all agents are ready.
//!
//! A launch begins with the boot of the instance, and when the instance leaves a warm pool. Neither IMDS nor a message announces
//! its lifecycle action, so the daemon learns from the calls themselves whether there is one. A launch ends when a call
//! completes the action, or when Auto Scaling says that the instance is not launching.

mod course;
mod news;

pub use news::LaunchNews;

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

/// Pause after a completion was denied. An operator may add the permission.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// The longest that an action lasts (EC2 Auto Scaling user guide, "Prepare to add a lifecycle hook"). After it, there is none to
/// complete.
const ACTION_MAX: Duration = Duration::from_secs(48 * 3600);

/// The launch, as far as a restarted daemon needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchStage {
    /// There is none, or its action is over.
    #[default]
    Over,
    /// The agents were not known to be ready, or the action was not completed.
    UnderWay {
        /// When it began.
        since: Time,
    },
}

/// Completes the launching hook.
#[derive(Debug, Default)]
pub(super) struct LaunchTrack {
    launch: Option<Launch>,
    /// Whether IMDS last said that the instance goes to a warm pool or stays there.
    pooled: bool,
}

/// What a launch needs to know about the rest of the machine.
struct Surroundings<'a> {
    settings: &'a Settings,
    /// The group, if known.
    group: Option<&'a str>,
    /// Whether the agents drain or have drained.
    draining: bool,
    /// An agent that has not acknowledged its return to service, so that it may still be draining.
    returning: Option<&'a str>,
}

impl Machine {
    /// Begins the launch of this boot. `stage` is what is known of it.
    pub(super) fn begin_launch(&mut self, stage: Option<LaunchStage>) {
        self.launch.begin(&mut self.turn, &self.settings, stage);
        if self.launch.stage() != stage.unwrap_or_default() {
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
            draining: self.drain.is_some(),
            returning: self.agents.iter().find(|agent| agent.may_be_draining()).map(AgentTrack::name),
        };
        if self.launch.decide(&mut self.turn, &around) {
            self.journal.touch();
        }
    }
}

impl LaunchTrack {
    /// Begins a launch, unless `stage` says that the one of this boot is over. Does nothing if no launching hook is configured.
    pub fn begin(&mut self, turn: &mut Turn, settings: &Settings, stage: Option<LaunchStage>) {
        let Some(configured) = &settings.launch else { return };
        let since = match stage {
            None => turn.now,
            Some(LaunchStage::UnderWay { since }) => since.min(turn.now),
            Some(LaunchStage::Over) => return,
        };
        self.launch = Some(Launch::new(since, turn.now));
        turn.report(Report::Launch(LaunchNews::Started { hook: configured.hook.clone() }));
    }

    /// There is a drain.
    pub fn pause(&mut self) {
        if let Some(launch) = &mut self.launch {
            launch.pause();
        }
    }

    /// For the journal.
    pub fn stage(&self) -> LaunchStage {
        self.launch.as_ref().map_or(LaunchStage::Over, |launch| LaunchStage::UnderWay { since: launch.since })
    }

    /// IMDS says where the instance goes. An instance that leaves the warm pool launches. Returns whether one begins.
    pub fn on_target(&mut self, turn: &mut Turn, settings: &Settings, state: &TargetState) -> bool {
        let was_pooled = self.pooled;
        self.pooled = matches!(state, TargetState::Warmed(_));
        let begins = was_pooled && *state == TargetState::InService && settings.launch.is_some();
        if begins {
            self.begin(turn, settings, None);
        }
        begins
    }

    /// Does what is due. Returns whether the launch has ended.
    fn decide(&mut self, turn: &mut Turn, around: &Surroundings) -> bool {
        let (Some(launch), Some(settings)) = (&mut self.launch, &around.settings.launch) else {
            return false;
        };
        if around.draining {
            launch.pause();
            return false;
        }
        launch.resume(turn.now);
        if turn.due(launch.since + ACTION_MAX, Timer::Launch) {
            return self.end(turn, None);
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
        let (Some(launch), Some(wanted)) = (&mut self.launch, &settings.launch) else { return };
        let Stage::Asking { times, round } = &mut launch.stage else { return };
        let Round::Open { asked, all_ready } = round else { return };
        let Some(place) = asked.iter().position(|(open, _)| *open == id) else { return };
        let (_, agent) = asked.swap_remove(place);
        if let Err(why) = result {
            *all_ready = false;
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
        let launch = self.launch.as_mut()?;
        let sent = launch.beat.take(id)?;
        turn.answered(id);
        let timeout = launch.timeout.unwrap_or(QUICK);
        match result {
            Ok(()) => {
                launch.heartbeats += 1;
                launch.doubted = false;
                let pause = heartbeat::interval(timeout, turn);
                launch.beat.succeeded(sent + pause);
            }
            Err(error) => {
                heartbeat::failed(&mut launch.beat, turn, sent, timeout, heartbeat::retry(timeout));
                launch.failed(turn, Call::Heartbeat, error);
            }
        }
        Some(false)
    }

    /// Takes the result of a completion. `None` if it was not ours, else whether the launch has ended.
    pub fn on_completion(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<(), CallError>,
    ) -> Option<bool> {
        let launch = self.launch.as_mut()?;
        launch.completion.take(id)?;
        turn.answered(id);
        let sent = launch.sent;
        match result {
            Ok(()) => Some(self.end(turn, sent)),
            Err(error) => {
                launch.completion.failed(turn, RETRY);
                if error.kind == CallErrorKind::AccessDenied {
                    launch.completion.next_at = turn.now + DENIED_RETRY;
                }
                launch.failed(turn, Call::Complete, error);
                Some(false)
            }
        }
    }

    /// Takes the group's hooks. `None` if this launch did not ask for them, else whether it has ended.
    pub fn on_hooks(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: &Result<Vec<Hook>, CallError>,
    ) -> Option<bool> {
        let (launch, wanted) = (self.launch.as_mut()?, settings.launch.as_ref()?);
        launch.describe_hooks.take(id)?;
        match result {
            Err(error) => {
                launch.describe_hooks.failed(turn, RETRY);
                launch.timeout = Some(hook::assume(settings, &wanted.hook).heartbeat_timeout);
                turn.call_failed(Call::DescribeHooks, error.clone(), false);
            }
            Ok(hooks) => {
                let ours = hooks.iter().find(|hook| hook.name == wanted.hook && !hook.terminating);
                let Some(ours) = ours else {
                    turn.report(Report::Launch(LaunchNews::HookMissing { hook: wanted.hook.clone() }));
                    return Some(self.end(turn, None));
                };
                launch.timeout = Some(ours.heartbeat_timeout);
            }
        }
        Some(false)
    }

    /// Takes the description of the instance. `None` if this launch did not ask for it, else whether it has ended.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: &Result<Option<DescribedInstance>, CallError>,
    ) -> Option<bool> {
        let launch = self.launch.as_mut()?;
        launch.describe_instance.take(id)?;
        let instance = match result {
            Err(error) => {
                launch.describe_instance.failed(turn, RETRY);
                turn.call_failed(Call::DescribeInstance, error.clone(), false);
                return Some(false);
            }
            Ok(instance) => instance,
        };
        launch.doubted = false;
        launch.describe_instance.succeeded(turn.now);
        // The action begins at Wait, and Pending is before that.
        let launches = instance.as_ref().is_some_and(|instance| {
            matches!(
                instance.lifecycle_state.as_str(),
                "Pending" | "Pending:Wait" | "Warmed:Pending" | "Warmed:Pending:Wait"
            )
        });
        Some(!launches && self.end(turn, None))
    }

    /// For the status.
    pub fn line(&self, settings: &LaunchSettings) -> Option<LaunchLine> {
        let launch = self.launch.as_ref()?;
        let result = if let Stage::Completing(result) = launch.stage { Some(result) } else { None };
        Some(LaunchLine {
            hook: settings.hook.clone(),
            since: launch.since,
            until: launch.since + settings.timeout,
            result,
            not_ready: launch.not_ready.clone(),
        })
    }

    fn end(&mut self, turn: &mut Turn, result: Option<CompletionResult>) -> bool {
        let Some(launch) = self.launch.take() else { return false };
        let (took, heartbeats) = (turn.now.since(launch.since), launch.heartbeats);
        turn.report(Report::Launch(LaunchNews::Ended { result, took, heartbeats }));
        true
    }
}
