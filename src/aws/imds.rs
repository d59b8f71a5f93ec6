//! A client of the instance metadata service, version 2 only. It retries a request only once, after a 401, with a new token.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use url::Url;

use crate::clock::Clock;
use crate::http::connection::{ConnectError, Connection, SendError, Target};
use crate::http::{self, ReadError};
use formats::imds::{self as answer, Unexpected};
use formats::text;
use machine::Time;
use machine::event::{LifeCycle, MaintenanceNotice, SpotNotice, TargetState};

/// The longest response that is read, in bytes.
pub const ANSWER_MAX: usize = 64 * 1024;

/// The longest token that is accepted, in bytes. IMDS's tokens have 56.
pub const TOKEN_MAX: usize = 1024;

/// The requested lifetime of a token: the longest that IMDS allows.
const TOKEN_TTL: Duration = Duration::from_secs(21_600);

/// How long before its expiry a token is replaced.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TTL_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// The endpoint of IMDS, and the time limits. Limits are in real time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Scheme, host and port, optionally with a path.
    pub endpoint: String,
    /// `AWS_EC2_METADATA_DISABLED`: IMDS must not be called.
    pub switched_off: bool,
    /// Time limit for a connection.
    pub connect_limit: Duration,
    /// Time limit for a whole request, including the connection.
    pub total_limit: Duration,
}

impl Settings {
    /// Reads the variables that the AWS SDKs read.
    pub fn from_env() -> Self {
        Settings::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let ipv6 = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if ipv6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        let endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| usual.to_owned());
        let switched_off =
            variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Settings { endpoint, switched_off, ..Settings::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            endpoint: "http://169.254.169.254".to_owned(),
            switched_off: false,
            connect_limit: Duration::from_secs(1),
            total_limit: Duration::from_secs(2),
        }
    }
}

/// Why a request to IMDS failed.
#[derive(Debug, thiserror::Error)]
pub enum ImdsError {
    /// The environment disables IMDS.
    #[error("IMDS is not used: AWS_EC2_METADATA_DISABLED is true")]
    SwitchedOff,
    /// The configured endpoint is not usable.
    #[error("{endpoint:?} is not of the form http://HOST:PORT; check AWS_EC2_METADATA_SERVICE_ENDPOINT")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
    },
    /// Nothing is listening there.
    #[error("{tried}: connection refused; is this an EC2 instance?")]
    Refused {
        /// The request.
        tried: String,
    },
    /// There was no response in time.
    #[error("{tried}: no answer in time; in a container, the instance's hop limit must be 2 or more")]
    TimedOut {
        /// The request.
        tried: String,
    },
    /// The connection could not be made, or broke.
    #[error("{tried}: {why}")]
    Broken {
        /// The request.
        tried: String,
        /// What happened.
        why: String,
    },
    /// 403: the instance's metadata endpoint is disabled.
    #[error("{tried}: answered 403; enable the instance's metadata endpoint (HttpEndpoint=enabled)")]
    Disabled {
        /// The request.
        tried: String,
    },
    /// 401 to a new token.
    #[error("{tried}: answered 401 to a new token; check for a proxy between this process and IMDS")]
    Unauthorized {
        /// The request.
        tried: String,
    },
    /// An unexpected status.
    #[error("{tried}: answered {status}; expected 200 or 404")]
    Status {
        /// The request.
        tried: String,
        /// The status.
        status: u16,
    },
    /// The response is longer than [`ANSWER_MAX`].
    #[error("{tried}: the response is longer than {ANSWER_MAX} bytes")]
    TooLong {
        /// The request.
        tried: String,
    },
    /// The response does not have the format of its path.
    #[error("{tried}: {unexpected}")]
    Malformed {
        /// The request.
        tried: String,
        /// What was expected, and what came.
        unexpected: Unexpected,
    },
}

impl ImdsError {
    /// Whether requests for other paths would fail in the same way.
    pub fn concerns_all_paths(&self) -> bool {
        match self {
            ImdsError::SwitchedOff
            | ImdsError::Endpoint { .. }
            | ImdsError::Refused { .. }
            | ImdsError::TimedOut { .. }
            | ImdsError::Broken { .. }
            | ImdsError::Disabled { .. }
            | ImdsError::Unauthorized { .. } => true,
            ImdsError::Status { .. } | ImdsError::TooLong { .. } | ImdsError::Malformed { .. } => false,
        }
    }
}

/// The instance's id and group.
#[derive(Debug)]
pub struct Identity {
    /// `instance-id`
    pub instance_id: String,
    /// The group; `None` if the instance is in none, or if IMDS does not show tags (`InstanceMetadataTags=enabled`).
    pub group: Option<String>,
    /// Set if the response with the group was malformed. Auto Scaling can still name the group.
    pub doubt: Option<ImdsError>,
}

