//! `drainhook check`: the launching hook, and whether the agents are ready.

use std::time::Duration;

use sim::world::{AgentMode, WorldConfig};

use crate::check::{expect, row};
use crate::support::daemon::Stage;
use crate::support::world::launching;
use crate::world;

const HOOK: (&str, &str) = ("DRAINHOOK_LAUNCH__HOOK", "warm-up");

fn with_a_launching_hook() -> WorldConfig {
    let mut config = world(3, 30);
    config.hooks.push(launching("warm-up", Duration::from_secs(300)));
    config
}

#[tokio::test]
async fn ready() {
    let stage = Stage::new(1, with_a_launching_hook()).await;
    let ran = expect(&stage, &[HOOK], "launch hook", "ok", "").await;
    assert_eq!(row(&ran, "launch hook")["found"], "warm-up: heartbeat timeout 5m, default result ABANDON");
    assert_eq!(row(&ran, "ready")["state"], "ok");
    let ran = expect(&stage, &[], "hook", "ok", "").await;
    assert!(
        ran.lines().iter().all(|line| line["part"] != "ready" && line["part"] != "launch hook"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn not_ready() {
    let stage = Stage::new(1, with_a_launching_hook()).await;
    let missing = [HOOK, ("DRAINHOOK_AGENT__READY__PATH", "/up")];
    let ran = expect(&stage, &missing, "ready", "failed", "a launch would be abandoned after 10m").await;
    assert!(row(&ran, "ready")["found"].to_string().contains("/up: answered 404"), "{ran:?}");
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Fails(503)));
    expect(&stage, &[HOOK], "ready", "failed", "start the agent").await;
}

#[tokio::test]
async fn wrong_hook() {
    let stage = Stage::new(1, with_a_launching_hook()).await;
    let hook = [("DRAINHOOK_LAUNCH__HOOK", "worm-up")];
    expect(&stage, &hook, "launch hook", "failed", "its launching hooks: warm-up; correct launch.hook").await;
    let other = [("DRAINHOOK_LAUNCH__HOOK", "drain")];
    expect(&stage, &other, "launch hook", "failed", "a hook for autoscaling:EC2_INSTANCE_LAUNCHING").await;
    let long = [HOOK, ("DRAINHOOK_LAUNCH__TIMEOUT", "24h")];
    expect(&stage, &long, "launch hook", "failed", "cannot be kept alive for longer than 8h20m").await;
}
