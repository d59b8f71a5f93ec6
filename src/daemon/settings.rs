//! Turns the configuration into the settings of the machine and of the adapters.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::http::{self, Base, Endpoint, EndpointError};
use crate::agent::step::Steps;
use crate::agent::{Agent, command};
use crate::aws::clients;
use crate::aws::imds::Identity;
use crate::config::{self, Address, AgentKind, CommandAgent, Config, HttpAgent};
use machine::settings::{AgentSettings, OnExit, Protocol, Settings, StepSettings};

/// The pause of an agent that has nothing to poll.
const COMMAND_POLL: Duration = Duration::from_secs(1);

/// Set by the systemd unit, whose sandbox hides `/proc/sys`.
const BOOT_ID: &str = "DRAINHOOK_BOOT_ID";

/// The machine's settings.
pub fn machine(config: &Config, identity: &Identity) -> Settings {
    Settings {
        instance_id: identity.instance_id.clone(),
        boot_id: boot_id(),
        booted_at: None,
        group: config.lifecycle.group.clone().or_else(|| identity.group.clone()),
        agents: config.agents.iter().map(agent_settings).collect(),
        after: config.after.iter().map(step_settings).collect(),
        queue: config.queue.url.is_some(),
        queue_name: config.queue.url.as_deref().and_then(queue_name),
        hook: config.lifecycle.hook.clone(),
        heartbeat_timeout: config.lifecycle.heartbeat_timeout,
        drain_at: config.lifecycle.drain_at,
        on_drained: config.lifecycle.on_drained,
        on_deadline: config.lifecycle.on_deadline,
        on_failed: config.lifecycle.on_failed,
        on_rebalance: config.lifecycle.on_rebalance,
    }
}

/// The account and the name at the end of a queue's URL, for any endpoint.
fn queue_name(url: &str) -> Option<String> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next()?, parts.next()?);
    Some(format!("{account}/{name}"))
}

/// The settings of the AWS clients.
pub fn aws(config: &Config) -> clients::Settings {
    clients::Settings { allow_http: config.aws.allow_http.clone(), queue_url: config.queue.url.clone() }
}

/// The id of this boot, from systemd/drainhook.service or from Linux (random(4)).
fn boot_id() -> Option<String> {
    let id = std::env::var(BOOT_ID).or_else(|_| std::fs::read_to_string("/proc/sys/kernel/random/boot_id"));
    id.ok().map(|id| id.trim().to_owned())
}

fn agent_settings(agent: &config::Agent) -> AgentSettings {
    let (on_exit, poll, protocol) = match &agent.kind {
        AgentKind::Http(http) => {
            let protocol = if http.drain_blocks { Protocol::Blocking } else { Protocol::Polled };
            (http.on_exit, http.poll, protocol)
        }
        // A command has no connection that could show an exit, and no status to poll.
        AgentKind::Command(_) => (OnExit::Failed, COMMAND_POLL, Protocol::Running),
    };
    AgentSettings {
        name: agent.name.clone(),
        drain_timeout: agent.drain_timeout,
        unreachable_grace: agent.unreachable_grace,
        order: agent.order,
        on_exit,
        poll,
        protocol,
    }
}

fn step_settings(step: &config::Step) -> StepSettings {
    StepSettings { name: step.command[0].clone(), timeout: step.timeout }
}

/// The after steps, in the order of the configuration.
pub fn steps(config: &Config) -> Arc<Steps> {
    Arc::new(Steps::new(config.after.iter().map(|step| step.command.clone()).collect()))
}

/// The agents, in the order of the configuration.
pub fn agents(config: &Config) -> Result<Arc<[Agent]>, EndpointError> {
    config.agents.iter().map(agent).collect()
}

fn agent(agent: &config::Agent) -> Result<Agent, EndpointError> {
    Ok(match &agent.kind {
        AgentKind::Http(http) => Agent::Http(Box::new(http::Agent::new(endpoint(http))?)),
        AgentKind::Command(CommandAgent { drain, back }) => {
            Agent::Command(command::CommandAgent::new(agent.name.clone(), drain.clone(), back.clone()))
        }
    })
}

/// Where and how an agent's HTTP interface is reached.
pub fn endpoint(agent: &HttpAgent) -> Endpoint {
    Endpoint {
        base: match &agent.address {
            Address::Url(url) => Base::Tcp(url.clone()),
            Address::Unix(path) => Base::Unix(path.clone(), agent.user.clone()),
        },
        drain_path: agent.drain_path.clone(),
        status_path: Some(agent.status_path.clone()),
        method: agent.method,
        drain_blocks: agent.drain_blocks,
        token_file: agent.token_file.clone(),
    }
}