/// A client that keeps one connection and one token.
#[derive(Debug, Clone)]
pub struct Imds {
    /// `None` if the configured endpoint is not usable.
    endpoint: Option<Arc<Endpoint>>,
    settings: Settings,
    clock: Clock,
    token: Option<Token>,
}

#[derive(Debug)]
struct Endpoint {
    connection: Connection,
    host: String,
    /// The endpoint's path, without a trailing slash.
    base: String,
}

impl Endpoint {
    fn new(settings: &Settings) -> Option<Self> {
        let url = Url::parse(&settings.endpoint).ok().filter(|url| url.scheme() == "http")?;
        let target = Target::tcp(url.host_str()?, url.port_or_known_default()?);
        let connection = Connection::new(target, settings.connect_limit);
        Some(Endpoint {
            connection,
            host: http::host(&url),
            base: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// A response of IMDS. The body is read only for 200, and for 404 to keep the connection.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Token {
    header: HeaderValue,
    replace_at: Time,
}

impl Imds {
    /// Creates a client. Sends nothing yet. The clock decides when a token must be replaced.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Imds { endpoint: Endpoint::new(&settings).map(Arc::new), settings, clock, token: None }
    }

    /// The instance's id and group.
    pub async fn identity(&mut self) -> Result<Identity, ImdsError> {
        let path = "/latest/meta-data/instance-id";
        let tried = self.tried(&Method::GET, path);
        let instance_id = self.read(path, answer::instance_id).await?;
        let instance_id = instance_id.ok_or(ImdsError::Status { tried, status: 404 })?;
        let path = "/latest/meta-data/tags/instance/aws:autoscaling:groupName";
        match self.read(path, answer::group).await {
            Ok(group) => Ok(Identity { instance_id, group, doubt: None }),
            Err(error) if error.concerns_all_paths() => Err(error),
            Err(doubt) => Ok(Identity { instance_id, group: None, doubt: Some(doubt) }),
        }
    }

    /// `autoscaling/target-lifecycle-state`; `None` if the category does not exist.
    pub async fn target_state(&mut self) -> Result<Option<TargetState>, ImdsError> {
        self.read("/latest/meta-data/autoscaling/target-lifecycle-state", answer::target_state).await
    }

    /// `instance-life-cycle`; `None` if it does not exist.
    pub async fn life_cycle(&mut self) -> Result<Option<LifeCycle>, ImdsError> {
        self.read("/latest/meta-data/instance-life-cycle", answer::life_cycle).await
    }

    /// `spot/instance-action`, if it exists.
    pub async fn spot(&mut self) -> Result<Option<SpotNotice>, ImdsError> {
        self.read("/latest/meta-data/spot/instance-action", answer::spot).await
    }

    /// `events/recommendations/rebalance`, if it exists.
    pub async fn rebalance(&mut self) -> Result<Option<Time>, ImdsError> {
        self.read("/latest/meta-data/events/recommendations/rebalance", answer::rebalance).await
    }

    /// `events/maintenance/scheduled`, without events that are over.
    pub async fn maintenance(&mut self) -> Result<Vec<MaintenanceNotice>, ImdsError> {
        let events = self.read("/latest/meta-data/events/maintenance/scheduled", answer::maintenance).await?;
        Ok(events.unwrap_or_default())
    }

    /// The name of the role in the instance profile, if there is one.
    pub async fn role(&mut self) -> Result<Option<String>, ImdsError> {
        self.read("/latest/meta-data/iam/security-credentials/", answer::role).await
    }

    async fn read<T>(
        &mut self,
        path: &str,
        parse: impl Fn(&str) -> Result<T, Unexpected>,
    ) -> Result<Option<T>, ImdsError> {
        let Some(body) = self.ask(path).await? else { return Ok(None) };
        let parsed = match std::str::from_utf8(&body) {
            Ok(text) => parse(text),
            Err(_) => Err(Unexpected { expected: "text in UTF-8", got: text::quote(&body) }),
        };
        parsed
            .map(Some)
            .map_err(|unexpected| ImdsError::Malformed { tried: self.tried(&Method::GET, path), unexpected })
    }

    /// Requests a path with the kept token, and once more with a new token after a 401. `None` stands for 404.
    async fn ask(&mut self, path: &str) -> Result<Option<Vec<u8>>, ImdsError> {
        let known = self.token.take().filter(|token| self.clock.now() < token.replace_at);
        let token = match known {
            Some(token) => token,
            None => self.new_token().await?,
        };
        let sent = self.get(path, &token).await;
        self.token = Some(token);
        let mut answer = sent?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.token = None;
            let token = self.new_token().await?;
            let sent = self.get(path, &token).await;
            self.token = Some(token);
            answer = sent?;
        }
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.refusal(&Method::GET, path, status)),
        }
    }

    async fn get(&self, path: &str, token: &Token) -> Result<Answer, ImdsError> {
        self.send(&Method::GET, path, TOKEN_HEADER, token.header.clone()).await
    }

    async fn new_token(&self) -> Result<Token, ImdsError> {
        if self.settings.switched_off {
            return Err(ImdsError::SwitchedOff);
        }
        let put = Method::PUT;
        // The token's lifetime is counted from before the request.
        let replace_at = self.clock.now() + (TOKEN_TTL - TOKEN_MARGIN);
        let ttl = HeaderValue::from(TOKEN_TTL.as_secs());
        let Answer { status, body } = self.send(&put, TOKEN_PATH, TTL_HEADER, ttl).await?;
        if status != StatusCode::OK {
            return Err(self.refusal(&put, TOKEN_PATH, status));
        }
        let visible = (1..=TOKEN_MAX).contains(&body.len()) && body.iter().all(u8::is_ascii_graphic);
        match HeaderValue::from_bytes(&body) {
            Ok(mut header) if visible => {
                header.set_sensitive(true);
                Ok(Token { header, replace_at })
            }
            _ => {
                // It may still be a secret, so it is not quoted.
                let got = format!("{} bytes that are not a token", body.len());
                let expected = "a token of at most 1024 visible ASCII characters";
                let unexpected = Unexpected { expected, got };
                Err(ImdsError::Malformed { tried: self.tried(&put, TOKEN_PATH), unexpected })
            }
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<Answer, ImdsError> {
        let tried = || self.tried(method, path);
        let Some(Endpoint { connection, host, base }) = self.endpoint.as_deref() else {
            return Err(ImdsError::Endpoint { endpoint: self.settings.endpoint.clone() });
        };
        let request = Request::builder().method(method).uri(format!("{base}{path}")).header(HOST, host);
        let request = request.header(name, value).body(String::new());
        let request =
            request.map_err(|error| ImdsError::Broken { tried: tried(), why: error.to_string() })?;
        let exchange = async {
            let answer = connection.send(request).await.map_err(|error| failure(tried(), error))?;
            let status = answer.status;
            let body = match status {
                StatusCode::OK | StatusCode::NOT_FOUND => answer.read_capped(ANSWER_MAX).await,
                _ => Ok(Vec::new()),
            };
            let body = body.map_err(|error| match error {
                ReadError::TooLong { .. } => ImdsError::TooLong { tried: tried() },
                ReadError::Broken(error) => failure(tried(), error.into()),
            })?;
            Ok(Answer { status, body })
        };
        let in_time = tokio::time::timeout(self.settings.total_limit, exchange).await;
        in_time.unwrap_or_else(|_| Err(ImdsError::TimedOut { tried: tried() }))
    }

    fn refusal(&self, method: &Method, path: &str, status: StatusCode) -> ImdsError {
        let tried = self.tried(method, path);
        match status {
            StatusCode::FORBIDDEN => ImdsError::Disabled { tried },
            StatusCode::UNAUTHORIZED => ImdsError::Unauthorized { tried },
            status => ImdsError::Status { tried, status: status.as_u16() },
        }
    }

    fn tried(&self, method: &Method, path: &str) -> String {
        format!("{method} {}{path}", self.settings.endpoint.trim_end_matches('/'))
    }
}

fn failure(tried: String, error: SendError) -> ImdsError {
    match error {
        SendError::Connect(ConnectError::Refused { .. }) => ImdsError::Refused { tried },
        SendError::Connect(ConnectError::TimedOut { .. }) => ImdsError::TimedOut { tried },
        SendError::Connect(_) | SendError::Broken(_) => ImdsError::Broken { tried, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the client connects to, and the `Host` header.
    #[test]
    fn networks() {
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
        for (variables, at, host) in [
            (&[][..], "169.254.169.254:80", "169.254.169.254"),
            (&[(MODE, "IPv4")], "169.254.169.254:80", "169.254.169.254"),
            (&[(MODE, "")], "169.254.169.254:80", "169.254.169.254"),
            (&[(MODE, "IPv6")], "[fd00:ec2::254]:80", "[fd00:ec2::254]"),
            (&[(MODE, "ipv6")], "[fd00:ec2::254]:80", "[fd00:ec2::254]"),
            (&[(MODE, "IPv6"), (ENDPOINT, "http://127.0.0.1:1338")], "127.0.0.1:1338", "127.0.0.1:1338"),
            (&[(ENDPOINT, "http://[fd00:ec2::254]/")], "[fd00:ec2::254]:80", "[fd00:ec2::254]"),
        ] {
            let settings = Settings::from_variables(|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            });
            let endpoint = Endpoint::new(&settings).expect("usable");
            let found = (endpoint.connection.target().to_string(), endpoint.host);
            assert_eq!(found, (at.to_owned(), host.to_owned()), "{variables:?}");
        }
    }
}
