//! Busy protection: protects the instance from scale-in while its agents are busy.
//!
//! Scale-in then picks another instance. The agents are asked how much they have in flight. After `busy_for` of work the
//! instance is protected, and after `idle_for` without work the protection is lifted. `longest` lifts it in any case, so that an
//! instance refresh gets its turn. Nothing is asked and nothing is called while the instance is not in service.

mod budget;
mod calls;
mod news;
mod standing;
mod work;

pub use news::ProtectionNews;
pub use standing::{LiftCause, Protection};

use super::Machine;
use super::event::{Event, TargetState};
use super::journal::JournalTrack;
use super::notice::Reason;
use super::settings::{ProtectionSettings, Settings};
use super::status::ProtectionLine;
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;
use calls::Calls;
use standing::Change;
use work::{Questions, Work};

/// Protects the instance, and lifts that again.
#[derive(Debug, Default)]
pub(super) struct ProtectionTrack {
    standing: Protection,
    work: Work,
    questions: Questions,
    calls: Calls,
    place: Place,
}

/// Where the instance is, by IMDS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// IMDS has not said it since the daemon started.
    #[default]
    Unheard,
    /// Auto Scaling keeps it in service, or takes it there.
    InService,
    /// Auto Scaling takes it elsewhere.
    Elsewhere,
}

/// What the instance's situation means for its protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// It is in service. What the agents do decides, even if they have not yet returned from a drain that was withdrawn.
    Serves,
    /// It drains, and Auto Scaling does not know: the protection would keep it from being replaced.
    Leaves,
    /// Auto Scaling itself takes it out of service, so the protection no longer matters. What AWS has afterwards is unknown.
    Chosen,
    /// It is launching, or its drain ends because all notices have been withdrawn.
    Waits,
}

impl Machine {
    /// Records an event that is the protection's alone. Returns whether it is one.
    pub(super) fn protection_absorbs(&mut self, event: &Event) -> bool {
        let Machine { settings, turn, journal, protection, .. } = self;
        match event {
            Event::BusyAnswered { id, result } => {
                if let Some(settings) = &settings.protection
                    && let Some(seen) = protection.questions.answered(turn, *id, result)
                {
                    protection.work.observe(turn, settings, seen);
                }
                true
            }
            Event::ProtectionAnswered { id, result } => {
                protection.calls.answered(turn, journal, &mut protection.standing, *id, result);
                true
            }
            Event::InstanceDescribed { id, result } if protection.calls.awaits_description(*id) => {
                protection.calls.described(turn, *id, result);
                if let Ok(Some(instance)) = result {
                    self.group = Some(instance.group.clone());
                }
                true
            }
            _ => false,
        }
    }

    /// Does what is due for the protection. `in_force` are the reasons of the notices in force.
    pub(super) fn direct_protection(&mut self, in_force: &[Reason]) {
        let situation = self.situation(in_force);
        let Machine { settings, turn, journal, protection, group, .. } = self;
        protection.decide(turn, journal, settings, situation, group.as_deref());
    }

    fn situation(&self, in_force: &[Reason]) -> Situation {
        let place = self.protection.place;
        if place == Place::Elsewhere || self.notices.has_target() || in_force.iter().any(is_of_auto_scaling) {
            return Situation::Chosen;
        }
        match (place, &self.drain) {
            _ if self.launch.is_under_way() => Situation::Waits,
            (Place::InService, Some(_)) if !in_force.is_empty() => Situation::Leaves,
            (Place::InService, None) => Situation::Serves,
            (Place::InService | Place::Unheard | Place::Elsewhere, _) => Situation::Waits,
        }
    }
}

/// Whether Auto Scaling itself takes the instance out of service for this reason.
fn is_of_auto_scaling(reason: &Reason) -> bool {
    match reason {
        Reason::AutoscalingTermination
        | Reason::WarmPool
        | Reason::RootVolumeReplacement
        | Reason::Standby
        | Reason::Detachment => true,
        Reason::SpotInterruption
        | Reason::CapacityInterruption
        | Reason::CapacityBlockEnd
        | Reason::RebalanceRecommendation
        | Reason::ScheduledMaintenance
        | Reason::Operator => false,
    }
}

