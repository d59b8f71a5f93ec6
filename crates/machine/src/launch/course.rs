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

/// An agent that has not said for this long whether it is ready is not. The daemon waits for an answer for ten seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A launch under way.
#[derive(Debug)]
pub(super) struct Launch {
    /// When it began, or when the last drain ended.
    pub since: Time,
    pub stage: Stage,
    /// The hook's heartbeat timeout, once it was read or reading it failed.
    pub heartbeat_timeout: Option<Duration>,
    pub heartbeats: u32,
    pub beat: Attempts,
    pub completion: Attempts,
    /// The result in the completion under way.
    pub sent: Option<CompletionResult>,
    /// The result in the last completion that got no answer, and may have taken effect.
    pub unanswered: Option<CompletionResult>,
    pub describe_hooks: Attempts,
    pub describe_instance: Attempts,
    /// Since when calls have found no action.
    pub refused_since: Option<Time>,
    /// Whether a call found no action since Auto Scaling last said what the instance does.
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
        /// Whether an agent was not ready in this life of the daemon. Without that, nothing is abandoned.
        failed: bool,
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
    Open { since: Time, asked: Vec<(EffectId, usize)>, all_ready: bool },
}

impl Stage {
    fn asking(now: Time) -> Self {
        Stage::Asking { times: 0, round: Round::Next(now), failed: false }
    }
}

impl Launch {
    pub fn new(since: Time, now: Time) -> Self {
        Launch {
            since,
            stage: Stage::asking(now),
            heartbeat_timeout: None,
            heartbeats: 0,
            beat: Attempts::default(),
            completion: Attempts::default(),
            sent: None,
            unanswered: None,
            describe_hooks: Attempts::default(),
            describe_instance: Attempts::default(),
            refused_since: None,
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
            self.stage = Stage::asking(now);
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
        let Stage::Asking { round, failed, .. } = &mut self.stage else { return };
        // An agent that does not answer at all is not ready either.
        let hangs =
            matches!(round, Round::Open { since, .. } if turn.due(*since + ANSWER_MAX, Timer::Launch));
        let failed = *failed || hangs || returning.is_some();
        if turn.due(self.since + settings.timeout, Timer::Launch) && failed {
            return self.settle(turn, CompletionResult::Abandon);
        }
        if let Some(agent) = returning {
            self.not_ready = Some(format!("{agent}: has not acknowledged its return to service"));
        } else if let Round::Next(at) = round
            && turn.due(*at, Timer::Launch)
        {
            let asked = (0..agents).map(|agent| (turn.emit(|id| Effect::AskReady { id, agent }), agent));
            *round = Round::Open { asked: asked.collect(), all_ready: true, since: turn.now };
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
                let action = action.clone();
                self.completion.start(turn, |id| Effect::Complete { id, action, result });
            }
            // Most often, the first completion is all, or there is no action.
            if self.completion.failures == 0 || self.doubted {
                return;
            }
        } else if !turn.due(self.since + QUICK, Timer::Heartbeat) {
            return;
        }
        let Some(timeout) = self.heartbeat_timeout else {
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

    /// A heartbeat found the action.
    pub fn found(&mut self) {
        (self.refused_since, self.doubted) = (None, false);
    }

    pub fn failed(&mut self, turn: &mut Turn, call: Call, error: &CallError) {
        let none = error.kind == CallErrorKind::NoActiveAction;
        if none || error.kind == CallErrorKind::Rejected {
            self.refused_since.get_or_insert(turn.now);
            self.doubted = true;
        }
        turn.call_failed(call, error.clone(), none);
    }
}
