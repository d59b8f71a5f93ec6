//! Adapters that reach an agent. Each turns the answer, or the failure, into an `AgentAnswer`. It never fails.
//!
//! - [`http`]: the agent protocol, over TCP or a Unix socket.
//! - [`command`]: a program that drains.
//! - [`step`]: the after steps, which are commands too.
//! - `token`: reads the bearer token.

pub mod command;
pub mod http;
pub mod step;
mod token;

use std::time::Duration;

use command::CommandAgent;
use machine::effect::AgentRequest;
use machine::event::AgentAnswer;

/// Time limit for a request that an agent answers at once, in real time.
const LIMIT: Duration = Duration::from_secs(10);

/// Time limit for a status request, which an agent may hold for 20 s, in real time.
const STATUS_LIMIT: Duration = Duration::from_secs(30);

/// One agent.
#[derive(Debug)]
pub enum Agent {
    /// It has an HTTP interface.
    Http(Box<http::Agent>),
    /// A command drains it.
    Command(CommandAgent),
}

impl Agent {
    /// Makes one request and returns the result. `instance_id` is empty outside an instance. `left` is the real time until the
    /// deadline of a drain request.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str, left: Duration) -> AgentAnswer {
        match self {
            Agent::Http(agent) => {
                let limit = match request {
                    AgentRequest::Drain(_) if agent.blocks() => left + LIMIT,
                    AgentRequest::Drain(_) | AgentRequest::Return => LIMIT,
                    AgentRequest::Status => STATUS_LIMIT,
                };
                agent.ask(request, instance_id, limit).await
            }
            Agent::Command(agent) => agent.ask(request, instance_id).await,
        }
    }
}
