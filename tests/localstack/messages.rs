//! What the daemon does with every kind of message that AWS sends, on a real queue.
//!
//! The queue is the daemon's only source: IMDS has no target lifecycle state, and refuses connections once the daemon
//! is up.

use std::sync::Arc;
use std::time::Duration;

use machine::Time;
use machine::notice::Reason;
use machine::status::State;
use sim::world::{Happening, ImdsMode};
use tokio::task::JoinSet;

use crate::cloud::{Cloud, in_cloud};
use crate::support::daemon::{Daemon, Stage, eventually, in_time};
use crate::support::{Request, Server};
use crate::{held_world, is};

/// What the daemon does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Drains for this reason, and keeps the message hidden until its lifecycle action is over.
    DrainAndHold(Reason),
    /// Drains for this reason, and deletes the message, which is no longer needed.
    DrainAndDelete(Reason),
    /// Drains for this reason, and returns the message to the queue for the other instances that it names.
    DrainAndGiveBack(Reason),
    /// Deletes the message, because it concerns only this instance and needs no action.
    Delete,
    /// Returns the message to the queue, because it is not for this daemon.
    GiveBack,
}

use Does::{Delete, DrainAndDelete, DrainAndGiveBack, DrainAndHold, GiveBack};
use Reason::{
    AutoscalingTermination, CapacityBlockEnd, CapacityInterruption, RebalanceRecommendation,
    RootVolumeReplacement, ScheduledMaintenance, SpotInterruption, WarmPool,
};

macro_rules! bodies {
    ($($name:literal: $does:expr,)*) => {
        &[$(($name, include_str!(concat!("../fixtures/messages/", $name, ".json")), $does)),*]
    };
}

const BODIES: &[(&str, &str, Does)] = bodies! {
    "eventbridge-terminate": DrainAndHold(AutoscalingTermination),
    "eventbridge-warm-pool": DrainAndHold(WarmPool),
    "eventbridge-replace-root-volume": DrainAndHold(RootVolumeReplacement),
    "eventbridge-launch": GiveBack,
    "eventbridge-launch-successful": GiveBack,
    "direct": DrainAndHold(AutoscalingTermination),
    "direct-2018": DrainAndHold(AutoscalingTermination),
    "test-notification": GiveBack,
    "sns": DrainAndHold(AutoscalingTermination),
    "sns-eventbridge": DrainAndHold(AutoscalingTermination),
    "sns-in-sns": GiveBack,
    "sns-subscription-confirmation": GiveBack,
    "spot-terminate": DrainAndDelete(SpotInterruption),
    "spot-stop": DrainAndDelete(SpotInterruption),
    "spot-hibernate": DrainAndDelete(SpotInterruption),
    "capacity-reservation": DrainAndDelete(CapacityInterruption),
    "capacity-block": DrainAndDelete(CapacityInterruption),
    "capacity-interruptible": DrainAndDelete(CapacityInterruption),
    "block-expiration": DrainAndGiveBack(CapacityBlockEnd),
    "block-reservation-expiration": DrainAndGiveBack(CapacityBlockEnd),
    "rebalance": DrainAndDelete(RebalanceRecommendation),
    "state-change": Delete,
    "health": DrainAndGiveBack(ScheduledMaintenance),
    "health-arn": DrainAndDelete(ScheduledMaintenance),
    "health-bare-id": DrainAndDelete(ScheduledMaintenance),
    "health-closed": Delete,
    "health-volume": GiveBack,
};

