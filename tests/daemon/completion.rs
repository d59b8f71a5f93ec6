//! Which action is completed, and how a drain ends if its action cannot be completed.

use std::time::Duration;

use machine::journal::Outcome;
use machine::status::State;
use sim::world::{ActionRef, ActionResult, Happening, HookSpec, Throttle, Timing, WorldConfig};

use crate::support::daemon::{Stage, completed, drained, message_deleted, told, worked};
use crate::{stuck_world, world};

fn two_hooks() -> WorldConfig {
    let hook = |name| HookSpec::terminating(name, Duration::from_secs(600));
    WorldConfig { hooks: vec![hook("drain"), hook("flush-logs")], ..world(3, 30) }
}

#[tokio::test]
async fn no_hook_is_chosen() {
    let mut stage = Stage::new(20, two_hooks()).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    daemon.logged(&["ERROR", "hook_impossible", "lifecycle.hook"]).await;
    stage.until("the agent's end", drained).await;
    daemon.logged(&["drain_ended", "completed no lifecycle action"]).await;
    assert_eq!(stage.count(completed), 0);
    assert_eq!(stage.count(message_deleted), 0, "the messages may be about other controllers' hooks");
}

#[tokio::test]
async fn chosen_hook() {
    let mut stage = Stage::new(20, two_hooks()).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__HOOK", "drain")]).await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    daemon.logged(&["drain_ended", "completed with CONTINUE"]).await;
    stage.until("the end of its message", message_deleted).await;
    let open = stage.service.world(|world, _| world.instances().swap_remove(0).actions);
    let open: Vec<_> = open.iter().map(|action| action.hook.as_str()).collect();
    assert_eq!(open, ["flush-logs"]);
    assert_eq!(stage.count(message_deleted), 1, "the other hook's message is not ours");
}

/// An operator completes the action by hand while the agent drains. The drain ends as overtaken.
#[tokio::test]
async fn overtaken() {
    let config = WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(60))],
        // The daemon must learn that the action has ended before the instance is gone.
        timing: Timing { terminated: Duration::from_secs(7200), ..Timing::default() },
        ..stuck_world()
    };
    let mut stage = Stage::new(10, config).await;
    let mut daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("Wait", |one| matches!(one, Happening::WaitBegan { .. })).await;
    stage.until("work that is done", worked).await;
    let action = ActionRef {
        hook: "drain".to_owned(),
        group: "workers".to_owned(),
        token: None,
        instance: Some(stage.instance()),
    };
    let by_hand = stage.service.world(|world, now| world.complete(now, &action, ActionResult::Continue));
    by_hand.expect("it waits");
    daemon.logged(&["WARN", "drain_ended", "overtaken"]).await;
    stage.until("the end of its message", message_deleted).await;
    let status = daemon.status().await;
    assert_eq!((status.state, status.outcome), (State::Ended, Some(Outcome::Overtaken)));
    assert!(daemon.runs());
    assert_eq!(stage.count(completed), 1, "completed again");
}

#[tokio::test]
async fn throttling() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let _daemon = stage.daemon().await;
    stage.scale_in();
    let nothing = Some(Throttle { burst: 0, per_second: 0.0 });
    stage.service.world(|world, now| world.set_throttle(now, nothing));
    stage.until("the agent's end", drained).await;
    stage.until_times(3, "throttled calls", |one| matches!(one, Happening::Throttled)).await;
    stage.service.world(|world, now| world.set_throttle(now, None));
    stage.until_ended_well(&[]).await;
}

/// The event never reaches the queue. The daemon detects Wait with a heartbeat and completes the action.
#[tokio::test]
async fn lost_message() {
    let mut config = world(3, 30);
    config.delivery.loss = 1.0;
    let mut stage = Stage::new(20, config).await;
    let _daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    stage.until("the agent's end", drained).await;
    assert_eq!(stage.count(message_deleted), 0);
}

/// The group retains an instance whose action was abandoned. Releasing it starts a new action and a new drain.
#[tokio::test]
async fn retained_instance() {
    let mut stage = Stage::new(20, WorldConfig { retain_on_abandon: true, ..world(3, 30) }).await;
    let instance = stage.instance();
    let daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__ON_DRAINED", "ABANDON")]).await;
    stage.scale_in();
    stage.until("the retention", |one| matches!(one, Happening::InstanceRetained { .. })).await;
    daemon.logged(&["\"retained\""]).await;
    let released = stage.service.world(|world, now| world.terminate_instance(now, &instance, false));
    released.expect("it is retained");
    stage.until_times(2, "the second completion", completed).await;
}

/// With `lifecycle.drain_at = "wait"`, behind a load balancer that still routes to the agent, the drain starts when Wait
/// begins.
#[tokio::test]
async fn drain_at_wait() {
    let lead = Some(Duration::from_secs(60));
    let mut stage = Stage::new(20, WorldConfig { load_balancer_drain: lead, ..world(3, 30) }).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__DRAIN_AT", "wait")]).await;
    stage.scale_in();
    daemon.logged(&["drain_started"]).await;
    assert_eq!(daemon.status().await.state, State::Noticed);
    stage.until_ended_well(&[]).await;
    let place = |found: fn(&Happening) -> bool| stage.history.iter().position(|(_, one)| found(one));
    let waited = place(|one| matches!(one, Happening::WaitBegan { .. }));
    assert!(waited.is_some() && waited < place(told), "{:#?}", stage.history);
}
