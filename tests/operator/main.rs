//! The operator's commands, with the real program, the real daemon and a simulated AWS.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod check_launch;
mod check_probe;
mod check_protection;
mod check_queue;
mod check_targets;
mod config;
mod conformance;
mod drain;
mod foreign;
mod orders;
mod own_agent;
mod presets;
/// The `drain` module of the sample worker.
#[path = "../../examples/agents/rust/drain.rs"]
#[allow(dead_code, reason = "the worker uses all of it")]
mod sample;
mod status;

use support::daemon::Stage;
use support::world::{stuck_world, world};

/// Replaces values that differ between runs with names, so that the output can be compared with a file.
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
