//! The after steps of a drain: programs that run once every agent has an outcome, before the action is completed.
//!
//! ```text
//! Pending ── every agent has an outcome ──> Next ── journaled ──> Running ── ends, times out ──> Next ── none is left ──> Over
//!    ^                                        └──────────────────────┴── an agent takes work again ──┐
//!    └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A step never ends later than the drain's bound, which notices and the action's global timeout set. That bound is the one
//! after which waiting can no longer help, and it leaves time for the completion. The agents' own `drain_timeout` does not
//! limit a step: it is over at the outcome `deadline`, and logs should be flushed then too.
//!
//! **Invariant:** while a step runs or may run, there is no intention to complete, so heartbeats keep the action alive.

use serde::{Deserialize, Serialize};

use super::effect::{Effect, EffectId};
use super::journal::{JournalTrack, Outcome, Revision};
use super::notice::Reason;
use super::report::Report;
use super::settings::StepSettings;
use super::status::StepLine;
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;

/// The after steps in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterStage {
    /// None has started since an agent last had work.
    #[default]
    Pending,
    /// Every agent has an outcome, and the steps before this one are over. This one may have started.
    Next {
        /// The step, from 0. Equal to their number if none is left.
        step: usize,
        /// The agents' outcome.
        outcome: Outcome,
    },
    /// All have run, or have been given up.
    Over {
        /// The agents' outcome.
        outcome: Outcome,
    },
}

impl AfterStage {
    /// The agents' outcome, if steps were run because of it.
    pub(super) fn outcome(self) -> Option<Outcome> {
        match self {
            AfterStage::Next { outcome, .. } | AfterStage::Over { outcome } => Some(outcome),
            AfterStage::Pending => None,
        }
    }
}

/// What happened to an after step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepNews {
    /// It runs now.
    Started {
        /// When it is stopped.
        deadline: Time,
    },
    /// It has ended well.
    Done,
    /// It failed or could not be started. The drain goes on.
    Failed {
        /// Why.
        why: String,
    },
    /// Its time is over. It is stopped, and the drain goes on.
    TimedOut,
    /// No time is left for it. The drain goes on.
    Skipped,
    /// It is stopped, because the drain ends otherwise or an agent has work again.
    Canceled,
}

impl StepNews {
    /// Whether the step has failed.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            StepNews::Failed { .. } | StepNews::TimedOut | StepNews::Skipped => true,
            StepNews::Started { .. } | StepNews::Done | StepNews::Canceled => false,
        }
    }
}

/// What the steps need to know about the rest of the drain.
pub(super) struct Circumstances<'a> {
    pub steps: &'a [StepSettings],
    /// How the agents' part ended; `None` before that.
    pub outcome: Option<Outcome>,
    /// Without an outcome: whether the steps so far count, because no agent has shown that it has work again.
    pub stands: bool,
    /// Why the instance is going.
    pub reason: Reason,
    /// The drain's bound. No step runs longer.
    pub bound: Option<Time>,
}

/// The after steps of one drain.
#[derive(Debug, Default)]
pub(super) struct After(State);

#[derive(Debug, Default)]
enum State {
    /// An agent still has work, or there was no reason to start yet.
    #[default]
    Pending,
    /// The steps before this one are over. This one starts once the journal has that.
    Next { step: usize, outcome: Outcome, recorded: Revision },
    /// This step runs.
    Running { step: usize, outcome: Outcome, id: EffectId, until: Time },
    /// All have run, or have been given up.
    Over { outcome: Outcome },
}

impl After {
    /// Continues from the last run of the daemon. A step that it had started runs again.
    pub fn recover(stage: AfterStage) -> Self {
        After(match stage {
            AfterStage::Pending => State::Pending,
            AfterStage::Next { step, outcome } => {
                State::Next { step, outcome, recorded: Revision::default() }
            }
            AfterStage::Over { outcome } => State::Over { outcome },
        })
    }

    /// The part for the journal.
    pub fn record(&self) -> AfterStage {
        match self.0 {
            State::Pending => AfterStage::Pending,
            State::Next { step, outcome, .. } | State::Running { step, outcome, .. } => {
                AfterStage::Next { step, outcome }
            }
            State::Over { outcome } => AfterStage::Over { outcome },
        }
    }

