//! The paths of a message from Auto Scaling to the daemon: EventBridge, a topic, the hook itself.

use std::sync::Arc;
use std::time::Duration;

use sim::world::{HookSpec, WorldConfig};

use crate::cloud::{Cloud, Queue, in_cloud};
use crate::support::daemon::{Daemon, Stage, told};
use crate::support::world::world;

/// A whole scale-in. To follow it, run `tests/localstack/run --no-capture -E 'test(through_eventbridge)'`.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn through_eventbridge() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        cloud.rule(&queue).await;
        scale_in(&cloud, &queue, cloud.world(world(2, 3))).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn through_a_topic() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        let topic = cloud.topic(&queue, false).await;
        scale_in(&cloud, &queue, notifying(&cloud, topic)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn through_a_topic_raw() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        let topic = cloud.topic(&queue, true).await;
        scale_in(&cloud, &queue, notifying(&cloud, topic)).await;
    })
    .await;
}

/// The hook sends to the queue itself. When the hook is created, AWS first sends a test notification.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn from_the_hook_to_the_queue() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        let config = notifying(&cloud, queue.arn.clone());
        let hook = config.hooks[0].clone();
        let mut stage = Stage::new(1, config).await;
        cloud.carry(&stage.service);
        let group = cloud.group.clone();
        stage.service.world(|world, now| world.put_hook(now, &group, hook)).expect("PutLifecycleHook");
        cloud.until_messages(&queue, 1).await;
        drain(&cloud, &queue, &mut stage).await;
        // Daemons never delete the test notification. It stays until the queue's retention period ends.
        cloud.until_messages(&queue, 1).await;
    })
    .await;
}

/// A world whose hook has a notification target.
fn notifying(cloud: &Cloud, target: String) -> WorldConfig {
    let role = Some("arn:aws:iam::123456789012:role/notify".to_owned());
    let hook = HookSpec::terminating("drain", Duration::from_secs(600));
    let hooks = vec![HookSpec { target: Some(target), role, ..hook }];
    WorldConfig { hooks, ..cloud.world(world(2, 3)) }
}

async fn scale_in(cloud: &Arc<Cloud>, queue: &Queue, config: WorldConfig) {
    let mut stage = Stage::new(1, config).await;
    cloud.carry(&stage.service);
    drain(cloud, queue, &mut stage).await;
    cloud.until_messages(queue, 0).await;
}

/// Terminates the instance. The daemon learns from the message that Wait has begun, completes the action and deletes
/// the message.
async fn drain(cloud: &Cloud, queue: &Queue, stage: &mut Stage) {
    let instance = stage.instance();
    let daemon = Daemon::start(&cloud.variables(stage, &instance, queue)).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    daemon.logged(&["lifecycle action in Wait since", "from a message"]).await;
    stage.until_ended_well(&[]).await;
    daemon.logged(&["drain ended: drained, completed with CONTINUE"]).await;
    eprintln!("the daemon's log:\n{}", daemon.log());
}
