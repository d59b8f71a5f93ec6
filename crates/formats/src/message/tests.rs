use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/messages/", $name, ".json"))
    };
}

const NOON_MS: u64 = 1_772_366_400_000;

fn terminating() -> LifecycleMessage {
    LifecycleMessage {
        instance_id: "i-0123456789abcdef0".to_owned(),
        group: "workers".to_owned(),
        hook: "drain".to_owned(),
        token: Some("c613620e-07e2-4ed2-a9e2-ef8258911ade".to_owned()),
        transition: Transition::Terminating,
        to_warm_pool: false,
        replaces_root_volume: false,
        sent: Some(Time::from_unix_ms(NOON_MS)),
    }
}

fn directly() -> LifecycleMessage {
    LifecycleMessage { sent: Some(Time::from_unix_ms(1_711_164_403_904)), ..terminating() }
}

#[test]
fn lifecycle_shapes() {
    let cases = [
        (fixture!("eventbridge-terminate"), terminating()),
        (
            fixture!("eventbridge-launch"),
            LifecycleMessage { transition: Transition::Launching, ..terminating() },
        ),
        (fixture!("eventbridge-warm-pool"), LifecycleMessage { to_warm_pool: true, ..terminating() }),
        (
            fixture!("eventbridge-replace-root-volume"),
            LifecycleMessage { replaces_root_volume: true, ..terminating() },
        ),
        (fixture!("direct"), directly()),
        (fixture!("direct-2018"), directly()),
        (fixture!("sns"), directly()),
        (fixture!("sns-eventbridge"), terminating()),
    ];
    for (body, expected) in cases {
        assert_eq!(read(body), Body::Lifecycle(expected), "{body}");
    }
}

#[test]
fn test_notification() {
    assert_eq!(read(fixture!("test-notification")), Body::Test);
}

#[test]
fn instance_shapes() {
    let noon = Time::from_unix_ms(NOON_MS);
    let one = vec!["i-0123456789abcdef0".to_owned()];
    let two = vec!["i-0123456789abcdef0".to_owned(), "i-0fedcba9876543210".to_owned()];
    let spot = |action, at| InstanceNews::SpotInterruption { action, at: Some(at) };
    let retirement = |closed| InstanceNews::Maintenance {
        event_id: "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED/EXAMPLE"
            .to_owned(),
        code: "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED".to_owned(),
        not_before: Time::from_rfc3339("2022-01-27T13:00:00Z"),
        ends: None,
        closed,
    };
    let capacity = |at| InstanceNews::CapacityInterruption { at: Time::from_rfc3339(at) };
    let cases = [
        (fixture!("spot-terminate"), &one, spot(SpotAction::Terminate, noon + WARNING)),
        (fixture!("spot-hibernate"), &one, spot(SpotAction::Hibernate, noon)),
        (fixture!("rebalance"), &one, InstanceNews::Rebalance { at: Some(noon) }),
        (fixture!("capacity-reservation"), &one, capacity("2026-03-01T12:02:00Z")),
        (fixture!("capacity-interruptible"), &one, capacity("2026-03-01T12:02:00Z")),
        (fixture!("capacity-block"), &one, capacity("2026-03-01T12:10:00Z")),
        (fixture!("state-change"), &one, InstanceNews::StateChange("shutting-down".to_owned())),
        (fixture!("health"), &two, retirement(false)),
        (fixture!("health-closed"), &one, retirement(true)),
    ];
    for (body, instance_ids, news) in cases {
        let expected = InstanceMessage { instance_ids: instance_ids.clone(), news, sent: Some(noon) };
        assert_eq!(read(body), Body::Instance(expected), "{body}");
    }
}

