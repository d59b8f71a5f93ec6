//! The launching hook, which is completed once the agents are ready.

use std::time::Duration;

use sim::world::{AgentMode, Happening, LifecycleState, WorldConfig};

use crate::command::Script;
use crate::support::daemon::{Daemon, Stage, Variables, completed};
use crate::support::world::launching;
use crate::world;

/// An empty group with a launching hook and a terminating one.
fn empty_group() -> WorldConfig {
    let mut config = WorldConfig { instances: 0, ..world(0, 1) };
    config.hooks.push(launching("warm-up", Duration::from_secs(300)));
    config
}

/// An instance that Auto Scaling has just launched, and its daemon's variables.
async fn launched(stage: &Stage) -> (String, Variables) {
    let id = stage.launch().await;
    let mut variables = stage.variables(&id);
    variables.insert("DRAINHOOK_LAUNCH__HOOK", "warm-up".to_owned());
    (id, variables)
}

fn set_agent(stage: &Stage, id: &str, mode: AgentMode) {
    stage.service.world(|world, now| world.set_agent_mode(now, id, mode));
}

fn calls(stage: &mut Stage) -> (usize, usize) {
    let beats = stage.count(|one| matches!(one, Happening::Heartbeat { .. }));
    (beats, stage.count(completed))
}

async fn until_in_service(stage: &mut Stage) {
    stage.until("service", |one| matches!(one, Happening::InstanceInService { .. })).await;
}

/// The agent is ready at once. One call, and the instance enters service.
#[tokio::test]
async fn quick() {
    let mut stage = Stage::new(1, empty_group()).await;
    let (_, variables) = launched(&stage).await;
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["launch_started", "hook warm-up"]).await;
    until_in_service(&mut stage).await;
    daemon.logged(&["launch_ended", "launch completed with CONTINUE", "0 heartbeats"]).await;
    assert_eq!(calls(&mut stage), (0, 1));
    let status = daemon.until_status("the end", |status| status.launch.is_none()).await;
    assert!(status.last_error.is_none(), "{status:?}");
}

/// A slow warm-up: the action is kept alive beyond its timeout. `drainhook status` says who is not ready.
#[tokio::test]
async fn slow() {
    let mut stage = Stage::new(60, empty_group()).await;
    let (id, variables) = launched(&stage).await;
    set_agent(&stage, &id, AgentMode::Fails(503));
    let variables =
        Variables::from_iter(variables.into_iter().chain([("DRAINHOOK_LAUNCH__TIMEOUT", "24h".to_owned())]));
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["agent_not_ready", "GET", "/health: answered 503"]).await;
    let status = daemon.until_status("the cause", |status| {
        status.launch.as_ref().is_some_and(|launch| launch.not_ready.is_some())
    });
    let launch = status.await.launch.expect("it is under way");
    assert!(launch.not_ready.is_some_and(|why| why.contains("503")) && launch.result.is_none());
    stage.until_times(3, "heartbeats", |one| matches!(one, Happening::Heartbeat { .. })).await;
    set_agent(&stage, &id, AgentMode::Answers);
    until_in_service(&mut stage).await;
    assert_eq!(stage.count(completed), 1);
}

/// The agent is never ready. Auto Scaling replaces the instance.
#[tokio::test]
async fn never_ready() {
    let mut stage = Stage::new(20, empty_group()).await;
    let (id, mut variables) = launched(&stage).await;
    set_agent(&stage, &id, AgentMode::Fails(503));
    variables.insert("DRAINHOOK_LAUNCH__TIMEOUT", "1m".to_owned());
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "launch_abandoned", "completing the launch with ABANDON"]).await;
    stage.until("the end", |one| matches!(one, Happening::InstanceTerminated { .. })).await;
    let replaced = stage.instances();
    assert!(replaced.len() == 1 && replaced[0] != id, "{replaced:?}");
}

/// A command says whether the agent is ready. It fails at first, with a reason.
#[tokio::test]
async fn command() {
    let mut stage = Stage::new(1, empty_group()).await;
    let id = stage.launch().await;
    let script = Script::new("");
    script.write("ready", "echo model 3 of 7 is loaded; test -e $here/released");
    let ready = script.path("ready").display().to_string();
    let settings =
        [("DRAINHOOK_AGENT__READY__COMMAND", ready.as_str()), ("DRAINHOOK_LAUNCH__HOOK", "warm-up")];
    let daemon = script.daemon(&stage, &settings).await;
    daemon.logged(&["agent_not_ready", "agent worker is not ready", "exited with status 1"]).await;
    assert_ne!(stage.service.instances()[0].state, LifecycleState::InService, "{id}");
    script.release();
    until_in_service(&mut stage).await;
    assert_eq!(script.runs(), 0, "the command that drains");
}

/// The daemon is installed on an instance in service: there is no action, and no call is repeated.
#[tokio::test]
async fn in_service() {
    let mut stage = Stage::new(1, WorldConfig { instances: 1, ..empty_group() }).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_LAUNCH__HOOK", "warm-up")]).await;
    daemon.logged(&["launch_ended", "no launch to complete"]).await;
    assert_eq!(stage.count(|one| matches!(one, Happening::CompletionRejected { .. })), 1);
    assert_eq!(stage.service.instances()[0].state, LifecycleState::InService);
}
