//! What IMDS has told: the notices that it gives and takes back, and whether it can be heard at all.

use std::time::Duration;

use super::event::{ImdsReading, MaintenanceNotice, SpotNotice, TargetState};
use super::message::SpotAction;
use super::notice::{Category, Due, Notice, NoticeState, Notices, Reason, Source};
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

/// By so much may the message of a lifecycle action lead the target state.
const LAG: Duration = Duration::from_secs(60);

/// Three polls of the categories that are polled every 5 s. So long IMDS has to deny what a message tells; and after so
/// long without an answer it is not waited for.
pub(super) const DENIAL: Duration = Duration::from_secs(15);

/// Whether IMDS can be heard, by its answers to the question for the target state.
#[derive(Debug)]
enum Hearing {
    /// It has not told a target state since the start.
    Unheard { since: Time, why: String },
    /// It tells the target state.
    Answering,
    /// It told the target state, and fails to since then.
    Failing { since: Time, why: String },
    /// It has failed to for [`SILENCE`]: the queue is the first source.
    Silent,
    /// It answers, and has no such category: the queue is the first source.
    Missing,
}

#[derive(Debug)]
pub(super) struct ImdsTrack {
    hearing: Hearing,
    /// Since when `InService` has been read, while there is something that it may withdraw.
    in_service_since: Option<Time>,
    /// The last time at which the instance was in service: no action of its termination waited then.
    pub in_service_at: Option<Time>,
    /// When it last said whether there is a spot interruption or a rebalance recommendation.
    spot_answered_at: Option<Time>,
    reported: Told,
}

impl ImdsTrack {
    pub fn new(now: Time) -> Self {
        ImdsTrack {
            hearing: Hearing::Unheard { since: now, why: "no answer since the start".to_owned() },
            in_service_since: None,
            in_service_at: None,
            spot_answered_at: None,
            reported: Told::default(),
        }
    }

    /// Whether the queue is the first source, because IMDS cannot be heard or lacks the target state.
    pub fn is_deaf(&self) -> bool {
        match self.hearing {
            Hearing::Silent | Hearing::Missing => true,
            Hearing::Unheard { .. } | Hearing::Answering | Hearing::Failing { .. } => false,
        }
    }

    /// Takes a reading in. `served` says whether the instance has ever been in service, and is set when it is.
    pub fn on_reading(
        &mut self,
        turn: &mut Turn,
        notices: &mut Notices,
        served: &mut bool,
        queue: bool,
        reading: ImdsReading,
    ) {
        let now = turn.now;
        match reading {
            ImdsReading::TargetState(Some(state)) => {
                self.answers(turn);
                self.on_target(turn, notices, served, state);
            }
            ImdsReading::TargetState(None) => self.denies_target(turn, queue),
            ImdsReading::Spot(spot) => {
                self.spot_answered_at = Some(now);
                let listed = spot.map(|spot| spot_notice(spot, now));
                notices.list(turn, Category::Spot, listed.into_iter().collect());
            }
            ImdsReading::Rebalance(at) => {
                self.spot_answered_at = Some(now);
                let listed = at.map(|_| Notice::new(Source::Imds, Reason::RebalanceRecommendation, "", now));
                notices.list(turn, Category::Rebalance, listed.into_iter().collect());
            }
            ImdsReading::Maintenance(listed) => {
                let listed = listed.into_iter().map(|event| maintenance_notice(event, now)).collect();
                notices.list(turn, Category::Maintenance, listed);
            }
            ImdsReading::Silent { why } => self.silence(now, why),
            ImdsReading::Malformed { why } if self.reported.is_news(&why) => {
                turn.report(Report::ImdsMalformed { why });
            }
            ImdsReading::Malformed { .. } => {}
        }
    }

    fn answers(&mut self, turn: &mut Turn) {
        if self.is_deaf() {
            turn.report(Report::ImdsHeard);
        }
        self.hearing = Hearing::Answering;
    }

