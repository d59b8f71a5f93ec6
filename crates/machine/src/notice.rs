//! Notices: what says that the instance is going.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{MaintenanceNotice, SpotNotice, TargetState};
use super::message::{LifecycleMessage, SpotAction};
use super::settings::Settings;
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;

/// How many maintenance events are kept at once.
const MAINTENANCE_MAX: usize = 16;

/// Draining for maintenance starts this long before it must, so that the agents' whole time fits.
const MAINTENANCE_MARGIN: Duration = Duration::from_secs(60);

/// How long a spot instance has after its warning (EC2 user guide, "Spot Instance interruption notices").
pub(super) const SPOT_WARNING: Duration = Duration::from_secs(120);

/// How long before EC2 takes a spot instance the agents must be done.
const SPOT_MARGIN: Duration = Duration::from_secs(10);

/// The name of the operator's notice: there is only one.
pub(super) const OPERATOR: &str = "operator";

/// Why the instance is going, as the agent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The group terminates the instance.
    AutoscalingTermination,
    /// The group puts the instance back into its warm pool.
    WarmPool,
    /// The root volume is about to be replaced.
    RootVolumeReplacement,
    /// EC2 takes a spot instance back.
    SpotInterruption,
    /// EC2 says that a spot interruption has become likely.
    RebalanceRecommendation,
    /// EC2 will stop, reboot or retire the instance.
    ScheduledMaintenance,
    /// The instance was put into standby.
    Standby,
    /// The instance was detached from its group.
    Detachment,
    /// An operator asked for it.
    Operator,
}

impl Reason {
    /// As the agent protocol, the metrics and the tags spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "autoscaling_termination",
            Reason::WarmPool => "warm_pool",
            Reason::RootVolumeReplacement => "root_volume_replacement",
            Reason::SpotInterruption => "spot_interruption",
            Reason::RebalanceRecommendation => "rebalance_recommendation",
            Reason::ScheduledMaintenance => "scheduled_maintenance",
            Reason::Standby => "standby",
            Reason::Detachment => "detachment",
            Reason::Operator => "operator",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The notices in force. They are merged: one drain serves them all, and ends when the last is withdrawn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Notices {
    /// What IMDS says that the group is doing, where that takes the instance out of service.
    pub target: Option<TargetState>,
    /// A lifecycle action is known to exist.
    pub action: Option<ActionNotice>,
    /// EC2 takes a spot instance back.
    pub spot: Option<SpotNotice>,
    /// When a rebalance recommendation was given.
    pub rebalance: Option<Time>,
    /// Scheduled maintenance, by event id.
    pub maintenance: BTreeMap<String, MaintenanceNotice>,
    /// An operator has asked for a drain.
    pub operator: bool,
    /// Those that a drain that ended has dealt with: they start no second one.
    pub settled: BTreeSet<String>,
}

/// What a lifecycle action does with the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionNotice {
    /// Why the instance is going.
    pub reason: Reason,
    /// The action's token, where a message brought it.
    pub token: Option<String>,
}

impl Reason {
    /// The sentence that the agent and the log are told.
    pub fn sentence(self) -> &'static str {
        match self {
            Reason::AutoscalingTermination => "the Auto Scaling group terminates this instance",
            Reason::WarmPool => "the Auto Scaling group puts this instance into its warm pool",
            Reason::RootVolumeReplacement => "the root volume of this instance is replaced",
            Reason::SpotInterruption => "EC2 takes this spot instance back",
            Reason::RebalanceRecommendation => "EC2 recommends to move work off this spot instance",
            Reason::ScheduledMaintenance => "EC2 has scheduled maintenance for this instance",
            Reason::Standby => "this instance is put into standby",
            Reason::Detachment => "this instance is detached from its group",
            Reason::Operator => "an operator asked for it",
        }
    }
}

impl ActionNotice {
    /// The notice that a message brings.
    pub fn from_message(message: &LifecycleMessage) -> Self {
        let reason = match (message.replaces_root_volume, message.to_warm_pool) {
            (true, _) => Reason::RootVolumeReplacement,
            (false, true) => Reason::WarmPool,
            (false, false) => Reason::AutoscalingTermination,
        };
        ActionNotice { reason, token: message.token.clone() }
    }
}

