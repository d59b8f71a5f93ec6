//! Checks an agent's answer against docs/openapi.yaml. Pure. Stricter than [`crate::agent`], which reads past whatever does not
//! decide a drain. The document has no reader here, so tests/agent_protocol.rs compares it with the tables below.

use serde_json::{Map, Value};

use crate::agent::{GAUGE_NAME_MAX, GAUGES_MAX, IN_FLIGHT_MAX};
use crate::text::{cause, printable};

/// The media type of every document.
const JSON: &str = "application/json";

/// How much of an unexpected value is quoted, in characters.
const VALUE_MAX: usize = 60;

/// The fields of a status document. `state` is required.
pub const STATUS_FIELDS: &[&str] = &["state", "in_flight", "gauges", "detail"];

/// The values of `state`.
pub const STATES: &[&str] = &["serving", "draining", "drained"];

/// A request of the agent protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /drain`
    Drain,
    /// `GET /drain`
    Status,
    /// `DELETE /drain`
    Withdraw,
    /// `GET /health`
    Health,
}

impl Operation {
    /// All requests, in the order of the document.
    pub const ALL: [Operation; 4] =
        [Operation::Drain, Operation::Status, Operation::Withdraw, Operation::Health];

    /// Its `operationId`.
    pub fn id(self) -> &'static str {
        match self {
            Operation::Drain => "drain",
            Operation::Status => "status",
            Operation::Withdraw => "withdraw",
            Operation::Health => "health",
        }
    }

    /// The keys of its `responses`: a status code, or a class of them.
    pub fn responses(self) -> &'static [&'static str] {
        match self {
            Operation::Drain => &["2XX", "409", "408", "429", "4XX", "501", "5XX"],
            Operation::Status => &["200", "409", "408", "429", "4XX", "501", "5XX"],
            Operation::Withdraw => &["2XX", "408", "409", "429", "4XX", "501", "5XX"],
            Operation::Health => &["2XX", "5XX"],
        }
    }

    fn lists(self, status: u16) -> bool {
        let (code, class) = (status.to_string(), format!("{}XX", status / 100));
        self.responses().iter().any(|key| *key == code || *key == class)
    }
}

/// An answer, as far as the document describes it.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `Content-Type`
    pub media_type: Option<&'a str>,
    /// `Preference-Applied`
    pub applied: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    fn is_json(&self) -> bool {
        let media_type = self.media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(JSON)
    }
}

/// How an answer to this request differs from the document. Empty if it conforms.
pub fn complaints(operation: Operation, answer: &Answer<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if !operation.lists(answer.status) {
        found.push(format!("status code {}; expected {}", answer.status, operation.responses().join(", ")));
    }
    let is_success = (200..300).contains(&answer.status);
    match operation {
        Operation::Status if is_success => {
            if !answer.is_json() {
                let given = answer.media_type.map(|value| printable(value, VALUE_MAX));
                let given = given.unwrap_or_else(|| "missing".to_owned());
                found.push(format!("Content-Type is {given}; expected {JSON}"));
            }
            found.extend(answer.applied.filter(|value| !is_wait(value)).map(|value| {
                let value = printable(value, VALUE_MAX);
                format!("Preference-Applied is {value}; expected wait or wait=SECONDS")
            }));
            found.extend(body(answer.body));
        }
        // The document says that any other body is ignored.
        Operation::Drain | Operation::Withdraw
            if is_success && answer.is_json() && !answer.body.is_empty() =>
        {
            found.extend(body(answer.body));
        }
        Operation::Drain | Operation::Status | Operation::Withdraw | Operation::Health => {}
    }
    found
}

/// Whether the value is `wait` or `wait=SECONDS`.
fn is_wait(value: &str) -> bool {
    let Some(rest) = value.strip_prefix("wait") else { return false };
    let is_number = |number: &str| !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit());
    rest.is_empty() || rest.strip_prefix('=').is_some_and(is_number)
}

fn body(body: &[u8]) -> Vec<String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => status(&fields),
        Ok(other) => vec![format!("the body is {}; expected an object", shown(&other))],
        Err(error) => vec![format!("the body is not JSON: {}", cause(&error))],
    }
}

/// The schema `Status`.
fn status(fields: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, name: &str, value: Option<&Value>, expected: &str| {
        if !holds {
            let value = value.map_or_else(|| "missing".to_owned(), shown);
            found.push(format!("{name} is {value}; expected {expected}"));
        }
    };
    let state = fields.get("state");
    let is_state = state.and_then(Value::as_str).is_some_and(|state| STATES.contains(&state));
    expect(is_state, "state", state, &STATES.join(", "));
    let in_flight = given(fields, "in_flight");
    expect(in_flight.is_none_or(is_count), "in_flight", in_flight, "a whole number from 0 to 2^53");
    let detail = given(fields, "detail");
    expect(detail.is_none_or(Value::is_string), "detail", detail, "text");
    match given(fields, "gauges") {
        None => {}
        Some(Value::Object(gauges)) => {
            let count = Value::from(gauges.len());
            expect(gauges.len() <= GAUGES_MAX, "the number of gauges", Some(&count), &at_most(GAUGES_MAX));
            for (name, value) in gauges {
                let name = printable(name, GAUGE_NAME_MAX);
                expect(value.is_null() || value.is_number(), &name, Some(value), "a number");
            }
            let long = gauges.keys().find(|name| name.chars().count() > GAUGE_NAME_MAX);
            let long = long.map(|name| Value::from(name.as_str()));
            let expected = format!("{} characters", at_most(GAUGE_NAME_MAX));
            expect(long.is_none(), "the name of a gauge", long.as_ref(), &expected);
        }
        other => expect(false, "gauges", other, "an object of numbers"),
    }
    found
}

