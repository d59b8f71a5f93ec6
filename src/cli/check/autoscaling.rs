//! Checks credentials, the group, the hook, and the permissions for lifecycle calls.

use super::part::{Part, State};
use super::{CALL_LIMIT, hook, launch, protection, target_group, within};
use crate::aws::autoscaling::Whose;
use crate::aws::clients::{Clients, Settings};
use crate::aws::imds::Identity;
use crate::config::Config;
use crate::daemon::settings;
use machine::effect::{ActionName, CompletionResult};
use machine::event::{CallError, CallErrorKind, Hook};

/// Region and credentials, found as every SDK program finds them. Without them there are no clients.
pub async fn credentials(settings: &Settings, instance_id: &str) -> (Part, Option<Clients>) {
    // The SDK may request the Region from IMDS.
    let clients = match tokio::time::timeout(CALL_LIMIT, Clients::connect(settings)).await {
        Ok(Ok(clients)) => clients,
        Ok(Err(error)) => return (Part::ok("credentials", "no Region").failed(error.message), None),
        Err(_) => {
            let part = Part::ok("credentials", format!("no Region within {CALL_LIMIT:?}"));
            return (part.failed("set AWS_REGION, or make IMDS answer"), None);
        }
    };
    let part = signed(&clients, instance_id).await;
    let clients = (part.state != State::Failed).then_some(clients);
    (part, clients)
}

async fn signed(clients: &Clients, instance_id: &str) -> Part {
    let found = tokio::time::timeout(CALL_LIMIT, clients.access_key_id()).await;
    let region = clients.region().unwrap_or_default();
    let part = |found: &str| Part::ok("credentials", format!("Region {region}, {found}"));
    let id = if instance_id.is_empty() { "INSTANCE_ID" } else { instance_id };
    let advice = format!(
        "check that this process reaches IMDS, and that the instance has an instance profile: aws ec2 \
         associate-iam-instance-profile --instance-id {id} --iam-instance-profile Name=PROFILE"
    );
    match found {
        Ok(Ok(id)) => part(&format!("access key {id}")),
        Ok(Err(why)) => part("no credentials").failed(format!("{why}; {advice}")),
        Err(_) => part("no credentials").failed(format!("no answer within {CALL_LIMIT:?}; {advice}")),
    }
}

/// The group, its hook, and the permissions. The hooks are `None` if they cannot be read.
pub async fn look(config: &Config, identity: &Identity, clients: &Clients) -> (Vec<Part>, Option<Vec<Hook>>) {
    let (part, group) = group(config, identity, clients).await;
    let targets = target_group::look(config, &identity.instance_id, group.as_deref(), clients);
    let ((of_group, hooks), targets) =
        tokio::join!(of_group(config, identity, clients, group.as_deref()), targets);
    let parts = [part].into_iter().chain(of_group).chain(targets).collect();
    (parts, hooks)
}

/// The group's hook, and the permissions.
async fn of_group(
    config: &Config,
    identity: &Identity,
    clients: &Clients,
    group: Option<&str>,
) -> (Vec<Part>, Option<Vec<Hook>>) {
    let Some(group) = group else {
        let hook = Part::skipped("hook", "not read: the group is unknown");
        return (vec![hook, Part::skipped("permissions", "not tried: the group is unknown")], None);
    };
    let mut parts = Vec::new();
    let settings = settings::machine(config, identity);
    let call = clients.describe_hooks(group);
    let hooks = match within("autoscaling:DescribeLifecycleHooks", call).await {
        Ok(hooks) => {
            parts.push(hook::judge(&settings, group, &hooks));
            parts.extend(launch::judge(config, group, &hooks));
            Some(hooks)
        }
        Err(error) => {
            parts.push(hook::unread(&settings, config.queue.url.is_some(), &error.message));
            None
        }
    };
    parts.extend(protection::permission(config, clients, group).await);
    let of_group = hooks.iter().flatten().find(|hook| hook.terminating);
    let name = config.lifecycle.hook.clone().or_else(|| of_group.map(|hook| hook.name.clone()));
    parts.push(match name {
        Some(hook) => Box::pin(permissions(clients, hook, group.to_owned())).await,
        None => Part::skipped("permissions", "not tried: the hook is unknown"),
    });
    (parts, hooks)
}

/// The instance's group, according to Auto Scaling, or else to the configuration or IMDS.
async fn group(config: &Config, identity: &Identity, clients: &Clients) -> (Part, Option<String>) {
    let known = config.lifecycle.group.clone().or_else(|| identity.group.clone());
    if identity.instance_id.is_empty() {
        return (Part::skipped("group", "not asked: the instance id is unknown"), known);
    }
    let call = clients.describe_instance(&identity.instance_id);
    match within("autoscaling:DescribeAutoScalingInstances", call).await {
        Ok(Some(instance)) => {
            let part = Part::ok("group", format!("{}, {}", instance.group, instance.lifecycle_state));
            let part = match &config.lifecycle.group {
                Some(configured) if *configured != instance.group => part.failed(format!(
                    "lifecycle.group is {configured}, but the instance is in {}; correct or remove lifecycle.group",
                    instance.group
                )),
                Some(_) | None => part,
            };
            (part, Some(instance.group))
        }
        Ok(None) => {
            let part = Part::ok("group", format!("Auto Scaling does not know {}", identity.instance_id));
            let advice = "the instance is in no group, so there will be no lifecycle action to complete";
            let expected = config.lifecycle.group.is_some() || config.lifecycle.hook.is_some();
            let part = if expected { part.failed(advice) } else { part.warning(advice) };
            (part, known)
        }
        Err(error) => {
            let part = Part::ok("group", known.clone().unwrap_or_else(|| "unknown".to_owned()));
            let part = match &known {
                Some(_) => part.warning(format!(
                    "the daemon needs this call to find out why a heartbeat or a completion was rejected: {error}"
                )),
                None => {
                    part.failed(format!("the group is unknown; set lifecycle.group, or fix this: {error}"))
                }
            };
            (part, known)
        }
    }
}

/// Sends a heartbeat and a completion with a token that no action has. AWS checks permissions before the token, so a permitted
/// call fails with `No active Lifecycle Action found` and changes nothing.
async fn permissions(clients: &Clients, hook: String, group: String) -> Part {
    let bits = fastrand::u128(..);
    let token = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xfff,
        bits >> 52 & 0xfff,
        bits & 0xffff_ffff_ffff
    );
    let action = ActionName { hook, group };
    let heartbeat = clients.heartbeat(&action, Whose::Token(&token));
    let completion = clients.complete(&action, Whose::Token(&token), CompletionResult::Continue);
    let (heartbeat, completion) = tokio::join!(
        within("autoscaling:RecordLifecycleActionHeartbeat", heartbeat),
        within("autoscaling:CompleteLifecycleAction", completion)
    );
    let part = Part::ok("permissions", "");
    let proves = |error: &CallError| error.kind == CallErrorKind::NoActiveAction;
    let (part, heartbeat) = part.tried(heartbeat, proves);
    let (part, completion) = part.tried(completion, proves);
    Part { found: format!("heartbeat {heartbeat}, completion {completion}"), ..part }
}
