//! Answers of the metadata service. Every reader gets every body, because a proxy may answer any path with any body.

use formats::imds::{self as answer, EVENTS_MAX, NAME_MAX, STATE_MAX, Unexpected};
use machine::Event;
use machine::event::{ImdsReading, LifeCycle, MaintenanceNotice, TargetState};
use machine::message::SpotAction;
use serde_json::json;

use super::cost::Cost;
use super::machine::Host;
use super::text::{assert_line, assert_name};

const COST: Cost = Cost { per_byte: 64, base: 8192 };

pub const KINDS: &[&str] =
    &["group", "instance id", "life cycle", "maintenance", "rebalance", "role", "spot", "state"];

pub fn run(data: &[u8]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    // The daemon refuses other encodings than UTF-8 before it reads a body.
    let Ok(text) = std::str::from_utf8(data) else { return kinds };
    let mut host = Host::started(None);
    if let Some(state) = read(text, answer::target_state) {
        if let TargetState::Warmed(word) | TargetState::Other(word) = &state {
            assert_name(word, STATE_MAX);
        }
        host.hear(Event::Imds(ImdsReading::TargetState(Some(state))));
        kinds.push("state");
    }
    if let Some(notice) = read(text, answer::spot) {
        let action = match notice.action {
            SpotAction::Terminate => "terminate",
            SpotAction::Stop => "stop",
            SpotAction::Hibernate => "hibernate",
        };
        let written = json!({"action": action, "time": notice.at.to_string()}).to_string();
        assert_eq!(answer::spot(&written), Ok(notice));
        host.hear(Event::Imds(ImdsReading::Spot(Some(notice))));
        kinds.push("spot");
    }
    if let Some(at) = read(text, answer::rebalance) {
        assert_eq!(answer::rebalance(&json!({"noticeTime": at.to_string()}).to_string()), Ok(at));
        host.hear(Event::Imds(ImdsReading::Rebalance(Some(at))));
        kinds.push("rebalance");
    }
    if let Some(events) = read(text, answer::maintenance) {
        maintenance(&events);
        host.hear(Event::Imds(ImdsReading::Maintenance(events)));
        kinds.push("maintenance");
    }
    if let Some(life_cycle) = read(text, answer::life_cycle) {
        if let LifeCycle::Other(word) = &life_cycle {
            assert_name(word, STATE_MAX);
        }
        host.hear(Event::Imds(ImdsReading::LifeCycle(life_cycle)));
        kinds.push("life cycle");
    }
    // Reading a name again returns the same name.
    let readers =
        [("instance id", answer::instance_id as Reader), ("group", answer::group), ("role", answer::role)];
    for (kind, reader) in readers {
        if let Some(name) = read(text, reader) {
            assert_name(&name, NAME_MAX);
            assert_eq!(reader(&name), Ok(name));
            kinds.push(kind);
        }
    }
    host.live_on();
    kinds
}

fn maintenance(events: &[MaintenanceNotice]) {
    assert!(events.len() <= EVENTS_MAX);
    let written = events.iter().map(|event| {
        assert_name(&event.event_id, NAME_MAX);
        assert_name(&event.code, NAME_MAX);
        let not_before = event.not_before.map(|time| time.to_string());
        json!({"EventId": event.event_id, "Code": event.code, "NotBefore": not_before})
    });
    let written = serde_json::Value::from_iter(written).to_string();
    assert_eq!(answer::maintenance(&written).as_deref(), Ok(events));
}

type Reader = fn(&str) -> Result<String, Unexpected>;

/// The value that a reader finds in a body, if it accepts the body.
fn read<T>(text: &str, reader: impl FnOnce(&str) -> Result<T, Unexpected>) -> Option<T> {
    let unexpected = match COST.of(text.len(), || reader(text)) {
        Ok(answer) => return Some(answer),
        Err(unexpected) => unexpected,
    };
    assert_line(&unexpected.to_string());
    None
}
