//! Where a launch stands: what the agents say, and the result that follows.

use std::fmt;
use std::time::Duration;

use crate::effect::{CompletionResult, Effect, EffectId};
use crate::settings::{AgentSettings, LaunchSettings};
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::Turn;

/// The pause between two rounds of questions to the agents.
const ROUND: Duration = Duration::from_secs(1);

/// An agent that has not said for this long whether it is ready is not. The daemon waits for an answer for ten seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);

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

/// One question to each agent.
#[derive(Debug)]
enum Round {
    /// The next one is asked at this time.
    Next(Time),
    /// These questions are unanswered.
    Open { since: Time, asked: Vec<(EffectId, usize)>, all_ready: bool },
}

impl Stage {
    /// The agents are asked from now on.
    pub fn asking(now: Time) -> Self {
        Stage::Asking(Questions { times: 0, round: Round::Next(now), failed: false, not_ready: None })
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
        let Stage::Asking(Questions { times, round, failed, not_ready }) = self else { return None };
        let Round::Open { asked, all_ready, .. } = round else { return None };
        let place = asked.iter().position(|(open, _)| *open == id)?;
        let (_, agent) = asked.swap_remove(place);
        if let Err(why) = result {
            (*all_ready, *failed) = (false, true);
            *not_ready = Some(NotReady { agent: agents[agent].name.clone(), why: why.clone() });
        }
        if asked.is_empty() {
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
        let hangs = |turn: &mut Turn| match &self.round {
            Round::Open { since, .. } => turn.due(*since + ANSWER_MAX, Timer::Launch),
            Round::Next(_) => false,
        };
        self.failed || hangs(turn)
    }

    fn ask(&mut self, turn: &mut Turn, agents: usize, returning: Option<&str>) {
        if let Some(agent) = returning {
            let why = "has not acknowledged its return to service".to_owned();
            self.not_ready = Some(NotReady { agent: agent.to_owned(), why });
        } else if let Round::Next(at) = self.round
            && turn.due(at, Timer::Launch)
        {
            let asked = (0..agents).map(|agent| (turn.emit(|id| Effect::AskReady { id, agent }), agent));
            self.round = Round::Open { asked: asked.collect(), all_ready: true, since: turn.now };
        }
    }
}
