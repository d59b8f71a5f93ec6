//! Auto Scaling groups and their hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use machine::Time;

use super::World;
use super::error::ApiError;
use super::instance::InstanceView;

/// The shortest heartbeat timeout.
pub const HEARTBEAT_TIMEOUT_MIN: Duration = Duration::from_secs(30);
/// The longest heartbeat timeout.
pub const HEARTBEAT_TIMEOUT_MAX: Duration = Duration::from_secs(7200);
/// The longest global timeout: 48 hours.
pub(super) const GLOBAL_TIMEOUT_MAX: Duration = Duration::from_secs(172_800);
const HOOK_NAME_LEN_MAX: usize = 255;
const HOOKS_MAX: usize = 50;
/// This world's own limit, so that a typo does not open a million sockets.
const GROUP_SIZE_MAX: u32 = 20_000;

/// The transition that a hook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`
    Terminating,
}

impl Transition {
    /// As AWS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Transition::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Transition::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }

    /// Reads AWS's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Transition::Launching, Transition::Terminating].into_iter().find(|one| one.as_str() == text)
    }
}

/// The result of a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionResult {
    /// The instance proceeds once the other hooks are done.
    Continue,
    /// The instance does not wait for other hooks.
    Abandon,
}

impl ActionResult {
    /// As AWS spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        }
    }

    /// Reads AWS's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [ActionResult::Continue, ActionResult::Abandon].into_iter().find(|one| one.as_str() == text)
    }
}

/// A lifecycle hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSpec {
    /// `LifecycleHookName`
    pub name: String,
    /// `LifecycleTransition`
    pub transition: Transition,
    /// `HeartbeatTimeout`
    pub heartbeat_timeout: Duration,
    /// `DefaultResult`
    pub default_result: ActionResult,
    /// `NotificationTargetARN`
    pub target: Option<String>,
    /// `RoleARN`
    pub role: Option<String>,
    /// `NotificationMetadata`
    pub metadata: Option<String>,
}

impl HookSpec {
    /// A terminating hook with AWS's default result, ABANDON, and no notification target.
    pub fn terminating(name: impl Into<String>, heartbeat_timeout: Duration) -> Self {
        HookSpec {
            name: name.into(),
            transition: Transition::Terminating,
            heartbeat_timeout,
            default_result: ActionResult::Abandon,
            target: None,
            role: None,
            metadata: None,
        }
    }

    /// The longest that an action of this hook can last, however many heartbeats it gets.
    pub fn global_timeout(&self) -> Duration {
        GLOBAL_TIMEOUT_MAX.min(self.heartbeat_timeout * 100)
    }

    fn validate(&self) -> Result<(), ApiError> {
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
        if self.name.is_empty() || self.name.len() > HOOK_NAME_LEN_MAX || !self.name.chars().all(well_formed)
        {
            let rule = "Member must satisfy regular expression pattern: [A-Za-z0-9\\-_\\/]+";
            return Err(ApiError::constraint(&self.name, "lifecycleHookName", rule));
        }
        if !(HEARTBEAT_TIMEOUT_MIN..=HEARTBEAT_TIMEOUT_MAX).contains(&self.heartbeat_timeout) {
            // The range is AWS's. The words are guessed.
            return Err(ApiError::validation("Heartbeat timeout must be between 30 and 7200 seconds"));
        }
        Ok(())
    }
}

/// The settings of a group in CreateAutoScalingGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// `AutoScalingGroupName`
    pub name: String,
    /// `MinSize`
    pub min: u32,
    /// `MaxSize`
    pub max: u32,
    /// `DesiredCapacity`
    pub desired: u32,
    /// Whether it is attached to a load balancer or a target group.
    pub load_balanced: bool,
    /// `TargetGroupARNs`
    pub target_groups: Vec<String>,
    /// `InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon` is `retain`.
    pub retain_on_abandon: bool,
    /// `LifecycleHookSpecificationList`
    pub hooks: Vec<HookSpec>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) spec: GroupSpec,
    pub(super) arn: String,
    pub(super) created: Time,
    pub(super) hooks: BTreeMap<String, HookSpec>,
    /// All instances that are not Terminated, in order of launch.
    pub(super) instances: BTreeMap<u64, String>,
    /// Those that are not leaving, by zone and in order of launch.
    pub(super) staying: BTreeMap<String, BTreeMap<u64, String>>,
    /// Those that are protected from scale-in.
    pub(super) protected: BTreeSet<u64>,
    /// Those in the warm pool, in order of launch.
    pub(super) pooled: BTreeMap<u64, String>,
}

/// A group as DescribeAutoScalingGroups shows it.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// Its sizes and settings.
    pub spec: GroupSpec,
    /// `AutoScalingGroupARN`
    pub arn: String,
    /// `CreatedTime`
    pub created: Time,
    /// Its instances, in order of launch.
    pub instances: Vec<InstanceView>,
}

impl World {
    /// CreateAutoScalingGroup. Launches the instances at once.
    pub fn create_group(&mut self, now: Time, spec: GroupSpec) -> Result<(), ApiError> {
        self.admit(now)?;
        if self.groups.contains_key(&spec.name) {
            return Err(ApiError::sender(
                "AlreadyExists",
                format!(
                    "AutoScalingGroup by this name already exists - A group with the name {} already exists",
                    spec.name
                ),
            ));
        }
        if spec.min > spec.desired || spec.desired > spec.max || spec.max > GROUP_SIZE_MAX {
            return Err(size_error(&spec, spec.desired));
        }
        for hook in &spec.hooks {
            hook.validate()?;
        }
        let name = spec.name.clone();
        self.insert_group(spec);
        self.reconcile(&name, "a user request created an AutoScalingGroup");
        Ok(())
    }

