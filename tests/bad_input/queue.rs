//! The shared queue has messages that are not for the daemon, or malformed.

use std::time::Duration;

use machine::status::State;
use serde_json::{Value, json};
use sim::world::{Happening, ImdsMode, WorldConfig};

use crate::support::daemon::{Stage, drained, message_deleted};
use crate::{assert_told, world};

const QUEUE: &str = "workers-termination";
const OTHER: &str = "i-00000000000000bad";

/// The longest message that SQS accepts.
const MESSAGE_MAX: usize = 1024 * 1024;

/// A world without a target state in IMDS, so that the daemon receives every message before its own is sent.
fn deaf_world() -> WorldConfig {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::WithoutTargetState;
    config
}

fn lifecycle(instance: &str) -> Value {
    json!({
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "AutoScalingGroupName": "workers",
        "LifecycleHookName": "drain", "EC2InstanceId": instance,
        "LifecycleActionToken": "c613620e-07e2-4ed2-a9e2-ef8258911ade",
    })
}

fn with(mut message: Value, name: &str, value: impl Into<Value>) -> String {
    message[name] = value.into();
    message.to_string()
}

fn without(mut message: Value, name: &str) -> String {
    message.as_object_mut().expect("an object").remove(name);
    message.to_string()
}

fn sns(message: &str) -> String {
    json!({"Type": "Notification", "Message": message}).to_string()
}

/// Bad messages, each with words that must be logged.
fn bad_messages(ours: &str) -> Vec<(String, &'static [&'static str])> {
    let deep = "[".repeat(100_000);
    vec![
        (lifecycle(OTHER).to_string(), &[]),
        (with(lifecycle(ours), "LifecycleTransition", "autoscaling:EC2_INSTANCE_LAUNCHING"), &[]),
        ("hello".to_owned(), &["not a JSON object", "hello"]),
        ("\thello\n\u{202e}".to_owned(), &["not a JSON object", r"\\thello\\n\\u{202e}"]),
        ("<html>".to_owned(), &["not a JSON object", "<html>"]),
        ("[]".to_owned(), &["not a JSON object"]),
        ("null".to_owned(), &["not a JSON object", "null"]),
        ("{".to_owned(), &["not JSON: EOF while parsing"]),
        ("{}".to_owned(), &["neither an EventBridge event (no detail)"]),
        (r#"{"detail":7}"#.to_owned(), &["invalid type: integer `7`, expected an object"]),
        (format!(r#"{{"detail":{deep}"#), &["not JSON: EOF while parsing"]),
        (sns(&format!(r#"{{"detail":{{"x":{deep}"#)), &["in an SNS envelope: not JSON: EOF while parsing"]),
        (sns(&format!(r#"{{"detail-type":{deep}"#)), &["in an SNS envelope: not JSON: EOF", "detail-type"]),
        (r#"{"detail":{"instance-id":"\ud800"}}"#.to_owned(), &["hex escape"]),
        (r#"{"Type":"a\u0000b"}"#.to_owned(), &["an SNS message of type", r"a\\0b"]),
        (r#"{"detail":{},"detail":{}}"#.to_owned(), &["duplicate field `detail`"]),
        (format!(r#"{{"x":"{}"}}"#, "x".repeat(MESSAGE_MAX - 10)), &["neither an EventBridge event"]),
        (without(lifecycle(ours), "EC2InstanceId"), &["EC2InstanceId is missing"]),
        (with(lifecycle(ours), "EC2InstanceId", ""), &["EC2InstanceId is missing"]),
        (with(lifecycle(ours), "EC2InstanceId", 7), &["invalid type: integer `7`, expected a string"]),
        (
            with(lifecycle(ours), "LifecycleHookName", "h".repeat(1_000_000)),
            &["LifecycleHookName is", "at most 255"],
        ),
        (with(lifecycle(ours), "LifecycleActionToken", "t\n"), &["LifecycleActionToken is", "at most 64"]),
        (with(lifecycle(ours), "LifecycleTransition", "x"), &["an unknown LifecycleTransition"]),
    ]
}

async fn send(stage: &Stage, body: String) {
    let sent = stage.service.world(|world, now| world.send_message(now, QUEUE, body, Duration::ZERO));
    sent.expect("SQS takes it");
}

fn left(stage: &Stage) -> usize {
    let queue = stage.service.world(|world, now| world.describe_queue(now, QUEUE)).expect("it exists");
    queue.visible + queue.hidden
}

/// None of these messages starts a drain, and none is deleted. Our own message starts one, and is deleted.
#[tokio::test]
async fn strange_messages() {
    let mut stage = Stage::new(20, deaf_world()).await;
    let (bodies, told): (Vec<_>, Vec<_>) = bad_messages(&stage.instance()).into_iter().unzip();
    let count = bodies.len();
    for body in bodies {
        send(&stage, body).await;
    }
    let daemon = stage.daemon().await;
    assert_told(&daemon, &told).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert_eq!((stage.count(drained), stage.count(message_deleted), left(&stage)), (1, 1, count));
}

/// Together, the messages are longer than the longest response that the daemon reads. It asks for fewer at a time.
#[tokio::test]
async fn large_messages() {
    const LARGE: usize = 2;
    let mut config = world(1, 5);
    config.imds.mode = ImdsMode::WithoutTargetState;
    let mut stage = Stage::new(20, config).await;
    for _ in 0..LARGE {
        // JSON escapes each with a backslash.
        send(&stage, "\"".repeat(MESSAGE_MAX)).await;
    }
    stage.scale_in();
    stage.until("our message", |one| matches!(one, Happening::MessageSent { about: Some(_), .. })).await;
    let daemon = stage.daemon().await;
    stage.until_ended_well(&[]).await;
    assert_told(&daemon, &[&["WARN", "call_failed", "sqs:ReceiveMessage", "length limit exceeded"]]).await;
    assert_eq!((stage.count(drained), left(&stage)), (1, LARGE));
}
