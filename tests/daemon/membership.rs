//! Which group the instance is in, and which action is its own. The names known at the start, or a message's claims, can
//! differ from what Auto Scaling says now.

use std::time::Duration;

use machine::journal::Outcome;
use sim::world::{GroupSpec, Happening, HookSpec, Timing, WorldConfig};

use crate::support::daemon::{Stage, completed};
use crate::world;

/// After the daemon has read the group's name at the start, the instance is detached and attached to another group, which
/// terminates it. The daemon completes the new group's action, whether or not it drained while the instance was in no group.
/// Regression: heartbeats named the old group, the drain ended as overtaken, and the action expired.
#[tokio::test]
async fn moved_to_another_group() {
    move_to_another_group("drain", ["drain_started", "agents_returned"]).await;
    move_to_another_group("ignore", ["notice_appeared", "notice_withdrawn"]).await;
}

/// Moves it with this setting. The daemon logs one event when it is detached, and one when it is back in service.
async fn move_to_another_group(on_detachment: &str, [detached, back]: [&str; 2]) {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_LIFECYCLE__ON_DETACHMENT", on_detachment)]).await;
    let instance = stage.instance();
    stage.service.world(|world, now| {
        let hook = HookSpec::terminating("checkpoint", Duration::from_secs(300));
        let others = GroupSpec {
            name: "others".to_owned(),
            min: 0,
            max: 2,
            desired: 0,
            load_balanced: false,
            target_groups: Vec::new(),
            retain_on_abandon: false,
            hooks: vec![hook],
        };
        world.create_group(now, others).expect("a new group");
        world.detach_instance(now, &instance).expect("it is in service");
    });
    daemon.logged(&[detached, "detach"]).await;
    stage
        .service
        .world(|world, now| world.attach_instance(now, &instance, "others").expect("it is in no group"));
    daemon.logged(&[back]).await;
    stage.until("the return to service", |one| matches!(one, Happening::InstanceInService { .. })).await;
    stage.service.world(|world, now| world.terminate_instance(now, &instance, true).expect("it serves"));
    stage.until("the completion", completed).await;
    assert_eq!(daemon.status().await.group.as_deref(), Some("others"));
    daemon.logged(&["drain_ended", "completed with CONTINUE"]).await;
}

/// A message names this instance, but carries the token of another instance's action, which is waiting too. This instance's
/// daemon does not touch that action. Regression: it kept the other action alive and completed it, with all its work in
/// flight.
#[tokio::test]
async fn token_of_another_instances_action() {
    let mut config = WorldConfig { instances: 2, ..world(3, 30) };
    // Until Wait, the daemon asks the queue and receives the message.
    config.timing = Timing { wait: Duration::from_secs(20), ..config.timing };
    let mut stage = Stage::new(20, config).await;
    let (ours, others) = stage.service.world(|world, _| {
        let mut instances = world.instances();
        (instances.swap_remove(0).id, instances.swap_remove(0).id)
    });
    stage.service.world(|world, now| world.terminate_instance(now, &others, true).expect("it serves"));
    stage.until("the other's Wait", |one| matches!(one, Happening::WaitBegan { .. })).await;
    let token = stage.service.world(|world, _| {
        let instances = world.instances();
        let other = instances.iter().find(|instance| instance.id == others).expect("it waits");
        other.actions[0].token.clone()
    });
    let forged = include_str!("../fixtures/messages/eventbridge-terminate.json")
        .replace("i-0123456789abcdef0", &ours)
        .replace("c613620e-07e2-4ed2-a9e2-ef8258911ade", &token);
    stage
        .service
        .world(|world, now| world.send_message(now, "workers-termination", forged, Duration::ZERO))
        .expect("SQS takes it");
    let daemon = stage.daemon().await;
    stage.service.world(|world, now| world.terminate_instance(now, &ours, true).expect("it serves"));
    daemon.logged(&["drain_ended", "completed with CONTINUE"]).await;
    let open = stage.service.world(|world, _| {
        let instances = world.instances();
        instances.into_iter().find(|instance| instance.id == others).map(|other| other.actions.len())
    });
    assert_eq!(open, Some(1), "the other's action waits for the other's daemon");
    assert_eq!(daemon.status().await.outcome, Some(Outcome::Drained));
}
