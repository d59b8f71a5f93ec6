//! Reaches an agent over HTTP, on TCP or a Unix socket. Every request is sent once.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, StatusCode};
use url::{Position, Url};

pub use super::request::PREFER_WAIT_MAX_S;
use super::request::{Call, Requests};
use crate::config::{self, Body, Header, Method, Template, User};
use crate::http::ReadError;
use crate::http::connection::{Answer, Connection, SendError, Target};
use formats::agent as document;
use formats::text;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentState, AgentStatus};

/// The longest response that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Time limit for a connection, including name resolution.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for the body of an error response.
const QUOTE_LIMIT: Duration = Duration::from_millis(200);

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub base: Base,
    /// The drain request. Its path is below the base's own path.
    pub drain: config::Request<Body>,
    /// The request that returns the agent to service.
    pub back: config::Request,
    /// The request that ends its work, if it has one.
    pub force: Option<config::Request>,
    /// The path of the status request.
    pub status_path: String,
    /// The agent answers the drain request only once it has drained.
    pub drain_blocks: bool,
    /// The headers of every request.
    pub headers: Vec<Header>,
    /// A file that holds a bearer token. Read for each request, so that the token can be rotated.
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// An agent that uses the protocol's defaults.
    pub fn new(base: Base) -> Self {
        fn request<B>(method: Method, body: B) -> config::Request<B> {
            config::Request { method, path: "/drain".to_owned(), body, success: Vec::new() }
        }
        Endpoint {
            base,
            drain: request(Method::Post, Body::Document),
            back: request(Method::Delete, Template::default()),
            force: None,
            status_path: "/drain".to_owned(),
            drain_blocks: false,
            headers: Vec::new(),
            token_file: None,
        }
    }
}

impl Endpoint {
    /// A status at this URL. The agent's headers and its token are not sent there.
    pub fn of_status(url: &str) -> Result<Self, EndpointError> {
        let wrong = |why: url::ParseError| EndpointError::Url { url: url.to_owned(), why: why.to_string() };
        let parsed: Url = url.parse().map_err(wrong)?;
        let base = parsed[..Position::BeforePath].to_owned();
        let status_path = parsed[Position::BeforePath..].to_owned();
        Ok(Endpoint { status_path, ..Endpoint::new(Base::Tcp(base)) })
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
    requests: Requests,
    drain_blocks: bool,
    /// What was unusable, and ignored, in its last status document.
    ignored: Mutex<Option<String>>,
}

impl Agent {
    /// An agent at this endpoint. Sends nothing yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        let Endpoint { base, drain, back, force, status_path, drain_blocks, headers, token_file } = endpoint;
        let (base, socket) = match base {
            Base::Tcp(url) => (url, None),
            Base::Unix(path, user) => ("http://localhost".to_owned(), Some(Target::Unix { path, user })),
        };
        let status = join(&base, &status_path)?;
        let target = socket.unwrap_or_else(|| {
            Target::tcp(status.host_str().unwrap_or_default(), status.port_or_known_default().unwrap_or(80))
        });
        let connection = Connection::new(target, CONNECT_LIMIT);
        let (drain, back) = (call(&base, drain)?, call(&base, back)?);
        let force = force.map(|force| call(&base, force)).transpose()?;
        let requests = Requests { drain, back, force, status, headers, token_file };
        Ok(Agent { connection, requests, drain_blocks, ignored: Mutex::new(None) })
    }

    /// Whether it answers a drain request only once it has drained.
    pub fn blocks(&self) -> bool {
        self.drain_blocks
    }

