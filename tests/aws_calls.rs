//! Tests the calls to Auto Scaling, Elastic Load Balancing and SQS, with the real SDK, against a scripted server on loopback.

mod support;

use std::process::Command;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use drainhook::aws::autoscaling::Whose;
use drainhook::aws::clients::{Clients, Settings, http_client};
use machine::Time;
use machine::effect::{ActionName, CompletionResult};
use machine::event::{CallError, CallErrorKind, DescribedInstance, Hook, TargetHealth};
use machine::message::Body;
use machine::targets::TargetName;
use support::{Reply, Server, answer, closed_port, ok};

const INSTANCE: &str = "i-0123456789abcdef0";
const TOKEN: &str = "c613620e-07e2-4ed2-a9e2-ef8258911ade";
/// A header that every response of AWS has.
const REQUEST_ID: (&str, &str) = ("x-amzn-requestid", "c613620e-07e2-4ed2-a9e2-ef8258911ade");
const QUEUE: &str = "http://sqs.test/123456789012/workers";

fn clients(url: &str) -> Clients {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .http_client(http_client())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    Clients::from_config(config.build(), &Settings { target_groups: true, ..Settings::default() })
}

fn target() -> TargetName {
    let group = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";
    TargetName { group: group.to_owned(), id: INSTANCE.to_owned(), port: Some(8080) }
}

/// Each call names the target group, the target and its port.
#[tokio::test]
async fn targets_are_named_by_id_and_port() {
    let described = format!(
        "<TargetHealthDescriptions><member><Target><Id>{INSTANCE}</Id><Port>8080</Port></Target><TargetHealth>\
         <State>draining</State><Reason>Target.DeregistrationInProgress</Reason></TargetHealth></member>\
         </TargetHealthDescriptions>"
    );
    let attributes = "<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>60</Value></member></Attributes>";
    let replies = [
        xml("DeregisterTargets", ""),
        xml("RegisterTargets", ""),
        xml("DescribeTargetHealth", &described),
        xml("DescribeTargetHealth", "<TargetHealthDescriptions></TargetHealthDescriptions>"),
        xml("DescribeTargetGroupAttributes", attributes),
    ];
    let server = Server::replies(replies).await;
    let (clients, target) = (clients(&server.url), target());
    clients.deregister_target(&target).await.expect("done");
    clients.register_target(&target).await.expect("done");
    assert_eq!(clients.target_health(&target).await.map(|(health, _)| health), Ok(TargetHealth::Draining));
    assert_eq!(
        clients.target_health(&target).await.map(|(health, _)| health),
        Ok(TargetHealth::NotRegistered)
    );
    assert_eq!(clients.deregistration_delay(&target.group).await, Ok(Some(Duration::from_secs(60))));
    for (at, request) in server.requests().iter().enumerate() {
        let body = &request.body;
        assert!(
            body.contains("TargetGroupArn=arn%3Aaws%3A") && body.contains("Version=2015-12-01"),
            "{body}"
        );
        let names = body.contains(&format!("Targets.member.1.Id={INSTANCE}"))
            && body.contains("Targets.member.1.Port=8080");
        assert!(names || at == 4, "{body}");
    }
}

#[tokio::test]
async fn elb_errors() {
    let denied =
        "User: x is not authorized to perform: elasticloadbalancing:DeregisterTargets on resource: y";
    for (code, message, kind, told) in [
        (
            "TargetGroupNotFound",
            "One or more target groups not found",
            CallErrorKind::Rejected,
            "TargetGroupNotFound",
        ),
        (
            "AccessDenied",
            denied,
            CallErrorKind::AccessDenied,
            "allow elasticloadbalancing:DeregisterTargets in the role",
        ),
        ("Throttling", "Rate exceeded", CallErrorKind::Throttled, "Rate exceeded"),
    ] {
        let server = Server::replies([xml_error(400, code, message)]).await;
        let error = clients(&server.url).deregister_target(&target()).await.expect_err("an error");
        assert!(error.kind == kind && error.message.contains(told), "{code}: {error:?}");
    }
}

const OURS: Whose<'_> = Whose::Instance(INSTANCE);

fn action() -> ActionName {
    ActionName { hook: "drain".to_owned(), group: "my workers".to_owned() }
}

/// An error response of Auto Scaling (Query/XML).
fn xml_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    answer(status, &[("content-type", "text/xml")], body)
}

