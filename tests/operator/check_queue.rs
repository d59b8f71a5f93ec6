//! `drainhook check` and the termination queue.

use std::time::Duration;

use sim::world::{Happening, LifeCycle, QueueSpec, WorldConfig};

use crate::check::{expect, row};
use crate::support::daemon::Stage;
use crate::support::{Server, answer};
use crate::world;

const QUEUE: &str = "workers-termination";

fn change(stage: &Stage, change: impl FnOnce(&mut QueueSpec)) {
    let changed = stage.service.world(|world, now| {
        let mut spec = world.describe_queue(now, QUEUE)?.spec;
        change(&mut spec);
        world.set_queue(now, spec)
    });
    changed.expect("it exists");
}

async fn denied(action: &'static str) -> Stage {
    Stage::new(1, WorldConfig { denied: vec![action.to_owned()], ..world(3, 30) }).await
}

#[tokio::test]
async fn settings() {
    let stage = Stage::new(1, world(3, 30)).await;
    change(&stage, |spec| spec.redrive = Some(r#"{"maxReceiveCount":"3"}"#.to_owned()));
    expect(&stage, &[], "queue", "warning", "remove the redrive policy").await;
    change(&stage, |spec| spec.retention = Duration::from_secs(345_600));
    expect(&stage, &[], "queue", "warning", "MessageRetentionPeriod=86400").await;
}

#[tokio::test]
async fn no_permitted_sender() {
    let stage = Stage::new(1, world(3, 30)).await;
    change(&stage, |spec| spec.policy = None);
    expect(&stage, &[], "queue", "failed", "its policy lets neither EventBridge").await;
    // Now the hook notifies the queue directly, with its own role.
    let hook = |world: &mut sim::world::World, now| {
        let mut hook = world.hook("workers", "drain").expect("it is there").clone();
        hook.target = Some("arn:aws:sqs:eu-west-1:123456789012:workers-termination".to_owned());
        hook.role = Some("arn:aws:iam::123456789012:role/notifier".to_owned());
        world.put_hook(now, "workers", hook)
    };
    stage.service.world(hook).expect("it exists");
    let ran = expect(&stage, &[], "queue", "ok", "").await;
    assert!(row(&ran, "queue")["found"].to_string().contains("fed by the hook itself"), "{ran:?}");
}

/// The queue is encrypted under the AWS managed key for SQS, and an EventBridge rule sends to it. No message would arrive.
#[tokio::test]
async fn a_key_that_eventbridge_may_not_use() {
    let stage = Stage::new(1, world(3, 30)).await;
    let arn = "arn:aws:sqs:eu-west-1:123456789012:workers-termination";
    let policy = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"Service":"events.amazonaws.com"}},"Action":"sqs:SendMessage","Resource":"{arn}"}}]}}"#
    );
    let attributes = serde_json::json!({"Attributes": {
        "QueueArn": arn, "Policy": policy, "KmsMasterKeyId": "alias/aws/sqs", "MessageRetentionPeriod": "3600",
        "ApproximateNumberOfMessages": "0",
    }});
    let aws = Server::before(stage.service.aws_url(), move |request| {
        let is_asked = request.header("x-amz-target") == Some("AmazonSQS.GetQueueAttributes");
        let headers = [("content-type", "application/x-amz-json-1.0")];
        is_asked.then(|| answer(200, &headers, attributes.to_string()))
    })
    .await;
    expect(&stage, &[("AWS_ENDPOINT_URL", &aws.url)], "queue", "failed", "SqsManagedSseEnabled").await;
}

#[tokio::test]
async fn no_such_queue() {
    let stage = Stage::new(1, world(3, 30)).await;
    let url = stage.service.queue_url("another");
    expect(&stage, &[("DRAINHOOK_QUEUE__URL", &url)], "queue", "failed", "no message can be received").await;
}

#[tokio::test]
async fn permissions() {
    for action in ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"] {
        let stage = denied(action).await;
        expect(&stage, &[], "queue permissions", "failed", &format!("allow {action} in the role's policy"))
            .await;
    }
}

/// The role may not read the attributes, and the daemon does not need them. `check` does not receive, because the queue may
/// have messages.
#[tokio::test]
async fn attributes_cannot_be_read() {
    let stage = denied("sqs:GetQueueAttributes").await;
    let ran = expect(&stage, &[], "queue", "skipped", "").await;
    let permissions = row(&ran, "queue permissions");
    assert_eq!(permissions["state"], "ok");
    assert!(permissions["found"].to_string().contains("receive not tried"), "{permissions}");
}

/// The queue has a message. `check` does not receive it, because a redrive policy counts receives.
#[tokio::test]
async fn messages_are_left_alone() {
    let mut stage = Stage::new(1, world(3, 30)).await;
    let sent =
        stage.service.world(|world, now| world.send_message(now, QUEUE, "{}".to_owned(), Duration::ZERO));
    sent.expect("it exists");
    let ran = expect(&stage, &[], "queue permissions", "ok", "").await;
    let found = row(&ran, "queue permissions")["found"].to_string();
    assert!(found.contains("against 1 message in the queue"), "{found}");
    assert_eq!(stage.count(|one| matches!(one, Happening::MessageReceived { .. })), 0);
}

/// IMDS says that the instance runs in a Capacity Block. Only messages announce its end, and the daemon does not listen.
#[tokio::test]
async fn reserved_capacity() {
    let stage = Stage::new(1, WorldConfig { life_cycle: LifeCycle::CapacityBlock, ..world(3, 30) }).await;
    expect(&stage, &[], "IMDS", "warning", "set queue.listen").await;
    expect(&stage, &[("DRAINHOOK_QUEUE__LISTEN", "always")], "IMDS", "ok", "").await;
}
