//! Where a launch stands: what the agents say, and the result that follows.

use std::fmt;
use std::time::Duration;

use crate::effect::{CompletionResult, Effect, EffectId};
use crate::round::Round;
use crate::settings::{AgentSettings, LaunchSettings};
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::Turn;

/// The pause between two rounds of questions to the agents.
const ROUND: Duration = Duration::from_secs(1);

/// Where a launch stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// There is a drain, or the instance is out of service.
    Paused,
    /// The agents are asked whether they are ready.
    Asking(Questions),
    /// The result is decided, and the action is being completed.
    Completing(CompletionResult),
}

/// The questions to the agents, and what they answered.
#[derive(Debug)]
pub(super) struct Questions {
    /// How many times in a row all agents were ready.
    times: u8,
    round: Round,
    /// Whether all of those that have answered in this round were.
    all_ready: bool,
    /// Whether an agent was not ready in this life of the daemon. Without that, nothing is abandoned.
    failed: bool,
    /// The agent that was not ready last. `None` once all were ready.
    not_ready: Option<NotReady>,
}

/// An agent that is not ready.
#[derive(Debug)]
pub(super) struct NotReady {
    pub agent: String,
    /// What was tried and what came back.
    pub why: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.agent, self.why)
    }
}

impl Stage {
    /// The agents are asked from now on.
    pub fn asking(now: Time) -> Self {
        let round = Round::Next(now);
        Stage::Asking(Questions { times: 0, round, all_ready: true, failed: false, not_ready: None })
    }

    /// The agents do not serve.
    pub fn pause(&mut self) {
        *self = Stage::Paused;
    }

    /// The agents serve. Returns whether they did not before, so that the launch starts anew.
    pub fn resume(&mut self, now: Time) -> bool {
        let was_paused = matches!(self, Stage::Paused);
        if was_paused {
            *self = Stage::asking(now);
        }
        was_paused
    }

    /// Asks the agents, until they are ready or the time is up. One that is `returning` to service is not ready. Returns the
    /// result when it is decided.
    pub fn decide(
        &mut self,
        turn: &mut Turn,
        settings: &LaunchSettings,
        since: Time,
        agents: usize,
        returning: Option<&str>,
    ) -> Option<CompletionResult> {
        let Stage::Asking(questions) = self else { return None };
        let result = if questions.times >= settings.times {
            CompletionResult::Continue
        } else if turn.due(since + settings.timeout, Timer::Launch)
            && (returning.is_some() || questions.failed(turn))
        {
            CompletionResult::Abandon
        } else {
            questions.ask(turn, agents, returning);
            return None;
        };
        *self = Stage::Completing(result);
        Some(result)
    }

    /// An agent answered whether it is ready. `Err` says why it is not, and is returned if the question was open.
    pub fn answered(
        &mut self,
        now: Time,
        agents: &[AgentSettings],
        id: EffectId,
        result: &Result<(), String>,
    ) -> Option<&NotReady> {
        let Stage::Asking(Questions { times, round, all_ready, failed, not_ready }) = self else {
            return None;
        };
        let (agent, is_last) = round.answered(id)?;
        if let Err(why) = result {
            (*all_ready, *failed) = (false, true);
            *not_ready = Some(NotReady { agent: agents[agent].name.clone(), why: why.clone() });
        }
        if is_last {
            *times = if *all_ready { *times + 1 } else { 0 };
            not_ready.take_if(|_| *all_ready);
            *round = Round::Next(now + ROUND);
        }
        not_ready.as_ref().filter(|_| result.is_err())
    }
}

impl Questions {
    /// The agent that was not ready last. `None` once all were ready.
    pub fn not_ready(&self) -> Option<&NotReady> {
        self.not_ready.as_ref()
    }

    /// Whether an agent was not ready, or has not answered for long.
    fn failed(&self, turn: &mut Turn) -> bool {
        self.failed || self.round.hangs(turn, Timer::Launch)
    }

    fn ask(&mut self, turn: &mut Turn, agents: usize, returning: Option<&str>) {
        if let Some(agent) = returning {
            let why = "has not acknowledged its return to service".to_owned();
            self.not_ready = Some(NotReady { agent: agent.to_owned(), why });
        } else if self.round.ask(turn, Timer::Launch, agents, |id, agent| Effect::AskReady { id, agent }) {
            self.all_ready = true;
        }
    }
}
