//! Calls to Auto Scaling, without retries.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_autoscaling::types::LifecycleHook;

use super::clients::Clients;
use super::error::classify;
use formats::imds::{NAME_MAX, STATE_MAX};
use formats::text::is_text;
use machine::effect::{ActionName, CompletionResult};
use machine::event::{CallError, CallErrorKind, DescribedInstance, Hook};
use machine::hook::global_timeout;

/// The heartbeat timeout of a hook that sets none.
const HEARTBEAT_TIMEOUT_DEFAULT_S: i32 = 3600;

impl Clients {
    /// RecordLifecycleActionHeartbeat. Afterwards the action expires one heartbeat timeout from now.
    pub async fn heartbeat(&self, action: &ActionName, whose: Whose<'_>) -> Result<(), CallError> {
        let call = "autoscaling:RecordLifecycleActionHeartbeat";
        let (token, instance_id) = whose.fields();
        let request = self.autoscaling.record_lifecycle_action_heartbeat();
        let request = request.lifecycle_hook_name(&action.hook).auto_scaling_group_name(&action.group);
        let request = request.set_lifecycle_action_token(token).set_instance_id(instance_id);
        request.send().await.map(drop).map_err(|error| classify(call, &error))
    }

    /// CompleteLifecycleAction.
    pub async fn complete(
        &self,
        action: &ActionName,
        whose: Whose<'_>,
        result: CompletionResult,
    ) -> Result<(), CallError> {
        let call = "autoscaling:CompleteLifecycleAction";
        let (token, instance_id) = whose.fields();
        let request = self.autoscaling.complete_lifecycle_action().lifecycle_action_result(result.as_str());
        let request = request.lifecycle_hook_name(&action.hook).auto_scaling_group_name(&action.group);
        let request = request.set_lifecycle_action_token(token).set_instance_id(instance_id);
        request.send().await.map(drop).map_err(|error| classify(call, &error))
    }

    /// DescribeAutoScalingInstances; `None` if Auto Scaling does not know the instance.
    pub async fn describe_instance(&self, instance_id: &str) -> Result<Option<DescribedInstance>, CallError> {
        let call = "autoscaling:DescribeAutoScalingInstances";
        let answer =
            self.autoscaling.describe_auto_scaling_instances().instance_ids(instance_id).send().await;
        let answer = answer.map_err(|error| classify(call, &error))?;
        let ours = |id: Option<&str>| id == Some(instance_id);
        let found = answer.auto_scaling_instances().iter().find(|details| ours(details.instance_id()));
        let Some(details) = found else { return Ok(None) };
        match (details.auto_scaling_group_name(), details.lifecycle_state()) {
            (Some(group), Some(state)) if is_text(group, NAME_MAX) && is_text(state, STATE_MAX) => {
                Ok(Some(DescribedInstance { group: group.to_owned(), lifecycle_state: state.to_owned() }))
            }
            _ => Err(incomplete(call, "an instance without group or lifecycle state")),
        }
    }

    /// DescribeLifecycleHooks: all hooks of a group.
    pub async fn describe_hooks(&self, group: &str) -> Result<Vec<Hook>, CallError> {
        let call = "autoscaling:DescribeLifecycleHooks";
        let answer = self.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(group).send().await;
        let answer = answer.map_err(|error| classify(call, &error))?;
        answer.lifecycle_hooks().iter().map(|hook| read_hook(call, hook)).collect()
    }

    /// SetInstanceProtection for one instance. While it is protected, scale-in does not pick it.
    pub async fn protect(&self, group: &str, instance_id: &str, protect: bool) -> Result<(), CallError> {
        let request = self.autoscaling.set_instance_protection().auto_scaling_group_name(group);
        let request = request.instance_ids(instance_id).protected_from_scale_in(protect);
        let answer = request.send().await;
        answer.map(drop).map_err(|error| classify("autoscaling:SetInstanceProtection", &error))
    }

    /// DescribeAutoScalingGroups: the ARNs of the target groups that a group manages. The daemon does not make this call.
    pub async fn target_groups_of(&self, group: &str) -> Result<Vec<String>, CallError> {
        let call = "autoscaling:DescribeAutoScalingGroups";
        let answer = self.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group).send();
        let answer = answer.await.map_err(|error| classify(call, &error))?;
        let groups = answer.auto_scaling_groups().iter();
        let arns = groups.flat_map(|group| {
            let sources = group.traffic_sources().iter().filter_map(|source| source.identifier());
            group.target_group_arns().iter().map(String::as_str).chain(sources)
        });
        let arns: BTreeSet<&str> = arns.filter(|arn| arn.contains(":targetgroup/")).collect();
        Ok(arns.into_iter().map(str::to_owned).collect())
    }
}

/// How a call names the action: by instance or by token. AWS does not document what happens with both, or with neither.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// By instance id.
    Instance(&'a str),
    /// By token. The daemon does not use this, because the token in a message can belong to another instance's action.
    Token(&'a str),
}

impl Whose<'_> {
    /// `LifecycleActionToken` and `InstanceId`.
    fn fields(self) -> (Option<String>, Option<String>) {
        match self {
            Whose::Instance(id) => (None, Some(id.to_owned())),
            Whose::Token(token) => (Some(token.to_owned()), None),
        }
    }
}

fn read_hook(call: &str, hook: &LifecycleHook) -> Result<Hook, CallError> {
    let name = hook.lifecycle_hook_name().filter(|name| is_text(name, NAME_MAX));
    let name = name.ok_or_else(|| incomplete(call, "a hook without a name"))?;
    let heartbeat_timeout = seconds(hook.heartbeat_timeout().unwrap_or(HEARTBEAT_TIMEOUT_DEFAULT_S));
    let default_result = match hook.default_result() {
        Some("CONTINUE") => CompletionResult::Continue,
        // AWS's default is ABANDON.
        _ => CompletionResult::Abandon,
    };
    Ok(Hook {
        name: name.to_owned(),
        terminating: hook.lifecycle_transition() == Some("autoscaling:EC2_INSTANCE_TERMINATING"),
        heartbeat_timeout,
        global_timeout: hook.global_timeout().map_or_else(|| global_timeout(heartbeat_timeout), seconds),
        default_result,
        notification_target: hook.notification_target_arn().map(str::to_owned),
    })
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn incomplete(call: &str, what: &str) -> CallError {
    CallError { kind: CallErrorKind::Unanswered, message: format!("{}: the response has {what}", call) }
}
