//! Reads how much work an agent has in flight from what it says to everybody: a JSON document, a page of metrics, or the output
//! of a command. Pure. Whatever is not a whole number is an error, so that it cannot pass for 0.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::agent::{IN_FLIGHT_MAX, whole};
use crate::text::{cause, printable};

/// The expected number, for errors.
const EXPECTED: &str = "expected a whole number from 0 to 2^53";

/// How much of a wrong value is quoted, in characters.
const VALUE_MAX: usize = 60;

/// The number at a JSON pointer (RFC 6901). The error completes "the document …".
pub fn at_pointer(document: &[u8], pointer: &str) -> Result<u64, String> {
    let text = String::from_utf8_lossy(document);
    let document: Value =
        serde_json::from_str(&text).map_err(|error| format!("is not JSON: {}", cause(&error)))?;
    let Some(value) = document.pointer(pointer) else {
        return Err(format!("has nothing at {pointer}"));
    };
    value
        .as_number()
        .and_then(whole)
        .ok_or_else(|| format!("has {} at {pointer}; {EXPECTED}", printable(&value.to_string(), VALUE_MAX)))
}

/// The sum of all series of a metric that have these labels, in Prometheus's text format. A label that a series lacks is
/// empty. The error completes "the page …".
pub fn metric(page: &[u8], name: &str, labels: &BTreeMap<String, String>) -> Result<u64, String> {
    let text = String::from_utf8_lossy(page);
    let (mut sum, mut matching, mut all) = (0_u64, 0, 0);
    for line in text.lines().map(str::trim) {
        let Some(rest) = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ', '\t'])) else {
            continue;
        };
        let wrong = |what: &str| format!("has {:?}; {what}", printable(line, VALUE_MAX));
        let (found, value) = series(rest).ok_or_else(|| wrong("expected a series and its value"))?;
        all += 1;
        let has = |(name, value): (&String, &String)| {
            found.get(name.as_str()).map_or("", |found| found.as_ref()) == value
        };
        if labels.iter().all(has) {
            matching += 1;
            sum = value.and_then(|value| sum.checked_add(value)).ok_or_else(|| wrong(EXPECTED))?;
        }
    }
    match (all, matching) {
        (0, _) => Err(format!("has no metric {name}")),
        (_, 0) => Err(format!("has {name}, but not with the labels {}", written(labels))),
        _ if sum > IN_FLIGHT_MAX => Err(format!("has {sum} as the sum of {name}; {EXPECTED}")),
        _ => Ok(sum),
    }
}

/// The number in the last line of a command's output. The error completes "the program …".
pub fn printed(line: &str) -> Result<u64, String> {
    let is_number = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
    let number = line.parse().ok().filter(|number| is_number && *number <= IN_FLIGHT_MAX);
    number.ok_or_else(|| format!("last wrote {:?}; {EXPECTED}", printable(line, VALUE_MAX)))
}

/// The labels as a page has them.
fn written(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(","))
}

type Labels<'a> = BTreeMap<&'a str, Cow<'a, str>>;

/// The labels of a series and its value, from what follows its name. The value is `None` if it is not a whole number.
fn series(rest: &str) -> Option<(Labels<'_>, Option<u64>)> {
    let mut labels = Labels::new();
    let mut rest = rest.trim_start();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            inner = inner.trim_start_matches([' ', '\t', ',']);
            if let Some(after) = inner.strip_prefix('}') {
                rest = after;
                break;
            }
            let (name, after) = inner.split_once('=')?;
            let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
            labels.insert(name.trim(), value);
            inner = after;
        }
    }
    // A time may follow, and an exemplar.
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    Some((labels, Number::from_f64(value).and_then(|value| whole(&value))))
}

/// A label's value without its escapes, and what follows its closing quote.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests;