#[tokio::test]
#[ignore = "needs LocalStack: tests/localstack/run"]
async fn every_kind_of_message() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
    let files = std::fs::read_dir(folder).expect("the fixtures").count();
    assert_eq!(files, BODIES.len(), "BODIES must list every fixture");
    in_cloud(|cloud| async move {
        let mut cases = JoinSet::new();
        for &(name, body, does) in BODIES {
            cases.spawn(take(Arc::clone(&cloud), name, body, does));
        }
        while let Some(case) = cases.join_next().await {
            if let Err(failed) = case {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
    })
    .await;
}

async fn take(cloud: Arc<Cloud>, name: &'static str, body: &'static str, does: Does) {
    let queue = cloud.queue(name).await;
    let mut config = cloud.world(held_world());
    config.imds.mode = ImdsMode::WithoutTargetState;
    let mut stage = Stage::new(1, config).await;
    let proxy = Server::before(cloud.endpoint(), |_| None).await;
    let mut variables = cloud.variables(&stage, &stage.instance(), &queue);
    variables.insert("AWS_ENDPOINT_URL_SQS", proxy.url.clone());
    variables.insert("DRAINHOOK_LIFECYCLE__ON_REBALANCE", "drain".to_owned());
    if does == DrainAndGiveBack(CapacityBlockEnd) {
        variables.insert("DRAINHOOK_QUEUE__LISTEN", "always".to_owned());
        variables.insert("DRAINHOOK_LIFECYCLE__CAPACITY_RESERVATION", "cr-0123456789abcdef0".to_owned());
    }
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["imds_missing"]).await;
    // IMDS would contradict the messages.
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_imds_mode(now, &instance, ImdsMode::Refuses));
    let mut body = as_of_now(body, stage.service.world(|_, now| now));
    body = body.replace("i-0123456789abcdef0", &instance).replace("workers", &cloud.group);
    if let DrainAndHold(_) = does {
        body = body.replace("c613620e-07e2-4ed2-a9e2-ef8258911ade", &waiting_token(&mut stage).await);
    }
    cloud.send(&queue.url, &body).await;
    match does {
        DrainAndHold(reason) => {
            until_drains(name, &daemon, reason).await;
            eventually(name, || proxy.count(hides) > 0).await;
            cloud.until_messages(&queue, 1).await;
        }
        DrainAndDelete(reason) => {
            until_drains(name, &daemon, reason).await;
            cloud.until_messages(&queue, 0).await;
        }
        DrainAndGiveBack(reason) => {
            until_drains(name, &daemon, reason).await;
            until_received_again(&cloud, name, &queue.url).await;
        }
        Delete => {
            eventually(name, || proxy.count(|one| is(one, "DeleteMessage")) > 0).await;
            cloud.until_messages(&queue, 0).await;
            assert_eq!(daemon.status().await.state, State::Serving, "{name}: {}", daemon.log());
        }
        GiveBack => {
            eventually(name, || proxy.count(gives_back) > 0).await;
            // The daemon updates its status before it returns the message, so this status is final.
            assert_eq!(daemon.status().await.state, State::Serving, "{name}: {}", daemon.log());
            until_received_again(&cloud, name, &queue.url).await;
        }
    }
}

/// The body with its times moved: sent now, about an event in two minutes. The daemon ignores events long past.
pub fn as_of_now(body: &str, now: Time) -> String {
    let soon = (now + Duration::from_secs(120)).to_string();
    let body = body.replace("2026-03-01T12:00:00Z", &now.to_string());
    let body = body.replace("2026-03-01T12:40:00Z", &(now + Duration::from_secs(2400)).to_string());
    let body = body.replace("2026-03-01T12:02:00Z", &soon).replace("2026-03-01T12:10:00Z", &soon);
    body.replace("Thu, 27 Jan 2022 13:00:00 GMT", &soon)
}

/// The token of an action in Wait. With an unknown token, the daemon's first call would end the drain.
async fn waiting_token(stage: &mut Stage) -> String {
    let id = stage.instance();
    stage.scale_in();
    stage.until("Wait", |happening| matches!(happening, Happening::WaitBegan { .. })).await;
    stage.service.world(|world, _| world.instance(&id)).expect("an instance in Wait").actions.remove(0).token
}

async fn until_drains(name: &str, daemon: &Daemon, reason: Reason) {
    daemon.until_status(name, |status| status.reason == Some(reason) && status.state != State::Serving).await;
}

/// Waits until another client receives the message.
async fn until_received_again(cloud: &Cloud, name: &str, url: &str) {
    in_time(name, async {
        loop {
            let receive = cloud.sqs.receive_message().queue_url(url).wait_time_seconds(1);
            let received = receive.send().await.expect("ReceiveMessage");
            if !received.messages().is_empty() {
                return;
            }
        }
    })
    .await;
}

/// The visibility timeout that a request sets, if it changes one.
fn visibility(request: &Request) -> Option<Duration> {
    let changes = is(request, "ChangeMessageVisibilityBatch");
    let batch: serde_json::Value = serde_json::from_str(&request.body).ok().filter(|_| changes)?;
    batch["Entries"][0]["VisibilityTimeout"].as_u64().map(Duration::from_secs)
}

/// Whether a request hides a message until its deadline, which is at least a minute away.
fn hides(request: &Request) -> bool {
    visibility(request).is_some_and(|hidden| hidden >= Duration::from_secs(60))
}

fn gives_back(request: &Request) -> bool {
    visibility(request).is_some_and(|hidden| hidden <= Duration::from_secs(5))
}
