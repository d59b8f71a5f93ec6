//! Answers of the metadata service. Every reader gets every body: a proxy may answer any path with anything.

use drainhook::aws::answer::{self, EVENTS_MAX, NAME_MAX, STATE_MAX, Unexpected};
use drainhook::machine::Event;
use drainhook::machine::event::{ImdsReading, TargetState};
use drainhook::machine::message::SpotAction;
use serde_json::json;

use super::cost::Cost;
use super::machine::Host;
use super::text::{assert_line, assert_name};

const COST: Cost = Cost { per_byte: 64, base: 8192 };

pub fn run(data: &[u8]) {
    // What is not UTF-8 is refused before it is read.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut host = Host::started(None);
    if let Some(state) = read(text, answer::target_state) {
        if let TargetState::Warmed(word) | TargetState::Other(word) = &state {
            assert_name(word, STATE_MAX);
        }
        host.hear(Event::Imds(ImdsReading::TargetState(Some(state))));
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
    }
    if let Some(at) = read(text, answer::rebalance) {
        assert_eq!(answer::rebalance(&json!({"noticeTime": at.to_string()}).to_string()), Ok(at));
        host.hear(Event::Imds(ImdsReading::Rebalance(Some(at))));
    }
    maintenance(text, &mut host);
    // A name that was read is a name.
    for reader in [answer::instance_id, answer::group, answer::role] {
        if let Some(name) = read(text, reader) {
            assert_name(&name, NAME_MAX);
            assert_eq!(reader(&name), Ok(name));
        }
    }
    host.live_on();
}

fn maintenance(text: &str, host: &mut Host) {
    let Some(events) = read(text, answer::maintenance) else { return };
    assert!(events.len() <= EVENTS_MAX);
    let written = events.iter().map(|event| {
        assert_name(&event.event_id, NAME_MAX);
        assert_name(&event.code, NAME_MAX);
        let not_before = event.not_before.map(|time| time.to_string());
        json!({"EventId": event.event_id, "Code": event.code, "NotBefore": not_before})
    });
    let written = serde_json::Value::from_iter(written).to_string();
    assert_eq!(answer::maintenance(&written).as_ref(), Ok(&events));
    host.hear(Event::Imds(ImdsReading::Maintenance(events)));
}

/// What a reader makes of a body, where it takes it.
fn read<T>(text: &str, reader: impl FnOnce(&str) -> Result<T, Unexpected>) -> Option<T> {
    let unexpected = match COST.of(text.len(), || reader(text)) {
        Ok(answer) => return Some(answer),
        Err(unexpected) => unexpected,
    };
    assert_line(&unexpected.to_string());
    None
}