impl ProtectionTrack {
    /// Continues from the journal. Without the section `protection`, only a protection that is to be lifted counts.
    pub fn recover(&mut self, now: Time, settings: &Settings, standing: Protection) {
        let counts = settings.protection.is_some() || standing.may_be_set();
        self.standing = if counts { standing.recovered(now) } else { Protection::Unknown };
    }

    /// For the journal.
    pub fn standing(&self) -> Protection {
        self.calls.ahead().unwrap_or(self.standing)
    }

    /// IMDS says where the instance goes.
    pub fn on_target(&mut self, state: &TargetState) {
        let stays = *state == TargetState::InService;
        self.place = if stays { Place::InService } else { Place::Elsewhere };
    }

    /// What the agents did is out of date, because the process was suspended.
    pub fn forget_work(&mut self) {
        self.work = Work::Unknown;
    }

    fn decide(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        settings: &Settings,
        situation: Situation,
        group: Option<&str>,
    ) {
        match (situation, &settings.protection) {
            (Situation::Serves, Some(wanted)) => {
                let seen = self.questions.ask(turn, wanted, settings.agents.len());
                seen.into_iter().for_each(|seen| self.work.observe(turn, wanted, seen));
            }
            (Situation::Serves | Situation::Leaves | Situation::Chosen | Situation::Waits, _) => {
                self.questions.stop();
                self.work = Work::Unknown;
            }
        }
        match situation {
            Situation::Waits => self.calls.hold(journal, self.standing),
            Situation::Chosen => {
                if self.standing() != Protection::Unknown {
                    journal.touch();
                }
                self.standing = Protection::Unknown;
                self.calls.forget();
            }
            Situation::Serves | Situation::Leaves => {
                if self.work.is_idle(turn) && self.standing.rests_enough() {
                    journal.touch();
                }
                let change = self.change(turn, settings.protection.as_ref(), situation);
                self.calls.make(turn, journal, self.standing, change, group);
            }
        }
    }

    /// The change that is due, by the work of the agents and by what AWS has.
    fn change(
        &mut self,
        turn: &mut Turn,
        settings: Option<&ProtectionSettings>,
        situation: Situation,
    ) -> Option<Change> {
        let Some(settings) = settings else {
            return self.standing.may_be_set().then_some(Change::Lift(LiftCause::Removed));
        };
        if situation == Situation::Leaves {
            let lifted = matches!(self.standing, Protection::Lifted { .. });
            return (!lifted).then_some(Change::Lift(LiftCause::Notice));
        }
        let busy = self.work.is_busy(turn);
        let idle = self.work.is_idle(turn);
        match self.standing {
            Protection::Yielding => Some(Change::Lift(LiftCause::Longest)),
            Protection::Setting { since } | Protection::Protected { since }
                if turn.due(since + settings.longest, Timer::Protection) =>
            {
                Some(Change::Lift(LiftCause::Longest))
            }
            Protection::Setting { .. } | Protection::Protected { .. } | Protection::Unknown if idle => {
                Some(Change::Lift(LiftCause::Idle))
            }
            Protection::Setting { .. } | Protection::Unknown if busy => Some(Change::Protect),
            Protection::Lifted { rests_until } if busy => {
                let rested = rests_until.is_none_or(|until| turn.due(until, Timer::Protection));
                rested.then_some(Change::Protect)
            }
            Protection::Unknown
            | Protection::Setting { .. }
            | Protection::Protected { .. }
            | Protection::Lifted { .. } => None,
        }
    }

    /// For the status.
    pub fn line(&self) -> ProtectionLine {
        let (busy, since) = self.work.since().unzip();
        ProtectionLine { standing: self.standing(), busy, since }
    }
}
