//! Target groups that the Auto Scaling group does not manage: the instance leaves them when the agents are told to drain, and
//! comes back if it stays.
//!
//! The drain's outcome is the agents' alone. A target group only holds back the after steps and the completion, because the
//! load balancer may still send requests to the instance.

mod calls;
mod life;
mod news;

pub use life::TargetStage;
pub use news::TargetNews;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::drain::Drain;
use super::event::Event;
use super::journal::{JournalTrack, Outcome};
use super::report::Call;
use super::settings::TargetSettings;
use super::status::TargetLine;
use super::time::{Correction, Time};
use super::timer::Timer;
use super::turn::Turn;
use calls::Calls;
use life::Life;

/// A target, as ELB knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetName {
    /// `TargetGroupArn`
    pub group: String,
    /// `Id`: the instance's id, or an IP address.
    pub id: String,
    /// `Port`, if the target overrides its target group's.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A target in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The target.
    pub target: TargetName,
    /// Whether drainhook deregistered it, or was about to, and has not registered it since.
    pub taken_out: bool,
    /// Its stage.
    pub stage: TargetStage,
}

impl TargetRecord {
    /// Moves the times that the old clock measured.
    pub(super) fn correct(&mut self, by: Correction) {
        self.stage.correct(by);
    }
}

/// One target.
#[derive(Debug)]
pub(super) struct TargetTrack {
    /// Its index in the configuration.
    index: usize,
    settings: TargetSettings,
    life: Life,
    calls: Calls,
}

impl TargetTrack {
    pub fn new(index: usize, settings: TargetSettings) -> Self {
        TargetTrack { index, settings, life: Life::default(), calls: Calls::default() }
    }

    /// Continues from the last run of the daemon.
    pub fn resume(&mut self, records: &[TargetRecord], now: Time) {
        if let Some(record) = records.iter().find(|record| record.target == self.settings.target) {
            self.life = Life::recover(record, now, self.settings.timeout);
        }
    }

    /// The part for the journal.
    pub fn record(&self) -> TargetRecord {
        let (taken_out, stage) = self.life.record();
        TargetRecord { target: self.settings.target.clone(), taken_out, stage }
    }

    /// The drain is over. If nothing withdrew it, a load balancer that still drains is news.
    pub fn end(&mut self, turn: &mut Turn, outcome: Outcome) {
        let by_itself = matches!(outcome, Outcome::Drained | Outcome::Deadline | Outcome::Failed);
        self.life.end(turn, by_itself.then_some(&self.settings.name));
    }

    /// The instance stays.
    pub fn release(&mut self, turn: &Turn) {
        self.life.release();
        self.calls.start_anew(turn.now);
    }

    /// Whether it is being registered again.
    pub fn is_returning(&self) -> bool {
        self.life.is_returning()
    }

    /// Takes the result of a call. Returns whether it is this target's.
    fn hear(&mut self, turn: &mut Turn, journal: &mut JournalTrack, event: &Event) -> bool {
        let name = &self.settings.name;
        match event {
            Event::TargetDescribed { id, result } if self.calls.take(*id) => match result {
                Ok(health) if self.life.seen(turn, journal, name, *health) => self.calls.look_later(turn),
                Ok(_) => self.calls.start_anew(turn.now),
                Err(error) => self.calls.failed(turn, Call::DescribeTarget, error),
            },
            Event::TargetDeregistered { id, result } if self.calls.take(*id) => match result {
                Ok(()) => {
                    self.calls.start_anew(turn.now);
                    self.life.deregistered(turn, journal, name, self.settings.timeout);
                }
                Err(error) => self.calls.failed(turn, Call::DeregisterTarget, error),
            },
            Event::TargetRegistered { id, result } if self.calls.take(*id) => match result {
                Ok(()) => {
                    self.calls.start_anew(turn.now);
                    self.life.registered(turn, journal, name);
                }
                Err(error) => self.calls.failed(turn, Call::RegisterTarget, error),
            },
            _ => return false,
        }
        true
    }

    /// Its line for `drainhook status`.
    pub fn line(&self) -> Option<TargetLine> {
        let state = self.life.word()?.to_owned();
        Some(TargetLine { name: self.settings.name.clone(), state, until: self.life.waits_until() })
    }
}

/// The agents are told to drain, so the instance leaves the target groups, unless the drain has come too far for that.
pub(super) fn begin(targets: &mut [TargetTrack], turn: &Turn, journal: &mut JournalTrack) {
    for target in targets {
        if target.life.begin(turn.now + target.settings.timeout) {
            target.calls.start_anew(turn.now);
            journal.touch();
        }
    }
}

/// Whether a load balancer may still send requests to the instance, and the drain's `bound` has not come. Gives up waiting for a
/// target whose time is over.
pub(super) fn hold(
    targets: &mut [TargetTrack],
    turn: &mut Turn,
    journal: &mut JournalTrack,
    bound: Option<Time>,
) -> bool {
    let mut holds = false;
    // Every target, even if one holds already: each sets its timer.
    for TargetTrack { settings, life, .. } in targets {
        let Some(until) = life.waits_until() else { continue };
        if turn.due(until, Timer::Target) {
            life.give_up(turn, journal, &settings.name);
        } else {
            holds = true;
        }
    }
    // The bound may still move later, so that there is time again.
    holds && bound.is_none_or(|bound| !turn.due(bound, Timer::Target))
}

impl Machine {
    /// Records the result of a call about a target. Returns whether the event is one.
    pub(super) fn targets_absorb(&mut self, event: &Event) -> bool {
        let Machine { targets, turn, journal, .. } = self;
        targets.iter_mut().any(|target| target.hear(turn, journal, event))
    }

    /// Makes the calls about targets that are due.
    pub(super) fn direct_targets(&mut self) {
        let Machine { targets, drain, turn, journal, returned, .. } = self;
        let recorded = match drain {
            Some(drain) => Drain::is_recorded(drain, journal),
            None => journal.is_released(*returned),
        };
        for TargetTrack { index, life, calls, .. } in targets {
            if let Some(call) = life.next_call(journal).filter(|_| recorded) {
                calls.make(turn, *index, call);
            }
        }
    }
}
