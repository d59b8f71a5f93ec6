//! Calls the simulated AWS with the clients for the real one.

use std::time::Duration;

use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_autoscaling::types::{LifecycleHookSpecification, LifecycleState};
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use drainhook::clock::{Clock, Scale};
use drainhook::serve::{Addresses, Service};
use machine::Time;
use serde_json::{Value, json};
use sim::world::{AgentMode, HookSpec, ImdsMode, LifecycleState as State, Work, WorldConfig};

const HOOK: &str = "drain";
const GROUP: &str = "workers";
const SPEED: u32 = 60;

struct Clients {
    autoscaling: aws_sdk_autoscaling::Client,
    sqs: aws_sdk_sqs::Client,
    http: reqwest::Client,
}

async fn served(config: WorldConfig) -> (Service, Clients) {
    let scale = Scale { epoch: Clock::start(None).now(), speed: SPEED };
    let clock = Clock::start(Some(scale));
    let service = Service::start(config, clock, Addresses::default()).await.expect("loopback has free ports");
    let clients = clients(&service);
    (service, clients)
}

fn clients(service: &Service) -> Clients {
    let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    let autoscaling = aws_sdk_autoscaling::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials.clone())
        .endpoint_url(service.aws_url())
        .http_client(http.clone())
        .build();
    let sqs = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(credentials)
        .endpoint_url(service.aws_url())
        .http_client(http)
        .build();
    Clients {
        autoscaling: aws_sdk_autoscaling::Client::from_conf(autoscaling),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        http: reqwest::Client::builder().no_proxy().build().expect("plain HTTP needs nothing"),
    }
}

/// Waits until the instance is in that state. The world's clock drives the change.
async fn reaches(service: &Service, instance: &str, state: State) {
    let mut changed = service.subscribe();
    loop {
        changed.borrow_and_update();
        if service.world(|world, _| world.instance(instance)).is_some_and(|one| one.state == state) {
            return;
        }
        changed.changed().await.expect("the service runs");
    }
}

