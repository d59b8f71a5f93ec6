//! What a key accepts: parses one value, or says what was expected.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::duration::{Written, parse_duration};
use super::header::{self, Given};
use super::user::User;
use super::{command, labels, target_group};
use crate::clock::Scale;
use crate::preset;
use formats::imds::{is_instance_id, is_reservation_id};

/// What a key accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text of 1 to `TEXT_LENGTH_MAX` bytes, without spaces around it.
    Text,
    /// A plain-HTTP URL without credentials, query or fragment.
    AgentUrl,
    /// The same with or without a query.
    StatusUrl,
    /// The URL of an SQS queue.
    QueueUrl,
    /// An absolute path on this machine.
    Path,
    /// The absolute path of a Unix socket on this machine.
    SocketPath,
    /// A user of this machine, by name or id.
    User,
    /// A path of the agent's HTTP interface.
    HttpPath,
    /// The body of a request, with placeholders. It may be empty.
    Body,
    /// A table of HTTP headers.
    Headers,
    /// HTTP status codes that are errors or redirects.
    Codes,
    /// `true` or `false`, without quotes in TOML.
    Flag,
    /// A whole number from 1 to this, without quotes in TOML.
    Number(u8),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A duration within these bounds.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The name of a lifecycle hook.
    HookName,
    /// The name of an Auto Scaling group.
    GroupName,
    /// An EC2 instance id.
    InstanceId,
    /// The id of a capacity reservation.
    ReservationId,
    /// The ARN of a target group.
    TargetGroupArn,
    /// An IP address.
    IpAddress,
    /// A TCP port, without quotes in TOML.
    Port,
    /// Host names or addresses without ports.
    Hosts,
    /// A program and its arguments.
    Command,
    /// The name of a systemd service.
    Unit,
    /// A JSON pointer (RFC 6901) below the whole document.
    Pointer,
    /// The name of a Prometheus metric.
    MetricName,
    /// Labels of a metric.
    Labels,
    /// The name of a program, without its folder.
    ProgramName,
    /// The name of a preset.
    Preset,
    /// How simulated time runs.
    Scale,
}

/// A parsed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of any other kind, such as a name, a URL or a choice.
    Text(String),
    /// Of kinds `Path` and `SocketPath`.
    Path(PathBuf),
    /// Of kind `Flag`.
    Flag(bool),
    /// Of kind `Number`.
    Number(u8),
    /// Of kind `Port`.
    Port(u16),
    /// Of kind `Duration`.
    Duration(Duration),
    /// Of kind `Headers`.
    Headers(Vec<Given>),
    /// Of kind `Codes`.
    Codes(Vec<u16>),
    /// Of kind `Hosts`.
    Hosts(Vec<String>),
    /// Of kind `Command`. The first word is the program, which has an absolute path.
    Command(Vec<String>),
    /// Of kind `Labels`.
    Labels(BTreeMap<String, String>),
    /// Of kind `Scale`.
    Scale(Scale),
}

/// The longest path of a Unix socket, in bytes: unix(7).
const SOCKET_PATH_LENGTH_MAX: usize = 107;
/// The longest value of other keys than a body and headers, in bytes.
const TEXT_LENGTH_MAX: usize = 1024;
/// The longest body of a request, and the longest table of headers, in bytes.
const REQUEST_LENGTH_MAX: usize = 4096;
/// The longest hook or group name that Auto Scaling accepts.
const NAME_LENGTH_MAX: usize = 255;
/// The longest name that systemd accepts for a unit.
const UNIT_LENGTH_MAX: usize = 255;
/// The longest queue name that SQS accepts.
const QUEUE_NAME_LENGTH_MAX: usize = 80;

