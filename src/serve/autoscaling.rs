//! Serves Auto Scaling in the Query protocol. Element names follow botocore's service model of 2011-01-01.

use std::time::Duration;

use serde_json::json;

use machine::Time;
use sim::world::{
    ActionRef, ActionResult, Activity, ApiError, GroupSpec, GroupView, HookSpec, InstanceView, Transition,
    World,
};

use super::query::{Params, unknown_action};
use super::service::Shared;
use super::xml::{escape, leaf, list, node, optional};

pub(super) const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
const HEARTBEAT_TIMEOUT_SECS: u64 = 3600;
const GROUPS_PAGE_MAX: usize = 100;
const INSTANCES_PAGE_MAX: usize = 50;
const ACTIVITIES_PAGE_MAX: usize = 100;

/// The content of a response's `…Result` element; `None` if the call has none.
type Output = Option<String>;

type Call = fn(&mut World, Time, &Params) -> Result<Output, ApiError>;

/// Every call that is served, with its handler.
pub(super) const CALLS: &[(&str, Call)] = &[
    ("CompleteLifecycleAction", complete),
    ("CreateAutoScalingGroup", create_group),
    ("DeleteLifecycleHook", delete_hook),
    ("DescribeAutoScalingGroups", describe_groups),
    ("DescribeAutoScalingInstances", describe_instances),
    ("DescribeLifecycleHooks", describe_hooks),
    ("DescribeScalingActivities", describe_activities),
    ("PutLifecycleHook", put_hook),
    ("RecordLifecycleActionHeartbeat", heartbeat),
    ("SetDesiredCapacity", set_desired_capacity),
    ("SetInstanceProtection", set_protection),
    ("TerminateInstanceInAutoScalingGroup", terminate_instance),
];

/// Answers one call.
pub(super) fn call(shared: &Shared, params: &Params) -> Result<Output, ApiError> {
    let action = params.required("Action")?;
    let Some((_, answer)) = CALLS.iter().find(|(name, _)| *name == action) else {
        let served = CALLS.iter().map(|(name, _)| *name);
        return Err(unknown_action(action, "2011-01-01", served));
    };
    shared.with(|world, now| answer(world, now, params))
}

/// Wraps an output into the whole response.
pub(super) fn envelope(namespace: &str, params: &Params, output: &Option<String>, id: &str) -> String {
    let action = params.optional("Action").unwrap_or_default();
    let result = output.as_ref().map(|inner| format!("<{action}Result>{inner}</{action}Result>"));
    let metadata = node("ResponseMetadata", [leaf("RequestId", id)]);
    format!(
        "<{action}Response xmlns=\"{namespace}\">{}{metadata}</{action}Response>\n",
        result.unwrap_or_default()
    )
}

fn create_group(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let name = params.required("AutoScalingGroupName")?.to_owned();
    let (min, max) = (params.number("MinSize")?, params.number("MaxSize")?);
    let prefixes = params.structures("LifecycleHookSpecificationList", "LifecycleHookName");
    let hooks = prefixes.iter().map(|prefix| hook(params, prefix, None)).collect::<Result<_, _>>()?;
    let retention = "InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon";
    let load_balancers = ["TargetGroupARNs.", "LoadBalancerNames.", "TrafficSources."];
    // Launch templates and launch configurations are ignored: all simulated instances are alike.
    let spec = GroupSpec {
        name,
        min,
        max,
        desired: params.parsed("DesiredCapacity")?.unwrap_or(min),
        load_balanced: load_balancers.iter().any(|prefix| params.any(prefix)),
        target_groups: params.list("TargetGroupARNs"),
        retain_on_abandon: params.optional(retention) == Some("retain"),
        hooks,
    };
    world.create_group(now, spec).map(|()| None)
}

fn set_desired_capacity(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let desired = params.number("DesiredCapacity")?;
    let group = params.required("AutoScalingGroupName")?;
    world.set_desired_capacity(now, group, desired).map(|()| None)
}

fn set_protection(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let group = params.required("AutoScalingGroupName")?;
    let ids = params.list("InstanceIds");
    if ids.is_empty() {
        params.required("InstanceIds")?;
    }
    let protected = params.number("ProtectedFromScaleIn")?;
    world.set_protection(now, group, &ids, protected).map(|()| Some(String::new()))
}

fn put_hook(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let (group, name) = (params.required("AutoScalingGroupName")?, params.required("LifecycleHookName")?);
    let existing = world.hook(group, name).cloned();
    let hook = hook(params, "", existing)?;
    world.put_hook(now, group, hook).map(|()| Some(String::new()))
}

