//! Looks whether the instance can leave its target groups, and which ones Auto Scaling itself drains.

use std::time::Duration;

use super::part::Part;
use super::protection::NO_INSTANCE;
use super::within;
use crate::aws::clients::Clients;
use crate::aws::unsent;
use crate::cli::output::whole;
use crate::config::{Config, TargetGroup};
use crate::daemon::settings;
use machine::event::{CallError, CallErrorKind, TargetHealth};
use machine::settings::TargetSettings;
use machine::targets::TargetName;

/// No target has this address: it is reserved for documentation (RFC 5737).
const NO_ADDRESS: &str = "192.0.2.1";

/// A row for each target group of the configuration, and one for those that the Auto Scaling group manages.
pub async fn look(config: &Config, instance_id: &str, group: Option<&str>, clients: &Clients) -> Vec<Part> {
    let managed = match group {
        Some(group) => within("autoscaling:DescribeAutoScalingGroups", clients.target_groups_of(group)).await,
        None => Err(unsent("the group is unknown")),
    };
    let targets = settings::targets(config, instance_id);
    let mut parts = Vec::new();
    for (configured, target) in config.target_groups.iter().zip(&targets) {
        parts.push(row(configured, target, &managed, clients).await);
    }
    parts.extend(of_auto_scaling(config, &managed.unwrap_or_default()));
    parts
}

/// The target groups that Auto Scaling drains by itself. The role need not be able to read them.
fn of_auto_scaling(config: &Config, managed: &[String]) -> Option<Part> {
    let is_configured = |arn: &&String| config.target_groups.iter().any(|group| group.arn == **arn);
    let others: Vec<&str> = managed.iter().filter(|arn| !is_configured(arn)).map(|arn| name(arn)).collect();
    let found = format!(
        "{}: managed by the Auto Scaling group, which deregisters the instance and waits for the deregistration delay before \
         Terminating:Wait",
        others.join(", ")
    );
    (!others.is_empty()).then(|| Part::ok("target group", found))
}

async fn row(
    configured: &TargetGroup,
    target: &TargetSettings,
    managed: &Result<Vec<String>, CallError>,
    clients: &Clients,
) -> Part {
    let TargetSettings { name, target, timeout } = target;
    if target.id.is_empty() {
        return Part::skipped("target group", format!("{name}: not asked: the instance id is unknown"));
    }
    let region = clients.region().unwrap_or_default();
    if configured.region() != region {
        return Part::ok("target group", format!("{name}: in Region {}", configured.region()))
            .failed(format!("the daemon calls Region {region}; correct target_group.arn, or AWS_REGION"));
    }
    let state = within("elasticloadbalancing:DescribeTargetHealth", clients.target_health(target)).await;
    let (health, state) = match state {
        Ok(state) => state,
        Err(error) => {
            return Part::ok("target group", format!("{name}: not read")).failed(format!(
                "a drain would wait for {} and deregister nothing: {error}",
                whole(*timeout)
            ));
        }
    };
    let call = clients.deregistration_delay(&target.group);
    let delay = within("elasticloadbalancing:DescribeTargetGroupAttributes", call).await;
    let known = delay.as_ref().ok().copied().flatten();
    let known = known.map(|delay| format!(", deregistration delay {}", whole(delay)));
    let found = format!("{name}: {} is {state}{}", target.id, known.unwrap_or_default());
    let part = of_health(Part::ok("target group", found), health);
    let part = of_permissions(of_delay(part, delay, *timeout), target, clients).await;
    of_management(part, managed, &target.group)
}

/// Whether the role may deregister and register targets of this group, tried with one that does not exist. Deregistering it
/// succeeds, and registering it is refused (DeregisterTargets and RegisterTargets in ELB's API reference). An IP address need not
/// exist to be registered, so that is not tried.
async fn of_permissions(part: Part, target: &TargetName, clients: &Clients) -> Part {
    let is_instance = target.id.starts_with("i-");
    let id = if is_instance { NO_INSTANCE } else { NO_ADDRESS };
    let missing = TargetName { id: id.to_owned(), ..target.clone() };
    let proves = |error: &CallError| error.kind == CallErrorKind::Rejected;
    let call = clients.deregister_target(&missing);
    let (part, _) = part.tried(within("elasticloadbalancing:DeregisterTargets", call).await, proves);
    if !is_instance {
        return part;
    }
    let call = clients.register_target(&missing);
    part.tried(within("elasticloadbalancing:RegisterTargets", call).await, proves).0
}

fn of_health(part: Part, health: TargetHealth) -> Part {
    match health {
        TargetHealth::Registered => part,
        TargetHealth::NotRegistered | TargetHealth::Unused | TargetHealth::Draining => part.warning(
            "the load balancer sends no requests to this target; if it should, register it, or correct target_group.target and \
             target_group.port",
        ),
    }
}

fn of_delay(part: Part, delay: Result<Option<Duration>, CallError>, timeout: Duration) -> Part {
    match delay {
        Ok(Some(delay)) if delay > timeout => part.warning(format!(
            "a drain waits for only {} of the deregistration delay, and then cuts off requests; raise target_group.timeout",
            whole(timeout)
        )),
        Ok(_) => part,
        Err(error) => part.warning(format!("the deregistration delay is unknown: {error}")),
    }
}

fn of_management(part: Part, managed: &Result<Vec<String>, CallError>, arn: &str) -> Part {
    match managed {
        Ok(managed) if managed.iter().any(|managed| managed == arn) => part.failed(
            "the Auto Scaling group manages this target group: it drains it before Terminating:Wait, and registers the instance \
             again; remove this [[target_group]]",
        ),
        Ok(_) => part,
        Err(error) => part.warning(format!("whether the Auto Scaling group manages it is unknown: {error}")),
    }
}

/// The name in the ARN of a target group.
fn name(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or(arn)
}