impl Kind {
    /// Parses a value. The error says what is wrong with it if `expected` alone does not make that clear.
    pub fn parse(self, text: &str) -> Result<Value, Option<&'static str>> {
        let of_request = matches!(self, Kind::Body | Kind::Headers);
        if of_request && text.len() > REQUEST_LENGTH_MAX {
            return Err(Some("it is longer than 4096 bytes"));
        }
        let is_control = |c: char| c.is_control() && !(matches!(self, Kind::Body) && "\n\r\t".contains(c));
        if (text.is_empty() && !matches!(self, Kind::Body))
            || (text.len() > TEXT_LENGTH_MAX && !of_request)
            || text.chars().any(is_control)
        {
            return Err(None);
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Some("it is not text in UTF-8"));
        }
        let words = |fits: bool| if fits { Ok(Value::Text(text.to_owned())) } else { Err(None) };
        match self {
            Kind::Text => words(text.trim() == text),
            Kind::AgentUrl => agent_url(text).map(Value::Text).map_err(Some),
            Kind::StatusUrl => status_url(text).map(Value::Text).map_err(Some),
            Kind::QueueUrl if text.ends_with(".fifo") => {
                Err(Some("it is a FIFO queue, and lifecycle hooks notify only standard queues"))
            }
            Kind::QueueUrl => words(is_queue_url(text)),
            Kind::Path if text.starts_with('/') => Ok(Value::Path(PathBuf::from(text))),
            Kind::Path => Err(None),
            Kind::SocketPath if text.len() > SOCKET_PATH_LENGTH_MAX => {
                Err(Some("it is longer than the 107 bytes that Linux allows for a socket"))
            }
            Kind::SocketPath if text.starts_with('/') => Ok(Value::Path(PathBuf::from(text))),
            Kind::SocketPath => Err(None),
            Kind::User => words(text.parse::<User>().is_ok()),
            Kind::HttpPath => words(is_http_path(text)),
            Kind::Body => words(true),
            Kind::Headers => header::parse(text).map(Value::Headers).map_err(Some),
            Kind::Codes => codes(text).map(Value::Codes),
            Kind::Flag => text.parse().map(Value::Flag).map_err(|_| None),
            Kind::Number(max) => match text.parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(Value::Number(number)),
                Ok(_) | Err(_) => Err(None),
            },
            Kind::Choice(choices) => words(choices.contains(&text)),
            Kind::Duration { min, max } => match parse_duration(text) {
                Some(duration) if (min..=max).contains(&duration) => Ok(Value::Duration(duration)),
                Some(_) | None => Err(None),
            },
            Kind::HookName => words(text.len() <= NAME_LENGTH_MAX && text.chars().all(is_hook_char)),
            Kind::GroupName => words(text.chars().count() <= NAME_LENGTH_MAX && !text.contains(':')),
            Kind::InstanceId => words(is_instance_id(text)),
            Kind::ReservationId => words(is_reservation_id(text)),
            Kind::TargetGroupArn => words(target_group::is_arn(text)),
            Kind::IpAddress => words(text.parse::<IpAddr>().is_ok()),
            Kind::Port => match text.parse() {
                Ok(0) | Err(_) => Err(None),
                Ok(port) => Ok(Value::Port(port)),
            },
            Kind::Command => command::parse(text).map(Value::Command).map_err(Some),
            Kind::Unit => words(is_unit(text)),
            Kind::Pointer => words(is_pointer(text)),
            Kind::MetricName => words(is_metric_name(text)),
            Kind::Labels => labels::parse(text).map(Value::Labels).map_err(Some),
            Kind::ProgramName => words(!text.contains('/') && text.trim() == text),
            Kind::Preset => words(preset::NAMES.contains(&text)),
            Kind::Hosts => hosts(text).map(Value::Hosts).ok_or(None),
            Kind::Scale => Scale::try_from(text.to_owned()).map(Value::Scale).map_err(|_| None),
        }
    }

    /// What it accepts, in Markdown that fits after "expected".
    pub fn expected(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::AgentUrl | Kind::StatusUrl => "an `http://` URL".to_owned(),
            Kind::QueueUrl => {
                "a queue URL such as `https://sqs.eu-west-1.amazonaws.com/123456789012/name`".to_owned()
            }
            Kind::Path | Kind::SocketPath => "an absolute path".to_owned(),
            Kind::User => "a user name or id".to_owned(),
            Kind::HttpPath => "a path that starts with `/`".to_owned(),
            Kind::Body => "text of up to 4096 bytes".to_owned(),
            Kind::Headers => "a table of header names and values".to_owned(),
            Kind::Codes => "status codes from 300 to 599".to_owned(),
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Number(max) => format!("a whole number from 1 to {max}"),
            Kind::Choice(choices) => either_quoted(choices),
            Kind::TargetGroupArn => "the ARN of a target group".to_owned(),
            Kind::IpAddress => "an IP address".to_owned(),
            Kind::Port => "a port from 1 to 65535".to_owned(),
            Kind::Duration { min, max } => format!("a duration from {} to {}", Written(min), Written(max)),
            Kind::HookName => "a hook name (letters, digits, `-`, `_`, `/`)".to_owned(),
            Kind::GroupName => "the name of an Auto Scaling group".to_owned(),
            Kind::InstanceId => "an instance id (`i-` and 8 to 17 hexadecimal digits)".to_owned(),
            Kind::ReservationId => {
                "the id of a capacity reservation (`cr-` and 8 to 17 hexadecimal digits)".to_owned()
            }
            Kind::Hosts => "host names or addresses, separated by commas".to_owned(),
            Kind::Command => "a program with an absolute path, and its arguments".to_owned(),
            Kind::Unit => "the name of a unit that ends in `.service`".to_owned(),
            Kind::Pointer => "a JSON pointer such as `/jobs/running`".to_owned(),
            Kind::MetricName => "the name of a metric".to_owned(),
            Kind::Labels => "a table of label names and values".to_owned(),
            Kind::ProgramName => "the name of a program, without its folder".to_owned(),
            Kind::Preset => "the name of a preset".to_owned(),
            Kind::Scale => "EPOCH_MSxSPEED, such as `1764000000000x60`".to_owned(),
        }
    }

    /// How to write it in TOML, if that is not obvious.
    pub fn example(self) -> Option<&'static str> {
        match self {
            Kind::Duration { .. } => Some("like \"500ms\", \"90s\" or \"1h30m\""),
            Kind::Flag | Kind::Number(_) | Kind::Port => Some("without quotes"),
            Kind::TargetGroupArn => Some(
                "like \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef\"",
            ),
            Kind::Unit => Some("like \"worker.service\""),
            Kind::Preset => Some("like \"celery\""),
            Kind::Headers => Some("like { X-Team = \"blue\", X-Key = { file = \"/etc/worker/key\" } }"),
            Kind::Codes => Some("like [409]"),
            Kind::Command => Some("like [\"/opt/worker/drain\", \"--now\"]"),
            Kind::Labels => Some("like { queue = \"default\" }"),
            Kind::Text
            | Kind::AgentUrl
            | Kind::StatusUrl
            | Kind::Pointer
            | Kind::MetricName
            | Kind::ProgramName
            | Kind::QueueUrl
            | Kind::Path
            | Kind::SocketPath
            | Kind::User
            | Kind::HttpPath
            | Kind::Body
            | Kind::Choice(_)
            | Kind::HookName
            | Kind::GroupName
            | Kind::InstanceId
            | Kind::ReservationId
            | Kind::IpAddress
            | Kind::Hosts
            | Kind::Scale => None,
        }
    }
}

