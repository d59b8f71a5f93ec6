//! The headers of the requests to an agent, as the configuration writes them.

use std::path::PathBuf;

use hyper::header::{self, HeaderName};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::layers::SHOWN_MAX;
use super::template::{OF_EVERY_REQUEST, Template};
use super::{Origin, Problem};
use formats::text::printable;

/// The headers that concern the connection (RFC 9110, section 7.6.1), or that the daemon sets itself.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "prefer",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers whose values are secrets. `drainhook config` would print them.
const SECRET: &[HeaderName] = &[header::AUTHORIZATION, header::COOKIE];

/// A header of the requests to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderText,
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// This text.
    Text(Template),
    /// The content of this file, read for each request.
    File(PathBuf),
}

/// A header as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    name: String,
    /// `None` if it is neither text nor a file.
    value: Option<HeaderText>,
}

/// Reads an inline table of TOML.
pub(super) fn parse(text: &str) -> Result<Vec<Given>, &'static str> {
    let document = format!("headers = {text}");
    let table = DeTable::parse(&document).map_err(|_| "it is not a table of TOML")?;
    match table.get_ref().get("headers").map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => Ok(table.iter().map(|(name, value)| given(name, value)).collect()),
        Some(_) | None => Err("it is not a table of TOML"),
    }
}

fn given(name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Given {
    let value = match value.get_ref() {
        DeValue::String(text) => Some(HeaderText::Text(Template::new(text.as_ref()))),
        DeValue::Table(table) if table.len() == 1 => {
            let file = table.get("file").and_then(|file| file.get_ref().as_str());
            file.map(|file| HeaderText::File(PathBuf::from(file)))
        }
        _ => None,
    };
    Given { name: name.get_ref().to_string(), value }
}

/// Writes a table inline, in the form that [`parse`] reads.
pub(super) fn written(table: &DeTable<'_>) -> String {
    let pairs: Vec<String> = table
        .iter()
        .map(|(name, value)| {
            let value = match value.get_ref() {
                // TOML's basic strings have the same escapes as JSON's.
                DeValue::String(text) => serde_json::Value::from(text.as_ref()).to_string(),
                DeValue::Table(inner) => written(inner),
                // Refused later, with the header's name.
                _ => "{}".to_owned(),
            };
            format!("{} = {value}", serde_json::Value::from(name.get_ref().as_ref()))
        })
        .collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// The headers that are valid.
pub(super) fn valid(given: Vec<Given>) -> Vec<Header> {
    let valid = |given: Given| {
        Some(Header { name: HeaderName::from_bytes(given.name.as_bytes()).ok()?, value: given.value? })
    };
    given.into_iter().filter_map(valid).collect()
}

/// What is wrong with these headers. `has_token` says that a bearer token is sent, too.
pub(super) fn problems(given: &[Given], has_token: bool, origin: &Origin) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, header) in given.iter().enumerate() {
        let name = printable(&header.name, SHOWN_MAX);
        let is_second = given[..index].iter().any(|other| other.name.eq_ignore_ascii_case(&header.name));
        if is_second {
            problems.push(Problem::Header { origin: origin.clone(), name, why: "is set twice" });
        } else if let Some(why) = refusal(header, has_token) {
            problems.push(Problem::Header { origin: origin.clone(), name, why });
        } else if let Some(HeaderText::Text(text)) = &header.value
            && let Some(unknown) = text.unknown(OF_EVERY_REQUEST)
        {
            problems.push(Problem::Placeholder {
                origin: origin.clone(),
                place: format!("the header `{name}` in `agent.headers`"),
                name: printable(unknown, SHOWN_MAX),
                known: OF_EVERY_REQUEST,
            });
        }
    }
    problems
}

fn refusal(given: &Given, has_token: bool) -> Option<&'static str> {
    let Ok(name) = HeaderName::from_bytes(given.name.as_bytes()) else { return Some("has an invalid name") };
    if RESERVED.contains(&name.as_str()) {
        return Some("is reserved for drainhook; remove it");
    }
    if name == header::AUTHORIZATION && has_token {
        return Some("is set by `agent.token_file`, too; remove one of them");
    }
    match &given.value {
        None => Some("is neither text nor { file = \"/path\" }"),
        Some(HeaderText::File(path)) if path.is_absolute() => None,
        Some(HeaderText::File(_)) => Some("names a file without an absolute path"),
        Some(HeaderText::Text(_)) if SECRET.contains(&name) => {
            Some("is a secret; put the value into a file, and write { file = \"/path\" }")
        }
        Some(HeaderText::Text(text)) => {
            let text = text.as_str();
            let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            let fits = text.bytes().all(is_visible) && text.trim() == text;
            (!fits).then_some("has an invalid value; expected visible ASCII, without spaces at the ends")
        }
    }
}
