//! Reads the status document of an agent. Pure. Only `state` is required: any other unusable value is dropped and reported.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Number};

use crate::text::{cause, printable};
use machine::event::{AgentState, AgentStatus};

/// The most gauges that are passed on. The rest are dropped, so that gauges cannot hold up a drain.
pub const GAUGES_MAX: usize = 64;

/// The longest gauge name that is passed on, in characters.
pub const GAUGE_NAME_MAX: usize = 64;

/// The longest `detail` that is passed on, in characters. The rest is cut off.
pub const DETAIL_MAX: usize = 200;

/// How much of an unusable value is quoted, in characters.
const VALUE_MAX: usize = 30;

/// How many unusable values are reported by name. The rest are counted.
const IGNORED_MAX: usize = 4;

/// The most work that an agent can have in flight: 2^53. JSON readers represent every whole number up to it exactly.
pub const IN_FLIGHT_MAX: u64 = 1 << 53;

/// The expected document, for errors.
const EXPECTED: &str = r#"{"state":"serving|draining|drained","in_flight":3}"#;

/// A status document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub status: AgentStatus,
    /// The optional values that were unusable and dropped, as text; `None` if all were usable.
    pub ignored: Option<String>,
}

/// Reads a status document, or says what is wrong with it.
pub fn read(body: &[u8]) -> Result<Document, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(format!("expected {EXPECTED}"));
    }
    let mut ignored = Ignored::default();
    // Invalid UTF-8 must not keep an agent from saying that it has drained.
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Fields<'_>>(&text) {
        Ok(fields) => Ok(fields.into_document(ignored)),
        Err(error) => match without_nan(&text) {
            None => Err(malformed(&error)),
            Some(text) => {
                ignored.add(|| "NaN and Infinity (they are not JSON; write null)".to_owned());
                let fields: Fields<'_> = serde_json::from_str(&text).map_err(|error| malformed(&error))?;
                Ok(fields.into_document(ignored))
            }
        },
    }
}

/// The work in flight in a response that is not a status document; `None` if it names none. Rounds up, to at most
/// [`IN_FLIGHT_MAX`].
pub fn work_in_flight(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    let text = without_nan(&text).map_or(text, Cow::Owned);
    let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
    let count = answer.get("in_flight")?.as_f64()?;
    (count > 0.0).then(|| (count.ceil() as u64).min(IN_FLIGHT_MAX))
}

fn malformed(error: &serde_json::Error) -> String {
    format!("expected {EXPECTED}: {}", cause(error))
}

/// The fields of a document. The optional ones are raw JSON.
struct Fields<'a> {
    state: AgentState,
    in_flight: Option<&'a RawValue>,
    gauges: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn into_document(self, mut ignored: Ignored) -> Document {
        let status = AgentStatus {
            state: self.state,
            in_flight: in_flight(given(self.in_flight), &mut ignored),
            gauges: gauges(given(self.gauges), &mut ignored),
            detail: detail(given(self.detail), &mut ignored),
        };
        Document { status, ignored: ignored.into_text() }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut state = None;
                let (mut in_flight, mut gauges, mut detail) = (None, None, None);
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        // With two states, it is unclear which one counts.
                        "state" if state.is_some() => return Err(A::Error::duplicate_field("state")),
                        "state" => state = Some(map.next_value()?),
                        "in_flight" => in_flight = Some(map.next_value()?),
                        "gauges" => gauges = Some(map.next_value()?),
                        "detail" => detail = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let state = state.ok_or_else(|| A::Error::missing_field("state"))?;
                Ok(Fields { state, in_flight, gauges, detail })
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The raw value; `None` for `null`.
fn given(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|text| *text != "null")
}

