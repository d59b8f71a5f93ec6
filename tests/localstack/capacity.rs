//! Warnings that only messages bring, through EventBridge to daemons that listen to the queue all the time.

use std::sync::Arc;

use serde_json::json;
use sim::world::WorldConfig;

use machine::notice::Reason;
use machine::status::State;

use crate::cloud::{Cloud, Queue, in_cloud};
use crate::held_world;
use crate::messages::as_of_now;
use crate::support::daemon::{Daemon, Stage};

/// EC2 warns of the end of a Capacity Block once, for all of its instances.
const MEMBERS: u32 = 5;

const INTERRUPTION: &str = include_str!("../fixtures/messages/capacity-reservation.json");
const BLOCK_END: &str = include_str!("../fixtures/messages/block-expiration.json");

/// A group in a Capacity Block, whose instances are all in service.
struct Block {
    stage: Stage,
    queue: Queue,
    members: Vec<(String, Daemon)>,
}

/// Events of these names go to the group's queue. Each test has its own, because all tests share one bus.
async fn block(cloud: &Arc<Cloud>, warnings: [&str; 2]) -> Block {
    let queue = cloud.queue("capacity").await;
    cloud.rule_for(&queue, &json!({ "detail-type": warnings })).await;
    let config = WorldConfig { instances: MEMBERS, ..cloud.world(held_world()) };
    let stage = Stage::new(1, config).await;
    let mut members = Vec::new();
    for instance in stage.instances() {
        let daemon = listens(cloud, &stage, &queue, &instance).await;
        members.push((instance, daemon));
    }
    Block { stage, queue, members }
}

async fn listens(cloud: &Cloud, stage: &Stage, queue: &Queue, instance: &str) -> Daemon {
    let mut variables = cloud.variables(stage, instance, queue);
    variables.insert("DRAINHOOK_QUEUE__LISTEN", "always".to_owned());
    variables.insert("DRAINHOOK_LIFECYCLE__CAPACITY_RESERVATION", "cr-0123456789abcdef0".to_owned());
    Daemon::start(&variables).await
}

impl Block {
    /// A body about now, and about the first instance if it is about one.
    fn body(&self, body: &str) -> String {
        let now = self.stage.service.world(|_, now| now);
        as_of_now(body, now).replace("i-0123456789abcdef0", &self.members[0].0)
    }
}

/// EC2 reclaims the capacity of one of five instances. Only that one drains, and its message is deleted.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn interruption_of_one() {
    in_cloud(|cloud| async move {
        let names = [
            "EC2 Capacity Reservation Instance Interruption Warning",
            "EC2 Interruptible Capacity Reservation Instance Interruption Warning",
        ];
        let block = block(&cloud, names).await;
        cloud.put_event(&block.body(INTERRUPTION)).await;
        let [(_, interrupted), others @ ..] = &block.members[..] else { unreachable!() };
        drains_for(interrupted, Reason::CapacityInterruption).await;
        cloud.until_messages(&block.queue, 0).await;
        for (_, other) in others {
            assert_eq!(other.status().await.state, State::Serving, "{}", other.log());
        }
    })
    .await;
}

/// The Capacity Block ends. One message tells all five instances, and none of them deletes it.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn end_for_all() {
    in_cloud(|cloud| async move {
        let names = ["Capacity Block Expiration Warning", "Capacity Block Reservation Expiration Warning"];
        let block = block(&cloud, names).await;
        cloud.put_event(&block.body(BLOCK_END)).await;
        for (_, member) in &block.members {
            drains_for(member, Reason::CapacityBlockEnd).await;
        }
        // The message is still there for an instance that is launched after all of them have drained.
        let late = block.stage.launch().await;
        let late = listens(&cloud, &block.stage, &block.queue, &late).await;
        drains_for(&late, Reason::CapacityBlockEnd).await;
    })
    .await;
}

async fn drains_for(daemon: &Daemon, reason: Reason) {
    let drains =
        |status: &machine::status::Status| status.reason == Some(reason) && status.state != State::Serving;
    daemon.until_status(reason.as_str(), drains).await;
}
