//! Which target states start a drain, and which notices keep one.

use machine::Time;
use machine::event::TargetState;
use machine::journal::Outcome;
use machine::notice::Reason;
use machine::report::NoticeChange;
use machine::settings::OnNotice;

use super::Reference;
use super::known::Phase;

impl Reference {
    /// Standby and a detachment start a drain, and are told to agents, only if the settings say so.
    pub(super) fn may_drain_for(&mut self, reason: Reason) {
        let on_notice = match reason {
            Reason::Standby => self.settings.on_standby,
            Reason::Detachment => self.settings.on_detachment,
            _ => return,
        };
        if on_notice == OnNotice::Ignore {
            self.complain(format!("drained for {reason}, which the settings ignore"));
        }
    }

    /// An instance in standby or in no group has no launch, whether or not it is drained.
    pub(super) fn moves(&mut self, now: Time, change: NoticeChange, reason: Reason) {
        if is_away(reason) {
            self.away = change != NoticeChange::Withdrawn;
            self.launch_paused(now);
        }
    }

    /// Each of these target states starts a drain at once.
    pub(super) fn must_drain(&mut self) {
        let Some((_, state)) = &self.heard else { return };
        let drains = match state {
            TargetState::Terminated => true,
            TargetState::Standby => self.settings.on_standby == OnNotice::Drain,
            TargetState::Detached => self.settings.on_detachment == OnNotice::Drain,
            TargetState::InService | TargetState::Warmed(_) | TargetState::Other(_) => false,
        };
        if drains && self.drain == Phase::None {
            let state = state.clone();
            self.complain(format!("IMDS said {state:?}, but no drain started"));
        }
    }

    /// No target state withdraws a drain while EC2 interrupts the instance.
    pub(super) fn may_withdraw(&mut self, outcome: Outcome) {
        if outcome == Outcome::Withdrawn && self.spot.is_some() {
            self.complain("withdrew the drain of an instance that EC2 interrupts");
        }
    }
}

/// Whether an instance is in standby or in no group.
pub(super) fn is_away(reason: Reason) -> bool {
    matches!(reason, Reason::Standby | Reason::Detachment)
}
