//! Errors of AWS, and responses from something other than AWS, to every call that the daemon makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sim::world::{HookSpec, ImdsMode, Work, WorldConfig};

use crate::support::daemon::{Daemon, Stage};
use crate::support::{Reply, Request, Server, answer, ok};
use crate::{BadAnswers, assert_plain, world};

/// Calls of an idle daemon whose IMDS has no target state.
const OF_THE_QUEUE: [&str; 2] = ["ReceiveMessage", "ChangeMessageVisibilityBatch"];
/// Calls while the agent drains.
const WHILE_DRAINING: [&str; 3] =
    ["DescribeAutoScalingInstances", "DescribeLifecycleHooks", "RecordLifecycleActionHeartbeat"];
/// Calls at the end of the drain.
const AT_THE_END: [&str; 2] = ["CompleteLifecycleAction", "DeleteMessage"];

const QUEUE: &str = "workers-termination";

/// A bad response to a call, with words that must be logged.
type Bad = (Reply, &'static [&'static str]);

fn is_of_sqs(call: &str) -> bool {
    call.contains("Message")
}

/// The IAM action of a call.
fn action(call: &str) -> String {
    let service = if is_of_sqs(call) { "sqs" } else { "autoscaling" };
    format!("{service}:{}", call.trim_end_matches("Batch"))
}

fn call(request: &Request) -> String {
    let of_sqs = request.header("x-amz-target").and_then(|target| target.strip_prefix("AmazonSQS."));
    let form = || request.body.split('&').find_map(|field| field.strip_prefix("Action="));
    of_sqs.or_else(form).expect("a call").to_owned()
}

/// An error in the call's own protocol.
fn error(call: &str, status: u16, code: &str, message: &str) -> Reply {
    if is_of_sqs(call) {
        let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message}).to_string();
        return answer(status, &[("content-type", "application/x-amz-json-1.0")], body);
    }
    let body = format!(
        "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    answer(status, &[("content-type", "text/xml")], body)
}

fn throttling(call: &str) -> Vec<Bad> {
    vec![
        (error(call, 400, "Throttling", "Rate exceeded"), &["answered 400 Throttling: Rate exceeded"]),
        (error(call, 503, "RequestThrottled", "slow down"), &["answered 503 RequestThrottled: slow down"]),
        (answer(429, &[], ""), &["answered 429"]),
    ]
}

fn permissions_and_credentials(call: &str) -> Vec<Bad> {
    let denied = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: y";
    vec![
        (
            error(call, 403, "AccessDenied", denied),
            &["ERROR", "answered 403 AccessDenied", "in the role's policy"],
        ),
        (error(call, 403, "ExpiredToken", "expired"), &["answered 403 ExpiredToken", "check their source"]),
        (error(call, 403, "InvalidClientTokenId", "no"), &["InvalidClientTokenId", "check their source"]),
        (error(call, 400, "RequestExpired", "late"), &["answered 400 RequestExpired", "check the clock"]),
    ]
}

fn refusals(call: &str) -> Vec<Bad> {
    let long = "x".repeat(64 * 1024);
    vec![
        (
            error(call, 400, "ValidationError", "1 validation error detected"),
            &["1 validation error detected"],
        ),
        (
            error(
                call,
                400,
                "ValidationError",
                "AutoScalingGroup name not found - AutoScalingGroup 'x' not found",
            ),
            &["answered 400 ValidationError: AutoScalingGroup name not found"],
        ),
        (
            error(call, 400, "NeverHeardOf", &format!("a\n\u{202e}b{long}")),
            &["NeverHeardOf", r"a\\n\\u{202e}b", "…"],
        ),
        (error(call, 418, &long, "teapot"), &["answered 418 ", "…: teapot"]),
    ]
}

fn server_errors(call: &str) -> Vec<Bad> {
    vec![
        (
            error(call, 500, "InternalFailure", "oops"),
            &["answered 500 InternalFailure: oops; it may have taken"],
        ),
        (error(call, 500, "ResourceContention", "busy"), &["answered 500 ResourceContention: busy"]),
        (answer(502, &[("content-type", "text/html")], "<html>Bad Gateway</html>"), &["answered 502"]),
        (answer(503, &[], ""), &["answered 503"]),
    ]
}