/// An error response of SQS (JSON 1.0).
fn json_error(status: u16, code: &str, message: &str) -> Reply {
    let body = serde_json::json!({"__type": code, "message": message}).to_string();
    answer(status, &[("content-type", "application/x-amz-json-1.0")], body)
}

fn xml(call: &str, result: &str) -> Reply {
    let body = format!("<{call}Response><{call}Result>{result}</{call}Result></{call}Response>");
    answer(200, &[("content-type", "text/xml"), REQUEST_ID], body)
}

fn json(value: serde_json::Value) -> Reply {
    answer(200, &[("content-type", "application/x-amz-json-1.0"), REQUEST_ID], value.to_string())
}

async fn heartbeat_error(reply: Reply) -> CallError {
    let server = Server::replies([reply]).await;
    let error = clients(&server.url).heartbeat(&action(), OURS).await.expect_err("an error");
    assert_eq!(server.requests().len(), 1, "nothing is retried here: {error}");
    error
}

#[tokio::test]
async fn action_is_named_by_instance_or_by_token() {
    let server = Server::start(|request| {
        let call = if request.body.contains("Action=Complete") {
            "CompleteLifecycleAction"
        } else {
            "RecordLifecycleActionHeartbeat"
        };
        xml(call, "")
    })
    .await;
    let clients = clients(&server.url);
    clients.heartbeat(&action(), OURS).await.expect("done");
    clients.heartbeat(&action(), Whose::Token(TOKEN)).await.expect("done");
    clients.complete(&action(), Whose::Token(TOKEN), CompletionResult::Abandon).await.expect("done");
    let requests = server.requests();
    let named = |at: usize, field: &str| requests[at].body.contains(field);
    assert!(named(0, "InstanceId=i-0123456789abcdef0") && !named(0, "LifecycleActionToken"));
    for at in [1, 2] {
        assert!(!named(at, "InstanceId") && named(at, &format!("LifecycleActionToken={TOKEN}")), "{at}");
        assert!(
            named(at, "LifecycleHookName=drain") && named(at, "AutoScalingGroupName=my%20workers"),
            "{at}"
        );
    }
    assert!(named(2, "LifecycleActionResult=ABANDON"));
}

#[tokio::test]
async fn auto_scaling_errors() {
    let no_action = "No active Lifecycle Action found with instance ID i-0123456789abcdef0";
    let denied = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: \
                  autoscaling:RecordLifecycleActionHeartbeat on resource: y";
    let cases = [
        (xml_error(400, "ValidationError", no_action), CallErrorKind::NoActiveAction, no_action),
        (
            xml_error(400, "ValidationError", "1 validation error"),
            CallErrorKind::Rejected,
            "1 validation error",
        ),
        (xml_error(400, "Throttling", "Rate exceeded"), CallErrorKind::Throttled, "Rate exceeded"),
        (
            xml_error(403, "AccessDenied", denied),
            CallErrorKind::AccessDenied,
            "allow autoscaling:RecordLifecycleActionHeartbeat",
        ),
        (
            xml_error(403, "ExpiredToken", "The security token is expired"),
            CallErrorKind::Credentials,
            "credentials",
        ),
        (xml_error(500, "ResourceContention", "busy"), CallErrorKind::Unanswered, "may have taken effect"),
        (answer(502, &[], "<html>Bad Gateway</html>"), CallErrorKind::Unanswered, "answered 502: "),
        (Reply::Close, CallErrorKind::Unanswered, "may have taken effect"),
        (Reply::Endless, CallErrorKind::Unanswered, "length limit exceeded"),
    ];
    for (reply, kind, told) in cases {
        let script = format!("{reply:?}");
        let error = heartbeat_error(reply).await;
        assert_eq!(error.kind, kind, "{script:.200}: {error}");
        assert!(error.message.contains(told), "{script:.200}: {error}");
        assert!(error.message.chars().count() < 1000, "{error}");
    }
}

#[tokio::test]
async fn connection_refused() {
    let url = closed_port().await;
    let error = clients(&url).heartbeat(&action(), OURS).await.expect_err("the port is closed");
    assert_eq!(error.kind, CallErrorKind::Unsent, "{error}");
    let expected = format!(
        "autoscaling:RecordLifecycleActionHeartbeat: {url}: connection refused; it was not sent; nothing is listening \
         there: check the endpoint"
    );
    assert_eq!(error.message, expected);
}

