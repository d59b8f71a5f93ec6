//! What a key accepts: parses one value, or says what was expected.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::command;
use super::user::User;
use crate::clock::Scale;
use formats::imds::is_instance_id;

/// What a key accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text of 1 to `TEXT_LENGTH_MAX` bytes, without spaces around it.
    Text,
    /// A plain-HTTP URL without credentials, query or fragment.
    AgentUrl,
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
    /// Host names or addresses without ports.
    Hosts,
    /// A program and its arguments.
    Command,
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
    /// Of kind `Duration`.
    Duration(Duration),
    /// Of kind `Hosts`.
    Hosts(Vec<String>),
    /// Of kind `Command`. The first word is the program, which has an absolute path.
    Command(Vec<String>),
    /// Of kind `Scale`.
    Scale(Scale),
}

/// The longest path of a Unix socket, in bytes: unix(7).
const SOCKET_PATH_LENGTH_MAX: usize = 107;
/// The longest value of any key, in bytes.
const TEXT_LENGTH_MAX: usize = 1024;
/// The longest hook or group name that Auto Scaling accepts.
const NAME_LENGTH_MAX: usize = 255;
/// The longest queue name that SQS accepts.
const QUEUE_NAME_LENGTH_MAX: usize = 80;

impl Kind {
    /// Parses a value. The error says what is wrong with it if `expected` alone does not make that clear.
    pub fn parse(self, text: &str) -> Result<Value, Option<&'static str>> {
        if text.is_empty() || text.len() > TEXT_LENGTH_MAX || text.chars().any(char::is_control) {
            return Err(None);
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Some("it is not text in UTF-8"));
        }
        let words = |fits: bool| if fits { Ok(Value::Text(text.to_owned())) } else { Err(None) };
        match self {
            Kind::Text => words(text.trim() == text),
            Kind::AgentUrl => agent_url(text).map(Value::Text).map_err(Some),
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
            Kind::Command => command::parse(text).map(Value::Command).map_err(Some),
            Kind::Hosts => hosts(text).map(Value::Hosts).ok_or(None),
            Kind::Scale => Scale::try_from(text.to_owned()).map(Value::Scale).map_err(|_| None),
        }
    }

    /// What it accepts, in Markdown that fits after "expected".
    pub fn expected(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::AgentUrl => "an `http://` URL".to_owned(),
            Kind::QueueUrl => {
                "a queue URL such as `https://sqs.eu-west-1.amazonaws.com/123456789012/name`".to_owned()
            }
            Kind::Path | Kind::SocketPath => "an absolute path".to_owned(),
            Kind::User => "a user name or id".to_owned(),
            Kind::HttpPath => "a path that starts with `/`".to_owned(),
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Number(max) => format!("a whole number from 1 to {max}"),
            Kind::Choice(choices) => either_quoted(choices),
            Kind::Duration { min, max } => format!("a duration from {} to {}", Written(min), Written(max)),
            Kind::HookName => "a hook name (letters, digits, `-`, `_`, `/`)".to_owned(),
            Kind::GroupName => "the name of an Auto Scaling group".to_owned(),
            Kind::InstanceId => "an instance id (`i-` and 8 to 17 hexadecimal digits)".to_owned(),
            Kind::Hosts => "host names or addresses, separated by commas".to_owned(),
            Kind::Command => "a program with an absolute path, and its arguments".to_owned(),
            Kind::Scale => "EPOCH_MSxSPEED, such as `1764000000000x60`".to_owned(),
        }
    }

    /// How to write it in TOML, if that is not obvious.
    pub fn example(self) -> Option<&'static str> {
        match self {
            Kind::Duration { .. } => Some("like \"500ms\", \"90s\" or \"1h30m\""),
            Kind::Flag | Kind::Number(_) => Some("without quotes"),
            Kind::Command => Some("like [\"/opt/worker/drain\", \"--now\"]"),
            Kind::Text
            | Kind::AgentUrl
            | Kind::QueueUrl
            | Kind::Path
            | Kind::SocketPath
            | Kind::User
            | Kind::HttpPath
            | Kind::Choice(_)
            | Kind::HookName
            | Kind::GroupName
            | Kind::InstanceId
            | Kind::Hosts
            | Kind::Scale => None,
        }
    }
}

/// Checks an agent's URL. Returns it without a trailing slash, so that a path can be appended.
fn agent_url(text: &str) -> Result<String, &'static str> {
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
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it contains a query or a fragment");
    }
    if url.port() == Some(0) {
        return Err("nothing can listen on port 0");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
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

fn is_http_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
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

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses a duration such as `90s`, `50m`, `2h`, `1h30m` or `500ms`: whole numbers, larger units first, each unit once.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total_ms))
}

/// A duration in the format of the configuration, such as `1h30m`.
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest_ms == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            let count = rest_ms / unit_ms;
            rest_ms %= unit_ms;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
