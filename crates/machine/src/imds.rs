//! What IMDS has told: the notices that it gives and takes back, and whether it can be heard at all.

use std::time::Duration;

use super::event::{ImdsReading, TargetState};
use super::notice::{Notices, target_reason};
use super::report::Report;
use super::time::Time;
use super::timer::Timer;
use super::told::Told;
use super::turn::Turn;

/// After so long without an answer, the queue becomes the first source.
const SILENCE: Duration = Duration::from_secs(60);

/// For so long must `InService` be seen before it withdraws a notice: a single stale answer must not send work to an
/// instance that is about to go.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// By so much may a message lead what IMDS says of the same notice.
const LAG: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct ImdsTrack {
    silent_since: Option<Time>,
    why_silent: String,
    /// IMDS cannot be heard, or lacks the category: the queue is the first source.
    pub deaf: bool,
    heard: bool,
    in_service_since: Option<Time>,
    /// The last time at which the instance was in service: no action of its termination waited then.
    pub in_service_at: Option<Time>,
    saw_spot: bool,
    saw_rebalance: bool,
    unknown_state: Option<String>,
    malformed: Told,
}

impl ImdsTrack {
    pub fn new(now: Time) -> Self {
        ImdsTrack {
            silent_since: Some(now),
            why_silent: "no answer since the start".to_owned(),
            deaf: false,
            heard: false,
            in_service_since: None,
            in_service_at: None,
            saw_spot: false,
            saw_rebalance: false,
            unknown_state: None,
            malformed: Told::default(),
        }
    }

    /// Takes a reading in. `served` says whether the instance has ever been in service, and is set when it is.
    pub fn on_reading(
        &mut self,
        turn: &mut Turn,
        notices: &mut Notices,
        served: &mut bool,
        reading: ImdsReading,
    ) {
        match reading {
            ImdsReading::TargetState(Some(state)) => {
                if self.deaf {
                    turn.report(Report::ImdsHeard);
                }
                self.heard = true;
                self.deaf = false;
                self.silent_since = None;
                self.on_target(turn, notices, served, state);
            }
            // Never there: an instance or a metadata service without the category. Gone: an answer to doubt.
            ImdsReading::TargetState(None) if !self.heard => self.deaf = true,
            ImdsReading::TargetState(None) => {
                self.silence(turn.now, "autoscaling/target-lifecycle-state is gone".to_owned())
            }
            ImdsReading::Spot(spot) => {
                if spot.is_some()
                    || self.saw_spot
                    || notices.spot.is_some_and(|spot| turn.now > spot.at + LAG)
                {
                    notices.spot = spot;
                }
                self.saw_spot = spot.is_some();
            }
            ImdsReading::Rebalance(at) => {
                if at.is_some()
                    || self.saw_rebalance
                    || notices.rebalance.is_some_and(|at| turn.now > at + LAG)
                {
                    notices.rebalance = at;
                }
                self.saw_rebalance = at.is_some();
            }
            ImdsReading::Maintenance(listed) => notices.replace_maintenance(listed),
            ImdsReading::Silent { why } => self.silence(turn.now, why),
            ImdsReading::Malformed { why } if self.malformed.is_news(&why) => {
                turn.report(Report::ImdsMalformed { why });
            }
            ImdsReading::Malformed { .. } => {}
        }
    }

    fn silence(&mut self, now: Time, why: String) {
        self.silent_since.get_or_insert(now);
        self.why_silent = why;
        self.in_service_since = None;
    }

    fn on_target(&mut self, turn: &mut Turn, notices: &mut Notices, served: &mut bool, state: TargetState) {
        match &state {
            TargetState::InService => {
                *served = true;
                self.in_service_at = Some(turn.now);
                if notices.target.is_some() || notices.action.is_some() {
                    self.in_service_since.get_or_insert(turn.now);
                }
                return;
            }
            // On the way into service from the warm pool, it is where it has always been.
            TargetState::Warmed(_) if !*served => return,
            TargetState::Other(name) if self.unknown_state.as_ref() != Some(name) => {
                self.unknown_state = Some(name.clone());
                turn.report(Report::UnknownTargetState { state: name.clone() });
            }
            TargetState::Terminated
            | TargetState::Standby
            | TargetState::Detached
            | TargetState::Warmed(_)
            | TargetState::Other(_) => {}
        }
        self.in_service_since = None;
        if target_reason(&state).is_some() {
            notices.target = Some(state);
        }
    }

    /// Whether `InService` has been read for long enough to withdraw what IMDS had said before; or, where it had said
    /// nothing, what a message had told while IMDS lagged behind.
    pub fn is_back(&self, notices: &Notices) -> bool {
        let (Some(since), Some(last)) = (self.in_service_since, self.in_service_at) else { return false };
        last.since(since) >= if notices.target.is_some() { WITHDRAWAL } else { LAG }
    }

    /// The withdrawal has been acted on.
    pub fn settle(&mut self) {
        self.in_service_since = None;
    }

    /// Finds IMDS silent, once it has been for long enough.
    pub fn decide(&mut self, turn: &mut Turn, queue: bool) {
        let Some(since) = self.silent_since else { return };
        if !self.deaf && turn.due(since + SILENCE, Timer::ImdsSilence) {
            self.deaf = true;
            turn.report(Report::ImdsSilent { why: self.why_silent.clone(), queue });
        }
    }
}