/// The host name does not resolve. By RFC 6761, no resolver knows names below `invalid`.
#[tokio::test]
async fn name_that_does_not_resolve() {
    for url in ["https://sqs.invalid", "http://sqs.invalid:4566"] {
        let error = clients(url).delete(QUEUE, "receipt").await.expect_err("no such name");
        assert_eq!(error.kind, CallErrorKind::Unsent, "{error}");
        let host =
            if url.starts_with("https:") { "https://sqs.invalid:443: " } else { "http://sqs.invalid:4566: " };
        assert!(error.message.contains(host) && error.message.contains("DNS resolver"), "{error}");
    }
}

#[tokio::test]
async fn denials_by_the_queues_key() {
    let denied = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:Decrypt on resource: \
                  arn:aws:kms:eu-west-1:1:key/k because no identity-based policy allows the kms:Decrypt action";
    for code in ["KMS.AccessDeniedException", "com.amazonaws.sqs#KmsAccessDenied"] {
        let server = Server::replies([json_error(400, code, denied)]).await;
        let receive = clients(&server.url).receive(QUEUE, Duration::ZERO, 1, false).await;
        let error = receive.expect_err("denied");
        assert_eq!(error.kind, CallErrorKind::AccessDenied, "{error}");
        assert!(error.message.contains("; allow kms:Decrypt on the queue's key"), "{error}");
        assert!(!error.message.contains("allow sqs:ReceiveMessage"), "{error}");
    }
}

/// A proxy strips the header with the request id. Other parts of the responses show that AWS answered, so the client
/// accepts them.
#[tokio::test]
async fn responses_without_the_request_id_header() {
    let document = "<RecordLifecycleActionHeartbeatResponse><RecordLifecycleActionHeartbeatResult/><ResponseMetadata>\
                    <RequestId>r</RequestId></ResponseMetadata></RecordLifecycleActionHeartbeatResponse>";
    let server =
        Server::replies([ok(document), answer(200, &[("content-type", "application/x-amz-json-1.0")], "")])
            .await;
    let clients = clients(&server.url);
    assert_eq!(clients.heartbeat(&action(), OURS).await, Ok(()));
    assert_eq!(clients.delete(QUEUE, "receipt").await, Ok(()));
}

#[tokio::test]
async fn no_credentials() {
    let server = Server::replies([xml("RecordLifecycleActionHeartbeat", "")]).await;
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&server.url)
        .http_client(http_client());
    let clients = Clients::from_config(config.build(), &Settings::default());
    let error = clients.heartbeat(&action(), OURS).await.expect_err("nothing to sign with");
    assert_eq!(error.kind, CallErrorKind::Unsent, "no source of credentials is configured: {error}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn described_instance() {
    let member = format!(
        "<AutoScalingInstances><member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>workers\
         </AutoScalingGroupName><AvailabilityZone>eu-west-1a</AvailabilityZone><LifecycleState>Terminating:Wait\
         </LifecycleState><HealthStatus>HEALTHY</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>\
         </member></AutoScalingInstances>"
    );
    let none = "<AutoScalingInstances/>";
    let call = "DescribeAutoScalingInstances";
    let server = Server::replies([xml(call, &member), xml(call, none)]).await;
    let clients = clients(&server.url);
    let expected =
        DescribedInstance { group: "workers".to_owned(), lifecycle_state: "Terminating:Wait".to_owned() };
    assert_eq!(clients.describe_instance(INSTANCE).await, Ok(Some(expected)));
    assert_eq!(clients.describe_instance(INSTANCE).await, Ok(None));
    assert!(server.requests()[0].body.contains("InstanceIds.member.1=i-0123456789abcdef0"));
}

#[tokio::test]
async fn response_from_another_server() {
    let page = answer(200, &[("content-type", "text/html")], "<html><body>Sign in</body></html>");
    let cut =
        "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><AutoScalingInstances>";
    let server = Server::replies([page.clone(), ok(cut), page]).await;
    let clients = clients(&server.url);
    for told in ["instead of a DescribeAutoScalingInstancesResponse", "truncated XML"] {
        let error = clients.describe_instance(INSTANCE).await.expect_err("not an answer");
        assert_eq!(error.kind, CallErrorKind::Unanswered, "{error}");
        assert!(error.message.contains(told), "{error}");
    }
    // For these calls, the SDK reads only the status of a response.
    let heartbeat = clients.heartbeat(&action(), OURS).await;
    let completion = clients.complete(&action(), OURS, CompletionResult::Continue).await;
    let deletion = clients.delete(QUEUE, "receipt").await;
    for result in [heartbeat, completion, deletion] {
        let error = result.expect_err("not an answer");
        assert_eq!(error.kind, CallErrorKind::Unanswered, "{error}");
        assert!(error.message.contains("something other than AWS answered"), "{error}");
    }
}

