//! Looks whether the launching hook could be completed: whether the group has it, and whether each agent is ready now.

use std::time::Duration;

use super::agent;
use super::part::Part;
use crate::cli::output::whole;
use crate::config::{self, Config};
use crate::daemon::settings;
use machine::effect::CompletionResult;
use machine::event::Hook;

/// The heartbeat timeout in the command that creates a hook.
const HEARTBEAT_TIMEOUT_S: u64 = 300;

/// A row for each agent. Empty if no launching hook is configured.
pub async fn readiness(config: &Config) -> Vec<Part> {
    if config.launch.hook.is_none() {
        return Vec::new();
    }
    let timeout = config.launch.timeout;
    let rows =
        agent::each(config, |agent, instance_id| async move { row(&agent, &instance_id, timeout).await });
    rows.await.into_iter().flatten().collect()
}

/// `None` if nothing shows whether the agent is ready. The configuration refuses that for a launching hook.
async fn row(agent: &config::Agent, instance_id: &str, timeout: Duration) -> Option<Part> {
    let ready = match settings::readiness(agent) {
        Ok(ready) => ready?.look(instance_id).await,
        Err(error) => Err(error.to_string()),
    };
    Some(match ready {
        Ok(()) => Part::ok("ready", agent.name.clone()),
        Err(why) => Part::ok("ready", format!("{}: {why}", agent.name)).failed(format!(
            "a launch would be abandoned after {}; start the agent, or set agent.ready.path or agent.ready.command",
            whole(timeout)
        )),
    })
}

/// A row for the launching hook, by the result of DescribeLifecycleHooks. `None` if no launching hook is configured. Pure.
pub fn judge(config: &Config, group: &str, hooks: &[Hook]) -> Option<Part> {
    let name = config.launch.hook.as_ref()?;
    let launching: Vec<&Hook> = hooks.iter().filter(|hook| !hook.terminating).collect();
    if hooks.iter().any(|hook| hook.terminating && hook.name == *name) {
        return Some(
            Part::ok("launch hook", format!("{name}: it is a terminating hook"))
                .failed("set launch.hook to a hook for autoscaling:EC2_INSTANCE_LAUNCHING"),
        );
    }
    let Some(hook) = launching.iter().find(|hook| hook.name == *name) else {
        let names: Vec<&str> = launching.iter().map(|hook| hook.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Some(Part::ok("launch hook", format!("{name}: the group does not have it")).failed(format!(
            "its launching hooks: {known}; correct launch.hook, or create the hook: aws autoscaling put-lifecycle-hook \
             --auto-scaling-group-name {group} --lifecycle-hook-name {name} --lifecycle-transition \
             autoscaling:EC2_INSTANCE_LAUNCHING --default-result ABANDON --heartbeat-timeout {HEARTBEAT_TIMEOUT_S}"
        )));
    };
    let (heartbeat, default) = (whole(hook.heartbeat_timeout), hook.default_result);
    let part =
        Part::ok("launch hook", format!("{name}: heartbeat timeout {heartbeat}, default result {default}"));
    let part = match default {
        CompletionResult::Abandon => part,
        CompletionResult::Continue => part.warning(
            "if the action expires, its default result CONTINUE puts the instance into service, whether or not the agents are ready",
        ),
    };
    Some(if config.launch.timeout > hook.global_timeout {
        part.failed(format!(
            "launch.timeout is {}, but the hook cannot be kept alive for longer than {}; lower launch.timeout",
            whole(config.launch.timeout),
            whole(hook.global_timeout)
        ))
    } else {
        part
    })
}
