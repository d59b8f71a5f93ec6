//! Reads the responses of the instance metadata service. Pure.
//!
//! A malformed response (a proxy's page, an empty body, garbage) is an error, never a state. A drain must not begin because
//! something other than IMDS answered.

use std::fmt::Display;

use serde::Deserialize;

use crate::text::{cause, is_text, quote};
use machine::Time;
use machine::event::{LifeCycle, MaintenanceNotice, SpotNotice, TargetState};
use machine::message::SpotAction;

/// The longest target lifecycle state or life cycle, in bytes.
pub const STATE_MAX: usize = 64;

/// The most scheduled events in one response. A longer list is an error.
pub const EVENTS_MAX: usize = 100;

/// The longest name of a group, a hook or a role, in characters.
pub const NAME_MAX: usize = 255;

/// A malformed response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got}")]
pub struct Unexpected {
    /// What the path should return.
    pub expected: &'static str,
    /// How the response begins and what is wrong with it.
    pub got: String,
}

/// Reads `autoscaling/target-lifecycle-state`.
pub fn target_state(body: &str) -> Result<TargetState, Unexpected> {
    let state = match body {
        "InService" => TargetState::InService,
        "Terminated" => TargetState::Terminated,
        "Standby" => TargetState::Standby,
        "Detached" => TargetState::Detached,
        // AWS may add states, so any single word counts as one. `<!DOCTYPE` does not.
        word if is_state(word) && word.starts_with("Warmed:") => TargetState::Warmed(word.to_owned()),
        word if is_state(word) => TargetState::Other(word.to_owned()),
        other => {
            let expected = "a lifecycle state in one word, such as InService";
            return Err(Unexpected { expected, got: quote(other.as_bytes()) });
        }
    };
    Ok(state)
}

fn is_state(word: &str) -> bool {
    let of_a_state = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.');
    (1..=STATE_MAX).contains(&word.len()) && word.bytes().all(of_a_state)
}

/// Reads `instance-life-cycle`.
pub fn life_cycle(body: &str) -> Result<LifeCycle, Unexpected> {
    match body.trim() {
        "on-demand" => Ok(LifeCycle::OnDemand),
        "spot" => Ok(LifeCycle::Spot),
        word if is_state(word) => Ok(LifeCycle::Other(word.to_owned())),
        _ => {
            let expected = "a life cycle in one word, such as on-demand";
            Err(Unexpected { expected, got: quote(body.as_bytes()) })
        }
    }
}

/// Reads `spot/instance-action`: `{"action":"terminate","time":"2017-09-18T08:22:00Z"}`.
pub fn spot(body: &str) -> Result<SpotNotice, Unexpected> {
    #[derive(Deserialize)]
    struct Document {
        action: SpotAction,
        time: String,
    }
    let expected = "an object with an action (terminate, stop or hibernate) and a time";
    let Document { action, time } = object(body, expected)?;
    let at =
        Time::from_rfc3339(&time).ok_or_else(|| unexpected(expected, body, "the time is not RFC 3339"))?;
    Ok(SpotNotice { action, at })
}

/// Reads `events/recommendations/rebalance`: `{"noticeTime":"2020-10-26T18:18:55Z"}`.
pub fn rebalance(body: &str) -> Result<Time, Unexpected> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        notice_time: String,
    }
    let expected = "an object with a noticeTime";
    let Document { notice_time } = object(body, expected)?;
    Time::from_rfc3339(&notice_time).ok_or_else(|| unexpected(expected, body, "the time is not RFC 3339"))
}

/// Reads `events/maintenance/scheduled`, a list of events. Drops completed and canceled ones.
pub fn maintenance(body: &str) -> Result<Vec<MaintenanceNotice>, Unexpected> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Document {
        event_id: String,
        code: String,
        not_before: Option<String>,
        state: Option<String>,
    }
    let expected = "a list of scheduled events";
    if !body.trim_start().starts_with('[') {
        return Err(Unexpected { expected, got: quote(body.as_bytes()) });
    }
    let documents: Vec<Document> = json(body, expected)?;
    let fits =
        |document: &Document| is_text(&document.event_id, NAME_MAX) && is_text(&document.code, NAME_MAX);
    if !documents.iter().all(fits) {
        return Err(unexpected(expected, body, "an EventId or Code is empty, too long or not printable"));
    }
    if documents.len() > EVENTS_MAX {
        return Err(unexpected(expected, body, "too many events"));
    }
    let over = |state: Option<&str>| matches!(state, Some("completed" | "canceled" | "cancelled"));
    let ahead = documents.into_iter().filter(|document| !over(document.state.as_deref()));
    let notice = |document: Document| MaintenanceNotice {
        event_id: document.event_id,
        code: document.code,
        not_before: document.not_before.as_deref().and_then(time_from),
    };
    Ok(ahead.map(notice).collect())
}