    /// DescribeAutoScalingGroups. Returns all groups if `names` is empty. Ignores unknown names.
    pub fn describe_groups(&mut self, now: Time, names: &[String]) -> Result<Vec<GroupView>, ApiError> {
        self.admit(now)?;
        let wanted =
            self.groups.values().filter(|group| names.is_empty() || names.contains(&group.spec.name));
        Ok(wanted.map(|group| self.group_view(group)).collect())
    }

    /// PutLifecycleHook. Creates a hook, or replaces the one with that name.
    pub fn put_hook(&mut self, now: Time, group: &str, hook: HookSpec) -> Result<(), ApiError> {
        self.admit(now)?;
        hook.validate()?;
        self.group(group)?;
        if let Some(target) = &hook.target {
            self.send_test_notification(group, target, hook.role.as_deref())?;
        }
        let group = self.group_mut(group)?;
        if group.hooks.len() >= HOOKS_MAX && !group.hooks.contains_key(&hook.name) {
            return Err(ApiError::sender(
                "LimitExceeded",
                "You have reached the limit of 50 lifecycle hooks",
            ));
        }
        group.hooks.insert(hook.name.clone(), hook);
        Ok(())
    }

    /// DeleteLifecycleHook. Also ends the hook's open actions, with CONTINUE if instances terminate and ABANDON if they
    /// launch.
    pub fn delete_hook(&mut self, now: Time, group: &str, name: &str) -> Result<(), ApiError> {
        self.admit(now)?;
        let group = self.group_mut(group)?;
        let Some(hook) = group.hooks.remove(name) else {
            // Guessed.
            return Err(ApiError::validation(format!(
                "No Lifecycle Hook found with hook name {name} in Auto Scaling group {}",
                group.spec.name
            )));
        };
        let instances: Vec<String> = group.instances.values().cloned().collect();
        for instance in instances {
            self.release_actions(&instance, &hook.name);
        }
        Ok(())
    }

    /// DescribeLifecycleHooks. Returns all hooks if `names` is empty.
    pub fn describe_hooks(
        &mut self,
        now: Time,
        group: &str,
        names: &[String],
    ) -> Result<Vec<HookSpec>, ApiError> {
        self.admit(now)?;
        let hooks = self.group(group)?.hooks.values();
        Ok(hooks.filter(|hook| names.is_empty() || names.contains(&hook.name)).cloned().collect())
    }

    /// A group's desired capacity, for observers.
    pub fn desired_capacity(&self, group: &str) -> Option<u32> {
        self.groups.get(group).map(|group| group.spec.desired)
    }

    /// How long an action of this hook can last in this world, however many heartbeats it gets.
    pub fn global_timeout(&self, hook: &HookSpec) -> Duration {
        hook.global_timeout().min(self.config.global_timeout_max)
    }

    /// A hook, for observers.
    pub fn hook(&self, group: &str, name: &str) -> Option<&HookSpec> {
        self.groups.get(group)?.hooks.get(name)
    }

    /// SetDesiredCapacity.
    pub fn set_desired_capacity(&mut self, now: Time, group: &str, desired: u32) -> Result<(), ApiError> {
        self.admit(now)?;
        let found = self.group_mut(group)?;
        if desired < found.spec.min || desired > found.spec.max {
            return Err(size_error(&found.spec, desired));
        }
        let cause = format!(
            "At {} a user request explicitly set group desired capacity changing the desired capacity from {} to {desired}.",
            now, found.spec.desired
        );
        found.spec.desired = desired;
        self.reconcile(group, &cause);
        Ok(())
    }

    pub(super) fn group(&self, name: &str) -> Result<&Group, ApiError> {
        self.groups.get(name).ok_or_else(|| unknown_group(name))
    }

    pub(super) fn group_mut(&mut self, name: &str) -> Result<&mut Group, ApiError> {
        self.groups.get_mut(name).ok_or_else(|| unknown_group(name))
    }

    pub(super) fn insert_group(&mut self, spec: GroupSpec) {
        let id = self.uuid();
        let (region, account, name) = (&self.config.region, &self.config.account, &spec.name);
        let arn = format!(
            "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:{id}:autoScalingGroupName/{name}"
        );
        let hooks = spec.hooks.iter().map(|hook| (hook.name.clone(), hook.clone())).collect();
        let group = Group {
            arn,
            created: self.now,
            hooks,
            instances: BTreeMap::new(),
            staying: BTreeMap::new(),
            protected: BTreeSet::new(),
            pooled: BTreeMap::new(),
            spec,
        };
        self.groups.insert(group.spec.name.clone(), group);
    }

    fn group_view(&self, group: &Group) -> GroupView {
        let instances = group.instances.values().filter_map(|id| self.instance(id)).collect();
        GroupView { spec: group.spec.clone(), arn: group.arn.clone(), created: group.created, instances }
    }
}

/// Moto's words. Auto Scaling's differ between calls and over the years.
fn unknown_group(name: &str) -> ApiError {
    ApiError::validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

fn size_error(spec: &GroupSpec, desired: u32) -> ApiError {
    let message = if spec.max > GROUP_SIZE_MAX {
        format!("this simulator runs groups of up to {GROUP_SIZE_MAX} instances")
    } else if desired > spec.max {
        format!(
            "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
            spec.max
        )
    } else {
        format!(
            "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
            spec.min
        )
    };
    ApiError::validation(message)
}
