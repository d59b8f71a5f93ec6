//! Reaches an agent over HTTP, on TCP or a Unix socket. Every request is sent once.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Builder;
use url::Url;

use super::token;
use crate::config::Method;
use crate::config::User;
use crate::http::connection::{Answer, Connection, SendError, Target};
use crate::http::{ReadError, host};
use formats::agent as document;
use formats::text;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentState, AgentStatus};

/// The longest response that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Time limit for a connection, including name resolution.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long an agent is asked to hold a status request (`Prefer: wait`), in seconds.
pub const PREFER_WAIT_MAX_S: u64 = 20;

/// How long to wait for the body of an error response.
const QUOTE_LIMIT: Duration = Duration::from_millis(200);

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub base: Base,
    /// The path of the drain request, below the base's own path. `/drain` by default.
    pub drain_path: String,
    /// The path of the status request; `None` stands for `drain_path`.
    pub status_path: Option<String>,
    /// The method of the drain request.
    pub method: Method,
    /// The agent answers the drain request only once it has drained.
    pub drain_blocks: bool,
    /// A file that holds a bearer token. Read for each request, so that the token can be rotated.
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// An agent that uses the protocol's defaults.
    pub fn new(base: Base) -> Self {
        let drain_path = "/drain".to_owned();
        Endpoint {
            base,
            drain_path,
            status_path: None,
            method: Method::Post,
            drain_blocks: false,
            token_file: None,
        }
    }
}

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An `http://` URL, which may have a path.
    Tcp(String),
    /// A Unix socket, and the user that must listen on it.
    Unix(PathBuf, Option<User>),
}

/// Why an agent cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL with the path appended does not parse.
    #[error("{url:?} is not a URL: {why}")]
    Url {
        /// The URL with the path appended.
        url: String,
        /// The parser's error.
        why: String,
    },
    /// The URL parses, but is not a plain `http` URL.
    #[error("{url:?} is not of the form http://HOST:PORT/PATH")]
    Unsupported {
        /// The URL.
        url: String,
    },
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    connection: Connection,
    drain: Url,
    status: Url,
    method: Method,
    drain_blocks: bool,
    token_file: Option<PathBuf>,
    /// What was unusable, and ignored, in its last status document.
    ignored: Mutex<Option<String>>,
}

/// A request, and how log lines name it.
struct Asked {
    told: String,
    built: Builder,
    body: String,
}