    /// 404. Never there: an instance or a metadata service without the category. Gone: an answer to doubt.
    fn denies_target(&mut self, turn: &mut Turn, queue: bool) {
        match self.hearing {
            Hearing::Unheard { .. } => {
                self.hearing = Hearing::Missing;
                turn.report(Report::ImdsMissing { queue });
            }
            Hearing::Answering | Hearing::Failing { .. } | Hearing::Silent | Hearing::Missing => {
                self.silence(turn.now, "autoscaling/target-lifecycle-state is gone".to_owned());
            }
        }
    }

    fn silence(&mut self, now: Time, reason: String) {
        self.in_service_since = None;
        match &mut self.hearing {
            Hearing::Unheard { why, .. } | Hearing::Failing { why, .. } => *why = reason,
            Hearing::Answering => self.hearing = Hearing::Failing { since: now, why: reason },
            Hearing::Silent | Hearing::Missing => {}
        }
    }

    fn on_target(&mut self, turn: &mut Turn, notices: &mut Notices, served: &mut bool, state: TargetState) {
        if state == TargetState::InService {
            *served = true;
            self.in_service_at = Some(turn.now);
            if notices.has_target() || notices.action().is_some() {
                self.in_service_since.get_or_insert(turn.now);
            }
            return;
        }
        let reason = Reason::of_target(&state);
        // On the way into service from the warm pool, it is where it has always been.
        if reason == Some(Reason::WarmPool) && !*served {
            return;
        }
        self.in_service_since = None;
        if let Some(reason) = reason {
            let told = Notice::new(Source::Imds, reason, "", turn.now);
            notices.list(turn, Category::TargetState, vec![told]);
        } else if let TargetState::Other(state) = state
            && self.reported.is_news(&state)
        {
            turn.report(Report::UnknownTargetState { state });
        }
    }

    /// How a message's news of this instance stands: IMDS, while it answers, has a few polls to deny it.
    pub fn state_of_news(&self, now: Time) -> NoticeState {
        let answers = self.spot_answered_at.is_some_and(|at| now.since(at) < DENIAL);
        if answers { NoticeState::Held { until: now + DENIAL } } else { NoticeState::Open }
    }

    /// Whether `InService` has been read for long enough to withdraw what IMDS had said before; or, where it had said
    /// nothing, what a message had told. IMDS may lag behind a message, and no longer than [`LAG`].
    pub fn is_back(&self, notices: &Notices) -> bool {
        let (Some(since), Some(last)) = (self.in_service_since, self.in_service_at) else { return false };
        let told = notices.action().filter(|_| !notices.has_target()).map(|action| action.since);
        last.since(since) >= WITHDRAWAL && told.is_none_or(|told| last.since(told) >= LAG)
    }

    /// Since when `InService` has been read each time.
    pub fn in_service_since(&self) -> Option<Time> {
        self.in_service_since
    }

    /// The withdrawal has been acted on.
    pub fn settle(&mut self) {
        self.in_service_since = None;
    }

    /// Finds IMDS silent, once it has been for long enough.
    pub fn decide(&mut self, turn: &mut Turn, queue: bool) {
        let (Hearing::Unheard { since, why } | Hearing::Failing { since, why }) = &mut self.hearing else {
            return;
        };
        if turn.due(*since + SILENCE, Timer::ImdsSilence) {
            turn.report(Report::ImdsSilent { why: std::mem::take(why), queue });
            self.hearing = Hearing::Silent;
        }
    }
}

fn spot_notice(spot: SpotNotice, now: Time) -> Notice {
    let due = spot_due(spot.action, spot.at);
    Notice { due, ..Notice::new(Source::Imds, Reason::SpotInterruption, "", now) }
}

/// When EC2 acts on an interruption.
pub(super) fn spot_due(action: SpotAction, at: Time) -> Due {
    match action {
        SpotAction::Terminate | SpotAction::Stop => Due::At(at),
        SpotAction::Hibernate => Due::Begun,
    }
}

fn maintenance_notice(event: MaintenanceNotice, now: Time) -> Notice {
    let due = event.not_before.map_or(Due::Unknown, Due::At);
    Notice { due, ..Notice::new(Source::Imds, Reason::ScheduledMaintenance, event.event_id, now) }
}