async fn imds_get(clients: &Clients, imds: &str, path: &str) -> (u16, String) {
    let token = clients
        .http
        .put(format!("{imds}/latest/api/token"))
        .header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        .send()
        .await
        .expect("IMDS answers");
    let token = token.text().await.expect("text");
    let request = clients.http.get(format!("{imds}{path}")).header("X-aws-ec2-metadata-token", token);
    let answer = request.send().await.expect("IMDS answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

fn message<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> (String, String) {
    let error = error.as_service_error().expect("AWS answered").meta();
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

const TARGET: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

#[tokio::test]
async fn scale_in_from_start_to_end() {
    // The longest timeout, so that this test passes on slow machines.
    let hooks = vec![HookSpec::terminating(HOOK, Duration::from_secs(7200))];
    let (service, clients) = served(WorldConfig { hooks, ..WorldConfig::default() }).await;
    let id = service.instances()[0].id.clone();
    let imds = service.endpoints(&id).expect("listens").imds;
    assert_eq!(imds_get(&clients, &imds, TARGET).await, (200, "InService".to_owned()));
    assert_eq!(imds_get(&clients, &imds, "/latest/meta-data/instance-id").await, (200, id.clone()));

    let scale_in = clients.autoscaling.set_desired_capacity().auto_scaling_group_name(GROUP);
    scale_in.desired_capacity(0).send().await.expect("valid");
    reaches(&service, &id, State::TerminatingWait).await;
    assert_eq!(imds_get(&clients, &imds, TARGET).await, (200, "Terminated".to_owned()));
    let described = clients.autoscaling.describe_auto_scaling_instances().instance_ids(&id).send().await;
    let described = described.expect("valid");
    assert_eq!(described.auto_scaling_instances()[0].lifecycle_state(), Some("Terminating:Wait"));
    let activities = clients.autoscaling.describe_scaling_activities().auto_scaling_group_name(GROUP);
    let activities = activities.send().await.expect("valid");
    let status = activities.activities()[0].status_code().expect("has one").as_str();
    assert_eq!(status, "MidTerminatingLifecycleAction");

    let queue = service.queue_url("workers-termination");
    let received = clients.sqs.receive_message().queue_url(&queue).wait_time_seconds(20).send().await;
    let event = received.expect("valid").messages.expect("the event has come").remove(0);
    let event: Value = serde_json::from_str(&event.body.expect("has one")).expect("JSON");
    let token = event["detail"]["LifecycleActionToken"].as_str().expect("has one");

    let before = service.world(|world, _| world.instance(&id)).expect("known").actions[0].expires;
    let heartbeat = clients.autoscaling.record_lifecycle_action_heartbeat();
    let heartbeat = heartbeat.auto_scaling_group_name(GROUP).lifecycle_hook_name(HOOK).instance_id(&id);
    heartbeat.clone().send().await.expect("the action is open");
    assert!(service.world(|world, _| world.instance(&id)).expect("known").actions[0].expires > before);

    let complete = clients.autoscaling.complete_lifecycle_action().lifecycle_action_result("CONTINUE");
    let complete = complete.auto_scaling_group_name(GROUP).lifecycle_hook_name(HOOK);
    complete.clone().lifecycle_action_token(token).send().await.expect("the action is open");
    let again = complete.clone().lifecycle_action_token(token).send().await.expect_err("it is over");
    let expected = format!("No active Lifecycle Action found with token {token}");
    assert_eq!(message(again), ("ValidationError".to_owned(), expected));
    let again = heartbeat.send().await.expect_err("it is over");
    let expected = format!("No active Lifecycle Action found with instance ID {id}");
    assert_eq!(message(again), ("ValidationError".to_owned(), expected));

    reaches(&service, &id, State::Terminated).await;
    let described = clients.autoscaling.describe_auto_scaling_instances().instance_ids(&id).send().await;
    assert!(described.expect("unknown ids are ignored").auto_scaling_instances().is_empty());
    service.stop().await;
    assert!(clients.http.get(imds).send().await.is_err(), "no server listens anymore");
}

#[tokio::test]
async fn group_and_hook_made_by_a_client() {
    let (service, clients) = served(WorldConfig { instances: 0, ..WorldConfig::default() }).await;
    let retain = aws_sdk_autoscaling::types::InstanceLifecyclePolicy::builder()
        .retention_triggers(
            aws_sdk_autoscaling::types::RetentionTriggers::builder()
                .terminate_hook_abandon(aws_sdk_autoscaling::types::RetentionAction::Retain)
                .build(),
        )
        .build();
    let boot = LifecycleHookSpecification::builder()
        .lifecycle_hook_name("boot")
        .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
        .build();
    let create = clients.autoscaling.create_auto_scaling_group().auto_scaling_group_name("mine");
    let create = create.min_size(0).max_size(3).desired_capacity(1).launch_configuration_name("any");
    let create = create.lifecycle_hook_specification_list(boot).instance_lifecycle_policy(retain);
    create.clone().send().await.expect("valid");
    let again = create.send().await.expect_err("the name is taken");
    assert!(again.as_service_error().expect("AWS answered").is_already_exists_fault());

    let id = service.instances()[0].id.clone();
    reaches(&service, &id, State::PendingWait).await;
    let complete = clients.autoscaling.complete_lifecycle_action().lifecycle_action_result("CONTINUE");
    let complete = complete.auto_scaling_group_name("mine").lifecycle_hook_name("boot").instance_id(&id);
    complete.send().await.expect("the action is open");
    reaches(&service, &id, State::InService).await;

    let put = clients.autoscaling.put_lifecycle_hook().auto_scaling_group_name("mine");
    let put = put.lifecycle_hook_name("bye").lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING");
    put.clone().heartbeat_timeout(30).default_result("ABANDON").send().await.expect("valid");
    assert_eq!(message(put.heartbeat_timeout(29).send().await.expect_err("too short")).0, "ValidationError");
    let hooks = clients.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name("mine");
    let hooks = hooks.lifecycle_hook_names("bye").send().await.expect("valid");
    let hook = &hooks.lifecycle_hooks()[0];
    assert_eq!((hook.heartbeat_timeout(), hook.global_timeout()), (Some(30), Some(3000)));

    let terminate = clients.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(&id);
    let activity = terminate.should_decrement_desired_capacity(true).send().await.expect("valid").activity;
    assert_eq!(activity.expect("under way").auto_scaling_group_name(), Some("mine"));
    reaches(&service, &id, State::TerminatingRetained).await;
    let groups = clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names("mine");
    let groups = groups.send().await.expect("valid");
    let group = &groups.auto_scaling_groups()[0];
    assert_eq!(group.desired_capacity(), Some(0));
    assert_eq!(group.instances()[0].lifecycle_state(), Some(&LifecycleState::TerminatingRetained));

    let listed: Value = serde_json::from_str(
        &clients
            .http
            .get(format!("{}/_sim/instances", service.aws_url()))
            .send()
            .await
            .expect("answers")
            .text()
            .await
            .expect("text"),
    )
    .expect("JSON");
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["imds"], service.endpoints(&id).expect("listens").imds);
    clients
        .autoscaling
        .delete_lifecycle_hook()
        .auto_scaling_group_name("mine")
        .lifecycle_hook_name("bye")
        .send()
        .await
        .expect("exists");
    let unknown = clients.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name("lost").send().await;
    let expected = "AutoScalingGroup name not found - AutoScalingGroup 'lost' not found";
    assert_eq!(message(unknown.expect_err("unknown")).1, expected);
}

#[tokio::test]
async fn queue_calls() {
    let (service, clients) = served(WorldConfig::default()).await;
    let created = clients
        .sqs
        .create_queue()
        .queue_name("jobs")
        .attributes(QueueAttributeName::VisibilityTimeout, "43200");
    let url = created.send().await.expect("valid").queue_url.expect("has one");
    let found = clients.sqs.get_queue_url().queue_name("jobs").send().await.expect("exists");
    assert_eq!(found.queue_url.as_ref(), Some(&url));

    // The receive waits, and returns when the message arrives.
    let waiting = clients
        .sqs
        .receive_message()
        .queue_url(&url)
        .wait_time_seconds(20)
        .max_number_of_messages(10)
        .message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::All)
        .send();
    let sending = clients.sqs.send_message().queue_url(&url).message_body("héllo").send();
    let (received, sent) = tokio::join!(waiting, sending);
    let first = received.expect("valid").messages.expect("arrived").remove(0);
    assert_eq!((first.message_id, first.body.as_deref()), (sent.expect("valid").message_id, Some("héllo")));
    let receipt = first.receipt_handle.expect("has one");

    let entry = |id: &str, receipt: &str| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(receipt)
            .visibility_timeout(0)
            .build()
            .expect("complete")
    };
    let changed = clients
        .sqs
        .change_message_visibility_batch()
        .queue_url(&url)
        .entries(entry("a", &receipt))
        .entries(entry("b", "forged"))
        .send()
        .await
        .expect("the call is valid");
    assert_eq!((changed.successful()[0].id(), changed.failed()[0].code()), ("a", "ReceiptHandleIsInvalid"));

    let second = clients
        .sqs
        .receive_message()
        .queue_url(&url)
        .message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::All)
        .send()
        .await;
    let second = second.expect("valid").messages.expect("it was given back").remove(0);
    let count = second.attributes.expect("asked for")
        [&aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount]
        .clone();
    assert_eq!(count, "2");
    clients
        .sqs
        .delete_message()
        .queue_url(&url)
        .receipt_handle(&receipt)
        .send()
        .await
        .expect("a stale handle succeeds");
    let attributes =
        clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let attributes = attributes.send().await.expect("exists").attributes.expect("has some");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessagesNotVisible], "1");
    let receipt = second.receipt_handle.expect("has one");
    clients.sqs.delete_message().queue_url(&url).receipt_handle(&receipt).send().await.expect("current");
    let empty =
        clients.sqs.receive_message().queue_url(&url).wait_time_seconds(1).send().await.expect("valid");
    assert!(empty.messages.is_none());

    let missing =
        clients.sqs.receive_message().queue_url(format!("{}x", url)).send().await.expect_err("no such queue");
    assert!(missing.as_service_error().expect("AWS answered").is_queue_does_not_exist());
    for many in [-1, 0, 11] {
        let refused = clients.sqs.receive_message().queue_url(&url).max_number_of_messages(many).send().await;
        let expected = format!(
            "Value {many} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
        );
        assert_eq!(message(refused.expect_err("out of range")).1, expected);
    }
    let too_long = clients.sqs.receive_message().queue_url(&url).wait_time_seconds(21).send().await;
    assert_eq!(
        message(too_long.expect_err("out of range")).1,
        "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
    );
    drop(service);
}