fn in_flight(raw: Option<&str>, ignored: &mut Ignored) -> Option<u64> {
    let raw = raw?;
    let count = serde_json::from_str::<Number>(raw).ok().and_then(|count| whole(&count));
    if count.is_none() {
        ignored.add(|| {
            format!(
                "in_flight, which is {} (expected a whole number from 0 to 2^53)",
                printable(raw, VALUE_MAX)
            )
        });
    }
    count
}

/// A whole number. Some languages write it as `3.0`.
pub(crate) fn whole(count: &Number) -> Option<u64> {
    let exact = count.as_u64().or_else(|| {
        let count = count.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0)?;
        // The cast saturates, so a larger float ends up beyond the bound too.
        Some(count as u64)
    });
    exact.filter(|count| *count <= IN_FLIGHT_MAX)
}

fn detail(raw: Option<&str>, ignored: &mut Ignored) -> Option<String> {
    let raw = raw?;
    let detail = serde_json::from_str::<String>(raw).ok();
    if detail.is_none() {
        ignored.add(|| format!("detail, which is {} (expected text)", printable(raw, VALUE_MAX)));
    }
    detail.map(|detail| printable(&detail, DETAIL_MAX))
}

fn gauges(raw: Option<&str>, ignored: &mut Ignored) -> BTreeMap<String, f64> {
    let Some(raw) = raw else { return BTreeMap::new() };
    let mut gauges = Gauges { read: BTreeMap::new(), ignored };
    if Deserializer::from_str(raw).deserialize_map(&mut gauges).is_err() {
        gauges.ignored.add(|| {
            format!("gauges, which is {} (expected an object of numbers)", printable(raw, VALUE_MAX))
        });
        return BTreeMap::new();
    }
    gauges.read
}

struct Gauges<'a> {
    read: BTreeMap<String, f64>,
    ignored: &'a mut Ignored,
}

impl<'de> Visitor<'de> for &mut Gauges<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            // An average over nothing is null: there is no value now.
            let Some(raw) = given(Some(map.next_value::<&RawValue>()?)) else { continue };
            let shown = || printable(&name, GAUGE_NAME_MAX);
            match serde_json::from_str::<f64>(raw) {
                Err(_) => self.ignored.add(|| {
                    format!(
                        "the gauge {:?}, which is {} (expected a number)",
                        shown(),
                        printable(raw, VALUE_MAX)
                    )
                }),
                Ok(_) if shown() != name => {
                    self.ignored
                        .add(|| format!("the gauge {:?} (its name is too long or not printable)", shown()));
                }
                Ok(_) if self.read.len() == GAUGES_MAX && !self.read.contains_key(&name) => {
                    self.ignored.add(|| format!("the gauge {name:?} (the limit is {GAUGES_MAX} gauges)"));
                }
                Ok(value) => drop(self.read.insert(name, value)),
            }
        }
        Ok(())
    }
}

/// The dropped values: the first few by name, and a count of the rest.
#[derive(Default)]
struct Ignored {
    named: Vec<String>,
    more: usize,
}

impl Ignored {
    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.named.len() < IGNORED_MAX {
            self.named.push(what());
        } else {
            self.more += 1;
        }
    }

    fn into_text(self) -> Option<String> {
        let mut text = self.named.join(", ");
        if self.more > 0 {
            text.push_str(&format!(", and {} more", self.more));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The document with `null` in place of `NaN` and `Infinity`, which Python writes; `None` if it has neither.
fn without_nan(text: &str) -> Option<String> {
    let mut repaired = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, tail) = rest.split_at(at);
        repaired.push_str(before);
        if let Some(token) = ["NaN", "-Infinity", "Infinity"].iter().find(|token| tail.starts_with(**token)) {
            repaired.push_str("null");
            changed = true;
            rest = &tail[token.len()..];
        } else {
            let end = if tail.starts_with('"') { string_end(tail) } else { 1 };
            repaired.push_str(&tail[..end]);
            rest = &tail[end..];
        }
    }
    repaired.push_str(rest);
    changed.then_some(repaired)
}

/// The length of the JSON string at the start of the text.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
