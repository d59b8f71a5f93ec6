//! A launch under way: what it asks, and which calls it makes.

use std::time::Duration;

use crate::effect::{ActionName, CompletionResult, Effect, EffectId};
use crate::event::{CallError, CallErrorKind};
use crate::heartbeat;
use crate::report::{Call, LaunchNews, Report};
use crate::settings::LaunchSettings;
use crate::time::Time;
use crate::timer::Timer;
use crate::told::Told;
use crate::turn::{Attempts, Once, Turn};

/// A launch that takes longer sends heartbeats. A shorter one costs one call. The shortest heartbeat timeout is 30 s.
pub(super) const QUICK: Duration = Duration::from_secs(10);

/// A launch under way.
#[derive(Debug)]
pub(super) struct Launch {
    /// When it began, or when the last drain ended.
    pub since: Time,
    pub stage: Stage,
    /// The hook's heartbeat timeout, once it was read or reading it failed.
    pub timeout: Option<Duration>,
    pub heartbeats: u32,
    pub beat: Attempts,
    pub completion: Attempts,
    /// The result in the last completion.
    pub sent: Option<CompletionResult>,
    pub describe_hooks: Attempts,
    pub describe_instance: Attempts,
    /// Whether a call found no action, so that Auto Scaling must say whether the instance is launching.
    pub doubted: bool,
    /// What the last agent that was not ready answered. `None` once all were ready.
    pub not_ready: Option<String>,
    /// What was reported about agents that are not ready.
    pub told: Told,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// There is a drain.
    Paused,
    /// The agents are asked whether they are ready.
    Asking {
        /// How many times in a row all of them were.
        times: u8,
        round: Round,
    },
    /// The result is decided, and the action is being completed.
    Completing(CompletionResult),
}

/// One question to each agent.
#[derive(Debug)]
pub(super) enum Round {
    /// The next one is asked at this time.
    Next(Time),
    /// These questions are unanswered.
    Open { asked: Vec<(EffectId, usize)>, all_ready: bool },
}

impl Launch {
    pub fn new(since: Time, now: Time) -> Self {
        Launch {
            since,
            stage: Stage::Asking { times: 0, round: Round::Next(now) },
            timeout: None,
            heartbeats: 0,
            beat: Attempts::default(),
            completion: Attempts::default(),
            sent: None,
            describe_hooks: Attempts::default(),
            describe_instance: Attempts::default(),
            doubted: false,
            not_ready: None,
            told: Told::default(),
        }
    }

    /// There is a drain. Until it is over, the agents do not serve.
    pub fn pause(&mut self) {
        self.stage = Stage::Paused;
    }

    /// There is no drain. After one, the launch starts anew, with all of its time.
    pub fn resume(&mut self, now: Time) {
        if let Stage::Paused = self.stage {
            self.since = now;
            self.stage = Stage::Asking { times: 0, round: Round::Next(now) };
        }
    }

    /// Asks the agents, until they are ready or the time is up. One that is `returning` to service is not ready.
    pub fn ask(
        &mut self,
        turn: &mut Turn,
        settings: &LaunchSettings,
        agents: usize,
        returning: Option<&str>,
    ) {
        let Stage::Asking { round, .. } = &mut self.stage else { return };
        if turn.due(self.since + settings.timeout, Timer::Launch) {
            return self.settle(turn, CompletionResult::Abandon);
        }
        if let Some(agent) = returning {
            self.not_ready = Some(format!("{agent}: has not acknowledged its return to service"));
        } else if let Round::Next(at) = round
            && turn.due(*at, Timer::Launch)
        {
            let asked = (0..agents).map(|agent| (turn.emit(|id| Effect::AskReady { id, agent }), agent));
            *round = Round::Open { asked: asked.collect(), all_ready: true };
        }
    }

    pub fn settle(&mut self, turn: &mut Turn, result: CompletionResult) {
        self.stage = Stage::Completing(result);
        turn.report(Report::Launch(LaunchNews::Decided { result, took: turn.now.since(self.since) }));
    }

    /// Completes the action, or keeps it alive until then.
    pub fn act(&mut self, turn: &mut Turn, action: ActionName) {
        if let Stage::Completing(result) = self.stage {
            if turn.is_free(Once::Completion) && self.completion.ready(turn, Timer::Completion) {
                self.sent = Some(result);
                self.completion.start(turn, |id| Effect::Complete { id, action, result });
            }
            return;
        }
        if !turn.due(self.since + QUICK, Timer::Heartbeat) {
            return;
        }
        let Some(timeout) = self.timeout else {
            if self.describe_hooks.ready(turn, Timer::Describe) {
                self.describe_hooks.start(turn, |id| Effect::DescribeHooks { id, group: action.group });
            }
            return;
        };
        if turn.is_free(Once::Heartbeat) && self.beat.ready(turn, Timer::Heartbeat) {
            let limit = heartbeat::attempt_limit(timeout);
            self.beat.start(turn, |id| Effect::Heartbeat { id, action, limit });
        }
    }

    pub fn describe(&mut self, turn: &mut Turn) {
        if self.describe_instance.ready(turn, Timer::Describe) {
            self.describe_instance.start(turn, |id| Effect::DescribeInstance { id });
        }
    }

    pub fn failed(&mut self, turn: &mut Turn, call: Call, error: &CallError) {
        let none = error.kind == CallErrorKind::NoActiveAction;
        self.doubted |= none;
        turn.call_failed(call, error.clone(), none);
    }
}