/// Reads a hook. Missing settings keep their old values (guessed), or get AWS's defaults.
fn hook(params: &Params, prefix: &str, existing: Option<HookSpec>) -> Result<HookSpec, ApiError> {
    let name = |field: &str| format!("{prefix}{field}");
    let transition = match (params.optional(&name("LifecycleTransition")), &existing) {
        (Some(text), _) => Transition::parse(text).ok_or_else(|| {
            // Guessed.
            ApiError::validation(format!("Invalid lifecycle transition {text}"))
        })?,
        (None, Some(existing)) => existing.transition,
        (None, None) => {
            // Guessed.
            return Err(ApiError::validation("LifecycleTransition is required for a new lifecycle hook"));
        }
    };
    let hook_name = params.required(&name("LifecycleHookName"))?;
    let default = Duration::from_secs(HEARTBEAT_TIMEOUT_SECS);
    let mut hook = existing.unwrap_or_else(|| HookSpec::terminating(hook_name, default));
    hook.transition = transition;
    if let Some(seconds) = params.parsed(&name("HeartbeatTimeout"))? {
        hook.heartbeat_timeout = Duration::from_secs(seconds);
    }
    if params.optional(&name("DefaultResult")).is_some() {
        hook.default_result = action_result(params, &name("DefaultResult"))?;
    }
    // An empty target removes the target.
    if let Some(target) = params.owned(&name("NotificationTargetARN")) {
        hook.target = Some(target).filter(|target| !target.is_empty());
    }
    hook.role = params.owned(&name("RoleARN")).or(hook.role);
    hook.metadata = params.owned(&name("NotificationMetadata")).or(hook.metadata);
    Ok(hook)
}

fn delete_hook(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let (group, name) = (params.required("AutoScalingGroupName")?, params.required("LifecycleHookName")?);
    world.delete_hook(now, group, name).map(|()| Some(String::new()))
}

fn describe_hooks(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let group = params.required("AutoScalingGroupName")?;
    let hooks = world.describe_hooks(now, group, &params.list("LifecycleHookNames"))?;
    let write = |hook: &HookSpec| {
        [
            leaf("LifecycleHookName", &hook.name),
            leaf("AutoScalingGroupName", group),
            leaf("LifecycleTransition", hook.transition.as_str()),
            optional("NotificationTargetARN", hook.target.as_ref()),
            optional("RoleARN", hook.role.as_ref()),
            optional("NotificationMetadata", hook.metadata.as_ref()),
            leaf("HeartbeatTimeout", hook.heartbeat_timeout.as_secs()),
            leaf("GlobalTimeout", hook.global_timeout().as_secs()),
            leaf("DefaultResult", hook.default_result.as_str()),
        ]
        .concat()
    };
    Ok(Some(list("LifecycleHooks", hooks.iter().map(write))))
}

fn heartbeat(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    world.heartbeat(now, &action_ref(params)?).map(|()| Some(String::new()))
}

fn complete(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let result = action_result(params, "LifecycleActionResult")?;
    world.complete(now, &action_ref(params)?, result).map(|()| Some(String::new()))
}

fn action_ref(params: &Params) -> Result<ActionRef, ApiError> {
    Ok(ActionRef {
        hook: params.required("LifecycleHookName")?.to_owned(),
        group: params.required("AutoScalingGroupName")?.to_owned(),
        token: params.owned("LifecycleActionToken"),
        instance: params.owned("InstanceId"),
    })
}

fn action_result(params: &Params, name: &str) -> Result<ActionResult, ApiError> {
    let text = params.required(name)?;
    // Guessed.
    let wrong =
        || ApiError::validation(format!("Lifecycle action result must be CONTINUE or ABANDON, not {text}"));
    ActionResult::parse(text).ok_or_else(wrong)
}

fn terminate_instance(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let id = params.required("InstanceId")?;
    let decrement = params.number("ShouldDecrementDesiredCapacity")?;
    let activity = world.terminate_instance(now, id, decrement)?;
    Ok(Some(activity.map(|activity| node("Activity", [write_activity(&activity)])).unwrap_or_default()))
}

fn describe_groups(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let groups = world.describe_groups(now, &params.list("AutoScalingGroupNames"))?;
    let (region, account) = (world.config().region.clone(), world.config().account.clone());
    let (page, next) = page(&groups, params, GROUPS_PAGE_MAX)?;
    let write = |group: &GroupView| write_group(group, &region, &account);
    Ok(Some(list("AutoScalingGroups", page.iter().map(write)) + &next))
}

