//! The state of a target, as far as the daemon knows. Every transition is a method here.
//!
//! ```text
//! Idle ── told to drain ──> Looking ── is registered ──> Leaving ── deregistered ──> Draining ── unused ──> Over
//!  ^                           └── is draining, is not registered ──────────────────────^────────────────────^
//!  ├── the drain ends ── Looking, Leaving, Draining, Over             Over <── its time is over ── any of the three
//!  └── registered ── Returning <── the instance stays, and was taken out ── any of these
//! ```
//!
//! **Invariant:** only a target that was seen registered is deregistered, and only one that was taken out is registered again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TargetRecord;
use super::calls::TargetCall;
use super::news::{TargetNews, tell};
use crate::event::TargetHealth;
use crate::journal::{JournalTrack, Revision};
use crate::time::{Correction, Time};
use crate::turn::Turn;

/// The stage of a target, as far as a restarted daemon needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetStage {
    /// Nothing is done about it.
    #[default]
    Idle,
    /// It is not known whether it is registered.
    Looking {
        /// When the daemon gives up.
        until: Time,
    },
    /// It is registered, and may have been deregistered.
    Leaving {
        /// When the daemon gives up.
        until: Time,
    },
    /// It is deregistered, and the load balancer may still send requests to it.
    Draining {
        /// Since when, as far as is known.
        since: Time,
        /// When the daemon gives up.
        until: Time,
    },
    /// The drain no longer waits for it.
    Over {
        /// Whether the load balancer no longer sends requests to it. If not, the daemon gave up.
        unused: bool,
    },
    /// The instance stays, and the target may not be registered.
    Returning,
}

impl TargetStage {
    pub(super) fn correct(&mut self, by: Correction) {
        match self {
            TargetStage::Looking { until } | TargetStage::Leaving { until } => *until = by.apply(*until),
            TargetStage::Draining { since, until } => {
                (*since, *until) = (by.apply(*since), by.apply(*until));
            }
            TargetStage::Idle | TargetStage::Over { .. } | TargetStage::Returning => {}
        }
    }

    /// When the daemon gives up waiting; `None` if it does not wait.
    fn until(self) -> Option<Time> {
        match self {
            TargetStage::Looking { until }
            | TargetStage::Leaving { until }
            | TargetStage::Draining { until, .. } => Some(until),
            TargetStage::Idle | TargetStage::Over { .. } | TargetStage::Returning => None,
        }
    }
}

/// The state of one target.
#[derive(Debug, Default)]
pub(super) struct Life {
    stage: TargetStage,
    /// Whether drainhook deregistered it, or is about to, and has not registered it since.
    taken_out: bool,
    /// The journal revision that has `taken_out`. It must be released before the target is deregistered.
    recorded: Revision,
}

impl Life {
    /// Continues from the last run of the daemon. It waits for no longer than from now on.
    pub fn recover(record: &TargetRecord, now: Time, timeout: Duration) -> Self {
        let within = |until: Time| until.min(now + timeout);
        let stage = match record.stage {
            TargetStage::Looking { until } => TargetStage::Looking { until: within(until) },
            TargetStage::Leaving { until } => TargetStage::Leaving { until: within(until) },
            TargetStage::Draining { since, until } => {
                TargetStage::Draining { since: since.min(now), until: within(until) }
            }
            stage @ (TargetStage::Idle | TargetStage::Over { .. } | TargetStage::Returning) => stage,
        };
        Life { stage, taken_out: record.taken_out, recorded: Revision::default() }
    }

    /// The part for the journal.
    pub fn record(&self) -> (bool, TargetStage) {
        (self.taken_out, self.stage)
    }

    /// The agents are told to drain. Returns whether anything changed.
    pub fn begin(&mut self, until: Time) -> bool {
        match self.stage {
            TargetStage::Idle | TargetStage::Returning => {
                self.stage = TargetStage::Looking { until };
                true
            }
            TargetStage::Looking { .. }
            | TargetStage::Leaving { .. }
            | TargetStage::Draining { .. }
            | TargetStage::Over { .. } => false,
        }
    }