#[tokio::test]
async fn described_hooks() {
    let hooks = "<LifecycleHooks><member><LifecycleHookName>drain</LifecycleHookName><AutoScalingGroupName>workers\
         </AutoScalingGroupName><LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>\
         <HeartbeatTimeout>30</HeartbeatTimeout><GlobalTimeout>3000</GlobalTimeout><DefaultResult>CONTINUE\
         </DefaultResult></member><member><LifecycleHookName>warm</LifecycleHookName><LifecycleTransition>\
         autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition></member></LifecycleHooks>";
    let server = Server::replies([xml("DescribeLifecycleHooks", hooks)]).await;
    let hook = |name: &str, terminating, heartbeat_s, global_s, default_result| Hook {
        name: name.to_owned(),
        terminating,
        heartbeat_timeout: Duration::from_secs(heartbeat_s),
        global_timeout: Duration::from_secs(global_s),
        default_result,
        notification_target: None,
    };
    let expected = vec![
        hook("drain", true, 30, 3000, CompletionResult::Continue),
        hook("warm", false, 3600, 172_800, CompletionResult::Abandon),
    ];
    assert_eq!(clients(&server.url).describe_hooks("workers").await, Ok(expected));
}

fn request_json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).expect("SQS speaks JSON")
}

#[tokio::test]
async fn received_messages() {
    let test = include_str!("fixtures/messages/test-notification.json");
    let messages = serde_json::json!({"Messages": [
        {"MessageId": "1", "ReceiptHandle": "a", "Body": test, "Attributes": {"SentTimestamp": "1772366400000"}},
        {"MessageId": "2", "ReceiptHandle": "b", "Body": "hello"},
        {"MessageId": "3", "ReceiptHandle": "c"},
        {"MessageId": "4", "Body": "nothing to give it back by"},
        {"MessageId": "5", "ReceiptHandle": "x".repeat(2049), "Body": "no receipt handle of SQS"},
    ]});
    let server = Server::replies([json(messages), json(serde_json::json!({}))]).await;
    let clients = clients(&server.url);
    let messages = clients.receive(QUEUE, Duration::from_secs(60), 10, false).await.expect("messages");
    assert_eq!(messages[0].receipt, "a");
    assert_eq!(messages[0].sent, Some(Time::from_unix_ms(1_772_366_400_000)));
    assert_eq!(*messages[0].body, Body::Test);
    assert_eq!((messages[1].receipt.as_str(), messages[1].sent), ("b", None));
    assert!(messages[1..].iter().all(|message| matches!(*message.body, Body::Unreadable(_))));
    assert_eq!(messages.len(), 3);
    // The messages of this receive stay visible to others.
    assert_eq!(clients.receive(QUEUE, Duration::ZERO, 1, true).await, Ok(Vec::new()));
    let second = request_json(&server.requests()[1].body);
    assert_eq!([&second["MaxNumberOfMessages"], &second["VisibilityTimeout"]], [1, 0]);

    let expected = serde_json::json!({
        "QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20, "VisibilityTimeout": 20,
        "MessageSystemAttributeNames": ["SentTimestamp"],
    });
    assert_eq!(request_json(&server.requests()[0].body), expected);
}

