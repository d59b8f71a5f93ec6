//! Faults of the network, the services and the credentials.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sim::world::{Happening, HookSpec, WorldConfig};

use crate::cloud::{Cloud, Queue, in_cloud};
use crate::held_world;
use crate::support::daemon::{Daemon, Stage, Variables, drained};
use crate::support::world::world;
use crate::support::{Reply, Request, Server, answer, closed_port};

/// Proxies for the queue and the simulator. They answer with a fault while `trouble` is set.
struct Proxies {
    queue: Server,
    lifecycle: Server,
    trouble: Arc<AtomicBool>,
}

impl Proxies {
    async fn new(cloud: &Cloud, stage: &Stage, fault: fn(&Request) -> Reply) -> Self {
        let trouble = Arc::new(AtomicBool::new(false));
        let before = async |url: &str| {
            let trouble = Arc::clone(&trouble);
            Server::before(url, move |request| trouble.load(Ordering::SeqCst).then(|| fault(request))).await
        };
        let queue = before(cloud.endpoint()).await;
        let lifecycle = before(stage.service.aws_url()).await;
        Proxies { queue, lifecycle, trouble }
    }

    fn variables(&self, cloud: &Cloud, stage: &Stage, queue: &Queue) -> Variables {
        let mut variables = cloud.variables(stage, &stage.instance(), queue);
        variables.insert("AWS_ENDPOINT_URL_SQS", self.queue.url.clone());
        variables.insert("AWS_ENDPOINT_URL_AUTO_SCALING", self.lifecycle.url.clone());
        variables
    }
}

/// A drain during which every call to AWS fails, until the agent has drained and the daemon has tried both the queue
/// and Auto Scaling.
async fn drain_through(fault: fn(&Request) -> Reply) {
    in_cloud(move |cloud| async move {
        let queue = cloud.queue("termination").await;
        cloud.rule(&queue).await;
        let mut stage = Stage::new(1, cloud.world(world(2, 1))).await;
        cloud.carry(&stage.service);
        let proxies = Proxies::new(&cloud, &stage, fault).await;
        let daemon = Daemon::start(&proxies.variables(&cloud, &stage, &queue)).await;
        proxies.trouble.store(true, Ordering::SeqCst);
        stage.scale_in();
        stage.until("the end of the work", drained).await;
        daemon.logged(&["call_failed", "ReceiveMessage"]).await;
        daemon.logged(&["call_failed", "DescribeLifecycleHooks"]).await;
        proxies.trouble.store(false, Ordering::SeqCst);
        stage.until_ended_well(&[]).await;
        daemon.logged(&["drain ended: drained, completed with CONTINUE"]).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn reset_during_an_answer() {
    drain_through(|_| {
        let start = "HTTP/1.1 200 OK\r\nx-amzn-requestid: r\r\ncontent-length: 5000\r\n\r\n{\"Messages\": [";
        Reply::BytesThenReset(start.into())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn black_hole() {
    drain_through(|_| Reply::Silence).await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn throttled() {
    drain_through(|request| match request.header("x-amz-target") {
        Some(_) => answer(400, &[], r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}"#),
        None => answer(
            400,
            &[],
            "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender</Type>\
             <Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>r</RequestId></ErrorResponse>",
        ),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn server_errors() {
    drain_through(|_| answer(500, &[], "")).await;
}

/// Every request takes two seconds longer, for the whole drain.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn latency() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        cloud.rule(&queue).await;
        let mut stage = Stage::new(1, cloud.world(world(2, 3))).await;
        cloud.carry(&stage.service);
        let proxies = Proxies::new(&cloud, &stage, |_| Reply::Late(Duration::from_secs(2))).await;
        proxies.trouble.store(true, Ordering::SeqCst);
        let _daemon = Daemon::start(&proxies.variables(&cloud, &stage, &queue)).await;
        stage.scale_in();
        stage.until_ended_well(&[]).await;
        cloud.until_messages(&queue, 0).await;
    })
    .await;
}

/// The daemon drains although it cannot reach its queue, and logs why.
async fn drain_without(queue: String, why: &'static [&'static str]) {
    in_cloud(move |cloud| async move {
        let mut stage = Stage::new(1, cloud.world(world(2, 3))).await;
        let url = format!("{queue}/000000000000/termination");
        let unreachable = Queue { url, arn: String::new() };
        let mut variables = cloud.variables(&stage, &stage.instance(), &unreachable);
        variables.insert("AWS_ENDPOINT_URL_SQS", queue);
        let daemon = Daemon::start(&variables).await;
        stage.scale_in();
        daemon.logged(why).await;
        stage.until_ended_well(&[]).await;
    })
    .await;
}

/// The endpoint is configured as https, but the server speaks plain HTTP.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn tls_refused() {
    let plain = Server::start(|_| answer(400, &[], "")).await;
    let url = plain.url.replacen("http:", "https:", 1);
    drain_without(url, &["sqs:ReceiveMessage", "it was not sent"]).await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn no_such_host() {
    drain_without(
        "http://queue.invalid:4566".to_owned(),
        &["sqs:ReceiveMessage", "dns error", "it was not sent"],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn connection_refused() {
    drain_without(closed_port().await, &["sqs:ReceiveMessage", "refused", "it was not sent"]).await;
}

/// The role's credentials expire every twelve seconds, and the drain lasts longer. So the daemon must sign its
/// heartbeat and its completion with keys that did not exist when the drain began. The simulator refuses expired keys.
#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn expiring_credentials() {
    in_cloud(|cloud| async move {
        let queue = cloud.queue("termination").await;
        cloud.rule(&queue).await;
        let hooks = vec![HookSpec::terminating("drain", Duration::from_secs(30))];
        let mut config = WorldConfig { hooks, ..held_world() };
        config.imds.credentials_last = Some(Duration::from_secs(12));
        let mut stage = Stage::new(1, cloud.world(config)).await;
        cloud.carry(&stage.service);
        let proxies = Proxies::new(&cloud, &stage, |_| Reply::Close).await;
        let mut variables = proxies.variables(&cloud, &stage, &queue);
        variables.retain(|name, _| {
            !matches!(*name, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN")
        });
        let _daemon = Daemon::start(&variables).await;
        stage.scale_in();
        // The first heartbeat comes after more than half of the heartbeat timeout of 30 s.
        stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
        let instance = stage.instance();
        stage.service.world(|world, now| world.free_stuck_work(now, &instance));
        stage.until_ended_well(&[]).await;
        cloud.until_messages(&queue, 0).await;
        let keys: BTreeSet<String> = proxies.lifecycle.requests().iter().filter_map(access_key).collect();
        assert!(keys.len() >= 2, "{keys:?}");
    })
    .await;
}

fn access_key(request: &Request) -> Option<String> {
    let (_, credential) = request.header("authorization")?.split_once("Credential=")?;
    Some(credential.split('/').next()?.to_owned())
}
