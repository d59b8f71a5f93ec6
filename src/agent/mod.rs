//! Adapters that reach an agent. Each turns the answer, or the failure, into an `AgentAnswer`. It never fails.
//!
//! - [`http`]: the agent protocol, over TCP or a Unix socket.
//! - [`command`]: a program that drains.
//! - [`force`]: what ends its work.
//! - [`probe`]: where the status of an agent is read if the agent does not return it itself; `processes` counts processes.
//! - [`ready`]: whether it is ready to serve.
//! - `request`: builds the requests of [`http`].
//! - `secret`: reads the bearer token, and secret values of headers.
//! - [`step`]: the after steps, which are commands too.
//! - [`unit`]: a systemd unit, through [`systemctl`].

pub mod command;
pub mod force;
pub mod http;
pub mod probe;
mod processes;
pub mod ready;
mod request;
mod secret;
pub mod step;
pub mod systemctl;
pub mod unit;

use std::time::Duration;

use command::CommandAgent;
use force::Force;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentStatus};
use machine::process::Sight;
use probe::Probe;
use ready::Readiness;
use unit::UnitAgent;

/// Time limit for a request that an agent answers at once, in real time.
const LIMIT: Duration = Duration::from_secs(10);

/// Time limit for a status request, which an agent may hold for 20 s, in real time.
const STATUS_LIMIT: Duration = Duration::from_secs(30);

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// How it is reached.
    pub kind: Kind,
    /// Where its status is read. `None`: the agent returns it.
    pub probe: Option<Probe>,
    /// What ends its work shortly before its deadline.
    pub force: Option<Force>,
    /// What shows that it is ready. `None` without a launching hook.
    pub ready: Option<Readiness>,
}

/// How an agent is reached.
#[derive(Debug)]
pub enum Kind {
    /// It has an HTTP interface.
    Http(Box<http::Agent>),
    /// A command drains it.
    Command(CommandAgent),
    /// It is a systemd unit.
    Unit(UnitAgent),
}

impl Agent {
    /// Makes one request and returns the result. `instance_id` is empty outside an instance. `left` is the real time until the
    /// deadline of a drain request.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str, left: Duration) -> AgentAnswer {
        let answer = match (&self.kind, &self.probe) {
            (Kind::Unit(unit), Some(probe)) => return with_probe(unit, probe, request, instance_id).await,
            (_, Some(probe)) if *request == AgentRequest::Status => return probe.ask(instance_id).await,
            (Kind::Http(agent), _) => {
                let limit = match request {
                    AgentRequest::Drain(_) if agent.blocks() => left + LIMIT,
                    AgentRequest::Drain(_) | AgentRequest::Tell(_) | AgentRequest::Return => LIMIT,
                    AgentRequest::Status | AgentRequest::Watch(_) => STATUS_LIMIT,
                };
                agent.ask(request, instance_id, limit).await
            }
            (Kind::Command(agent), _) => agent.ask(request, instance_id).await,
            (Kind::Unit(agent), None) => agent.ask(request).await,
        };
        match answer {
            // Only the probe says how much is in flight.
            AgentAnswer::Accepted(_) if self.probe.is_some() => AgentAnswer::Accepted(None),
            answer => answer,
        }
    }

    /// Whether it is ready to serve. The error says why it is not.
    pub async fn is_ready(&self, instance_id: &str) -> Result<(), String> {
        match &self.ready {
            Some(ready) => ready.look(instance_id).await,
            None => Err("nothing shows whether it is ready".to_owned()),
        }
    }

    /// How much it has in flight while it serves. The error says why that is not known.
    pub async fn in_flight(&self, instance_id: &str) -> Result<u64, String> {
        let answer = match (&self.probe, &self.kind) {
            (Some(probe), _) => probe.look(instance_id, LIMIT).await,
            (None, Kind::Http(agent)) => agent.look(instance_id, LIMIT).await,
            (None, Kind::Command(_) | Kind::Unit(_)) => return Err("it has no status".to_owned()),
        };
        match answer {
            AgentAnswer::Status { status: AgentStatus { in_flight: Some(count), .. }, .. } => Ok(count),
            AgentAnswer::Status { .. } => Err("its status has no in_flight".to_owned()),
            answer => Err(answer.why().unwrap_or("it has no status").to_owned()),
        }
    }

    /// Ends its work. The error says why that failed. A command has no time limit here: the caller drops this future at the
    /// deadline, which ends the command.
    pub async fn force(&self, order: &DrainOrder, instance_id: &str) -> Result<(), String> {
        match (&self.force, &self.kind) {
            (Some(Force::Command { runner, command }), _) => {
                runner.succeed(command, order, instance_id).await
            }
            (Some(Force::Signal(signal)), Kind::Unit(unit)) => {
                unit.force(signal).await.map_err(|error| error.to_string())
            }
            (Some(Force::Request), Kind::Http(agent)) => agent.force(order, instance_id, LIMIT).await,
            // The configuration refuses what does not go together.
            (Some(Force::Signal(_) | Force::Request) | None, _) => Err("it has no force step".to_owned()),
        }
    }
}

/// Makes one request to a unit. Once it was told to drain, a look at it reads the probe too, and waits for nothing, because the
/// number may change at any time.
async fn with_probe(
    unit: &UnitAgent,
    probe: &Probe,
    request: &AgentRequest,
    instance_id: &str,
) -> AgentAnswer {
    let told = match request {
        AgentRequest::Status => None,
        AgentRequest::Watch(process) => Some(*process),
        AgentRequest::Drain(_) | AgentRequest::Tell(_) | AgentRequest::Return => {
            return unit.ask(request).await;
        }
    };
    let seen = unit.look_once().await;
    let drains = match &seen {
        AgentAnswer::Seen { sight: Sight::Leaves, .. } => true,
        AgentAnswer::Seen { sight: Sight::Runs(process), .. } => {
            told == Some(*process) || unit.is_drained_by_another()
        }
        // It has drained, whatever the probe says, or it cannot be seen.
        _ => false,
    };
    if !drains {
        return seen;
    }
    match (probe.ask(instance_id).await, seen) {
        // A unit that another one tells to drain goes on running.
        (number, AgentAnswer::Seen { sight: Sight::Runs(_), .. }) if unit.is_drained_by_another() => number,
        (AgentAnswer::Status { status, .. }, AgentAnswer::Seen { sight, .. }) => {
            AgentAnswer::Seen { sight, in_flight: status.in_flight, waited: false }
        }
        (failed, _) => failed,
    }
}