/// The reason that a target state gives, if it takes the instance out of service.
pub fn target_reason(state: &TargetState) -> Option<Reason> {
    match state {
        TargetState::Terminated => Some(Reason::AutoscalingTermination),
        TargetState::Warmed(state) if state == "Warmed:Terminated" => Some(Reason::AutoscalingTermination),
        TargetState::Warmed(_) => Some(Reason::WarmPool),
        TargetState::Standby => Some(Reason::Standby),
        TargetState::Detached => Some(Reason::Detachment),
        TargetState::InService | TargetState::Other(_) => None,
    }
}

impl Notices {
    /// The reasons in force, most pressing first. Maintenance is in force from when draining for it must start.
    pub(super) fn in_force(&self, settings: &Settings, turn: &mut Turn) -> Vec<Reason> {
        let mut found = Vec::new();
        self.each_in_force(settings, turn, |reason, _| found.push(reason));
        found
    }

    /// The notices in force by names, which tell each from the next of its kind.
    pub(super) fn names_in_force(&self, settings: &Settings, turn: &mut Turn) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.each_in_force(settings, turn, |_, name| {
            found.insert(name.concat());
        });
        found
    }

    /// Hands over each notice in force: its reason, and the two halves of its name.
    fn each_in_force(&self, settings: &Settings, turn: &mut Turn, mut found: impl FnMut(Reason, [&str; 2])) {
        if self.spot.is_some() {
            found(Reason::SpotInterruption, ["spot", ""]);
        }
        if let Some(action) = &self.action {
            let token = action.token.as_deref().unwrap_or("without a token");
            found(action.reason, ["action ", token]);
        }
        // Of what a message has said, IMDS says nothing new: one that has been silent must not start a second drain.
        let told = self.action.as_ref().map(|action| action.reason);
        if let Some(reason) =
            self.target.as_ref().and_then(target_reason).filter(|reason| told != Some(*reason))
        {
            found(reason, ["target ", reason.as_str()]);
        }
        for event in self.maintenance.values() {
            let lead = settings.drain_timeout() + MAINTENANCE_MARGIN;
            if event.not_before.is_none_or(|not_before| turn.due(not_before - lead, Timer::Maintenance)) {
                found(Reason::ScheduledMaintenance, ["maintenance ", &event.event_id]);
            }
        }
        if self.rebalance.is_some() && !settings.ignore_rebalance {
            found(Reason::RebalanceRecommendation, ["rebalance", ""]);
        }
        if self.operator {
            found(Reason::Operator, [OPERATOR, ""]);
        }
    }

    /// Whether the group runs, or will run, a lifecycle action for this.
    pub fn expects_action(&self) -> bool {
        let by_target = |state| match state {
            &TargetState::Terminated | TargetState::Warmed(_) => true,
            TargetState::InService | TargetState::Standby | TargetState::Detached | TargetState::Other(_) => {
                false
            }
        };
        self.action.is_some() || self.target.as_ref().is_some_and(by_target)
    }

    /// The end that EC2 sets by itself: the time of a spot interruption or of maintenance, less a margin.
    pub fn hard_deadline(&self, now: Time) -> Option<Time> {
        let spot = self.spot.map(|spot| match spot.action {
            SpotAction::Terminate | SpotAction::Stop => spot.at - SPOT_MARGIN,
            // It begins at once, without the two minutes.
            SpotAction::Hibernate => (spot.at - SPOT_WARNING).min(now),
        });
        // A window that has opened already says no more when it will be used.
        let maintenance =
            self.maintenance.values().filter_map(|event| event.not_before.filter(|at| *at > now));
        spot.into_iter().chain(maintenance).min()
    }

    /// Adds or renews one maintenance event that a message has told of.
    pub fn add_maintenance(&mut self, event: MaintenanceNotice) {
        if self.maintenance.len() < MAINTENANCE_MAX || self.maintenance.contains_key(&event.event_id) {
            self.maintenance.insert(event.event_id.clone(), event);
        }
    }

    /// What IMDS lists now replaces what it listed before, and leaves what messages have told of (whose ids are ARNs).
    pub fn replace_maintenance(&mut self, listed: Vec<MaintenanceNotice>) {
        self.maintenance.retain(|id, _| id.starts_with("arn:"));
        for event in listed {
            self.add_maintenance(event);
        }
    }
}