    /// Takes in what ELB says about the target. Returns whether to look again later.
    pub fn seen(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        name: &str,
        health: TargetHealth,
    ) -> bool {
        let (now, stage) = (turn.now, self.stage);
        let (stage, news) = match (stage, health) {
            (TargetStage::Looking { until }, TargetHealth::Registered | TargetHealth::Unused) => {
                self.taken_out = true;
                (TargetStage::Leaving { until }, None)
            }
            (TargetStage::Looking { until }, TargetHealth::Draining) => {
                (TargetStage::Draining { since: now, until }, Some(TargetNews::IsDraining))
            }
            (TargetStage::Looking { .. }, TargetHealth::NotRegistered) => {
                (TargetStage::Over { unused: true }, Some(TargetNews::NotRegistered))
            }
            (TargetStage::Draining { since, .. }, TargetHealth::Unused | TargetHealth::NotRegistered) => {
                (TargetStage::Over { unused: true }, Some(TargetNews::Unused { after: now.since(since) }))
            }
            // ELB may not know of the deregistration everywhere yet.
            (TargetStage::Draining { .. }, TargetHealth::Draining | TargetHealth::Registered) => return true,
            // The question no longer matters.
            (
                TargetStage::Idle
                | TargetStage::Leaving { .. }
                | TargetStage::Over { .. }
                | TargetStage::Returning,
                _,
            ) => return false,
        };
        self.stage = stage;
        self.recorded = journal.touch();
        if let Some(news) = news {
            tell(turn, name, news);
        }
        false
    }

    /// ELB has deregistered it.
    pub fn deregistered(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        name: &str,
        timeout: Duration,
    ) {
        if let TargetStage::Leaving { .. } = self.stage {
            let until = turn.now + timeout;
            self.stage = TargetStage::Draining { since: turn.now, until };
            journal.touch();
            tell(turn, name, TargetNews::Deregistered { until });
        }
    }

    /// Its time is over.
    pub fn give_up(&mut self, turn: &mut Turn, journal: &mut JournalTrack, name: &str) {
        self.tell_given_up(turn, name);
        self.stage = TargetStage::Over { unused: false };
        journal.touch();
    }

    /// The drain is over. `tell` has the name of its target group, if it is news that there was no time left.
    pub fn end(&mut self, turn: &mut Turn, tell: Option<&str>) {
        if let Some(name) = tell.filter(|_| self.waits_until().is_some()) {
            self.tell_given_up(turn, name);
        }
        self.stage = TargetStage::Idle;
    }

    fn tell_given_up(&self, turn: &mut Turn, name: &str) {
        let deregistered = matches!(self.stage, TargetStage::Draining { .. });
        tell(turn, name, TargetNews::GaveUp { deregistered });
    }

    /// The instance stays.
    pub fn release(&mut self) {
        self.stage = if self.taken_out { TargetStage::Returning } else { TargetStage::Idle };
    }

    /// ELB has registered it again.
    pub fn registered(&mut self, turn: &mut Turn, journal: &mut JournalTrack, name: &str) {
        if self.is_returning() {
            (self.stage, self.taken_out) = (TargetStage::Idle, false);
            journal.touch();
            tell(turn, name, TargetNews::Registered);
        }
    }

    /// The call that its stage needs.
    pub fn next_call(&self, journal: &JournalTrack) -> Option<TargetCall> {
        match self.stage {
            TargetStage::Looking { .. } | TargetStage::Draining { .. } => Some(TargetCall::Describe),
            TargetStage::Leaving { .. } => {
                journal.is_released(self.recorded).then_some(TargetCall::Deregister)
            }
            TargetStage::Returning => Some(TargetCall::Register),
            TargetStage::Idle | TargetStage::Over { .. } => None,
        }
    }

    /// When the daemon gives up waiting; `None` if it does not wait.
    pub fn waits_until(&self) -> Option<Time> {
        self.stage.until()
    }

    pub fn is_returning(&self) -> bool {
        matches!(self.stage, TargetStage::Returning)
    }

    /// Its state in a word or two, for people; `None` if nothing is done about it.
    pub fn word(&self) -> Option<&'static str> {
        match self.stage {
            TargetStage::Idle => None,
            TargetStage::Looking { .. } => Some("being looked up"),
            TargetStage::Leaving { .. } => Some("being deregistered"),
            TargetStage::Draining { .. } => Some("draining"),
            TargetStage::Over { unused: true } => Some("unused"),
            TargetStage::Over { unused: false } => Some("no longer waited for"),
            TargetStage::Returning => Some("being registered again"),
        }
    }
}