/// Both names that the EC2 user guide has had for the event, and both spellings of the field that has it.
#[test]
fn end_of_a_capacity_block() {
    let noon = Time::from_unix_ms(NOON_MS);
    let expected = |ends| {
        let reservation = "cr-0123456789abcdef0".to_owned();
        Body::Reservation(ReservationMessage { reservation, ends, sent: Some(noon) })
    };
    let ends = Time::from_rfc3339("2026-03-01T12:40:00Z");
    for body in [fixture!("block-expiration"), fixture!("block-reservation-expiration")] {
        assert_eq!(read(body), expected(ends), "{body}");
    }
    // The format of the end date is not documented.
    let other = fixture!("block-expiration").replace("2026-03-01T12:40:00Z", "Sun, 01 Mar 2026 12:40:00 GMT");
    assert_eq!(read(&other), expected(ends));
    let unreadable = fixture!("block-expiration").replace("2026-03-01T12:40:00Z", "soon");
    assert_eq!(read(&unreadable), expected(None));
}

/// A lifecycle message with one name almost as long as a message may be.
fn long(name: &str) -> String {
    let mut fields = serde_json::json!({
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "EC2InstanceId": "i-0123456789abcdef0",
        "AutoScalingGroupName": "workers", "LifecycleHookName": "drain",
    });
    fields[name] = "x".repeat(MESSAGE_MAX - 1024).into();
    fields.to_string()
}

#[test]
fn unreadable_messages_say_why() {
    let cases = [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("\u{feff}{}", "not a JSON object"),
        ("{}", "no detail"),
        ("{\"detail\":", "not JSON"),
        ("{\"detail\":7}", "unexpected content"),
        ("{\"detail\":{}}", "detail-type \"\""),
        ("{\"Event\":\"s3:TestEvent\"}", "s3:TestEvent"),
        ("{\"Type\":\"Notification\"}", "without Message"),
        ("{\"Type\":\"Notification\",\"Message\":\"hello\"}", "in an SNS envelope: not a JSON object"),
        ("{\"LifecycleTransition\":\"autoscaling:EC2_INSTANCE_DANCING\"}", "EC2_INSTANCE_DANCING"),
        ("{\"LifecycleTransition\":\"autoscaling:EC2_INSTANCE_TERMINATING\"}", "EC2InstanceId is missing"),
        (&long("EC2InstanceId"), "EC2InstanceId is \"xxx"),
        (&long("LifecycleActionToken"), "at most 64 printable"),
        (fixture!("sns-in-sns"), "within an SNS envelope"),
        (fixture!("sns-subscription-confirmation"), "SubscriptionConfirmation"),
        (fixture!("eventbridge-launch-successful"), "EC2 Instance Launch Successful"),
        (fixture!("health-volume"), "names no instance"),
        (
            "{\"detail-type\":\"Capacity Block Expiration Warning\",\"detail\":{}}",
            "capacity-reservation-id is missing",
        ),
    ];
    for (body, expected) in cases {
        match read(body) {
            Body::Unreadable(reason) => assert!(reason.contains(expected), "{body}: {reason}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn missing_optional_fields_are_accepted() {
    let body = r#"{"detail":{"LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING",
        "EC2InstanceId":"i-0123456789abcdef0","AutoScalingGroupName":"workers","LifecycleHookName":"drain",
        "LifecycleActionToken":null,"Surprise":[{}]},"time":"soon","resources":null}"#;
    assert_eq!(read(body), Body::Lifecycle(LifecycleMessage { token: None, sent: None, ..terminating() }));
}

#[test]
fn hostile_messages_are_only_unreadable() {
    let deep = "[".repeat(MESSAGE_MAX / 2);
    let bodies = [
        format!("{{\"detail\":{deep}"),
        format!("{{\"detail\":{{\"x\":{deep}"),
        format!("{{\"Type\":\"{}\"}}", "é".repeat(1000)),
        format!("{{\"x\":\"{}\"}}", "x".repeat(MESSAGE_MAX)),
    ];
    for body in bodies {
        match read(&body) {
            Body::Unreadable(reason) => assert!(reason.len() < 400, "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(body in "\\PC*", prefix in "(\\{\"detail\":|\\{\"Type\":\"Notification\",\"Message\":)?") {
        read(&format!("{prefix}{body}"));
    }
}
