//! Bodies of queue messages.

use formats::imds::NAME_MAX;
use formats::message::{self, INSTANCES_MAX, TOKEN_MAX};
use machine::event::Event;
use machine::message::{Body, InstanceNews, Message};
use serde_json::{Value, json};

use super::cost::Cost;
use super::machine::Host;
use super::text::{assert_line, assert_name};

const COST: Cost = Cost { per_byte: 32, base: 8192 };

pub const KINDS: &[&str] = &["instance", "lifecycle", "reservation", "test", "unreadable"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    // SQS carries only text.
    let Ok(text) = std::str::from_utf8(data) else { return Vec::new() };
    let body = COST.of(text.len(), || message::read(text));
    let kind = well_formed(&body);
    same_in_an_envelope(text, &body);
    let mut host = Host::draining();
    let id = host.receiving().expect("the queue is polled");
    let message = Message { receipt: "receipt".to_owned(), sent: None, body: body.into() };
    host.hear(Event::MessagesReceived { id, result: Ok(vec![message]) });
    host.live_on();
    vec![kind]
}

/// Checks a body, and returns its kind.
fn well_formed(body: &Body) -> &'static str {
    match body {
        Body::Lifecycle(message) => {
            for name in [&message.instance_id, &message.group, &message.hook] {
                assert_name(name, NAME_MAX);
            }
            message.token.iter().for_each(|token| assert_name(token, TOKEN_MAX));
            "lifecycle"
        }
        Body::Instance(message) => {
            assert!((1..=INSTANCES_MAX).contains(&message.instance_ids.len()));
            message.instance_ids.iter().for_each(|id| assert_name(id, NAME_MAX));
            if let InstanceNews::Maintenance { event_id, code, .. } = &message.news {
                assert_name(event_id, NAME_MAX);
                assert_name(code, NAME_MAX);
            }
            "instance"
        }
        Body::Reservation(message) => {
            assert_name(&message.reservation, NAME_MAX);
            "reservation"
        }
        Body::Unreadable(why) => {
            assert_line(why);
            "unreadable"
        }
        Body::Test => "test",
    }
}

/// A body means the same inside an SNS envelope. An envelope inside an envelope is unreadable.
fn same_in_an_envelope(text: &str, body: &Body) {
    let envelope = json!({"Type": "Notification", "Message": text}).to_string();
    if envelope.len() > message::MESSAGE_MAX {
        return;
    }
    let inside = message::read(&envelope);
    well_formed(&inside);
    if let Body::Unreadable(_) = inside {
        let is_envelope = serde_json::from_str::<Value>(text).is_ok_and(|value| value["Type"].is_string());
        assert!(matches!(body, Body::Unreadable(_)) || is_envelope, "unreadable in an envelope: {body:?}");
    } else {
        assert_eq!(&inside, body, "the body means something else in an envelope");
    }
}
