//! Chooses the hook that the daemon completes.

use std::fmt;
use std::time::Duration;

use super::event::Hook;
use super::journal::HookFacts;
use super::settings::Settings;

/// The heartbeat timeout to assume if the hook cannot be read and the configuration sets none: the shortest AWS allows.
pub const HEARTBEAT_TIMEOUT_ASSUMED: Duration = Duration::from_secs(30);

/// The longest `GlobalTimeout` (PutLifecycleHook's documentation).
const GLOBAL_TIMEOUT_MAX: Duration = Duration::from_secs(172_800);

/// The shortest timeout that is used.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// A pattern of another controller's hook names.
enum Named {
    Exactly(&'static str),
    StartsWith(&'static str),
    EndsWith(&'static str),
    /// Ignores case.
    Contains(&'static str),
}

/// Terminating hooks that other controllers install and complete themselves. Comments give the sources of the names.
const OTHERS: &[(Named, &str)] = &[
    // Installed by a capacity provider with managedDraining: ECS developer guide, "managed instance draining"; aws-cdk#28672.
    (Named::Exactly("ecs-managed-draining-termination-hook"), "Amazon ECS (managed instance draining)"),
    // Installed in the group of every managed node group. Named in the EKS API and in issues of eksctl and Terraform.
    (Named::Exactly("Terminate-LC-Hook"), "Amazon EKS (managed node group)"),
    // Launch and termination hooks: CodeDeploy user guide, "Integrating CodeDeploy with Amazon EC2 Auto Scaling".
    (Named::StartsWith("CodeDeploy-managed-automatic-"), "AWS CodeDeploy"),
    // kops, pkg/model/awsmodel/nodeterminationhandler.go.
    (Named::EndsWith("-NTHLifecycleHook"), "AWS Node Termination Handler (kops)"),
    // The README of aws-node-termination-handler (my-k8s-term-hook), and patterns that follow it (NTH-K8S-TERM-HOOK).
    (Named::Contains("k8s-term-hook"), "AWS Node Termination Handler"),
    (Named::Contains("node-termination-handler"), "AWS Node Termination Handler"),
];

/// The controller that installs hooks of this name, if known.
pub fn owner_by_name(hook: &str) -> Option<&'static str> {
    let matches = |named: &Named| match named {
        Named::Exactly(name) => hook == *name,
        Named::StartsWith(start) => hook.starts_with(start),
        Named::EndsWith(end) => hook.ends_with(end),
        Named::Contains(part) => hook.to_ascii_lowercase().contains(part),
    };
    OTHERS.iter().find(|(named, _)| matches(named)).map(|(_, owner)| *owner)
}

/// Who completes a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// It notifies our queue.
    Us,
    /// Unknown. The hook notifies nothing or an SNS topic, so EventBridge or the topic may bring its messages to us.
    Unknown,
    /// A controller identified by the hook's name.
    Controller(&'static str),
    /// The reader of the queue that the hook notifies. It is not our queue.
    Queue(String),
}

impl Owner {
    /// Whether another controller completes it.
    pub fn is_foreign(&self) -> bool {
        match self {
            Owner::Us | Owner::Unknown => false,
            Owner::Controller(_) | Owner::Queue(_) => true,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Us => f.write_str("drainhook"),
            Owner::Unknown => f.write_str("unknown"),
            Owner::Controller(name) => f.write_str(name),
            Owner::Queue(arn) => write!(f, "the reader of {arn}"),
        }
    }
}

/// Who completes a hook, by its notification target and its name. A hook that notifies our queue is ours, regardless of its
/// name.
pub fn owner(settings: &Settings, hook: &Hook) -> Owner {
    let queue = hook.notification_target.as_deref().and_then(|arn| Some((arn, queue_of(arn)?)));
    match (&settings.queue_name, queue) {
        (Some(ours), Some((_, notified))) if *ours == notified => return Owner::Us,
        (Some(_), Some((arn, _))) => return Owner::Queue(arn.to_owned()),
        // Without a configured queue, our hook may still notify one.
        (None, Some(_)) | (_, None) => {}
    }
    owner_by_name(&hook.name).map_or(Owner::Unknown, Owner::Controller)
}

/// The `ACCOUNT/NAME` of an SQS queue's ARN; `None` for any other ARN.
fn queue_of(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (_arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    (service == "sqs").then(|| format!("{account}/{name}"))
}

/// Chooses from the hooks that DescribeLifecycleHooks returned: the configured hook, else the only terminating one that
/// notifies our queue, else the only terminating one not known to belong to another controller.
///
/// The error says why no hook can be chosen and what to do.
pub fn choose(settings: &Settings, group: &str, hooks: &[Hook]) -> Result<HookFacts, String> {
    let terminating: Vec<&Hook> = hooks.iter().filter(|hook| hook.terminating).collect();
    if terminating.is_empty() {
        return Err(format!(
            "group {group} has no terminating lifecycle hook, so Auto Scaling does not wait for the drain; create a hook \
             for autoscaling:EC2_INSTANCE_TERMINATING"
        ));
    }
    let chosen = match &settings.hook {
        Some(name) => terminating.iter().find(|hook| hook.name == *name).ok_or_else(|| {
            format!(
                "lifecycle.hook is {name}, but group {group} has no such terminating hook; it has: {}",
                names(&terminating)
            )
        })?,
        None => choose_unnamed(settings, group, &terminating)?,
    };
    Ok(HookFacts {
        name: chosen.name.clone(),
        heartbeat_timeout: heartbeat_timeout(chosen),
        global_timeout: chosen.global_timeout.max(TIMEOUT_MIN),
        read: true,
        has_others: terminating.len() > 1,
    })
}

fn choose_unnamed<'a>(settings: &Settings, group: &str, hooks: &[&'a Hook]) -> Result<&'a Hook, String> {
    let owned: Vec<(&Hook, Owner)> = hooks.iter().map(|hook| (*hook, owner(settings, hook))).collect();
    let such = |fits: fn(&Owner) -> bool| -> Vec<&Hook> {
        owned.iter().filter(|(_, owner)| fits(owner)).map(|(hook, _)| *hook).collect()
    };
    if let [only] = such(|owner| *owner == Owner::Us)[..] {
        return Ok(only);
    }
    match such(|owner| !owner.is_foreign())[..] {
        [only] => Ok(only),
        [] => {
            let owned: Vec<String> =
                owned.iter().map(|(hook, owner)| format!("{} of {owner}", hook.name)).collect();
            Err(format!(
                "every terminating hook of group {group} belongs to another controller ({}), so the instance drains but \
                 drainhook completes none of them; create a hook for drainhook, or set lifecycle.hook",
                owned.join(", ")
            ))
        }
        ref several => Err(format!(
            "group {group} has several terminating hooks ({}) and none was chosen; set lifecycle.hook to one of them",
            names(several)
        )),
    }
}

fn names(hooks: &[&Hook]) -> String {
    hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The hook's heartbeat timeout, but not so short that it would mean heartbeats without a pause.
pub fn heartbeat_timeout(hook: &Hook) -> Duration {
    hook.heartbeat_timeout.max(TIMEOUT_MIN)
}

/// `GlobalTimeout` of a hook with this heartbeat timeout: 100 times the heartbeat timeout, at most 48 hours.
pub fn global_timeout(heartbeat_timeout: Duration) -> Duration {
    heartbeat_timeout.saturating_mul(100).min(GLOBAL_TIMEOUT_MAX)
}

/// The hook of that name, with timeouts that are safe to assume.
pub fn assume(settings: &Settings, name: &str) -> HookFacts {
    let heartbeat_timeout = settings.heartbeat_timeout.unwrap_or(HEARTBEAT_TIMEOUT_ASSUMED).max(TIMEOUT_MIN);
    HookFacts {
        name: name.to_owned(),
        heartbeat_timeout,
        global_timeout: global_timeout(heartbeat_timeout),
        read: false,
        has_others: false,
    }
}
