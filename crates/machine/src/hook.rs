//! Which hook is ours to complete.

use std::fmt;
use std::time::Duration;

use super::event::Hook;
use super::journal::HookFacts;
use super::settings::Settings;

/// What is assumed where a hook cannot be read and the configuration does not say: the least that AWS allows.
const HEARTBEAT_TIMEOUT_ASSUMED: Duration = Duration::from_secs(30);

/// The longest `GlobalTimeout` (PutLifecycleHook's documentation).
const GLOBAL_TIMEOUT_MAX: Duration = Duration::from_secs(172_800);

/// AWS allows no shorter one. A timeout of zero would mean heartbeats without a pause.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// How the hooks of another controller are named.
enum Named {
    Exactly(&'static str),
    StartsWith(&'static str),
    EndsWith(&'static str),
    /// In any case.
    Contains(&'static str),
}

/// Terminating hooks that other controllers install and complete themselves, with where their names are from.
const OTHERS: &[(Named, &str)] = &[
    // Installed with managedDraining of a capacity provider: ECS developer guide, "managed instance draining"; aws-cdk#28672.
    (Named::Exactly("ecs-managed-draining-termination-hook"), "Amazon ECS (managed instance draining)"),
    // Installed in the group of every managed node group: the EKS API; eksctl and Terraform issues name it.
    (Named::Exactly("Terminate-LC-Hook"), "Amazon EKS (managed node group)"),
    // Launch and termination hooks: CodeDeploy user guide, "Integrating CodeDeploy with Amazon EC2 Auto Scaling".
    (Named::StartsWith("CodeDeploy-managed-automatic-"), "AWS CodeDeploy"),
    // kops, pkg/model/awsmodel/nodeterminationhandler.go.
    (Named::EndsWith("-NTHLifecycleHook"), "AWS Node Termination Handler (kops)"),
    // The README of aws-node-termination-handler (my-k8s-term-hook), and patterns that follow it (NTH-K8S-TERM-HOOK).
    (Named::Contains("k8s-term-hook"), "AWS Node Termination Handler"),
    (Named::Contains("node-termination-handler"), "AWS Node Termination Handler"),
];

/// The controller that installs hooks of this name, where that is known.
pub fn owner_by_name(hook: &str) -> Option<&'static str> {
    let matches = |named: &Named| match named {
        Named::Exactly(name) => hook == *name,
        Named::StartsWith(start) => hook.starts_with(start),
        Named::EndsWith(end) => hook.ends_with(end),
        Named::Contains(part) => hook.to_ascii_lowercase().contains(part),
    };
    OTHERS.iter().find(|(named, _)| matches(named)).map(|(_, owner)| *owner)
}

/// Whose a hook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// It notifies our queue.
    Us,
    /// Unknown. EventBridge tells of a hook that notifies nothing, and a topic's subscribers hear of a hook that notifies
    /// it: either may be us.
    Unknown,
    /// A controller that is known by its hook's name.
    Controller(&'static str),
    /// The reader of the queue that it notifies, which is not ours.
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

/// Whose a hook is, by where it notifies and by its name. What notifies our queue is ours, whatever its name.
pub fn owner(settings: &Settings, hook: &Hook) -> Owner {
    let queue = hook.notification_target.as_deref().and_then(|arn| Some((arn, queue_of(arn)?)));
    match (&settings.queue_name, queue) {
        (Some(ours), Some((_, notified))) if *ours == notified => return Owner::Us,
        (Some(_), Some((arn, _))) => return Owner::Queue(arn.to_owned()),
        // Without a queue, a hook of ours may still notify one.
        (None, Some(_)) | (_, None) => {}
    }
    owner_by_name(&hook.name).map_or(Owner::Unknown, Owner::Controller)
}

/// The `ACCOUNT/NAME` of the SQS queue that an ARN names, where it is a queue's.
fn queue_of(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (_arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    (service == "sqs").then(|| format!("{account}/{name}"))
}

/// Chooses from what DescribeLifecycleHooks shows: the configured hook, else the only terminating one that notifies our
/// queue, else the only one that is not known to be another controller's.
///
/// The error says why no hook can be chosen, and what to do.
pub fn choose(settings: &Settings, group: &str, hooks: &[Hook]) -> Result<HookFacts, String> {
    let terminating: Vec<&Hook> = hooks.iter().filter(|hook| hook.terminating).collect();
    if terminating.is_empty() {
        return Err(format!(
            "group {group} has no terminating lifecycle hook: the instance drains, and goes when Auto Scaling \
             wants it to; make a hook for EC2_INSTANCE_TERMINATING to be waited for"
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
        heartbeat_timeout: chosen.heartbeat_timeout.max(TIMEOUT_MIN),
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
                "every terminating hook of group {group} belongs to another controller ({}): the instance drains and \
                 completes none of them; make a hook for drainhook, or set lifecycle.hook",
                owned.join(", ")
            ))
        }
        ref several => Err(format!(
            "group {group} has several terminating hooks ({}) and none was chosen: set lifecycle.hook",
            names(several)
        )),
    }
}

fn names(hooks: &[&Hook]) -> String {
    hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// `GlobalTimeout` of a hook with this heartbeat timeout: a hundred of them, and 48 hours at most.
pub fn global_timeout(heartbeat_timeout: Duration) -> Duration {
    heartbeat_timeout.saturating_mul(100).min(GLOBAL_TIMEOUT_MAX)
}

/// The hook of that name, with the timeouts that are safe to assume.
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