/// The value of an optional field; `None` for null.
fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// Whether the value is an `integer` of JSON Schema, which `3.0` is too, within its bounds.
fn is_count(value: &Value) -> bool {
    let whole = value.as_f64().filter(|count| count.fract() == 0.0);
    whole.is_some_and(|count| (0.0..=IN_FLIGHT_MAX as f64).contains(&count))
}

fn at_most(max: usize) -> String {
    format!("at most {max}")
}

fn shown(value: &Value) -> String {
    printable(&value.to_string(), VALUE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(body: &str) -> Vec<String> {
        let answer = Answer { status: 200, media_type: Some(JSON), applied: None, body: body.as_bytes() };
        complaints(Operation::Status, &answer)
    }

    #[test]
    fn documents() {
        for good in [
            r#"{"state":"drained"}"#,
            r#"{"state":"draining","in_flight":3.0,"gauges":{"a":1.5,"b":null},"detail":"x","more":[]}"#,
            r#"{"state":"serving","in_flight":null,"gauges":null,"detail":null}"#,
            r#"{"state":"serving","in_flight":9007199254740992}"#,
        ] {
            assert_eq!(status(good), [""; 0], "{good}");
        }
        for (bad, expected) in [
            ("<html>", "the body is not JSON: "),
            ("[]", "the body is []; expected an object"),
            ("{}", "state is missing; expected serving, draining, drained"),
            (r#"{"state":"done"}"#, "state is \"done\"; "),
            (r#"{"state":"serving","in_flight":-1}"#, "in_flight is -1; expected a whole number"),
            (r#"{"state":"serving","in_flight":1.5}"#, "in_flight is 1.5; "),
            (r#"{"state":"serving","in_flight":9007199254740994}"#, "in_flight is 9007199254740994; "),
            (r#"{"state":"serving","detail":1}"#, "detail is 1; expected text"),
            (r#"{"state":"serving","gauges":[]}"#, "gauges is []; expected an object of numbers"),
            (r#"{"state":"serving","gauges":{"a":"b"}}"#, "a is \"b\"; expected a number"),
        ] {
            let found = status(bad);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{bad}: {found:?}");
        }
        let many: Vec<String> = (0..=GAUGES_MAX).map(|gauge| format!("\"{gauge}\":1")).collect();
        let many = status(&format!(r#"{{"state":"serving","gauges":{{{}}}}}"#, many.join(",")));
        assert_eq!(many, ["the number of gauges is 65; expected at most 64"]);
        let long = "x".repeat(GAUGE_NAME_MAX + 1);
        let long = status(&format!(r#"{{"state":"serving","gauges":{{"{long}":1}}}}"#));
        assert!(long.len() == 1 && long[0].starts_with("the name of a gauge is \"xxx"), "{long:?}");
    }

    #[test]
    fn heads() {
        let answer =
            |status, media_type, applied, body: &'static [u8]| Answer { status, media_type, applied, body };
        let document = br#"{"state":"serving"}"#;
        let good = [
            (
                Operation::Status,
                answer(200, Some("Application/JSON; charset=utf-8"), Some("wait=3"), document),
            ),
            (Operation::Status, answer(503, None, None, b"")),
            (Operation::Drain, answer(202, Some("text/plain"), None, b"ok")),
            (Operation::Drain, answer(204, Some(JSON), None, b"")),
            (Operation::Withdraw, answer(404, None, None, b"")),
            (Operation::Health, answer(200, None, None, b"up")),
        ];
        for (operation, answer) in good {
            assert_eq!(complaints(operation, &answer), [""; 0], "{answer:?}");
        }
        let bad = [
            (
                Operation::Status,
                answer(201, Some(JSON), None, document),
                "status code 201; expected 200, 409",
            ),
            (Operation::Status, answer(200, None, None, document), "Content-Type is missing"),
            (
                Operation::Status,
                answer(200, Some(JSON), Some("wait=soon"), document),
                "Preference-Applied is wait",
            ),
            (Operation::Drain, answer(302, None, None, b""), "status code 302"),
            (Operation::Drain, answer(200, Some(JSON), None, b"{}"), "state is missing"),
            (Operation::Health, answer(404, None, None, b""), "status code 404"),
        ];
        for (operation, answer, expected) in bad {
            let found = complaints(operation, &answer);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{answer:?}: {found:?}");
        }
    }
}
