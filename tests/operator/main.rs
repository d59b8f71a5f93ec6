//! The operator's commands: the real program against a simulated AWS and the real daemon.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod check_queue;
mod config;
mod drain;
mod orders;
mod own_agent;
mod status;

use std::time::Duration;

use drainhook::sim::world::{HookSpec, Work, WorldConfig};
use support::daemon::Stage;

/// A world with a slow hook, so that no machine is too slow for it, and with work that takes so long.
fn world(items: u32, secs: u64) -> WorldConfig {
    WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(600))],
        work: Work { items, duration: Duration::from_secs(secs), ..Work::default() },
        ..WorldConfig::default()
    }
}

/// A world whose agent never finishes its last piece of work.
fn stuck_world() -> WorldConfig {
    let world = world(4, 60);
    WorldConfig { work: Work { stuck: 1, ..world.work }, ..world }
}

/// An output with what differs from run to run named, to be compared with a text that is kept.
fn named(stage: &Stage, text: &str) -> String {
    let instance = stage.instance();
    let agent = stage.service.endpoints(&instance).expect("it listens").agent;
    let key = stage.service.world(|world, now| {
        let path = "/latest/meta-data/iam/security-credentials/drainhook-simulated";
        let token = world.imds_token(now, &instance, Some("60")).body;
        let document = world.imds_get(now, &instance, Some(&token), path).body;
        let document: serde_json::Value = serde_json::from_str(&document).expect("credentials");
        document["AccessKeyId"].as_str().expect("text").to_owned()
    });
    let folder = stage.folder.path().join(&instance).display().to_string();
    [(folder, "FOLDER"), (instance, "INSTANCE"), (agent, "AGENT"), (key, "KEY")]
        .iter()
        .fold(text.to_owned(), |text, (value, name)| text.replace(value, name))
}
