//! An idle instance makes no calls to AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use crate::support::daemon::{Stage, eventually};
use crate::support::{Reply, Request, Server, answer, ok};
use crate::world;

const TARGET: &str = "GET /latest/meta-data/autoscaling/target-lifecycle-state";
const SPOT: &str = "GET /latest/meta-data/spot/instance-action";
const LIFE_CYCLE: &str = "GET /latest/meta-data/instance-life-cycle";

fn imds(request: &Request) -> Reply {
    match request.line() {
        "PUT /latest/api/token" => ok("token"),
        "GET /latest/meta-data/instance-id" => ok("i-0123456789abcdef0"),
        TARGET => ok("InService"),
        LIFE_CYCLE => ok("on-demand"),
        _ => answer(404, &[], ""),
    }
}

#[tokio::test]
async fn idle_instance() {
    let stage = Stage::new(20, world(3, 60)).await;
    let imds = Server::start(imds).await;
    let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let aws_url = format!("http://{}", aws.local_addr().expect("bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while aws.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let _daemon = stage
        .daemon_with(&[("AWS_ENDPOINT_URL", &aws_url), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url)])
        .await;
    let asked = |line: &str| imds.lines().iter().filter(|asked| *asked == line).count();
    eventually("a minute of polls", || asked(TARGET) >= 60).await;
    assert_eq!(asked(LIFE_CYCLE), 1);
    assert!(asked(SPOT) < 6, "an on-demand instance has no spot notices: {}", asked(SPOT));
    assert_eq!(connections.load(Ordering::Relaxed), 0, "AWS was called");
    assert!(imds.requests().iter().all(|request| request.connection == 0), "more than one connection");
    assert_eq!(asked("PUT /latest/api/token"), 1);
}
