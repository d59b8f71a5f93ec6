//! `drainhook extend` and `drainhook finish`: what they do, and what they print.

use std::time::Duration;

use machine::status::State;
use sim::world::{ActionResult, Happening, WorldConfig};

use crate::support::command::run;
use crate::support::daemon::{Stage, completed, told, worked};
use crate::{stuck_world, world};

#[tokio::test]
async fn extension() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "10m")]).await;
    let variables = stage.variables(&stage.instance());
    run(&variables, &["extend", "5m"]).await.failed("no drain is under way");
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.until_status("Wait", |status| status.wait_since.is_some()).await;
    let ran = run(&variables, &["extend", "5m"]).await;
    stage.until_times(2, "a POST with the new deadline", told).await;
    let deadlines = stage.deadlines();
    assert_eq!(deadlines[1].since(deadlines[0]), Duration::from_secs(300));
    assert_eq!(ran.out, format!("deadline is now {}\n", deadlines[1]), "{ran:?}");
    // 48 hours are more than the hook can be kept alive for.
    run(&variables, &["extend", "48h"]).await.done("; AWS ends the drain then");
    // The drain already has all the time that AWS allows.
    run(&variables, &["extend", "30m"]).await.failed("not extended: AWS ends this drain at");
    run(&variables, &["extend", "100h"]).await.failed("cannot extend by 100h: the most is 48h\n");
    // Auto Scaling started this drain.
    let refusal = "this drain was started by Auto Scaling and cannot be canceled; use drainhook extend or drainhook finish\n";
    run(&variables, &["drain", "--cancel"]).await.failed(refusal);
}

/// A work item never finishes. The operator ends the drain.
#[tokio::test]
async fn finish() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    let args = ["finish", "--result", "ABANDON"];
    run(&variables, &args).await.failed("no drain is under way");
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.until_status("Wait", |status| status.wait_since.is_some()).await;
    run(&variables, &args).await.done("finishing now; completing the lifecycle action with ABANDON");
    let abandoned =
        |one: &Happening| matches!(one, Happening::Completed { result: ActionResult::Abandon, .. });
    stage.until("the completion", abandoned).await;
}

/// An operator's drain has no lifecycle action, so there is nothing to complete.
#[tokio::test]
async fn finish_of_an_operators_drain() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    run(&variables, &["drain"]).await.done("drain started");
    stage.until("work that is done", worked).await;
    // The result may be lowercase.
    run(&variables, &["finish", "--result", "continue"])
        .await
        .done("there is no lifecycle action to complete");
    assert_eq!(daemon.status().await.outcome.map(|outcome| outcome.as_str()), Some("finished"));
    let user = rustix::process::getuid().as_raw();
    daemon.logged(&["drain_ended", "finished by ", &format!("uid {user}")]).await;
    assert_eq!(stage.count(completed), 0);
}

/// The load balancer drains for hours, and with `drain_at = "wait"` the agents are not told before Wait.
#[tokio::test]
async fn before_wait() {
    let slow = WorldConfig { load_balancer_drain: Some(Duration::from_secs(7200)), ..world(3, 30) };
    let mut stage = Stage::new(10, slow).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__DRAIN_AT", "wait")]).await;
    let variables = stage.variables(&stage.instance());
    stage.scale_in();
    daemon.until_status("the notice", |status| status.state == State::Noticed).await;
    run(&variables, &["status"]).await.done("about to drain\n");
    run(&variables, &["extend", "5m"]).await.failed("there is nothing to extend yet");
    let ran = run(&variables, &["finish", "--result", "CONTINUE"]).await;
    ran.done("as soon as it reaches Terminating:Wait");
    assert_eq!(stage.count(told) + stage.count(completed), 0);
}