/// Responses with the status of a success that do not come from AWS.
fn responses_from_another_server(call: &str) -> Vec<Bad> {
    let truncated = if is_of_sqs(call) {
        r#"{"Messages":[{"ReceiptHandle":"a"#.to_owned()
    } else {
        format!("<{call}Response><{call}Result><AutoScalingInstances><member><InstanceId>i-")
    };
    vec![
        (answer(200, &[("content-type", "text/html")], "<html><body>Sign in</body></html>"), &[]),
        (ok(truncated), &[]),
        (
            answer(302, &[("location", "https://proxy/login")], ""),
            &["answered 302", "check the proxy and the endpoint"],
        ),
        (
            ok(r#"{"Messages":[{"ReceiptHandle":"a"},{"Body":"b"},{"ReceiptHandle":"c\u0000","Body":7}]}"#),
            &[],
        ),
    ]
}

fn broken_connections(call: &str) -> Vec<Bad> {
    let told: &[&str] = if call == "DeleteMessage" { &[] } else { &["it may have taken effect"] };
    vec![
        (Reply::Close, told),
        (Reply::BytesThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n<Describe".to_vec()), told),
        (
            Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Messages\":".to_vec()),
            told,
        ),
        (Reply::Endless, &["length limit exceeded"]),
        (Reply::EndlessHead, told),
    ]
}

/// Plays a scale-in in which every call gets each of these bad responses before a real one. The agent drains only after all
/// calls of the drain had theirs.
async fn drains_through(bad: fn(&str) -> Vec<Bad>) {
    let mut config = WorldConfig {
        hooks: vec![HookSpec::terminating("drain", Duration::from_secs(7200))],
        load_balancer_drain: Some(Duration::from_secs(100)),
        work: Work { items: 0, ..Work::default() },
        ..world(0, 1)
    };
    config.imds.tags = false;
    config.imds.mode = ImdsMode::WithoutTargetState;
    // At twice this speed, on a busy machine, DeleteMessage came after the visibility timeout, with a stale receipt.
    let mut stage = Stage::new(100, config).await;
    let answers = BadAnswers::new(move |call| bad(call).into_iter().map(|(reply, _)| reply).collect());
    answers.begin();
    let (open, done) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (is_open, script) = (Arc::clone(&open), answers.clone());
    let aws = Server::before(stage.service.aws_url(), move |request| {
        let call = call(request);
        // Until this opens, no message reaches the daemon, so that it must find out everything by itself.
        let closed = call == "ReceiveMessage" && !is_open.load(Ordering::Relaxed);
        script.next(&call).or_else(|| closed.then(|| error(&call, 400, "RequestThrottled", "closed")))
    })
    .await;
    let is_done = Arc::clone(&done);
    let agent = Server::start(move |_| {
        let state = if is_done.load(Ordering::Relaxed) { "drained" } else { "draining" };
        ok(format!(r#"{{"state":"{state}"}}"#))
    })
    .await;
    let settings = [
        ("AWS_ENDPOINT_URL", aws.url.as_str()),
        ("DRAINHOOK_AGENT__URL", &agent.url),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h"),
        ("DRAINHOOK_AGENT__POLL", "20s"),
    ];
    let mut daemon = stage.daemon_with(&settings).await;
    let send = |body: &str| {
        let sent =
            stage.service.world(|world, now| world.send_message(now, QUEUE, body.into(), Duration::ZERO));
        sent.expect("SQS takes it");
    };
    send("another instance's");
    answers.used_up(&OF_THE_QUEUE).await;
    open.store(false, Ordering::Relaxed);
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_imds_mode(now, &instance, ImdsMode::Answers));
    stage.scale_in();
    answers.used_up(&WHILE_DRAINING).await;
    open.store(true, Ordering::Relaxed);
    done.store(true, Ordering::Relaxed);
    stage.until_ended_well(&[]).await;
    assert!(answers.are_used_up(&AT_THE_END));
    let all: Vec<&str> = [OF_THE_QUEUE.as_slice(), &WHILE_DRAINING, &AT_THE_END].concat();
    for call in all {
        assert_call_is_told(&daemon, call, bad(call)).await;
    }
    assert_plain(&daemon);
    assert!(daemon.runs());
    let queue = stage.service.world(|world, now| world.describe_queue(now, QUEUE)).expect("it exists");
    assert_eq!(queue.visible + queue.hidden, 1, "another instance's message is still there");
}

async fn assert_call_is_told(daemon: &Daemon, call: &str, bad: Vec<Bad>) {
    let action = action(call);
    for (_, words) in bad {
        let all: Vec<&str> = [action.as_str(), "call_failed"].iter().chain(words).copied().collect();
        daemon.logged(&all).await;
    }
}

macro_rules! drained_through {
    ($($class:ident),* $(,)?) => {
        mod through {
            $(
                #[tokio::test]
                async fn $class() {
                    super::drains_through(super::$class).await;
                }
            )*
        }
    };
}

drained_through! {
    throttling,
    permissions_and_credentials,
    refusals,
    server_errors,
    responses_from_another_server,
    broken_connections,
}