/// An empty list, for what is not simulated.
fn none(name: &str) -> String {
    list(name, [])
}

fn write_group(group: &GroupView, region: &str, account: &str) -> String {
    let retention = if group.spec.retain_on_abandon { "retain" } else { "terminate" };
    let role = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
    let zones = ["a", "b", "c"].map(|zone| format!("{region}{zone}"));
    [
        leaf("AutoScalingGroupName", &group.spec.name),
        leaf("AutoScalingGroupARN", &group.arn),
        leaf("MinSize", group.spec.min),
        leaf("MaxSize", group.spec.max),
        leaf("DesiredCapacity", group.spec.desired),
        leaf("DefaultCooldown", 300),
        list("AvailabilityZones", zones),
        none("LoadBalancerNames"),
        list("TargetGroupARNs", group.spec.target_groups.iter().map(|arn| escape(arn))),
        leaf("HealthCheckType", "EC2"),
        leaf("HealthCheckGracePeriod", 0),
        list("Instances", group.instances.iter().map(|instance| write_instance(instance, "Healthy"))),
        leaf("CreatedTime", group.created),
        none("SuspendedProcesses"),
        none("EnabledMetrics"),
        none("Tags"),
        list("TerminationPolicies", ["Default".to_owned()]),
        leaf("NewInstancesProtectedFromScaleIn", false),
        leaf("ServiceLinkedRoleARN", format!("arn:aws:iam::{account}:{role}")),
        list("TrafficSources", group.spec.target_groups.iter().map(traffic_source)),
        node(
            "InstanceLifecyclePolicy",
            [node("RetentionTriggers", [leaf("TerminateHookAbandon", retention)])],
        ),
    ]
    .concat()
}

fn traffic_source(arn: &String) -> String {
    leaf("Identifier", arn) + &leaf("Type", "elbv2")
}

fn describe_instances(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let instances = world.describe_instances(now, &params.list("InstanceIds"))?;
    let (page, next) = page(&instances, params, INSTANCES_PAGE_MAX)?;
    // DescribeAutoScalingGroups returns `Healthy` and this call `HEALTHY`, as recorded from AWS.
    let write = |instance: &InstanceView| {
        leaf("AutoScalingGroupName", &instance.group) + &write_instance(instance, "HEALTHY")
    };
    Ok(Some(list("AutoScalingInstances", page.iter().map(write)) + &next))
}

fn write_instance(instance: &InstanceView, health: &str) -> String {
    [
        leaf("InstanceId", &instance.id),
        leaf("InstanceType", "m7g.large"),
        leaf("AvailabilityZone", &instance.zone),
        leaf("LifecycleState", instance.state.as_str()),
        leaf("HealthStatus", health),
        leaf("ProtectedFromScaleIn", instance.protected),
    ]
    .concat()
}

fn describe_activities(world: &mut World, now: Time, params: &Params) -> Result<Output, ApiError> {
    let mut activities = world.describe_activities(now, params.optional("AutoScalingGroupName"))?;
    let ids = params.list("ActivityIds");
    activities.retain(|activity| ids.is_empty() || ids.contains(&activity.id));
    let (page, next) = page(&activities, params, ACTIVITIES_PAGE_MAX)?;
    Ok(Some(list("Activities", page.iter().map(write_activity)) + &next))
}

fn write_activity(activity: &Activity) -> String {
    [
        leaf("ActivityId", &activity.id),
        leaf("AutoScalingGroupName", &activity.group),
        leaf("Description", &activity.description),
        leaf("Cause", &activity.cause),
        leaf("StartTime", activity.started),
        optional("EndTime", activity.ended),
        leaf("StatusCode", activity.status.as_str()),
        leaf("Progress", activity.status.progress()),
        leaf("Details", json!({ "Availability Zone": activity.zone })),
    ]
    .concat()
}

/// One page of a list, and the `NextToken` element for the next page.
fn page<'a, T>(items: &'a [T], params: &Params, max: usize) -> Result<(&'a [T], String), ApiError> {
    let size = params.parsed::<usize>("MaxRecords")?.unwrap_or(max).clamp(1, max);
    let start = match params.optional("NextToken") {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ApiError::sender("InvalidNextToken", format!("The token '{token}' is invalid.")))?,
    };
    let start = start.min(items.len());
    let end = (start + size).min(items.len());
    let next = (end < items.len()).then_some(end);
    Ok((&items[start..end], optional("NextToken", next)))
}