/// Reads `instance-id`.
pub fn instance_id(body: &str) -> Result<String, Unexpected> {
    let id = body.trim();
    if is_instance_id(id) {
        return Ok(id.to_owned());
    }
    Err(Unexpected { expected: "an instance id, such as i-0123456789abcdef0", got: quote(body.as_bytes()) })
}

/// Whether a text is an instance id: `i-` and 17 hexadecimal digits, or 8 as before 2016.
pub fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(is_resource_number)
}

/// Whether a text is the id of a capacity reservation: `cr-` and hexadecimal digits.
pub fn is_reservation_id(text: &str) -> bool {
    text.strip_prefix("cr-").is_some_and(is_resource_number)
}

fn is_resource_number(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (8..=17).contains(&text.len()) && text.bytes().all(is_hex)
}

/// Reads `tags/instance/aws:autoscaling:groupName`. Group names may contain spaces and almost anything else.
pub fn group(body: &str) -> Result<String, Unexpected> {
    let markup = body.trim_start().starts_with('<');
    if is_text(body, NAME_MAX) && !markup {
        return Ok(body.to_owned());
    }
    Err(Unexpected { expected: "the name of an Auto Scaling group", got: quote(body.as_bytes()) })
}

/// Reads `iam/security-credentials/`: the name of the instance's role. An instance has at most one.
pub fn role(body: &str) -> Result<String, Unexpected> {
    let name = body.trim();
    let of_a_role = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(of_a_role) {
        return Ok(name.to_owned());
    }
    Err(Unexpected { expected: "the name of a role", got: quote(body.as_bytes()) })
}

/// Reads an object. Without this check, serde would also read a struct from a list.
fn object<'a, T: Deserialize<'a>>(body: &'a str, expected: &'static str) -> Result<T, Unexpected> {
    if !body.trim_start().starts_with('{') {
        return Err(Unexpected { expected, got: quote(body.as_bytes()) });
    }
    json(body, expected)
}

fn json<'a, T: Deserialize<'a>>(body: &'a str, expected: &'static str) -> Result<T, Unexpected> {
    serde_json::from_str(body).map_err(|error| unexpected(expected, body, error))
}

fn unexpected(expected: &'static str, body: &str, why: impl Display) -> Unexpected {
    Unexpected { expected, got: format!("{} ({})", quote(body.as_bytes()), cause(&why)) }
}

