//! Reaches an agent over HTTP, on TCP or a unix socket. Every request is sent once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use crate::config::Method;
use crate::http::{self, ReadError};
use formats::agent as document;
use formats::text;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentState, AgentStatus};

/// The longest answer that is read.
pub const ANSWER_MAX: usize = 64 * 1024;

/// The longest token file that is read.
pub const TOKEN_MAX: usize = 16 * 1024;

/// How long an agent is asked to hold a status request, in seconds.
pub const PREFER_WAIT_MAX_S: u64 = 20;

/// How long the text of a refusal is waited for.
const QUOTE_LIMIT: Duration = Duration::from_millis(200);

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub base: Base,
    /// The drain, under the base's own path. `/drain` by default.
    pub drain_path: String,
    /// Where its status is asked for; by default where it is drained.
    pub status_path: Option<String>,
    /// What the drain is asked for with.
    pub method: Method,
    /// The agent answers the drain request when it has drained.
    pub drain_blocks: bool,
    /// A file that holds a bearer token. Read anew for each request, so that it may be rotated.
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// An agent that follows the protocol to the letter.
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
    /// An `http://` URL, which may have a path of its own.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// Why an agent cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL, with a path attached, is not one.
    #[error("{url:?} is not a URL: {why}")]
    Url {
        /// What it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The URL is one, and agents cannot be reached by it.
    #[error("{url:?} is not of the form http://HOST:PORT/PATH")]
    Unsupported {
        /// The URL.
        url: String,
    },
    /// The client cannot be built. Never seen.
    #[error("no HTTP client for the agent: {why}")]
    Client {
        /// Why.
        why: String,
    },
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    http: Client,
    drain: Url,
    status: Url,
    method: Method,
    drain_blocks: bool,
    token_file: Option<PathBuf>,
}

impl Agent {
    /// An agent at this endpoint. It is asked nothing yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, EndpointError> {
        let Endpoint { base, drain_path, status_path, method, drain_blocks, token_file } = endpoint;
        let mut builder = http::client();
        let base = match base {
            Base::Tcp(url) => url,
            Base::Unix(path) => {
                builder = builder.unix_socket(path);
                "http://localhost".to_owned()
            }
        };
        let http = builder.build().map_err(|error| EndpointError::Client { why: http::why(&error) })?;
        let drain = join(&base, &drain_path)?;
        let status = status_path.map_or_else(|| Ok(drain.clone()), |path| join(&base, &path))?;
        Ok(Agent { http, drain, status, method, drain_blocks, token_file })
    }

    /// Sends one request, and says what came of it. An empty `instance_id` stands for none. `limit` is real time: it
    /// is a process that is waited for.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str, limit: Duration) -> AgentAnswer {
        let (tried, built) = match request {
            AgentRequest::Drain(order) => self.drain_request(order, instance_id),
            AgentRequest::Status => self.status_request(limit),
            AgentRequest::Return => (format!("DELETE {}", self.drain), self.http.delete(self.drain.clone())),
        };
        self.exchange(request, &tried, built, limit).await
    }

    /// Asks how it stands, without asking it to hold its answer.
    pub async fn look(&self, limit: Duration) -> AgentAnswer {
        let (tried, built) = self.status_request(Duration::ZERO);
        self.exchange(&AgentRequest::Status, &tried, built, limit).await
    }

    async fn exchange(
        &self,
        request: &AgentRequest,
        tried: &str,
        built: RequestBuilder,
        limit: Duration,
    ) -> AgentAnswer {
        let exchange = async {
            let built = match self.token() {
                Ok(Some(token)) => built.bearer_auth(token),
                Ok(None) => built,
                Err(why) => return AgentAnswer::Busy(format!("{tried}: not sent: {why}")),
            };
            match built.send().await {
                Ok(response) => self.read(request, tried, response).await,
                Err(error) => failure(tried, &error),
            }
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer,
            Err(_) => AgentAnswer::Busy(format!("{tried}: no answer within {limit:?}")),
        }
    }

    fn drain_request(&self, order: &DrainOrder, instance_id: &str) -> (String, RequestBuilder) {
        let url = self.drain.clone();
        let body = serde_json::json!({
            "reason": order.reason.as_str(),
            "deadline": order.deadline.to_string(),
            // Outside EC2 there is no instance to name.
            "instance_id": Some(instance_id).filter(|id| !id.is_empty()),
            "notice": order.reason.sentence(),
        });
        let with_body = |built: RequestBuilder| {
            built
                .header(CONTENT_TYPE, "application/json")
                .header(ACCEPT, "application/json")
                .body(body.to_string())
        };
        match self.method {
            Method::Post => (format!("POST {url}"), with_body(self.http.post(url))),
            Method::Put => (format!("PUT {url}"), with_body(self.http.put(url))),
            Method::Get => (format!("GET {url}"), self.http.get(url)),
        }
    }

    fn status_request(&self, limit: Duration) -> (String, RequestBuilder) {
        let url = self.status.clone();
        let tried = format!("GET {url}");
        let built = self.http.get(url).header(ACCEPT, "application/json");
        // An agent that holds the request to its end must still be in time.
        let wait_s = limit.saturating_sub(Duration::from_secs(1)).as_secs().min(PREFER_WAIT_MAX_S);
        if wait_s == 0 { (tried, built) } else { (tried, built.header("prefer", format!("wait={wait_s}"))) }
    }

    async fn read(&self, request: &AgentRequest, tried: &str, response: Response) -> AgentAnswer {
        let status = response.status();
        if !status.is_success() {
            return refusal(tried, status, response).await;
        }
        let waited = response.headers().get_all("preference-applied").iter().any(names_wait);
        let body = match http::read_capped(response, ANSWER_MAX).await {
            Ok(body) => body,
            Err(error @ ReadError::TooLong { .. }) => {
                return AgentAnswer::Malformed(format!("{tried}: {error}"));
            }
            Err(ReadError::Broken(error)) => return failure(tried, &error),
        };
        match request {
            AgentRequest::Drain(_) => AgentAnswer::Accepted(self.accepted(&body)),
            AgentRequest::Status => match document::read(&body) {
                Ok(status) => AgentAnswer::Status { status, waited },
                Err(why) => {
                    let got = text::quote(&body);
                    AgentAnswer::Malformed(format!("{tried}: answered {status} with {got}; {why}"))
                }
            },
            AgentRequest::Return => AgentAnswer::Returned,
        }
    }

    /// The status that comes with an accepted drain. Agents that exist already answer all sorts of things there.
    fn accepted(&self, body: &[u8]) -> Option<AgentStatus> {
        let drained = || AgentStatus {
            state: AgentState::Drained,
            in_flight: Some(0),
            gauges: Default::default(),
            detail: None,
        };
        // An agent that says in so many words that it is not drained does not block, whatever the configuration says.
        document::read(body).ok().or_else(|| self.drain_blocks.then(drained))
    }

    /// Reads a small local file, in place: a thread for it would cost more than the read.
    fn token(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let told = |why: String| format!("token_file {}: {why}", path.display());
        let text = read_token(path).map_err(|error| told(error.to_string()))?;
        let token = text.trim();
        let fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fit { Ok(Some(token.to_owned())) } else { Err(told("holds no bearer token".to_owned())) }
    }
}