    /// Sends one request and returns the result. `instance_id` is empty outside an instance. `limit` is in real time, not
    /// simulated time.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str, limit: Duration) -> AgentAnswer {
        // Leaves a second for the response of an agent that holds the request for the whole wait.
        let wait = limit.saturating_sub(Duration::from_secs(1));
        self.exchange(request, wait, instance_id, limit).await.answer
    }

    /// Sends the request that ends the agent's work. The error says what was tried and what came back.
    pub async fn force(&self, order: &DrainOrder, instance_id: &str, limit: Duration) -> Result<(), String> {
        let Some(call) = &self.requests.force else { return Err("it has no such request".to_owned()) };
        let built = self.requests.force(call, order, instance_id);
        let told = self.told(call.method, &call.url);
        let answer = self.fetch(told, built, (&call.success, ANSWER_MAX), limit).await;
        answer.map(drop).map_err(|answer| answer.why().unwrap_or_default().to_owned())
    }

    /// Requests the status without `Prefer: wait`.
    pub async fn look(&self, instance_id: &str, limit: Duration) -> AgentAnswer {
        self.exchange(&AgentRequest::Status, Duration::ZERO, instance_id, limit).await.answer
    }

    /// Sends one request, and returns the result and the response. A status request asks the agent to hold its response for
    /// `wait`, in whole seconds.
    pub async fn exchange(
        &self,
        request: &AgentRequest,
        wait: Duration,
        instance_id: &str,
        limit: Duration,
    ) -> Exchange {
        let (told, built, success): (_, _, &[u16]) = match request {
            AgentRequest::Drain(order) => {
                let call = &self.requests.drain;
                (self.told(call.method, &call.url), self.requests.drain(order, instance_id), &call.success)
            }
            // Only a process is told. The machine never asks that of an agent with an HTTP interface.
            AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Tell(_) => {
                let built = self.requests.status(wait, instance_id);
                (self.told(Method::Get, &self.requests.status), built, &[])
            }
            AgentRequest::Return => {
                let call = &self.requests.back;
                (self.told(call.method, &call.url), self.requests.back(instance_id), &call.success)
            }
        };
        match self.fetch(told, built, (success, ANSWER_MAX), limit).await {
            Ok(page) => Exchange { answer: self.read(request, &page), page: Some(page) },
            Err(answer) => Exchange { answer, page: None },
        }
    }

    /// Where it is reached.
    pub fn target(&self) -> &Target {
        self.connection.target()
    }

    /// What was unusable, and ignored, in its last status document.
    pub fn ignored(&self) -> Option<String> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests what is at the status path, at most `max` bytes, in one of the formats of `accept`. If there is nothing, returns
    /// the answer that says why.
    pub async fn page(
        &self,
        (accept, max): (&'static str, usize),
        instance_id: &str,
        limit: Duration,
    ) -> Result<Page, AgentAnswer> {
        let told = self.told(Method::Get, &self.requests.status);
        self.fetch(told, self.requests.page(accept, instance_id), (&[], max), limit).await
    }

    /// Sends a request and reads the whole response. 2xx and these codes mean success.
    async fn fetch(
        &self,
        told: String,
        built: Result<Request<String>, String>,
        (success, max): (&[u16], usize),
        limit: Duration,
    ) -> Result<Page, AgentAnswer> {
        let built = built.map_err(|why| AgentAnswer::Busy(format!("{told}: not sent: {why}")))?;
        let fetch = async {
            let mut answer = self.connection.send(built).await.map_err(|error| failure(&told, &error))?;
            let status = answer.status;
            if !status.is_success() && !success.contains(&status.as_u16()) {
                return Err(refusal(&told, answer).await);
            }
            let headers = std::mem::take(&mut answer.headers);
            match answer.read_capped(max).await {
                Ok(body) => Ok(Page { told: told.clone(), status, headers, body }),
                Err(error @ ReadError::TooLong { .. }) => {
                    Err(AgentAnswer::Malformed(format!("{told}: {error}")))
                }
                Err(error @ ReadError::Broken(_)) => Err(AgentAnswer::Busy(format!("{told}: {error}"))),
            }
        };
        let late = || Err(AgentAnswer::Busy(format!("{told}: no answer within {limit:?}")));
        tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| late())
    }

    /// A request, as log lines name it.
    fn told(&self, method: Method, url: &Url) -> String {
        let method = method.as_str();
        match self.connection.target() {
            Target::Tcp { .. } => format!("{method} {url}"),
            Target::Unix { path: socket, .. } => {
                format!("{method} {} on {}", &url[Position::BeforePath..], socket.display())
            }
        }
    }

    fn read(&self, request: &AgentRequest, page: &Page) -> AgentAnswer {
        let Page { told, headers, body, .. } = page;
        match request {
            AgentRequest::Drain(_) => AgentAnswer::Accepted(self.accepted(told, body)),
            AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Tell(_) => {
                match self.document(told, body) {
                    Ok(status) => {
                        let waited = headers.get_all("preference-applied").iter().any(names_wait);
                        AgentAnswer::Status { status, waited }
                    }
                    Err(why) => AgentAnswer::Malformed(format!("{page}; {why}")),
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

/// The result of one request.
#[derive(Debug)]
pub struct Exchange {
    /// What the daemon makes of it.
    pub answer: AgentAnswer,
    /// The response, if it means success.
    pub page: Option<Page>,
}

/// A response that means success.
#[derive(Debug)]
pub struct Page {
    told: String,
    /// Its status code.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// The request and the response, for errors.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: answered {} with {}", self.told, self.status, text::quote(&self.body))
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

fn call<B>(base: &str, request: config::Request<B>) -> Result<Call<B>, EndpointError> {
    let config::Request { method, path, body, success } = request;
    Ok(Call { method, url: join(base, &path)?, body, success })
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