#[tokio::test]
async fn queue_attributes() {
    let (service, clients) = served(WorldConfig::default()).await;
    let url = service.queue_url("workers-termination");
    let all = || async {
        let request = clients.sqs.get_queue_attributes().queue_url(&url);
        let answer = request.attribute_names(QueueAttributeName::All).send().await.expect("it exists");
        answer.attributes.expect("many")
    };
    let policy = all().await[&QueueAttributeName::Policy].clone();
    assert!(policy.contains("events.amazonaws.com"), "{policy}");
    let request = clients.sqs.set_queue_attributes().queue_url(&url);
    let request = request.attributes(QueueAttributeName::Policy, "");
    let request = request.attributes(QueueAttributeName::RedrivePolicy, "{\"maxReceiveCount\":3}");
    request.send().await.expect("it exists");
    let after = all().await;
    assert_eq!(after.get(&QueueAttributeName::Policy), None);
    assert_eq!(after[&QueueAttributeName::RedrivePolicy], "{\"maxReceiveCount\":3}");
    assert_eq!(after[&QueueAttributeName::MessageRetentionPeriod], "43200", "as it was");
}

#[tokio::test]
async fn denied_calls() {
    let denied = ["autoscaling:CompleteLifecycleAction", "sqs:DeleteMessage"].map(str::to_owned).to_vec();
    let (service, clients) = served(WorldConfig { denied, ..WorldConfig::default() }).await;
    let completion = clients.autoscaling.complete_lifecycle_action().auto_scaling_group_name(GROUP);
    let completion = completion.lifecycle_hook_name(HOOK).lifecycle_action_result("CONTINUE").send().await;
    let completion = completion.expect_err("denied");
    assert_eq!(completion.code(), Some("AccessDenied"));
    let message = completion.message().expect("it is told");
    assert!(
        message
            .contains("is not authorized to perform: autoscaling:CompleteLifecycleAction on resource: arn:")
    );
    let entry = aws_sdk_sqs::types::DeleteMessageBatchRequestEntry::builder().id("1").receipt_handle("r");
    let url = service.queue_url("workers-termination");
    let deletion = clients.sqs.delete_message_batch().queue_url(url).entries(entry.build().expect("whole"));
    let deletion = deletion.send().await.expect_err("what a batch does is denied");
    assert_eq!(deletion.code(), Some("AccessDenied"));
    let message = deletion.message().expect("it is told");
    assert!(message.contains("is not authorized to perform: sqs:deletemessage on resource: arn:aws:sqs:"));
}