impl Agent {
    /// An agent at this endpoint. Sends nothing yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        let Endpoint { base, drain_path, status_path, method, drain_blocks, token_file } = endpoint;
        let (base, socket) = match base {
            Base::Tcp(url) => (url, None),
            Base::Unix(path, user) => ("http://localhost".to_owned(), Some(Target::Unix { path, user })),
        };
        let drain = join(&base, &drain_path)?;
        let status = status_path.map_or_else(|| Ok(drain.clone()), |path| join(&base, &path))?;
        let target = socket.unwrap_or_else(|| {
            Target::tcp(drain.host_str().unwrap_or_default(), drain.port_or_known_default().unwrap_or(80))
        });
        let connection = Connection::new(target, CONNECT_LIMIT);
        Ok(Agent { connection, drain, status, method, drain_blocks, token_file, ignored: Mutex::new(None) })
    }

    /// Whether it answers a drain request only once it has drained.
    pub fn blocks(&self) -> bool {
        self.drain_blocks
    }

    /// Sends one request and returns the result. `instance_id` is empty outside an instance. `limit` is in real time, not
    /// simulated time.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str, limit: Duration) -> AgentAnswer {
        let asked = match request {
            AgentRequest::Drain(order) => self.drain_request(order, instance_id),
            // Only a process is told. The machine never asks that of an agent with an HTTP interface.
            AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Tell(_) => {
                self.status_request(limit)
            }
            AgentRequest::Return => self.request("DELETE", &self.drain),
        };
        self.exchange(request, asked, limit).await
    }

    /// Requests the status without `Prefer: wait`.
    pub async fn look(&self, limit: Duration) -> AgentAnswer {
        self.exchange(&AgentRequest::Status, self.status_request(Duration::ZERO), limit).await
    }

    /// What was unusable, and ignored, in its last status document.
    pub fn ignored(&self) -> Option<String> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn exchange(&self, request: &AgentRequest, asked: Asked, limit: Duration) -> AgentAnswer {
        let Asked { told, built, body } = asked;
        let exchange = async {
            let built = match self.authorized(built, body) {
                Ok(built) => built,
                Err(why) => return AgentAnswer::Busy(format!("{told}: not sent: {why}")),
            };
            match self.connection.send(built).await {
                Ok(answer) => self.read(request, &told, answer).await,
                Err(error) => failure(&told, &error),
            }
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer,
            Err(_) => AgentAnswer::Busy(format!("{told}: no answer within {limit:?}")),
        }
    }

    fn authorized(&self, built: Builder, body: String) -> Result<Request<String>, String> {
        let built = match &self.token_file {
            Some(path) => built.header(AUTHORIZATION, token::authorization(path)?),
            None => built,
        };
        built.body(body).map_err(|error| error.to_string())
    }

    fn request(&self, method: &str, url: &Url) -> Asked {
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let told = match self.connection.target() {
            Target::Tcp { .. } => format!("{method} {url}"),
            Target::Unix { path: socket, .. } => format!("{method} {path} on {}", socket.display()),
        };
        Asked {
            told,
            built: Request::builder().method(method).uri(path).header(HOST, host(url)),
            body: String::new(),
        }
    }

    fn drain_request(&self, order: &DrainOrder, instance_id: &str) -> Asked {
        let body = serde_json::json!({
            "reason": order.reason.as_str(),
            "deadline": order.deadline.to_string(),
            // Outside EC2 there is no instance id.
            "instance_id": Some(instance_id).filter(|id| !id.is_empty()),
            "notice": order.reason.sentence(),
        });
        let method = match self.method {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Get => return self.request("GET", &self.drain),
        };
        let asked = self.request(method, &self.drain);
        let json = "application/json";
        Asked {
            built: asked.built.header(CONTENT_TYPE, json).header(ACCEPT, json),
            body: body.to_string(),
            ..asked
        }
    }

    fn status_request(&self, limit: Duration) -> Asked {
        let asked = self.request("GET", &self.status);
        let built = asked.built.header(ACCEPT, "application/json");
        // Leaves a second for the response of an agent that holds the request for the whole wait.
        let wait_s = limit.saturating_sub(Duration::from_secs(1)).as_secs().min(PREFER_WAIT_MAX_S);
        let built = if wait_s == 0 { built } else { built.header("prefer", format!("wait={wait_s}")) };
        Asked { built, ..asked }
    }

    async fn read(&self, request: &AgentRequest, told: &str, answer: Answer<'_>) -> AgentAnswer {
        let status = answer.status;
        if !status.is_success() {
            return refusal(told, answer).await;
        }
        let waited = answer.headers.get_all("preference-applied").iter().any(names_wait);
        let body = match answer.read_capped(ANSWER_MAX).await {
            Ok(body) => body,
            Err(error @ ReadError::TooLong { .. }) => {
                return AgentAnswer::Malformed(format!("{told}: {error}"));
            }
            Err(error @ ReadError::Broken(_)) => return AgentAnswer::Busy(format!("{told}: {error}")),
        };
        match request {
            AgentRequest::Drain(_) => AgentAnswer::Accepted(self.accepted(told, &body)),
            AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Tell(_) => {
                match self.document(told, &body) {
                    Ok(status) => AgentAnswer::Status { status, waited },
                    Err(why) => {
                        let got = text::quote(&body);
                        AgentAnswer::Malformed(format!("{told}: answered {status} with {got}; {why}"))
                    }
                }
            }
            AgentRequest::Return => AgentAnswer::Returned,
        }
    }

    /// The status in the response to an accepted drain request, if there is one. Existing agents return all sorts of bodies.
    fn accepted(&self, told: &str, body: &[u8]) -> Option<AgentStatus> {
        let document = self.document(told, body).ok();
        let draining = |in_flight| AgentStatus {
            state: AgentState::Draining,
            in_flight: Some(in_flight),
            gauges: Default::default(),
            detail: None,
        };
        // A blocking agent that reports work in flight has not drained.
        document.or_else(|| document::work_in_flight(body).filter(|_| self.drain_blocks).map(draining))
    }

    /// Reads a status document. Only the first one with unusable fields is logged, so that an agent cannot flood the log.
    fn document(&self, told: &str, body: &[u8]) -> Result<AgentStatus, String> {
        let document = document::read(body)?;
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(what) = document.ignored {
            if ignored.is_none() {
                tracing::warn!(
                    event = "agent_fields_ignored",
                    "{told}: ignored {what}, but used `state`; see docs/agent-protocol.md"
                );
            }
            *ignored = Some(what);
        }
        Ok(document.status)
    }
}

