//! The protection from scale-in while the agents are busy.

use std::time::Duration;

use machine::journal::Journal;
use machine::protection::Protection;
use sim::world::{Happening, Rhythm, WorldConfig};

use crate::support::daemon::{Daemon, Stage, completed, eventually, written};
use crate::world;

/// Protected after ten seconds of work, and lifted after a minute without.
const SETTINGS: [(&str, &str); 3] = [
    ("DRAINHOOK_PROTECTION__WHEN_BUSY", "true"),
    ("DRAINHOOK_PROTECTION__BUSY_FOR", "10s"),
    ("DRAINHOOK_PROTECTION__IDLE_FOR", "1m"),
];

fn protected(happening: &Happening) -> bool {
    matches!(happening, Happening::ProtectionSet { protected: true, .. })
}

fn lifted(happening: &Happening) -> bool {
    matches!(happening, Happening::ProtectionSet { protected: false, .. })
}

/// Agents that are busy for two minutes and idle for three.
fn in_turns() -> WorldConfig {
    let rhythm = Rhythm { busy: Duration::from_secs(120), idle: Duration::from_secs(180) };
    WorldConfig { rhythm: Some(rhythm), ..world(3, 30) }
}

async fn daemon(stage: &Stage) -> Daemon {
    stage.daemon_with(&SETTINGS).await
}

/// The agents are busy, so the instance is protected. Scale-in picks another one, and a drain by an operator lifts the
/// protection at once.
#[tokio::test]
async fn scale_in_picks_another() {
    let mut stage = Stage::new(20, WorldConfig { instances: 2, ..world(3, 3600) }).await;
    let daemon = daemon(&stage).await;
    stage.until("the protection", protected).await;
    daemon.logged(&["protected", "the agents are busy"]).await;
    let instances = stage.instances();
    stage.service.world(|world, now| {
        let group = world.config().group.clone();
        world.set_desired_capacity(now, &group, 1).expect("valid")
    });
    let another = instances[1].clone();
    stage
        .until(
            "a scale-in",
            |one| matches!(one, Happening::TerminationRequested { instance, .. } if *instance == another),
        )
        .await;
    let status = daemon.status().await.protection.expect("it is configured");
    assert_eq!(status.busy, Some(true));
    daemon.order(r#"{"command":"drain"}"#).await;
    stage.until("the end of the protection", lifted).await;
    daemon.logged(&["protection_lifted", "a drain has begun"]).await;
    let drains = |one: &Happening| matches!(one, Happening::TerminationRequested { .. });
    assert_eq!(stage.count(drains), 1, "Auto Scaling has not picked it");
}

/// The agents are busy and idle in turns, and the protection follows.
#[tokio::test]
async fn follows_the_work() {
    let mut stage = Stage::new(60, in_turns()).await;
    let daemon = daemon(&stage).await;
    stage.until("the protection", protected).await;
    stage.until("the end of the protection", lifted).await;
    daemon.logged(&["protection_lifted", "the agents are idle"]).await;
    stage.until_times(2, "the next protection", protected).await;
}

/// A restarted daemon knows that the instance is protected, and does not call again. Auto Scaling terminates the instance all the
/// same, and the drain needs one call.
#[tokio::test]
async fn restart_and_termination() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = daemon(&stage).await;
    let (variables, instance) = (stage.variables(&stage.instance()), stage.instance());
    let is_protected = |journal: &Journal| matches!(journal.protection, Protection::Protected { .. });
    eventually("the journal", || written(&variables, &instance).as_ref().is_some_and(is_protected)).await;
    daemon.kill().await;
    let daemon = self::daemon(&stage).await;
    let status = daemon.until_status("busy agents", |status| {
        status.protection.as_ref().is_some_and(|protection| protection.busy == Some(true))
    });
    let standing = status.await.protection.expect("it is configured").standing;
    assert!(matches!(standing, Protection::Protected { .. }), "{standing:?}");
    stage.scale_in();
    stage.until("the end", completed).await;
    assert_eq!(stage.count(protected) + stage.count(lifted), 1);
}

/// The role lacks the permission. An error says so, and nothing else changes.
#[tokio::test]
async fn denied() {
    let denied = vec!["autoscaling:SetInstanceProtection".to_owned()];
    let mut stage = Stage::new(20, WorldConfig { denied, ..world(3, 30) }).await;
    let daemon = daemon(&stage).await;
    daemon.logged(&["ERROR", "call_failed", "autoscaling:SetInstanceProtection"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}