#[tokio::test]
async fn imds_version_two_only() {
    let (service, clients) = served(WorldConfig::default()).await;
    let id = service.instances()[0].id.clone();
    let imds = service.endpoints(&id).expect("listens").imds;
    let status = |answer: reqwest::Response| answer.status().as_u16();
    let get = clients.http.get(format!("{imds}{TARGET}"));
    assert_eq!(status(get.try_clone().expect("no body").send().await.expect("answers")), 401);
    assert_eq!(status(get.header("X-aws-ec2-metadata-token", "forged").send().await.expect("answers")), 401);
    let put = clients.http.put(format!("{imds}/latest/api/token"));
    assert_eq!(status(put.try_clone().expect("no body").send().await.expect("answers")), 400);
    let put = put.header("X-aws-ec2-metadata-token-ttl-seconds", "60").header("X-Forwarded-For", "10.0.0.1");
    assert_eq!(status(put.send().await.expect("answers")), 403);
    assert_eq!(imds_get(&clients, &imds, "/latest/meta-data/spot/instance-action").await.0, 404);
    let role = imds_get(&clients, &imds, "/latest/meta-data/iam/security-credentials/").await.1;
    let keys =
        imds_get(&clients, &imds, &format!("/latest/meta-data/iam/security-credentials/{role}")).await.1;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    let key = keys["AccessKeyId"].as_str().expect("has one");
    assert_eq!(service.world(|world, _| world.instance_of_access_key(key).map(str::to_owned)), Some(id));
}