/// Whether a `Preference-Applied` value contains `wait`, with or without a value.
fn names_wait(value: &HeaderValue) -> bool {
    let preferences = value.to_str().unwrap_or_default().split(',');
    let names = preferences.filter_map(|preference| preference.split(['=', ';']).next());
    names.into_iter().any(|name| name.trim().eq_ignore_ascii_case("wait"))
}

async fn refusal(told: &str, answer: Answer<'_>) -> AgentAnswer {
    let status = answer.status;
    let location = answer.headers.get("location").cloned();
    // The status decides. The body is only quoted, so a slow one is not waited for.
    let said = answer.read_start(QUOTE_LIMIT).await;
    let said = said.map_or_else(String::new, |start| format!(" with {}", text::quote(&start)));
    let told = format!("{told}: answered {status}{said}");
    match status.as_u16() {
        300..=399 => {
            let target =
                location.map_or_else(|| "nowhere".to_owned(), |target| text::quote(target.as_bytes()));
            AgentAnswer::Malformed(format!(
                "{told}, a redirect to {target}; expected 2xx; redirects are not followed"
            ))
        }
        409 => AgentAnswer::CannotDrain(told),
        408 | 429 => AgentAnswer::Busy(told),
        501 | 400..=499 => AgentAnswer::Unsupported(told),
        500..=599 => AgentAnswer::Busy(told),
        _ => AgentAnswer::Malformed(format!("{told}; expected 2xx")),
    }
}

fn failure(told: &str, error: &SendError) -> AgentAnswer {
    let why = format!("{told}: {error}");
    match error {
        SendError::Connect(error) => AgentAnswer::Unreachable { why, gone: error.is_gone() },
        SendError::Broken(_) => AgentAnswer::Busy(why),
    }
}

/// Appends a path to a base URL, which may have a path itself.
fn join(base: &str, path: &str) -> Result<Url, EndpointError> {
    let text = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    let url: Url =
        text.parse().map_err(|error| EndpointError::Url { url: text.clone(), why: format!("{error}") })?;
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    if plain && !base.contains(['?', '#']) && url.fragment().is_none() {
        Ok(url)
    } else {
        Err(EndpointError::Unsupported { url: text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join() {
        let cases = [
            ("http://127.0.0.1:8080", "/drain", "http://127.0.0.1:8080/drain"),
            ("http://127.0.0.1:8080/", "drain", "http://127.0.0.1:8080/drain"),
            ("http://127.0.0.1:8080/admin", "/drain", "http://127.0.0.1:8080/admin/drain"),
            ("http://[::1]:8080/admin/", "/drain?now=1", "http://[::1]:8080/admin/drain?now=1"),
        ];
        for (base, path, expected) in cases {
            assert_eq!(join(base, path).expect("well-formed").as_str(), expected);
        }
        for base in
            ["", "127.0.0.1:8080", "https://127.0.0.1", "http://u:p@127.0.0.1", "http://127.0.0.1/?a=b"]
        {
            assert!(join(base, "/drain").is_err(), "{base}");
        }
    }

    #[test]
    fn preferences_applied() {
        for value in ["wait", "wait=20", "respond-async, Wait = 20", "wait;x"] {
            assert!(names_wait(&HeaderValue::from_static(value)), "{value}");
        }
        for value in ["", "waiting", "respond-async", "handling=wait"] {
            assert!(!names_wait(&HeaderValue::from_static(value)), "{value}");
        }
    }
}
