//! The queue's server dies and comes back, with everything forgotten.

use std::sync::Arc;

use crate::held_world;
use crate::server::Server;
use crate::support::daemon::{Daemon, Stage, completed, told};

/// It is gone when the instance is taken away, and back while the agent drains: the message comes through the new
/// one, and says that Wait has begun.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn gone_before_the_notice() {
    let server = Server::start().await;
    let cloud = Arc::new(server.cloud().await);
    let queue = cloud.queue("termination").await;
    let mut stage = Stage::new(1, cloud.world(held_world())).await;
    let instance = stage.instance();
    let daemon = Daemon::start(&cloud.variables(&stage, &instance, &queue)).await;
    let port = server.port();
    server.kill().await;
    stage.scale_in();
    stage.until("a POST", told).await;
    daemon.logged(&["sqs:ReceiveMessage", "it was not sent"]).await;
    let _server = Server::start_at(port).await;
    cloud.queue("termination").await;
    cloud.rule(&queue).await;
    cloud.carry(&stage.service);
    daemon.logged(&["lifecycle action in Wait since", "from a message"]).await;
    stage.service.world(|world, now| world.free_stuck_work(now, &instance));
    stage.until_ended_well(&[]).await;
    cloud.until_messages(&queue, 0).await;
}

/// It dies once the daemon holds its message, and the message with it: the lifecycle action is completed all the same,
/// and the daemon lives on.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn gone_with_the_message() {
    let server = Server::start().await;
    let cloud = Arc::new(server.cloud().await);
    let queue = cloud.queue("termination").await;
    cloud.rule(&queue).await;
    let mut stage = Stage::new(1, cloud.world(held_world())).await;
    cloud.carry(&stage.service);
    let instance = stage.instance();
    let mut daemon = Daemon::start(&cloud.variables(&stage, &instance, &queue)).await;
    stage.scale_in();
    daemon.logged(&["lifecycle action in Wait since", "from a message"]).await;
    server.kill().await;
    stage.service.world(|world, now| world.free_stuck_work(now, &instance));
    stage.until("a completion", completed).await;
    daemon.logged(&["sqs:DeleteMessage", "it was not sent"]).await;
    stage.until_ended_well(&[]).await;
    assert!(daemon.runs());
}
