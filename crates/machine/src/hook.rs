//! Which hook is ours to complete.

use std::time::Duration;

use super::event::Hook;
use super::journal::HookFacts;
use super::settings::Settings;

/// What is assumed where a hook cannot be read and the configuration does not say: the least that AWS allows.
const HEARTBEAT_TIMEOUT_ASSUMED: Duration = Duration::from_secs(30);

/// `GlobalTimeout` is a hundred heartbeat timeouts, and 48 hours at most (PutLifecycleHook's documentation).
const GLOBAL_TIMEOUT_MOST: Duration = Duration::from_secs(172_800);

/// A timeout of nothing, which AWS does not allow, would mean heartbeats without a pause.
const TIMEOUT_LEAST: Duration = Duration::from_secs(1);

/// Chooses from what DescribeLifecycleHooks shows: the configured hook, else the only terminating one.
///
/// The error says why there is none to choose, and what to do.
pub fn choose(settings: &Settings, group: &str, hooks: &[Hook]) -> Result<HookFacts, String> {
    let terminating: Vec<&Hook> = hooks.iter().filter(|hook| hook.terminating).collect();
    let names = || terminating.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen = match (&settings.hook, terminating.as_slice()) {
        (_, []) => {
            return Err(format!(
                "group {group} has no terminating lifecycle hook: the instance drains, and goes when Auto Scaling \
                 wants it to; make a hook for EC2_INSTANCE_TERMINATING to be waited for"
            ));
        }
        (Some(name), _) => terminating.iter().find(|hook| hook.name == *name).ok_or_else(|| {
            format!(
                "lifecycle.hook is {name}, but group {group} has no such terminating hook; it has: {}",
                names()
            )
        })?,
        (None, [only]) => only,
        (None, _) => {
            return Err(format!(
                "group {group} has several terminating hooks ({}) and none was chosen: set lifecycle.hook",
                names()
            ));
        }
    };
    Ok(HookFacts {
        name: chosen.name.clone(),
        heartbeat_timeout: chosen.heartbeat_timeout.max(TIMEOUT_LEAST),
        global_timeout: chosen.global_timeout.max(TIMEOUT_LEAST),
        read: true,
        has_others: terminating.len() > 1,
    })
}

/// The hook of that name, with the timeouts that are safe to assume.
pub fn assume(settings: &Settings, name: &str) -> HookFacts {
    let heartbeat_timeout =
        settings.heartbeat_timeout.unwrap_or(HEARTBEAT_TIMEOUT_ASSUMED).max(TIMEOUT_LEAST);
    HookFacts {
        name: name.to_owned(),
        heartbeat_timeout,
        global_timeout: (heartbeat_timeout * 100).min(GLOBAL_TIMEOUT_MOST),
        read: false,
        has_others: false,
    }
}
