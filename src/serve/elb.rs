//! Serves Elastic Load Balancing's target groups in the Query protocol. Element names follow botocore's service model of
//! 2015-12-01.

use std::time::Duration;

use machine::Time;
use sim::world::{ApiError, TargetGroupSpec, TargetGroupView, TargetRef, TargetView, World};

use super::query::{Params, unknown_action};
use super::service::Shared;
use super::xml::{leaf, list, node, optional};

pub(super) const VERSION: &str = "2015-12-01";
pub(super) const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

const DELAY: &str = "deregistration_delay.timeout_seconds";

/// The deregistration delay of a new target group.
const DELAY_DEFAULT: Duration = Duration::from_secs(300);

/// Answers a call with the content of its response's `…Result` element.
type Call = fn(&mut World, Time, &Params) -> Result<String, ApiError>;

/// Every call that is served, with its handler.
pub(super) const CALLS: &[(&str, Call)] = &[
    ("CreateTargetGroup", create_group),
    ("DeregisterTargets", deregister),
    ("DescribeTargetGroupAttributes", describe_attributes),
    ("DescribeTargetGroups", describe_groups),
    ("DescribeTargetHealth", describe_health),
    ("ModifyTargetGroupAttributes", modify_attributes),
    ("RegisterTargets", register),
];

/// Answers one call.
pub(super) fn call(shared: &Shared, params: &Params) -> Result<String, ApiError> {
    let action = params.required("Action")?;
    let Some((_, answer)) = CALLS.iter().find(|(name, _)| *name == action) else {
        return Err(unknown_action(action, VERSION, CALLS.iter().map(|(name, _)| *name)));
    };
    shared.with(|world, now| answer(world, now, params))
}

fn create_group(world: &mut World, now: Time, params: &Params) -> Result<String, ApiError> {
    let name = params.required("Name")?.to_owned();
    let spec = TargetGroupSpec { name, port: params.number("Port")?, delay: DELAY_DEFAULT };
    let arn = world.create_target_group(now, spec)?;
    let created = world.target_groups().into_iter().filter(|group| group.arn == arn);
    Ok(list("TargetGroups", created.map(|group| write_group(&group))))
}

fn describe_groups(world: &mut World, _: Time, params: &Params) -> Result<String, ApiError> {
    let (arns, names) = (params.list("TargetGroupArns"), params.list("Names"));
    let groups: Vec<_> = world.target_groups();
    let all = arns.is_empty() && names.is_empty();
    let wanted =
        groups.iter().filter(|group| all || arns.contains(&group.arn) || names.contains(&group.spec.name));
    let wanted: Vec<_> = wanted.map(write_group).collect();
    if wanted.is_empty() && !all {
        return Err(ApiError::sender("TargetGroupNotFound", "One or more target groups not found"));
    }
    Ok(list("TargetGroups", wanted))
}

fn write_group(group: &TargetGroupView) -> String {
    [
        leaf("TargetGroupArn", &group.arn),
        leaf("TargetGroupName", &group.spec.name),
        leaf("Protocol", "HTTP"),
        leaf("Port", group.spec.port),
    ]
    .concat()
}

fn register(world: &mut World, now: Time, params: &Params) -> Result<String, ApiError> {
    let arn = params.required("TargetGroupArn")?;
    targets(params)?.iter().try_for_each(|target| world.register_target(now, arn, target))?;
    Ok(String::new())
}

fn deregister(world: &mut World, now: Time, params: &Params) -> Result<String, ApiError> {
    let arn = params.required("TargetGroupArn")?;
    targets(params)?.iter().try_for_each(|target| world.deregister_target(now, arn, target))?;
    Ok(String::new())
}

fn describe_health(world: &mut World, now: Time, params: &Params) -> Result<String, ApiError> {
    let found = world.describe_targets(now, params.required("TargetGroupArn")?, &targets(params)?)?;
    let write = |target: &TargetView| {
        let health =
            [leaf("State", target.health.state()), optional("Reason", target.health.reason())].concat();
        node("Target", [leaf("Id", &target.id), leaf("Port", target.port)]) + &node("TargetHealth", [health])
    };
    Ok(list("TargetHealthDescriptions", found.iter().map(write)))
}

fn targets(params: &Params) -> Result<Vec<TargetRef>, ApiError> {
    let prefixes = params.structures("Targets", "Id").into_iter();
    let target = |prefix: String| {
        let id = params.required(&format!("{prefix}Id"))?.to_owned();
        Ok(TargetRef { id, port: params.parsed(&format!("{prefix}Port"))? })
    };
    prefixes.map(target).collect()
}

fn describe_attributes(world: &mut World, _: Time, params: &Params) -> Result<String, ApiError> {
    write_attributes(world, params.required("TargetGroupArn")?)
}

fn modify_attributes(world: &mut World, now: Time, params: &Params) -> Result<String, ApiError> {
    let arn = params.required("TargetGroupArn")?;
    for prefix in params.structures("Attributes", "Key") {
        if params.optional(&format!("{prefix}Key")) == Some(DELAY) {
            let seconds = params.number(&format!("{prefix}Value"))?;
            world.set_deregistration_delay(now, arn, Duration::from_secs(seconds))?;
        }
    }
    write_attributes(world, arn)
}

fn write_attributes(world: &World, arn: &str) -> Result<String, ApiError> {
    let group = world.target_groups().into_iter().find(|group| group.arn == arn);
    let not_found = || ApiError::sender("TargetGroupNotFound", "One or more target groups not found");
    let delay = group.ok_or_else(not_found)?.spec.delay;
    let attribute = leaf("Key", DELAY) + &leaf("Value", delay.as_secs());
    Ok(list("Attributes", [attribute]))
}
