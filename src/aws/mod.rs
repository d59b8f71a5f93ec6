//! Adapters to AWS. They make no decisions and retry nothing: they turn AWS into the machine's words.
//!
//! [`message`] and [`answer`] are pure.

pub mod answer;
pub mod autoscaling;
pub mod clients;
pub mod error;
pub mod imds;
pub mod message;
pub mod sqs;

use crate::machine::Time;

/// Whether a text is one that AWS gives as a name, an id or a state: 1 to `max` characters, all of them printable.
///
/// Names go into the journal, the log and other calls, so there is no place for any that only pretends to be one.
fn is_text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count()) && !text.contains(char::is_control)
}

/// Reads a time as AWS Health and IMDS's maintenance events write it: `Sun, 27 Jan 2022 13:19:03 GMT`.
///
/// The weekday may be missing. RFC 3339 is read as well, since other producers of the same fields use it.
fn time_from(text: &str) -> Option<Time> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let stamp = parser.parse_timestamp(text.trim()).ok();
    let unix_ms = stamp.and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok());
    unix_ms.map(Time::from_unix_ms).or_else(|| Time::from_rfc3339(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_time() {
        let expected = Some(Time::from_unix_ms(1_548_061_243_000));
        for text in ["21 Jan 2019 09:00:43 GMT", "Mon, 21 Jan 2019 09:00:43 GMT", "2019-01-21T09:00:43Z"] {
            assert_eq!(time_from(text), expected, "{text}");
        }
        assert_eq!(
            time_from("Fri, 21 Jan 2019 09:00:43 GMT"),
            expected,
            "a wrong weekday is nobody's problem"
        );
        assert_eq!(time_from("soon"), None);
    }
}
