//! Checks that docs/openapi.yaml and docs/agent-protocol.md list what the code supports.

use std::fs;
use std::path::Path;

use drainhook::agent::http::PREFER_WAIT_MAX_S;
use formats::agent::{DETAIL_MAX, GAUGE_NAME_MAX, GAUGES_MAX, IN_FLIGHT_MAX};
use formats::contract::{Operation, STATES, STATUS_FIELDS};
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
    assert_eq!(STATES, states);
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

/// The keys directly below a line of the document, by their indentation.
fn keys_below(document: &str, line: &str) -> Vec<String> {
    let (_, below) = document.split_once(&format!("{line}\n")).expect("the line exists");
    let depth = below.len() - below.trim_start().len();
    let deep = |line: &&str| line.len() - line.trim_start().len() >= depth;
    let keys = below.lines().take_while(deep).filter(|line| !line[depth..].starts_with(' '));
    keys.filter_map(|line| Some(line.trim().split_once(':')?.0.trim_matches('"').to_owned())).collect()
}

/// `simulate --conformance` checks answers against tables in the code, which say what the document says.
#[test]
fn what_conformance_checks() {
    let document = read("docs/openapi.yaml");
    let paths = keys_below(&document, "paths:");
    assert_eq!(paths, ["/drain", "/health"]);
    let ids: Vec<&str> =
        document.lines().filter_map(|line| line.trim().strip_prefix("operationId: ")).collect();
    assert_eq!(ids, Operation::ALL.map(Operation::id));
    for operation in Operation::ALL {
        let id = format!("operationId: {}\n", operation.id());
        let (_, described) = document.split_once(&id).expect("it is in the list");
        assert_eq!(keys_below(described, "      responses:"), operation.responses(), "{operation:?}");
    }
    let (_, status) = document.split_once("\n    Status:\n").expect("the schema exists");
    assert!(status.contains("\n      required: [state]\n"), "only the state is required");
    assert_eq!(keys_below(status, "      properties:"), STATUS_FIELDS);
    let types = [
        ("in_flight", "[integer, \"null\"]"),
        ("gauges", "[object, \"null\"]"),
        ("detail", "[string, \"null\"]"),
    ];
    for (field, expected) in types {
        let (_, described) = status.split_once(&format!("\n        {field}:\n")).expect("the field exists");
        let found = described.lines().find_map(|line| line.trim().strip_prefix("type: "));
        assert_eq!(found, Some(expected), "{field}");
    }
    for line in ["additionalProperties: { type: [number, \"null\"] }", "pattern: \"^wait(=[0-9]+)?$\""] {
        assert!(document.contains(line), "docs/openapi.yaml does not say {line:?}");
    }
}