#[tokio::test]
async fn agent_protocol() {
    let work = Work { items: 2, duration: Duration::from_secs(10), stuck: 0 };
    let (service, clients) = served(WorldConfig { work, ..WorldConfig::default() }).await;
    let id = service.instances()[0].id.clone();
    let drain = format!("{}/drain", service.endpoints(&id).expect("listens").agent);
    let bad = clients.http.post(&drain).body("drain!").send().await.expect("answers");
    assert_eq!(bad.status(), 400);
    let order = json!({
        "reason": "autoscaling_termination",
        "deadline": Time::from_unix_ms(1_764_000_000_000).to_string(),
        "instance_id": id,
        "notice": "the group scales in",
    });
    let accepted = clients.http.post(&drain).body(order.to_string()).send().await.expect("answers");
    assert_eq!(accepted.status(), 202);
    let held = clients.http.get(&drain).header("Prefer", "wait=20").send().await.expect("answers");
    assert_eq!(held.headers()["preference-applied"], "wait");
    let status: Value = serde_json::from_str(&held.text().await.expect("text")).expect("JSON");
    assert_eq!((status["state"].as_str(), status["in_flight"].as_u64()), (Some("drained"), Some(0)));
    let returned = clients.http.delete(&drain).send().await.expect("answers");
    assert!(returned.status().is_success());
    let status = clients.http.get(&drain).send().await.expect("answers");
    assert_eq!(status.headers().get("preference-applied"), None);
    assert!(status.text().await.expect("text").contains("\"serving\""));
}

#[tokio::test]
async fn listeners_come_and_go() {
    let config = WorldConfig {
        hooks: vec![HookSpec::terminating(HOOK, Duration::from_secs(30))],
        ..WorldConfig::default()
    };
    let (service, clients) = served(config).await;
    let id = service.instances()[0].id.clone();
    let endpoints = service.endpoints(&id).expect("listens");
    service.world(|world, now| {
        world.set_imds_mode(now, &id, ImdsMode::Refuses);
        world.set_agent_mode(now, &id, AgentMode::Refuses);
    });
    refuses(&clients, &endpoints.imds).await;
    refuses(&clients, &endpoints.agent).await;
    service.world(|world, now| world.set_agent_mode(now, &id, AgentMode::Answers));
    while clients.http.get(format!("{}/health", endpoints.agent)).send().await.is_err() {
        tokio::task::yield_now().await;
    }
    service.world(|world, now| world.set_desired_capacity(now, GROUP, 0)).expect("valid");
    reaches(&service, &id, State::Terminated).await;
    refuses(&clients, &endpoints.agent).await;
}

/// Sends requests until the connection is refused.
async fn refuses(clients: &Clients, url: &str) {
    while clients.http.get(url).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
}
