//! The requests to the agent under judgment, sent by the daemon's own client.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use url::{Position, Url};

use super::heard::Heard;
use super::program::Program;
use crate::agent::http::{Agent, Endpoint, EndpointError, Exchange, Page};
use crate::cli::output::whole;
use crate::clock::Clock;
use crate::config::{self, Address, Body, HttpAgent, Request, Template};
use crate::daemon::settings;
use crate::http::connection::Target;
use formats::contract::{self, Operation};
use machine::Time;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentStatus};
use machine::notice::Reason;

/// Time limit for an answer that the agent need not hold, in real time. The daemon has the same.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest answer of `GET /health` that is read, in bytes.
const HEALTH_MAX: usize = 64 * 1024;

/// The instance that the drain requests name, if `instance.id` is not set.
const INSTANCE_ID: &str = "i-0123456789abcdef0";

/// A drain request that also has fields which the protocol does not have.
const STRANGE_ORDER: &str = r#"{"reason":"{reason}","deadline":"{deadline}","instance_id":"{instance_id}","notice":"a request with unknown fields","unknown_number":1,"unknown_object":{"drain":false}}"#;

/// What a drain request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The document that the daemon sends.
    Plain,
    /// Also fields that the protocol does not have.
    Strange,
}

/// The agent under judgment.
#[derive(Debug)]
pub struct Session {
    agent: Agent,
    /// The same agent, asked with unknown fields.
    strange: Agent,
    /// The same agent, whose status is at `/health`.
    health: Agent,
    /// The path of its drain request.
    pub drain_path: String,
    /// The pause between status requests, if it does not hold them.
    pub poll: Duration,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long it may be unreachable.
    pub unreachable_grace: Duration,
    /// Offers the agent one unit of work. Exits with 0 if the agent accepts it.
    pub offer: Option<Program>,
    /// Restarts the agent.
    pub restart: Option<Program>,
    /// What it has said so far.
    pub heard: Heard,
    instance_id: String,
    clock: Clock,
    deadline: Time,
}

impl Session {
    /// The agent, and how it is reached. Sends nothing yet.
    pub fn new(
        agent: &config::Agent,
        http: &HttpAgent,
        instance_id: Option<&str>,
    ) -> Result<Self, EndpointError> {
        let endpoint = settings::endpoint(http);
        let strange = Endpoint {
            drain: Request { body: Body::Text(Template::new(STRANGE_ORDER)), ..endpoint.drain.clone() },
            ..endpoint.clone()
        };
        let health = Endpoint { status_path: "/health".to_owned(), ..endpoint.clone() };
        let clock = Clock::start(None);
        Ok(Session {
            agent: Agent::new(endpoint)?,
            strange: Agent::new(strange)?,
            health: Agent::new(health)?,
            drain_path: drain_path(http),
            poll: http.poll,
            drain_timeout: agent.drain_timeout,
            unreachable_grace: agent.unreachable_grace,
            offer: None,
            restart: None,
            heard: Heard::default(),
            instance_id: instance_id.unwrap_or(INSTANCE_ID).to_owned(),
            deadline: clock.now(),
            clock,
        })
    }

    /// Requests the status, and asks the agent to hold its answer for `wait`. It has 10 s more than that.
    pub async fn status(&mut self, wait: Duration) -> Result<AgentStatus, Trouble> {
        self.status_within(wait, wait + ANSWER_LIMIT).await
    }

    /// The same within a limit.
    pub async fn status_within(&mut self, wait: Duration, limit: Duration) -> Result<AgentStatus, Trouble> {
        let exchange = self.agent.exchange(&AgentRequest::Status, wait, &self.instance_id, limit).await;
        self.compare(Operation::Status, exchange.page.as_ref());
        match exchange.answer {
            AgentAnswer::Status { status, .. } => {
                self.heard.status(&status);
                Ok(status)
            }
            answer => Err(Trouble::of(answer)),
        }
    }

    /// Sends a status request, and breaks the connection after `pause`, as a daemon that is killed does. An agent that answers
    /// sooner has no request to break. Returns whether one was broken.
    pub async fn break_off(&self, wait: Duration, pause: Duration) -> bool {
        let held = self.agent.exchange(&AgentRequest::Status, wait, &self.instance_id, wait);
        tokio::time::timeout(pause, held).await.is_err()
    }

    /// Tells the agent to drain, with a new deadline.
    pub async fn drain(&mut self) -> Result<(), Trouble> {
        self.deadline = self.clock.now() + self.drain_timeout;
        self.drain_again(Order::Plain).await
    }