fn read_token(path: &Path) -> io::Result<String> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // A named pipe would block the daemon.
    if !path.metadata()?.is_file() {
        return invalid("not a file");
    }
    let mut text = String::new();
    File::open(path)?.take(TOKEN_MAX as u64 + 1).read_to_string(&mut text)?;
    if text.len() > TOKEN_MAX { invalid("too long") } else { Ok(text) }
}

/// `Preference-Applied: wait`, perhaps with a value, perhaps among others.
fn names_wait(value: &HeaderValue) -> bool {
    let preferences = value.to_str().unwrap_or_default().split(',');
    let names = preferences.filter_map(|preference| preference.split(['=', ';']).next());
    names.into_iter().any(|name| name.trim().eq_ignore_ascii_case("wait"))
}

async fn refusal(tried: &str, status: StatusCode, mut response: Response) -> AgentAnswer {
    let location = response.headers().get("location").cloned();
    // The status has said enough: what comes with it is quoted if it is there, and not waited for.
    let said = match tokio::time::timeout(QUOTE_LIMIT, response.chunk()).await {
        Ok(Ok(Some(start))) => format!(" with {}", text::quote(&start)),
        Ok(Ok(None) | Err(_)) | Err(_) => String::new(),
    };
    let told = format!("{tried}: answered {status}{said}");
    match status.as_u16() {
        300..=399 => {
            let target =
                location.map_or_else(|| "nowhere".to_owned(), |target| text::quote(target.as_bytes()));
            AgentAnswer::Malformed(format!("{told}, a redirect to {target}; expected 2xx, none is followed"))
        }
        409 => AgentAnswer::CannotDrain(told),
        408 | 429 => AgentAnswer::Busy(told),
        501 | 400..=499 => AgentAnswer::Unsupported(told),
        500..=599 => AgentAnswer::Busy(told),
        _ => AgentAnswer::Malformed(format!("{told}; expected 2xx")),
    }
}

fn failure(tried: &str, error: &reqwest::Error) -> AgentAnswer {
    let why = format!("{tried}: {}", http::why(error));
    if !error.is_connect() {
        return AgentAnswer::Busy(why);
    }
    let gone =
        matches!(http::io_kind(error), Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound));
    AgentAnswer::Unreachable { why, gone }
}

/// A path under a base URL that may have a path itself.
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