/// Reads a time in the format of AWS Health and IMDS maintenance events: `Sun, 27 Jan 2022 13:19:03 GMT`.
///
/// The weekday may be missing or wrong. Reads RFC 3339 too, which other sources use in the same fields.
pub fn time_from(text: &str) -> Option<Time> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let stamp = parser.parse_timestamp(text.trim()).ok();
    let unix_ms = stamp.and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok());
    unix_ms.map(Time::from_unix_ms).or_else(|| Time::from_rfc3339(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies that no path returns.
    const NOT_AN_ANSWER: [&str; 7] =
        ["", "\n", "<!DOCTYPE html><html></html>", "In Service", "InService\nTerminated", "\0\u{1}", "null "];

    #[test]
    fn target_states() {
        let cases = [
            ("InService", TargetState::InService),
            ("Terminated", TargetState::Terminated),
            ("Standby", TargetState::Standby),
            ("Detached", TargetState::Detached),
            ("Warmed:Stopped", TargetState::Warmed("Warmed:Stopped".to_owned())),
            ("Terminating:Retained", TargetState::Other("Terminating:Retained".to_owned())),
            ("terminated", TargetState::Other("terminated".to_owned())),
        ];
        for (body, expected) in cases {
            assert_eq!(target_state(body), Ok(expected), "{body}");
        }
        for body in NOT_AN_ANSWER {
            assert!(target_state(body).is_err(), "{body:?}");
        }
        assert!(target_state(&"x".repeat(STATE_MAX)).is_ok());
        assert!(target_state(&"x".repeat(STATE_MAX + 1)).is_err());
    }

    /// Only the exact word stops the polls for spot notices.
    #[test]
    fn life_cycles() {
        assert_eq!(life_cycle("on-demand"), Ok(LifeCycle::OnDemand));
        assert_eq!(life_cycle("spot\n"), Ok(LifeCycle::Spot));
        for word in ["scheduled", "capacity-block", "On-Demand", "on-demand-2", "ondemand"] {
            assert_eq!(life_cycle(word), Ok(LifeCycle::Other(word.to_owned())), "{word}");
        }
        for body in ["", "\n", "<!DOCTYPE html><html></html>", "on demand", "on-demand\nspot", "\0\u{1}"] {
            assert!(life_cycle(body).is_err(), "{body:?}");
        }
        assert!(life_cycle(&"x".repeat(STATE_MAX + 1)).is_err());
    }

    #[test]
    fn spot_notices() {
        let body = r#"{"action":"hibernate","time":"2017-09-18T08:22:00Z","more":[]}"#;
        let at = Time::from_rfc3339("2017-09-18T08:22:00Z").expect("well-formed");
        assert_eq!(spot(body), Ok(SpotNotice { action: SpotAction::Hibernate, at }));
        let bad = [
            r#"{"action":"dance","time":"2017-09-18T08:22:00Z"}"#,
            r#"{"action":"stop","time":"soon"}"#,
            r#"["stop","2017-09-18T08:22:00Z"]"#,
        ];
        for body in NOT_AN_ANSWER.into_iter().chain(bad) {
            assert!(spot(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn rebalance_recommendations() {
        assert_eq!(
            rebalance(r#"{"noticeTime":"2020-10-26T18:18:55Z"}"#).ok(),
            Time::from_rfc3339("2020-10-26T18:18:55Z")
        );
        for body in NOT_AN_ANSWER.into_iter().chain([r#"{"noticeTime":"soon"}"#, "[]", "{}"]) {
            assert!(rebalance(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn finished_maintenance_is_dropped() {
        let body = r#"[
            {"NotBefore":"21 Jan 2019 09:00:43 GMT","NotAfter":"21 Jan 2019 09:17:23 GMT","Code":"system-reboot",
             "Description":"scheduled reboot","EventId":"instance-event-0d59937288b749b32","State":"active"},
            {"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"instance-stop","EventId":"b","State":"completed"},
            {"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"instance-stop","EventId":"c","State":"canceled"},
            {"Code":"instance-retirement","EventId":"d"}]"#;
        let expected = vec![
            MaintenanceNotice {
                event_id: "instance-event-0d59937288b749b32".to_owned(),
                code: "system-reboot".to_owned(),
                not_before: Time::from_rfc3339("2019-01-21T09:00:43Z"),
            },
            MaintenanceNotice {
                event_id: "d".to_owned(),
                code: "instance-retirement".to_owned(),
                not_before: None,
            },
        ];
        assert_eq!(maintenance(body), Ok(expected));
        assert_eq!(maintenance("[]"), Ok(Vec::new()));
        for body in NOT_AN_ANSWER.into_iter().chain(["{}", "[{}]", r#"[{"EventId":"","Code":"x"}]"#]) {
            assert!(maintenance(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn identities() {
        assert_eq!(instance_id("i-0123456789abcdef0\n"), Ok("i-0123456789abcdef0".to_owned()));
        assert!(instance_id("i-01234567").is_ok(), "ids from before 2016");
        assert_eq!(group("my workers / eu"), Ok("my workers / eu".to_owned()));
        assert!(group(&"é".repeat(NAME_MAX)).is_ok() && group(&"é".repeat(NAME_MAX + 1)).is_err());
        for body in ["", "<html>", "i-", "i-xyz", "a\nb", "\0"] {
            assert!(instance_id(body).is_err(), "{body:?}");
        }
        assert_eq!(role("workers_role-1\n"), Ok("workers_role-1".to_owned()));
        for body in ["", "<html>", "a\nb", "\0"] {
            assert!(group(body).is_err(), "{body:?}");
            assert!(role(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn errors_say_what_was_expected_and_received() {
        let error = target_state("<html><body>Sign in</body></html>").expect_err("not a state").to_string();
        assert_eq!(
            error,
            "expected a lifecycle state in one word, such as InService, got \"<html><body>Sign in</body></html>\""
        );
    }

    #[test]
    fn both_time_formats() {
        let expected = Some(Time::from_unix_ms(1_548_061_243_000));
        for text in ["21 Jan 2019 09:00:43 GMT", "Mon, 21 Jan 2019 09:00:43 GMT", "2019-01-21T09:00:43Z"] {
            assert_eq!(time_from(text), expected, "{text}");
        }
        assert_eq!(time_from("Fri, 21 Jan 2019 09:00:43 GMT"), expected, "a wrong weekday is ignored");
        assert_eq!(time_from("soon"), None);
    }
}
