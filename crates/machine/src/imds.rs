//! Readings from IMDS: the notices that it lists and withdraws, and whether it answers at all.

use std::time::Duration;

use super::event::{ImdsReading, LifeCycle, MaintenanceNotice, SpotNotice, TargetState};
use super::message::SpotAction;
use super::notice::{Category, Due, Notice, NoticeState, Notices, Reason, Source};
use super::report::Report;
use super::settings::Settings;
use super::status::ImdsAnswers;
use super::time::Time;
use super::timer::Timer;
use super::told::Told;
use super::turn::Turn;

/// After this long without an answer, the queue becomes the first source.
const SILENCE: Duration = Duration::from_secs(60);

/// How long `InService` or an ignored state must be read before it withdraws a notice. A single stale answer must not send work
/// to an instance that is about to go.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// How far the message of a lifecycle action may be ahead of the target state.
const LAG: Duration = Duration::from_secs(60);

/// How long IMDS has to deny news from a message: three polls of the categories that are polled every 5 s. If its last
/// answer is older than this, the message counts at once. An on-demand instance is not polled for them: there, the life cycle
/// is the denial.
pub(super) const DENIAL: Duration = Duration::from_secs(15);

/// Whether IMDS can be heard, judged by its answers for the target state.
#[derive(Debug)]
enum Hearing {
    /// It has not returned a target state since the daemon started.
    Unheard { since: Time, why: String },
    /// It returns the target state.
    Answering,
    /// It returned the target state earlier, and has failed since `since`.
    Failing { since: Time, why: String },
    /// It has failed for [`SILENCE`], so the queue is the first source.
    Silent,
    /// It answers but has no such category, so the queue is the first source.
    Missing,
}

#[derive(Debug)]
pub(super) struct ImdsTrack {
    hearing: Hearing,
    /// Since when the target state has said without interruption that the instance stays, while there is a notice that this
    /// may withdraw.
    stays_since: Option<Time>,
    /// When the target state last said so. No terminating action was in Wait then.
    pub stays_at: Option<Time>,
    /// The ignored notice that is the target state now. `None` for `InService`.
    ignored: Option<Notice>,
    /// When it last answered for anything.
    answered_at: Option<Time>,
    /// When it last answered for spot interruptions or rebalance recommendations.
    spot_answered_at: Option<Time>,
    /// How the instance was bought, once IMDS has said so.
    life_cycle: Option<LifeCycle>,
    reported: Told,
}

impl ImdsTrack {
    pub fn new(now: Time) -> Self {
        ImdsTrack {
            hearing: Hearing::Unheard { since: now, why: "no answer since the daemon started".to_owned() },
            stays_since: None,
            stays_at: None,
            ignored: None,
            answered_at: None,
            spot_answered_at: None,
            life_cycle: None,
            reported: Told::default(),
        }
    }

    /// Whether the queue is the first source, because IMDS is silent or lacks the target state.
    pub fn is_deaf(&self) -> bool {
        self.standing() != ImdsAnswers::Heard
    }

    /// How it answers, for the status.
    pub fn standing(&self) -> ImdsAnswers {
        match self.hearing {
            Hearing::Unheard { .. } | Hearing::Answering | Hearing::Failing { .. } => ImdsAnswers::Heard,
            Hearing::Silent => ImdsAnswers::Silent,
            Hearing::Missing => ImdsAnswers::NoTargetState,
        }
    }

    /// When IMDS last answered.
    pub fn answered_at(&self) -> Option<Time> {
        self.answered_at
    }

    /// Processes a reading. `served` says whether the instance has ever been in service, and is set once it is.
    pub fn on_reading(
        &mut self,
        turn: &mut Turn,
        notices: &mut Notices,
        served: &mut bool,
        settings: &Settings,
        reading: ImdsReading,
    ) {
        let now = turn.now;
        match &reading {
            ImdsReading::TargetState(_)
            | ImdsReading::Spot(_)
            | ImdsReading::Rebalance(_)
            | ImdsReading::Maintenance(_)
            | ImdsReading::LifeCycle(_) => self.answered_at = Some(now),
            ImdsReading::Silent { .. } | ImdsReading::Malformed { .. } => {}
        }
        match reading {
            ImdsReading::TargetState(Some(state)) => {
                self.answers(turn);
                self.on_target(turn, notices, served, settings, state);
            }
            ImdsReading::TargetState(None) => self.denies_target(turn, settings.queue),
            ImdsReading::Spot(spot) => {
                self.spot_answered_at = Some(now);
                let listed = spot.filter(|_| !self.is_on_demand()).map(|spot| spot_notice(spot, now));
                notices.list(turn, Category::Spot, listed.into_iter().collect());
            }
            ImdsReading::Rebalance(at) => {
                self.spot_answered_at = Some(now);
                let told = |_| Notice::new(Source::Imds, Reason::RebalanceRecommendation, "", now);
                let listed = at.filter(|_| !self.is_on_demand()).map(told);
                notices.list(turn, Category::Rebalance, listed.into_iter().collect());
            }
            ImdsReading::Maintenance(listed) => {
                let listed = listed.into_iter().map(|event| maintenance_notice(event, now)).collect();
                notices.list(turn, Category::Maintenance, listed);
            }
            ImdsReading::LifeCycle(life_cycle) => self.on_life_cycle(turn, notices, life_cycle),
            ImdsReading::Silent { why } => self.silence(now, why),
            ImdsReading::Malformed { why } if self.reported.is_news(&why) => {
                turn.report(Report::ImdsMalformed { why });
            }
            ImdsReading::Malformed { .. } => {}
        }
    }

