//! LocalStack is killed and restarted, and loses its state.

use std::sync::Arc;

use crate::held_world;
use crate::server::Server;
use crate::support::daemon::{Daemon, Stage, completed, told};

/// LocalStack is down when the instance is terminated, and back while the agent drains. The message arrives through the
/// new queue, and the daemon learns from it that Wait has begun.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn killed_before_the_notice() {
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

/// LocalStack is killed after the daemon has received its message. The message is lost. The daemon still completes the
/// lifecycle action, and keeps running.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn killed_with_the_message() {
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