/// Checks an agent's URL. Returns it without a trailing slash, so that a path can be appended.
fn agent_url(text: &str) -> Result<String, &'static str> {
    let url = plain_url(text)?;
    if url.query().is_some() {
        return Err("it contains a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Checks the URL of a status. It is a whole URL.
fn status_url(text: &str) -> Result<String, &'static str> {
    if text.starts_with("https:") {
        return Err("it is read on this machine, by plain HTTP; write http://");
    }
    plain_url(text).map(String::from)
}

/// Checks a plain-HTTP URL, which may have a query.
fn plain_url(text: &str) -> Result<url::Url, &'static str> {
    let url = url::Url::parse(text).map_err(|_| "it is not a URL")?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err("agents are local and reached by plain HTTP; write http:// or use `unix`");
        }
        _ => return Err("its scheme is not http"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it contains credentials; put a bearer token into `token_file`");
    }
    if url.fragment().is_some() {
        return Err("it contains a query or a fragment");
    }
    if url.port() == Some(0) {
        return Err("nothing can listen on port 0");
    }
    Ok(url)
}

/// Whether this is an HTTP URL whose path looks like `/account/name`, or like LocalStack's `/queue/region/account/name`.
fn is_queue_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let parts: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(parts.as_slice(), [_, _] | ["queue", _, _, _])
        && parts
            .iter()
            .all(|part| (1..=QUEUE_NAME_LENGTH_MAX).contains(&part.len()) && part.chars().all(is_name_char))
}

/// Splits a list of hosts. Each must be a host as in a URL, without scheme, port and path.
fn hosts(text: &str) -> Option<Vec<String>> {
    let host = |host: &str| {
        let url = url::Url::parse(&format!("http://{host}/")).ok()?;
        let is_host = url.host_str().is_some_and(|found| found.eq_ignore_ascii_case(host));
        is_host.then(|| host.to_owned())
    };
    text.split(',').map(|one| host(one.trim())).collect()
}

fn codes(text: &str) -> Result<Vec<u16>, Option<&'static str>> {
    text.split(',')
        .map(|code| match code.trim().parse() {
            Ok(code @ 300..=599) => Ok(code),
            Ok(200..=299) => Err(Some("every 2xx means success anyway")),
            Ok(_) | Err(_) => Err(None),
        })
        .collect()
}

fn is_http_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Whether systemd accepts this name for a service (systemd.unit(5)).
fn is_unit(text: &str) -> bool {
    let is_unit_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    let name = text.strip_suffix(".service").unwrap_or_default();
    !name.is_empty()
        && !name.ends_with('@')
        && text.len() <= UNIT_LENGTH_MAX
        && text.chars().all(is_unit_char)
}

/// Each `~` must be `~0` or `~1`.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// Prometheus, "Metric names and labels".
fn is_metric_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(fits)
}

fn is_hook_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/')
}

/// `a, b or c`.
pub(super) fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn either_quoted(words: &[impl AsRef<str>]) -> String {
    either(&words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
