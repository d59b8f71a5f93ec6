//! Scaling activities, as DescribeScalingActivities shows them.

use machine::Time;

use super::World;
use super::error::ApiError;

/// A scaling activity.
#[derive(Debug, Clone)]
pub struct Activity {
    /// `ActivityId`
    pub id: String,
    /// `AutoScalingGroupName`
    pub group: String,
    /// The instance that it is about.
    pub instance: String,
    /// `Description`
    pub description: String,
    /// `Cause`
    pub cause: String,
    /// The Availability Zone in `Details`.
    pub zone: String,
    /// `StartTime`
    pub started: Time,
    /// `EndTime`
    pub ended: Option<Time>,
    /// `StatusCode`
    pub status: ActivityStatus,
}

/// `StatusCode` of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityStatus {
    /// `PreInService`
    PreInService,
    /// `InProgress`
    InProgress,
    /// `WaitingForELBConnectionDraining`
    WaitingForLoadBalancer,
    /// `MidLifecycleAction`, in a launch.
    MidLaunchingAction,
    /// `MidTerminatingLifecycleAction`: recorded, although the service model does not list it.
    MidTerminatingAction,
    /// `Successful`
    Successful,
    /// `Cancelled`
    Cancelled,
}

impl ActivityStatus {
    /// As AWS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActivityStatus::PreInService => "PreInService",
            ActivityStatus::InProgress => "InProgress",
            ActivityStatus::WaitingForLoadBalancer => "WaitingForELBConnectionDraining",
            ActivityStatus::MidLaunchingAction => "MidLifecycleAction",
            ActivityStatus::MidTerminatingAction => "MidTerminatingLifecycleAction",
            ActivityStatus::Successful => "Successful",
            ActivityStatus::Cancelled => "Cancelled",
        }
    }

    /// `Progress`. The 60 of a terminating action is recorded. The others are guessed.
    pub fn progress(self) -> u32 {
        match self {
            ActivityStatus::PreInService => 30,
            ActivityStatus::InProgress => 0,
            ActivityStatus::WaitingForLoadBalancer => 20,
            ActivityStatus::MidLaunchingAction => 60,
            ActivityStatus::MidTerminatingAction => 60,
            ActivityStatus::Successful | ActivityStatus::Cancelled => 100,
        }
    }
}

impl World {
    /// DescribeScalingActivities, latest first.
    pub fn describe_activities(&mut self, now: Time, group: Option<&str>) -> Result<Vec<Activity>, ApiError> {
        self.admit(now)?;
        let of_group = |activity: &&Activity| group.is_none_or(|group| activity.group == group);
        Ok(self.activities.iter().rev().filter(of_group).cloned().collect())
    }

    /// The activity that is in progress for an instance.
    pub(super) fn activity_of(&self, instance: &str) -> Option<Activity> {
        let index = self.instances.get(instance)?.activity?;
        self.activities.get(index).cloned()
    }

    pub(super) fn begin_activity(&mut self, id: &str, description: &str, cause: &str) {
        let activity_id = self.uuid();
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.activity = Some(self.activities.len());
        self.activities.push(Activity {
            id: activity_id,
            group: instance.group.clone(),
            instance: id.to_owned(),
            description: format!("{description}: {id}"),
            cause: cause.to_owned(),
            zone: instance.zone.clone(),
            started: self.now,
            ended: None,
            status: ActivityStatus::InProgress,
        });
    }

    pub(super) fn set_activity(&mut self, id: &str, status: ActivityStatus) {
        let index = self.instances.get(id).and_then(|instance| instance.activity);
        let Some(activity) = index.and_then(|index| self.activities.get_mut(index)) else { return };
        activity.status = status;
        if matches!(status, ActivityStatus::Successful | ActivityStatus::Cancelled) {
            activity.ended = Some(self.now);
        }
    }
}
