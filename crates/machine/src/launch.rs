//! Launch readiness: completes the launching hook once all agents are ready.
//!
//! A launch begins with the boot of the instance, and when the instance leaves a warm pool. Neither IMDS nor a message announces
//! its lifecycle action, so the daemon learns from the calls themselves whether there is one. A launch ends when a call
//! completes the action, or when Auto Scaling says that the instance is not launching.

mod calls;
mod news;
mod stage;

pub use news::{LaunchEnd, LaunchNews};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::agent::AgentTrack;
use super::effect::ActionName;
use super::event::{Event, TargetState};
use super::report::Report;
use super::settings::{LaunchSettings, Settings};
use super::status::LaunchLine;
use super::time::Time;
use super::timer::Timer;
use super::told::Told;
use super::turn::Turn;
use calls::{Calls, Heard};
use stage::Stage;

/// The longest that an action lasts (EC2 Auto Scaling user guide, "Prepare to add a lifecycle hook").
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

/// A launch under way.
#[derive(Debug)]
struct Launch {
    /// When it began, or when the last drain ended.
    since: Time,
    stage: Stage,
    calls: Calls,
    /// What was reported about agents that are not ready.
    told: Told,
}

/// What a launch needs to know about the rest of the machine.
struct Surroundings<'a> {
    settings: &'a Settings,
    /// The group, if known.
    group: Option<&'a str>,
    /// Whether the agents drain or have drained, or the instance is out of service.
    paused: bool,
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
        let heard = self.launch.hear(&mut self.turn, &self.settings, event);
        if heard == Heard::NotOurs {
            return false;
        }
        if let Event::InstanceDescribed { result: Ok(Some(instance)), .. } = event {
            self.group = Some(instance.group.clone());
        }
        if let Heard::Ended(how) = heard {
            self.end_launch(how);
        }
        true
    }

    /// Does what is due for the launch. It waits until there is no drain.
    pub(super) fn direct_launch(&mut self) {
        let around = Surroundings {
            settings: &self.settings,
            group: self.group.as_deref(),
            // An instance in standby or in no group has no launch, even if the settings ignore that.
            paused: self.drain.is_some() || self.notices.has_target(),
            returning: self.agents.iter().find(|agent| agent.may_be_draining()).map(AgentTrack::name),
        };
        if let Some(how) = self.launch.decide(&mut self.turn, &around) {
            self.end_launch(how);
        }
    }

    fn end_launch(&mut self, how: LaunchEnd) {
        self.launch.end(&mut self.turn, how);
        self.journal.touch();
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
        let stage = Stage::asking(turn.now);
        let launch = Launch { since, stage, calls: Calls::default(), told: Told::default() };
        self.state = State::UnderWay(Box::new(launch));
        turn.report(Report::Launch(LaunchNews::Started { hook: configured.hook.clone() }));
    }

    fn launch(&mut self) -> Option<&mut Launch> {
        if let State::UnderWay(launch) = &mut self.state { Some(launch) } else { None }
    }

    /// There is a drain.
    pub fn pause(&mut self) {
        if let Some(launch) = self.launch() {
            launch.stage.pause();
        }
    }

    /// Whether a launch is under way.
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, State::UnderWay(_))
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

    /// Takes an answer to the launch.
    fn hear(&mut self, turn: &mut Turn, settings: &Settings, event: &Event) -> Heard {
        let (Some(launch), Some(wanted)) = (self.launch(), &settings.launch) else { return Heard::NotOurs };
        match event {
            Event::ReadyAnswered { id, result } => {
                if let Some(not_ready) = launch.stage.answered(turn.now, &settings.agents, *id, result)
                    && launch.told.is_news(&not_ready.to_string())
                {
                    let (agent, why) = (not_ready.agent.clone(), not_ready.why.clone());
                    turn.report(Report::Launch(LaunchNews::NotReady { agent, why }));
                }
                Heard::GoesOn
            }
            Event::HeartbeatAnswered { id, result } => launch.calls.on_heartbeat(turn, *id, result),
            Event::CompletionAnswered { id, result } => launch.calls.on_completion(turn, *id, result),
            Event::HooksDescribed { id, result } => launch.calls.on_hooks(turn, &wanted.hook, *id, result),
            Event::InstanceDescribed { id, result } => launch.calls.on_instance(turn, *id, result),
            _ => Heard::NotOurs,
        }
    }

    /// Does what is due. Returns how the launch has ended, if it has.
    fn decide(&mut self, turn: &mut Turn, around: &Surroundings) -> Option<LaunchEnd> {
        let (launch, settings) = (self.launch()?, around.settings.launch.as_ref()?);
        if around.paused {
            launch.stage.pause();
            return None;
        }
        if launch.stage.resume(turn.now) {
            launch.since = turn.now;
            launch.calls.start_anew();
        }
        if launch.calls.give_up(turn) || turn.due(launch.since + ACTION_MAX, Timer::Launch) {
            return Some(LaunchEnd::NoAction);
        }
        let (since, agents) = (launch.since, around.settings.agents.len());
        if let Some(result) = launch.stage.decide(turn, settings, since, agents, around.returning) {
            turn.report(Report::Launch(LaunchNews::Decided { result, took: turn.now.since(since) }));
        }
        let name = |group: &str| ActionName { hook: settings.hook.clone(), group: group.to_owned() };
        launch.calls.make(turn, &launch.stage, since, around.group.map(name));
        None
    }

    /// For the status.
    pub fn line(&self, settings: &LaunchSettings) -> Option<LaunchLine> {
        let State::UnderWay(launch) = &self.state else { return None };
        let (result, not_ready) = match &launch.stage {
            Stage::Paused => {
                (None, Some("a drain is under way, or the instance is out of service".to_owned()))
            }
            Stage::Asking(questions) => (None, questions.not_ready().map(ToString::to_string)),
            Stage::Completing(result) => (Some(*result), None),
        };
        let (since, until) = (launch.since, launch.since + settings.timeout);
        Some(LaunchLine { hook: settings.hook.clone(), since, until, result, not_ready })
    }

    fn end(&mut self, turn: &mut Turn, how: LaunchEnd) {
        if let State::UnderWay(launch) = std::mem::replace(&mut self.state, State::Over) {
            let (took, heartbeats) = (turn.now.since(launch.since), launch.calls.heartbeats());
            turn.report(Report::Launch(LaunchNews::Ended { how, took, heartbeats }));
        }
    }
}
