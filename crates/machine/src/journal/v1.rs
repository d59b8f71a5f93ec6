//! Version 1 of the journal, as the first releases wrote it. Frozen, because disks in the field may hold one of a drain under
//! way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::super::effect::CompletionResult;
use super::super::event::TargetState;
use super::super::imds::spot_due;
use super::super::message::SpotAction;
use super::super::news::{
    INTERRUPTION_EXPIRY, MAINTENANCE_EXPIRY, MAINTENANCE_UNDATED_EXPIRY, REBALANCE_EXPIRY,
};
use super::super::notice::{Due, Notice, NoticeState, Notices, Reason, Source};
use super::super::route::NO_TOKEN;
use super::super::time::Time;
use super::{
    ActionRecord, AgentRecord, AgentStage, Allowance, DrainRecord, Ended, HookFacts, Intention, Outcome,
};
use crate::action::{Completion, Group, GroupSource, Wait, WaitSource};
use crate::after::AfterStage;
use crate::drain::{Finish, OwnMessage, Phase};
use crate::operator::Operator;

/// A journal of version 1.
#[derive(Debug, Deserialize)]
pub struct Journal {
    instance_id: String,
    #[serde(default)]
    boot_id: Option<String>,
    served: bool,
    agents: Vec<AgentV1>,
    notices: NoticesV1,
    drain: Option<DrainV1>,
    finished: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct AgentV1 {
    name: String,
    told: bool,
    seen_draining: bool,
    soft_deadline: Option<Time>,
    #[serde(default)]
    extended: Duration,
}

#[derive(Debug, Deserialize)]
struct NoticesV1 {
    target: Option<TargetV1>,
    action: Option<ActionNoticeV1>,
    spot: Option<SpotV1>,
    rebalance: Option<Time>,
    maintenance: BTreeMap<String, MaintenanceV1>,
    operator: bool,
    settled: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
enum TargetV1 {
    InService,
    Terminated,
    Standby,
    Detached,
    Warmed(String),
    Other(String),
}

#[derive(Debug, Deserialize)]
struct ActionNoticeV1 {
    reason: Reason,
    token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SpotV1 {
    action: SpotAction,
    at: Time,
}

#[derive(Debug, Deserialize)]
struct MaintenanceV1 {
    event_id: String,
    not_before: Option<Time>,
}

#[derive(Debug, Deserialize)]
struct DrainV1 {
    started: Time,
    told: Option<Time>,
    hard_deadline: Option<Time>,
    forced: Option<CompletionResult>,
    action: ActionV1,
    receipts: Vec<String>,
    message_hook: Option<String>,
    ended: Option<EndedV1>,
}

#[derive(Debug, Deserialize)]
struct ActionV1 {
    group: Option<String>,
    hook: Option<HookV1>,
    token: Option<String>,
    wait_since: Option<Time>,
    proven: bool,
    #[serde(default)]
    last_beat: Option<Time>,
    intention: Option<IntentionV1>,
    unanswered: Option<IntentionV1>,
}

#[derive(Debug, Deserialize)]
struct HookV1 {
    name: String,
    heartbeat_timeout: Duration,
    global_timeout: Duration,
    read: bool,
    #[serde(default)]
    has_others: bool,
}

#[derive(Debug, Deserialize)]
struct IntentionV1 {
    outcome: Outcome,
    result: CompletionResult,
}

#[derive(Debug, Deserialize)]
struct EndedV1 {
    at: Time,
    outcome: Outcome,
    result: Option<CompletionResult>,
}

impl From<Journal> for super::Journal {
    fn from(journal: Journal) -> Self {
        let ordered = journal.drain.as_ref().is_some_and(|drain| drain.told.is_some());
        super::Journal {
            version: super::VERSION,
            instance_id: journal.instance_id,
            boot_id: journal.boot_id,
            booted_at: None,
            served: journal.served,
            agents: journal.agents.into_iter().map(|agent| agent.record(ordered)).collect(),
            notices: journal.notices.rows(journal.drain.as_ref().map(|drain| drain.started)),
            drain: journal.drain.map(DrainRecord::from),
            targets: Vec::new(),
            launch: crate::launch::LaunchStage::None,
            protection: crate::protection::Protection::Unknown,
            pooled: false,
            finished: journal.finished,
        }
    }
}

impl AgentV1 {
    /// `ordered`: there is a drain, under way or ended with its notice in force, and its agents were told.
    fn record(self, ordered: bool) -> AgentRecord {
        let allowance = self.soft_deadline.map(|deadline| Allowance { deadline, extended: self.extended });
        let stage = match allowance.filter(|_| ordered) {
            _ if !self.told => AgentStage::Serving,
            Some(allowance) if self.seen_draining => AgentStage::Draining(allowance),
            Some(allowance) => AgentStage::Ordered(allowance),
            None => AgentStage::Returning,
        };
        AgentRecord { name: self.name, stage, told: None, forced: false }
    }
}

impl NoticesV1 {
    /// Converts to the table. Version 1 has a field for each kind of notice, and the names of those that a drain has dealt
    /// with. `started` is when the last drain started.
    fn rows(self, started: Option<Time>) -> Notices {
        let NoticesV1 { target, action, spot, rebalance, maintenance, operator, settled } = self;
        let row = |source, reason, id: &str, name: &str| {
            let state = if settled.contains(name) { NoticeState::Settled } else { NoticeState::Open };
            // Version 1 has no `since`. With the earliest time, every deadline counts.
            Notice { state, ..Notice::new(source, reason, id, Time::default()) }
        };
        let reason = target.map(TargetState::from).as_ref().and_then(Reason::of_target);
        let target = reason.map(|reason| row(Source::Imds, reason, "", &format!("target {reason}")));
        let action = action.map(|action| {
            let name = format!("action {}", action.token.as_deref().unwrap_or("without a token"));
            row(Source::Queue, action.reason, action.token.as_deref().unwrap_or(NO_TOKEN), &name)
        });
        // It does not have their source either. They count as notices from messages, so IMDS confirms or denies them, or
        // they expire.
        let spot = spot.map(|spot| {
            let since = if spot.action == SpotAction::Hibernate { spot.at } else { Time::default() };
            Notice {
                since,
                due: spot_due(spot.action, spot.at),
                expires: Some(spot.at + INTERRUPTION_EXPIRY),
                ..row(Source::Queue, Reason::SpotInterruption, "", "spot")
            }
        });
        let rebalance = rebalance.map(|at| Notice {
            expires: Some(at + REBALANCE_EXPIRY),
            ..row(Source::Queue, Reason::RebalanceRecommendation, "", "rebalance")
        });
        let maintenance = maintenance.into_values().map(|event| {
            let told = event.event_id.starts_with("arn:");
            let source = if told { Source::Queue } else { Source::Imds };
            let name = format!("maintenance {}", event.event_id);
            Notice {
                due: event.not_before.map_or(Due::Unknown, Due::At),
                expires: match event.not_before {
                    _ if !told => None,
                    Some(at) => Some(at + MAINTENANCE_EXPIRY),
                    None => Some(started.unwrap_or_default() + MAINTENANCE_UNDATED_EXPIRY),
                },
                ..row(source, Reason::ScheduledMaintenance, &event.event_id, &name)
            }
        });
        let operator = operator.then(|| row(Source::Operator, Reason::Operator, "", "operator"));
        let single = [target, action, spot, rebalance, operator];
        single.into_iter().flatten().chain(maintenance).collect()
    }
}

impl From<TargetV1> for TargetState {
    fn from(target: TargetV1) -> Self {
        match target {
            TargetV1::InService => TargetState::InService,
            TargetV1::Terminated => TargetState::Terminated,
            TargetV1::Standby => TargetState::Standby,
            TargetV1::Detached => TargetState::Detached,
            TargetV1::Warmed(state) => TargetState::Warmed(state),
            TargetV1::Other(state) => TargetState::Other(state),
        }
    }
}

impl From<DrainV1> for DrainRecord {
    fn from(drain: DrainV1) -> Self {
        let token = drain.action.token.clone();
        DrainRecord {
            started: drain.started,
            phase: phase(&drain),
            bound: drain.hard_deadline,
            after: AfterStage::Pending,
            action: ActionRecord::from(drain.action),
            message: drain.message_hook.map(|hook| OwnMessage { hook, token }),
            receipts: drain.receipts,
        }
    }
}

/// Version 1 does not have the operator who ended a drain. Only the daemon's user and root could.
fn phase(drain: &DrainV1) -> Phase {
    match (&drain.ended, drain.forced, drain.told) {
        (Some(ended), _, since) => {
            let ended = Ended { at: ended.at, outcome: ended.outcome, result: ended.result };
            Phase::Ended { since, ended }
        }
        (None, Some(result), since) => {
            let at = drain.hard_deadline.unwrap_or(drain.started);
            Phase::Finishing { since, finish: Finish { by: Operator { uid: 0, name: None }, at, result } }
        }
        (None, None, Some(since)) => Phase::Draining { since },
        (None, None, None) => Phase::Noticed,
    }
}

impl From<ActionV1> for ActionRecord {
    fn from(action: ActionV1) -> Self {
        let intention =
            |intention: IntentionV1| Intention { outcome: intention.outcome, result: intention.result };
        let wait = |since| Wait::Waiting {
            since,
            known_at: since,
            by: if action.proven { WaitSource::Heartbeat } else { WaitSource::Message { sent: None } },
            last_beat: action.last_beat,
            expected_at: None,
        };
        ActionRecord {
            group: action.group.map(|name| Group { name, by: GroupSource::Before }),
            hook: action.hook.map(HookFacts::from),
            proven: action.proven,
            wait: action.wait_since.map(wait).unwrap_or_default(),
            completion: match (action.unanswered.map(intention), action.intention.map(intention)) {
                (Some(sent), next) => Completion::Unanswered { sent, next },
                (None, Some(intention)) => Completion::Intended(intention),
                (None, None) => Completion::Open,
            },
        }
    }
}

impl From<HookV1> for HookFacts {
    fn from(hook: HookV1) -> Self {
        HookFacts {
            name: hook.name,
            heartbeat_timeout: hook.heartbeat_timeout,
            global_timeout: hook.global_timeout,
            read: hook.read,
            has_others: hook.has_others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each combination of an agent's two flags, with and without a drain that told its agents, gives the expected stage.
    #[test]
    fn stages_of_agents() {
        let deadline = Time::from_unix_ms(1);
        let extended = Duration::from_secs(5);
        let allowance = Allowance { deadline, extended };
        let record = |told: bool, seen_draining: bool, ordered: bool| {
            let soft_deadline = told.then_some(deadline);
            AgentV1 { name: "worker".to_owned(), told, seen_draining, soft_deadline, extended }
                .record(ordered)
                .stage
        };
        assert_eq!(record(false, false, false), AgentStage::Serving);
        assert_eq!(record(false, false, true), AgentStage::Serving, "it is new in the configuration");
        assert_eq!(record(true, false, true), AgentStage::Ordered(allowance));
        assert_eq!(record(true, true, true), AgentStage::Draining(allowance));
        assert_eq!(record(true, true, false), AgentStage::Returning);
        assert_eq!(record(true, false, false), AgentStage::Returning, "the second drain has not told it yet");
    }
}