    /// EC2 does not interrupt an on-demand instance, so what a message said before IMDS was heard is void.
    fn on_life_cycle(&mut self, turn: &mut Turn, notices: &mut Notices, life_cycle: LifeCycle) {
        self.life_cycle = Some(life_cycle);
        if self.is_on_demand() {
            notices.list(turn, Category::Spot, Vec::new());
            notices.list(turn, Category::Rebalance, Vec::new());
        }
    }

    /// Whether IMDS has said that this is an on-demand instance, which has no spot interruptions and no rebalance
    /// recommendations.
    pub fn is_on_demand(&self) -> bool {
        self.life_cycle == Some(LifeCycle::OnDemand)
    }

    fn answers(&mut self, turn: &mut Turn) {
        if self.is_deaf() {
            turn.report(Report::ImdsHeard);
        }
        self.hearing = Hearing::Answering;
    }

    /// 404. If the category was never there, it is missing. If it was there before, the answer counts as a failure.
    fn denies_target(&mut self, turn: &mut Turn, queue: bool) {
        match self.hearing {
            Hearing::Unheard { .. } => {
                self.hearing = Hearing::Missing;
                turn.report(Report::ImdsMissing { queue });
            }
            Hearing::Answering | Hearing::Failing { .. } | Hearing::Silent | Hearing::Missing => {
                self.silence(
                    turn.now,
                    "autoscaling/target-lifecycle-state was there before and now returns 404".to_owned(),
                );
            }
        }
    }

    fn silence(&mut self, now: Time, reason: String) {
        self.stays_since = None;
        match &mut self.hearing {
            Hearing::Unheard { why, .. } | Hearing::Failing { why, .. } => *why = reason,
            Hearing::Answering => self.hearing = Hearing::Failing { since: now, why: reason },
            Hearing::Silent | Hearing::Missing => {}
        }
    }

    fn on_target(
        &mut self,
        turn: &mut Turn,
        notices: &mut Notices,
        served: &mut bool,
        settings: &Settings,
        state: TargetState,
    ) {
        *served |= state == TargetState::InService;
        let reason = Reason::of_target(&state);
        // An instance that has never served is on its way into service, so `Warmed:*` is no notice.
        if reason == Some(Reason::WarmPool) && !*served {
            return;
        }
        let told = reason.map(|reason| Notice::new(Source::Imds, reason, "", turn.now));
        if state == TargetState::InService || reason.is_some_and(|reason| reason.is_ignored(settings)) {
            return self.stays(turn, notices, told);
        }
        self.stays_since = None;
        if let Some(told) = told {
            notices.list(turn, Category::TargetState, vec![told]);
        } else if let TargetState::Other(state) = state
            && self.reported.is_news(&state)
        {
            turn.report(Report::UnknownTargetState { state });
        }
    }

    /// The target state starts no drain: it is `InService`, or `ignored` is its notice.
    fn stays(&mut self, turn: &mut Turn, notices: &mut Notices, ignored: Option<Notice>) {
        self.stays_at = Some(turn.now);
        self.ignored = ignored;
        let replaces = self.replaces_target(notices);
        if replaces || notices.action().is_some() {
            self.stays_since.get_or_insert(turn.now);
        }
        // A notice in the table may have a drain, so it is replaced only if this lasts.
        if !replaces && let Some(told) = self.ignored.clone() {
            notices.list(turn, Category::TargetState, vec![told]);
        }
    }

    /// Whether the table has another target state than IMDS said last, while it says that the instance stays.
    pub fn replaces_target(&self, notices: &Notices) -> bool {
        notices.has_past_target(self.ignored.as_ref().map(|told| told.reason))
    }

    /// What the target state lists while it says that the instance stays.
    pub fn listed(&self) -> Vec<Notice> {
        self.ignored.clone().into_iter().collect()
    }

    /// The state of a notice from a message: held while IMDS answers, so that it can deny it.
    pub fn state_of_news(&self, now: Time) -> NoticeState {
        let answers = self.spot_answered_at.is_some_and(|at| now.since(at) < DENIAL);
        if answers { NoticeState::Held { until: now + DENIAL } } else { NoticeState::Open }
    }

    /// Whether the target state has said for long enough that the instance stays, to withdraw IMDS's earlier notice or, without
    /// one, a message's. IMDS may lag behind a message by up to [`LAG`].
    pub fn is_back(&self, notices: &Notices) -> bool {
        let (Some(since), Some(last)) = (self.stays_since, self.stays_at) else { return false };
        let told = notices.action().filter(|_| !notices.has_target_of_action()).map(|action| action.since);
        last.since(since) >= WITHDRAWAL && told.is_none_or(|told| last.since(told) >= LAG)
    }

    /// Since when the target state has said without interruption that the instance stays.
    pub fn stays_since(&self) -> Option<Time> {
        self.stays_since
    }

    /// Restarts the time for which that must be read.
    pub fn settle(&mut self) {
        self.stays_since = None;
    }

    /// Declares IMDS silent after [`SILENCE`].
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

/// When an interruption is due.
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
