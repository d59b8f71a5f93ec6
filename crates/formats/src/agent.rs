//! Reads the status document of an agent. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Number, Value};

use crate::text::{printable, shorten};
use machine::event::{AgentState, AgentStatus};

/// How many gauges are passed on; the rest are dropped, since no drain should hang on them.
pub const GAUGES_MAX: usize = 64;

/// The longest name of a gauge that is passed on, in characters.
pub const GAUGE_NAME_MAX: usize = 64;

/// How much of `detail` is passed on, in characters.
pub const DETAIL_MAX: usize = 200;

/// How much of serde's account of an error is told, in characters.
const CAUSE_MAX: usize = 120;

/// The most work that an agent can have in flight: 2^53, up to which every JSON reader counts exactly.
pub const IN_FLIGHT_MAX: u64 = 1 << 53;

/// What was expected, in an error.
const EXPECTED: &str = r#"{"state":"serving|draining|drained","in_flight":3}"#;

#[derive(Deserialize)]
struct Document {
    state: AgentState,
    in_flight: Option<Number>,
    gauges: Option<BTreeMap<String, Value>>,
    detail: Option<String>,
}

/// Reads a status document, or says what is wrong with it.
pub fn read(body: &[u8]) -> Result<AgentStatus, String> {
    if !is_object(body) {
        return Err(format!("expected {EXPECTED}"));
    }
    let document: Document = serde_json::from_slice(body)
        .map_err(|error| format!("expected {EXPECTED}: {}", printable(&error.to_string(), CAUSE_MAX)))?;
    let in_flight = document.in_flight.map(|count| {
        let exact = count.as_u64().filter(|count| *count <= IN_FLIGHT_MAX);
        exact.ok_or_else(|| format!("in_flight is {count}; expected a whole number from 0 to 2^53"))
    });
    Ok(AgentStatus {
        state: document.state,
        in_flight: in_flight.transpose()?,
        gauges: gauges(document.gauges.unwrap_or_default())?,
        detail: document.detail.map(|detail| printable(&detail, DETAIL_MAX)),
    })
}

/// Whether a body sets out to be a JSON object.
pub fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
}

fn gauges(all: BTreeMap<String, Value>) -> Result<BTreeMap<String, f64>, String> {
    let mut gauges = BTreeMap::new();
    for (name, value) in all {
        let Some(value) = value.as_f64() else {
            return Err(format!("the gauge {:?} is not a number", shorten(&name, GAUGE_NAME_MAX)));
        };
        if gauges.len() < GAUGES_MAX && printable(&name, GAUGE_NAME_MAX) == name {
            gauges.insert(name, value);
        }
    }
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_document() {
        let body =
            br#" {"state":"draining","in_flight":3,"gauges":{"connections_open":7.5},"detail":"a\nb","x":1}"#;
        let expected = AgentStatus {
            state: AgentState::Draining,
            in_flight: Some(3),
            gauges: BTreeMap::from([("connections_open".to_owned(), 7.5)]),
            detail: Some(r"a\nb".to_owned()),
        };
        assert_eq!(read(body), Ok(expected));
    }

    #[test]
    fn smallest_document() {
        let status = read(br#"{"state":"drained","in_flight":null}"#).expect("all else is optional");
        assert_eq!((status.state, status.in_flight), (AgentState::Drained, None));
    }

    #[test]
    fn wrong_documents() {
        let bad = [
            "",
            "drained",
            "[\"drained\"]",
            "{}",
            r#"{"state":"Drained"}"#,
            r#"{"state":"done"}"#,
            r#"{"state":"draining","in_flight":-1}"#,
            r#"{"state":"draining","in_flight":1.5}"#,
            r#"{"state":"draining","in_flight":"3"}"#,
            r#"{"state":"draining","in_flight":1e308}"#,
            r#"{"state":"draining","in_flight":18446744073709551616}"#,
            r#"{"state":"draining","state":"drained"}"#,
            r#"{"state":"draining","in_flight":9007199254740993}"#,
            r#"{"state":"draining","gauges":{"x":"y"}}"#,
            r#"{"state":"draining","gauges":{"x":1e999}}"#,
            r#"{"state":"draining","gauges":[]}"#,
            r#"{"state":"drained"} and more"#,
        ];
        for body in bad {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read(br#"{"state":"draining","in_flight":9007199254740992}"#).is_ok());
    }

    #[test]
    fn bounds() {
        let many: Vec<String> = (0..GAUGES_MAX + 1).map(|n| format!("\"g{n}\":1")).collect();
        let long = "n".repeat(GAUGE_NAME_MAX + 1);
        let body = format!(
            r#"{{"state":"drained","gauges":{{"{long}":1,"a\nb":1,{}}},"detail":"{}"}}"#,
            many.join(","),
            "é".repeat(1000)
        );
        let status = read(body.as_bytes()).expect("well-formed");
        assert_eq!(status.gauges.len(), GAUGES_MAX);
        assert!(!status.gauges.contains_key(&long) && !status.gauges.contains_key("a\nb"));
        assert_eq!(status.detail.expect("there is one").chars().count(), DETAIL_MAX + 1);
        let error =
            read(format!(r#"{{"state":"{}"}}"#, r"\u001b\n".repeat(9999)).as_bytes()).expect_err("no state");
        assert!(error.chars().count() < 1000 && !error.contains(char::is_control), "{error}");
    }
}
