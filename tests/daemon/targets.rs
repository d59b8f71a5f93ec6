//! Target groups that the Auto Scaling group does not manage.

use std::time::Duration;

use machine::journal::Outcome;
use machine::status::State;
use sim::world::{Happening, WorldConfig};

use crate::support::daemon::{Daemon, Stage, completed, told};
use crate::support::world::target_group;
use crate::world;

const DRAIN: &str = r#"{"command":"drain"}"#;
const CANCEL: &str = r#"{"command":"cancel"}"#;

/// An instance whose agent has 2 s of work, behind a target group that drains for 60 s.
fn behind_a_target_group() -> WorldConfig {
    WorldConfig { target_groups: vec![target_group("web", Duration::from_secs(60))], ..world(2, 2) }
}

async fn daemon(stage: &Stage, timeout: &str) -> Daemon {
    let arn = stage.target_group();
    let settings =
        [("DRAINHOOK_TARGET_GROUP__ARN", arn.as_str()), ("DRAINHOOK_TARGET_GROUP__TIMEOUT", timeout)];
    stage.daemon_with(&settings).await
}

fn deregistered(happening: &Happening) -> bool {
    matches!(happening, Happening::TargetDeregistered { .. })
}

fn unused(happening: &Happening) -> bool {
    matches!(happening, Happening::TargetUnused { .. })
}

/// The instance is deregistered when the agent is told. The agent drains at once, and the completion waits for the load balancer.
#[tokio::test]
async fn completion_waits_until_unused() {
    let mut stage = Stage::new(20, behind_a_target_group()).await;
    let daemon = daemon(&stage, "10m").await;
    stage.scale_in();
    stage.until("the deregistration", deregistered).await;
    stage.until("the order", told).await;
    let waits = |status: &machine::status::Status| {
        status.agents[0].state == "drained"
            && status.targets.first().is_some_and(|row| row.state == "draining")
    };
    daemon.until_status("the load balancer", waits).await;
    assert_eq!(stage.count(completed), 0, "{:#?}", stage.history);
    stage.until("the completion", completed).await;
    assert_eq!(stage.count(unused), 1, "{:#?}", stage.history);
    daemon.logged(&["INFO", "target_deregistered", "target group web: deregistered"]).await;
    daemon.logged(&["INFO", "target_unused", "target group web: unused 6"]).await;
    stage.until_ended_well(&[]).await;
}

/// The load balancer drains for longer than the daemon waits.
#[tokio::test]
async fn gives_up_after_its_timeout() {
    let mut stage = Stage::new(20, behind_a_target_group()).await;
    let daemon = daemon(&stage, "20s").await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    assert_eq!((stage.count(deregistered), stage.count(unused)), (1, 0), "{:#?}", stage.history);
    daemon.logged(&["WARN", "target_given_up", "still draining"]).await;
}

/// The role may not look at targets. That is said once, and the drain goes on after the time.
#[tokio::test]
async fn permission_missing() {
    let denied = vec!["elasticloadbalancing:DescribeTargetHealth".to_owned()];
    let mut stage = Stage::new(20, WorldConfig { denied, ..behind_a_target_group() }).await;
    let daemon = daemon(&stage, "40s").await;
    stage.scale_in();
    let why = "target group web: elasticloadbalancing:DescribeTargetHealth: answered 403 AccessDenied";
    daemon.logged(&["ERROR", "call_failed", why, "allow elasticloadbalancing:DescribeTargetHealth"]).await;
    stage.until("the completion", completed).await;
    assert_eq!(stage.count(deregistered), 0, "{:#?}", stage.history);
    daemon.logged(&["WARN", "target_given_up", "not deregistered"]).await;
    let loud = daemon.log().lines().filter(|line| line.contains("ERROR")).count();
    assert_eq!(loud, 1, "{}", daemon.log());
}

/// An operator drains the instance and cancels it. The instance is registered again.
#[tokio::test]
async fn canceled_by_an_operator() {
    let mut stage = Stage::new(20, behind_a_target_group()).await;
    let daemon = daemon(&stage, "10m").await;
    daemon.order(DRAIN).await;
    stage.until("the deregistration", deregistered).await;
    assert!(!stage.is_target());
    let ended = |status: &machine::status::Status| status.outcome == Some(Outcome::Drained);
    daemon.until_status("the end", ended).await;
    assert_eq!(stage.count(unused), 1, "the drain ends once the load balancer is done");
    daemon.order(CANCEL).await;
    daemon.logged(&["INFO", "target_registered", "target group web: registered again"]).await;
    assert!(stage.is_target());
}

/// An instance that is no target does not become one.
#[tokio::test]
async fn never_registered() {
    let mut stage = Stage::new(20, behind_a_target_group()).await;
    let id = stage.launch().await;
    let mut variables = stage.variables(&id);
    variables.insert("DRAINHOOK_TARGET_GROUP__ARN", stage.target_group());
    let daemon = Daemon::start(&variables).await;
    daemon.order(DRAIN).await;
    daemon
        .logged(&["INFO", "target_not_registered", "target group web: this instance is not registered"])
        .await;
    daemon.until_status("the end", |status| status.outcome == Some(Outcome::Drained)).await;
    daemon.order(CANCEL).await;
    daemon.until_status("service", |status| status.state == State::Serving).await;
    let registered = |one: &Happening| matches!(one, Happening::TargetRegistered { .. });
    assert_eq!((stage.count(deregistered), stage.count(registered)), (0, 1), "{:#?}", stage.history);
}