    /// Starts the next step or stops one whose time is over. Returns the agents' outcome once no step is left.
    pub fn decide(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        now: &Circumstances<'_>,
    ) -> Option<Outcome> {
        if now.steps.is_empty() {
            return now.outcome;
        }
        self.stop_in_time(turn, journal, now);
        let Some(outcome) = now.outcome else {
            if !now.stands {
                self.start_over(turn, journal, now.steps);
            }
            return None;
        };
        if outcome == Outcome::Finished {
            // The operator wants the drain to end now.
            self.give_up(turn, now.steps, outcome);
            return Some(outcome);
        }
        self.take_outcome(journal, outcome);
        loop {
            match self.0 {
                State::Pending => self.advance(journal, 0, outcome),
                State::Next { step, .. } if step >= now.steps.len() => self.0 = State::Over { outcome },
                State::Next { step, recorded, .. } => {
                    let deadline = earlier(turn.now + now.steps[step].timeout, now.bound);
                    if deadline <= turn.now {
                        tell(turn, now.steps, step, StepNews::Skipped);
                        self.0 = State::Next { step: step + 1, outcome, recorded };
                    } else if journal.is_released(recorded) {
                        self.start(turn, now, step, (outcome, deadline));
                    } else {
                        return None;
                    }
                }
                State::Running { .. } => return None,
                State::Over { .. } => return Some(outcome),
            }
        }
    }

    /// Stops a step whose time is over, or the drain's.
    fn stop_in_time(&mut self, turn: &mut Turn, journal: &mut JournalTrack, now: &Circumstances<'_>) {
        if let State::Running { step, outcome, id, until } = self.0
            && turn.due(earlier(until, now.bound), Timer::Step)
        {
            turn.stop(id);
            tell(turn, now.steps, step, StepNews::TimedOut);
            self.advance(journal, step + 1, outcome);
        }
    }

    fn start(
        &mut self,
        turn: &mut Turn,
        now: &Circumstances<'_>,
        step: usize,
        (outcome, deadline): (Outcome, Time),
    ) {
        let reason = now.reason;
        let id = turn.emit(|id| Effect::RunStep { id, step, reason, deadline });
        self.0 = State::Running { step, outcome, id, until: deadline };
        turn.due(earlier(deadline, now.bound), Timer::Step);
        tell(turn, now.steps, step, StepNews::Started { deadline });
    }

    fn advance(&mut self, journal: &mut JournalTrack, step: usize, outcome: Outcome) {
        self.0 = State::Next { step, outcome, recorded: journal.touch() };
    }

    /// The agents' outcome may change while steps run, but a restarted daemon must not go by an old one.
    fn take_outcome(&mut self, journal: &mut JournalTrack, now: Outcome) {
        if let State::Next { outcome, .. } | State::Running { outcome, .. } | State::Over { outcome } =
            &mut self.0
            && *outcome != now
        {
            *outcome = now;
            journal.touch();
        }
    }

    /// An agent has work again. Once it has an outcome, every step runs again.
    fn start_over(&mut self, turn: &mut Turn, journal: &mut JournalTrack, steps: &[StepSettings]) {
        self.cancel(turn, steps);
        if !matches!(self.0, State::Pending) {
            self.0 = State::Pending;
            journal.touch();
        }
    }

    /// The drain ends without them.
    pub fn give_up(&mut self, turn: &mut Turn, steps: &[StepSettings], outcome: Outcome) {
        self.cancel(turn, steps);
        if !steps.is_empty() {
            self.0 = State::Over { outcome };
        }
    }

    fn cancel(&mut self, turn: &mut Turn, steps: &[StepSettings]) {
        if let State::Running { step, id, .. } = self.0 {
            turn.stop(id);
            tell(turn, steps, step, StepNews::Canceled);
        }
    }

    /// Processes the end of a step. A result that is not awaited changes nothing.
    pub fn ended(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        steps: &[StepSettings],
        (ended, result): (EffectId, Result<(), String>),
    ) {
        let State::Running { step, outcome, id, .. } = self.0 else { return };
        if id != ended {
            return;
        }
        tell(turn, steps, step, result.map_or_else(|why| StepNews::Failed { why }, |()| StepNews::Done));
        self.advance(journal, step + 1, outcome);
    }

    /// Whether every agent had an outcome, and none has shown since that it has work.
    pub fn is_begun(&self) -> bool {
        !matches!(self.0, State::Pending)
    }

    /// Whether a step runs or is about to.
    pub fn is_under_way(&self) -> bool {
        matches!(self.0, State::Next { .. } | State::Running { .. })
    }

    /// The step that runs, for `drainhook status`.
    pub fn line(&self, steps: &[StepSettings]) -> Option<StepLine> {
        let State::Running { step, until, .. } = self.0 else { return None };
        let name = steps.get(step)?.name.clone();
        Some(StepLine { number: step + 1, of: steps.len(), name, deadline: until })
    }
}

fn earlier(at: Time, bound: Option<Time>) -> Time {
    bound.map_or(at, |bound| at.min(bound))
}

fn tell(turn: &mut Turn, steps: &[StepSettings], step: usize, news: StepNews) {
    if let Some(StepSettings { name, .. }) = steps.get(step) {
        turn.report(Report::AfterStep { number: step + 1, name: name.clone(), news });
    }
}