#[tokio::test]
async fn changed_visibility() {
    let mixed = serde_json::json!({"Successful": [{"Id": "0"}], "Failed": [
        {"Id": "1", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": "The handle is not valid"}]});
    let all = serde_json::json!({"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": []});
    let server = Server::replies([json(all), json(mixed)]).await;
    let clients = clients(&server.url);
    let entries =
        [("a".to_owned(), Duration::from_millis(1500)), ("b".to_owned(), Duration::from_secs(90_000))];
    assert_eq!(clients.set_visibility(QUEUE, &entries).await, Ok(()));
    let error = clients.set_visibility(QUEUE, &entries).await.expect_err("one failed");
    assert_eq!(error.kind, CallErrorKind::Rejected);
    assert!(error.message.contains("entry 1: ReceiptHandleIsInvalid"), "{error}");
    assert!(!error.message.contains("entry 0"), "{error}");
    let sent = &request_json(&server.requests()[0].body)["Entries"];
    assert_eq!((&sent[0]["VisibilityTimeout"], &sent[0]["ReceiptHandle"]), (&2.into(), &"a".into()));
    assert_eq!(sent[1]["VisibilityTimeout"], 43_200);
}

#[tokio::test]
async fn sqs_errors() {
    let cases = [
        (
            json_error(400, "com.amazonaws.sqs#QueueDoesNotExist", "no queue"),
            CallErrorKind::Rejected,
            "queue.url",
        ),
        (json_error(400, "com.amazonaws.sqs#RequestThrottled", "slow"), CallErrorKind::Throttled, "slow"),
        (
            json_error(400, "AccessDeniedException", "no"),
            CallErrorKind::AccessDenied,
            "allow sqs:DeleteMessage",
        ),
        (json_error(500, "InternalFailure", "oops"), CallErrorKind::Unanswered, "oops"),
        (Reply::Endless, CallErrorKind::Unanswered, "length limit exceeded"),
    ];
    for (reply, kind, told) in cases {
        let script = format!("{reply:?}");
        let server = Server::replies([reply]).await;
        let error = clients(&server.url).delete(QUEUE, "receipt").await.expect_err("an error");
        assert_eq!(error.kind, kind, "{script:.200}: {error}");
        assert!(error.message.contains(told), "{script:.200}: {error}");
    }
}

/// Set in the child process that `environment` starts.
const CHILD: &str = "CHILD_OF_ENVIRONMENT";

/// Environment variables belong to the whole process, so this test runs itself again as a child process.
#[tokio::test]
async fn environment() {
    if std::env::var_os(CHILD).is_some() {
        return in_an_environment_of_its_own().await;
    }
    let server = Server::start(|request| match request.line() {
        "PUT /latest/api/token" => answer(200, &[("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "T0K3N"),
        "GET /latest/meta-data/placement/region" => ok("eu-north-1"),
        "GET /latest/meta-data/iam/security-credentials/" => ok("role"),
        "GET /latest/meta-data/iam/security-credentials-extended/" => answer(404, &[], ""),
        line if line.contains("iam/security-credentials/role") => ok(concat!(
            r#"{"Code":"Success","LastUpdated":"2026-03-01T12:00:00Z","Type":"AWS-HMAC","AccessKeyId":"AKIDIMDS","#,
            r#""SecretAccessKey":"secret","Token":"token","Expiration":"2099-03-01T12:00:00Z"}"#
        )),
        "POST /" if request.body.contains("Action=RecordLifecycleActionHeartbeat") => {
            assert!(request.header("authorization").is_some_and(|header| header.contains("AKIDIMDS")));
            assert!(request.header("x-amz-user-agent").is_some_and(|header| header.contains("app/drainhook")));
            xml("RecordLifecycleActionHeartbeat", "")
        }
        line => panic!("{line}"),
    })
    .await;
    let test = std::env::current_exe().expect("this test");
    let status = tokio::task::spawn_blocking({
        let url = server.url.clone();
        move || {
            Command::new(test)
                .args(["--exact", "environment", "--nocapture"])
                .env_clear()
                .env(CHILD, "1")
                .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
                .env("AWS_ENDPOINT_URL_AUTO_SCALING", &url)
                .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)
                .env("AWS_CONFIG_FILE", "/dev/null")
                .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
                // There are no roots, so a client that reads them would fail. Nothing here needs TLS.
                .env("SSL_CERT_FILE", "/dev/null")
                .env("SSL_CERT_DIR", "/dev/null")
                .env("HTTP_PROXY", "http://127.0.0.1:1")
                .status()
        }
    })
    .await;
    let status = status.expect("no panic").expect("started");
    assert!(status.success(), "{status}: {:?}", server.lines());
    assert!(server.lines().contains(&"POST /".to_owned()), "{:?}", server.lines());
}

async fn in_an_environment_of_its_own() {
    let clients = Clients::connect(&Settings::default()).await.expect("a Region");
    assert_eq!(clients.region(), Some("eu-north-1"));
    clients.heartbeat(&action(), OURS).await.expect("answered");
    let error = clients.delete(QUEUE, "receipt").await.expect_err("the port is closed");
    assert_eq!(error.kind, CallErrorKind::Unsent, "{error}");
}