    /// Tells the agent to drain, with the same deadline as before.
    pub async fn drain_again(&mut self, order: Order) -> Result<(), Trouble> {
        let request = AgentRequest::Drain(DrainOrder {
            reason: Reason::AutoscalingTermination,
            deadline: self.deadline,
        });
        let agent = match order {
            Order::Plain => &self.agent,
            Order::Strange => &self.strange,
        };
        let Exchange { answer, page } =
            agent.exchange(&request, Duration::ZERO, &self.instance_id, ANSWER_LIMIT).await;
        self.compare(Operation::Drain, page.as_ref());
        match answer {
            AgentAnswer::Accepted(status) => {
                self.heard.told();
                status.iter().for_each(|status| self.heard.status(status));
                Ok(())
            }
            answer => Err(Trouble::of(answer)),
        }
    }

    /// Returns the agent to service.
    pub async fn withdraw(&mut self) -> Result<(), Trouble> {
        let request = AgentRequest::Return;
        let exchange = self.agent.exchange(&request, Duration::ZERO, &self.instance_id, ANSWER_LIMIT).await;
        self.compare(Operation::Withdraw, exchange.page.as_ref());
        match exchange.answer {
            AgentAnswer::Returned => {
                self.heard.returned();
                Ok(())
            }
            answer => Err(Trouble::of(answer)),
        }
    }

    /// Sends `GET /health`.
    pub async fn health(&mut self) -> Result<(), Trouble> {
        let accept = ("application/json", HEALTH_MAX);
        match self.health.page(accept, &self.instance_id, ANSWER_LIMIT).await {
            Ok(page) => {
                self.compare(Operation::Health, Some(&page));
                Ok(())
            }
            Err(answer) => Err(Trouble::of(answer)),
        }
    }

    /// The time until the deadline that the agent was told.
    pub fn time_left(&self) -> Duration {
        self.deadline.since(self.clock.now())
    }

    /// Where the agent is reached.
    pub fn target(&self) -> &Target {
        self.agent.target()
    }

    /// What happens if the agent cannot be told to drain.
    pub fn lost_unless_told(&self) -> String {
        let grace = whole(self.unreachable_grace);
        format!(
            "drainhook could not drain it: after {grace}, or at the deadline, an Auto Scaling termination would have cut {}",
            self.heard.work()
        )
    }

    /// What happens if drainhook never reads "drained".
    pub fn lost_unless_heard(&self) -> String {
        format!(
            "drainhook would not read \"drained\": at the deadline, an Auto Scaling termination would have cut {}",
            self.heard.work()
        )
    }

    fn compare(&mut self, operation: Operation, page: Option<&Page>) {
        let Some(page) = page else { return };
        let answer = contract::Answer {
            status: page.status.as_u16(),
            media_type: text(&page.headers, CONTENT_TYPE.as_str()),
            applied: text(&page.headers, "preference-applied"),
            body: &page.body,
        };
        let request = match operation {
            Operation::Drain => "POST /drain",
            Operation::Status => "GET /drain",
            Operation::Withdraw => "DELETE /drain",
            Operation::Health => "GET /health",
        };
        self.heard.compared(request, contract::complaints(operation, &answer));
    }
}

/// A header's value, if it has one that is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The path of the drain request, below the path of the agent's URL.
fn drain_path(http: &HttpAgent) -> String {
    let base = match &http.address {
        Address::Url(url) => url.parse::<Url>().map(|url| url[Position::BeforePath..].to_owned()),
        Address::Unix(_) => Ok(String::new()),
    };
    let base = base.unwrap_or_default();
    format!("{}/{}", base.trim_end_matches('/'), http.drain.path.trim_start_matches('/'))
}

/// An answer that was not the expected one.
#[derive(Debug)]
pub struct Trouble {
    /// The request, and what came.
    pub why: String,
    /// What the daemon makes of it.
    pub kind: Kind,
}

/// What the daemon makes of an answer that was not the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agent's process has exited.
    Gone,
    /// The agent has no such request, or refuses it.
    Unsupported,
    /// Anything else.
    Other,
}

impl Trouble {
    fn of(answer: AgentAnswer) -> Self {
        let trouble = |why, kind| Trouble { why, kind };
        match answer {
            AgentAnswer::Unreachable { why, gone: true } => trouble(why, Kind::Gone),
            AgentAnswer::Unsupported(why) => trouble(why, Kind::Unsupported),
            AgentAnswer::Unreachable { why, gone: false }
            | AgentAnswer::Busy(why)
            | AgentAnswer::Malformed(why)
            | AgentAnswer::CannotDrain(why) => trouble(why, Kind::Other),
            AgentAnswer::Accepted(_)
            | AgentAnswer::Status { .. }
            | AgentAnswer::Seen { .. }
            | AgentAnswer::Returned => trouble("an answer to another request".to_owned(), Kind::Other),
        }
    }
}
