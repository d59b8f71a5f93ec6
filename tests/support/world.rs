//! The worlds of most tests.

use std::time::Duration;

use sim::world::{HookSpec, TargetGroupSpec, Transition, Work, WorldConfig};

/// A world with this much work, and a hook with a long timeout, so that tests pass on slow machines.
pub fn world(items: u32, secs: u64) -> WorldConfig {
    WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(600))],
        work: Work { items, duration: Duration::from_secs(secs), ..Work::default() },
        ..WorldConfig::default()
    }
}

/// A world whose agent never finishes its last work item.
pub fn stuck_world() -> WorldConfig {
    let world = world(4, 60);
    WorldConfig { work: Work { stuck: 1, ..world.work }, ..world }
}

/// A launching hook. If its action expires, the instance is terminated, as by AWS's default.
pub fn launching(name: &str, timeout: Duration) -> HookSpec {
    HookSpec { transition: Transition::Launching, ..HookSpec::terminating(name, timeout) }
}

/// A target group with this deregistration delay.
pub fn target_group(name: &str, delay: Duration) -> TargetGroupSpec {
    TargetGroupSpec { name: name.to_owned(), port: 80, delay }
}
