//! Worlds that most tests play in.

use std::time::Duration;

use sim::world::{HookSpec, Work, WorldConfig};

/// A world with a slow hook, so that no machine is too slow for it, and with work that takes so long.
pub fn world(items: u32, secs: u64) -> WorldConfig {
    WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(600))],
        work: Work { items, duration: Duration::from_secs(secs), ..Work::default() },
        ..WorldConfig::default()
    }
}

/// A world whose agent never finishes its last piece of work.
pub fn stuck_world() -> WorldConfig {
    let world = world(4, 60);
    WorldConfig { work: Work { stuck: 1, ..world.work }, ..world }
}
