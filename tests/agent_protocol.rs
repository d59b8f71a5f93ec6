//! Checks that docs/openapi.yaml and docs/agent-protocol.md list what the code supports.

use std::fs;
use std::path::Path;

use drainhook::agent::http::PREFER_WAIT_MAX_S;
use formats::agent::{DETAIL_MAX, GAUGE_NAME_MAX, GAUGES_MAX, IN_FLIGHT_MAX};
use machine::event::AgentState;
use machine::notice::Reason;
use serde::de::DeserializeOwned;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the project")
}

/// The names that an enum deserializes from, as serde lists them.
fn names<T: DeserializeOwned>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().expect("no variant has that name").to_string();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// The `enum` of a property in the OpenAPI document.
fn listed(document: &str, property: &str) -> Vec<String> {
    let (_, property) =
        document.split_once(&format!("\n        {property}:\n")).expect("the property exists");
    let (_, list) = property.split_once("enum:\n").expect("it has one");
    let items = list.lines().map_while(|line| line.trim_start().strip_prefix("- "));
    items.map(str::to_owned).collect()
}

#[test]
fn reasons_and_states() {
    let (document, page) = (read("docs/openapi.yaml"), read("docs/agent-protocol.md"));
    let (reasons, states) = (names::<Reason>(), names::<AgentState>());
    assert!(reasons.len() > 1 && states.len() > 1, "{reasons:?} {states:?}");
    assert_eq!(listed(&document, "reason"), reasons);
    assert_eq!(listed(&document, "state"), states);
    for name in reasons.iter().chain(&states) {
        assert!(page.contains(&format!("`{name}`")), "docs/agent-protocol.md does not name {name}");
    }
}

#[test]
fn bounds() {
    let document = read("docs/openapi.yaml");
    for bound in [
        format!("maxProperties: {GAUGES_MAX}\n"),
        format!("propertyNames: {{ maxLength: {GAUGE_NAME_MAX} }}"),
        format!("maximum: {IN_FLIGHT_MAX}\n"),
        format!("its first {DETAIL_MAX} characters"),
        format!("examples: [wait={PREFER_WAIT_MAX_S}]"),
    ] {
        assert!(document.contains(&bound), "docs/openapi.yaml does not say {bound:?}");
    }
}
