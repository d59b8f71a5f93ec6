//! Turns the configuration into the settings of the machine and of the adapters.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::force::Force;
use crate::agent::http::{self, Base, Endpoint, EndpointError};
use crate::agent::probe::{Format, Probe};
use crate::agent::ready::Readiness;
use crate::agent::step::Steps;
use crate::agent::{Agent, Kind, command, unit};
use crate::aws::clients;
use crate::aws::imds::Identity;
use crate::config::{
    self, Address, AgentKind, CommandAgent, Config, ForceKind, HttpAgent, Reading, Ready, UnitAgent,
    UnitDrain,
};
use machine::settings::{
    AgentSettings, LaunchSettings, OnExit, ProtectionSettings, Protocol, Settings, StepSettings,
    TargetSettings,
};
use machine::targets::TargetName;

/// The pause between readings of the probe of an agent that a command drains.
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
        targets: targets(config, &identity.instance_id),
        queue: config.queue.url.is_some(),
        queue_name: config.queue.url.as_deref().and_then(queue_name),
        listen: config.queue.listen,
        capacity_reservation: config.lifecycle.capacity_reservation.clone(),
        hook: config.lifecycle.hook.clone(),
        heartbeat_timeout: config.lifecycle.heartbeat_timeout,
        drain_at: config.lifecycle.drain_at,
        on_drained: config.lifecycle.on_drained,
        on_deadline: config.lifecycle.on_deadline,
        on_failed: config.lifecycle.on_failed,
        on_rebalance: config.lifecycle.on_rebalance,
        on_standby: config.lifecycle.on_standby,
        on_detachment: config.lifecycle.on_detachment,
        launch: launch(&config.launch),
        protection: protection(&config.protection),
    }
}

/// The targets of the target groups. Without a target of its own, each is this instance.
pub fn targets(config: &Config, instance_id: &str) -> Vec<TargetSettings> {
    let settings = |group: &config::TargetGroup| TargetSettings {
        name: group.name().to_owned(),
        target: TargetName {
            group: group.arn.clone(),
            id: group.target.clone().unwrap_or_else(|| instance_id.to_owned()),
            port: group.port,
        },
        timeout: group.timeout,
    };
    config.target_groups.iter().map(settings).collect()
}

fn launch(launch: &config::Launch) -> Option<LaunchSettings> {
    let config::Launch { hook, times, timeout } = launch.clone();
    Some(LaunchSettings { hook: hook?, times, timeout })
}

fn protection(protection: &config::Protection) -> Option<ProtectionSettings> {
    let config::Protection { when_busy, busy_for, idle_for, longest } = *protection;
    when_busy.then_some(ProtectionSettings { busy_for, idle_for, longest })
}

/// The account and the name at the end of a queue's URL, for any endpoint.
fn queue_name(url: &str) -> Option<String> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next()?, parts.next()?);
    Some(format!("{account}/{name}"))
}

/// The settings of the AWS clients.
pub fn aws(config: &Config) -> clients::Settings {
    clients::Settings {
        allow_http: config.aws.allow_http.clone(),
        queue_url: config.queue.url.clone(),
        target_groups: !config.target_groups.is_empty(),
    }
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
        // A command has no connection that could show an exit.
        AgentKind::Command(_) => (OnExit::Failed, COMMAND_POLL, Protocol::Running),
        AgentKind::Unit(unit) => (OnExit::Failed, unit.poll, unit_protocol(&unit.drain)),
    };
    AgentSettings {
        name: agent.name.clone(),
        drain_timeout: agent.drain_timeout,
        unreachable_grace: agent.unreachable_grace,
        order: agent.order,
        on_exit,
        poll,
        protocol,
        zero_for: match &agent.probe {
            Some(config::Probe::Number { zero_for, .. }) => *zero_for,
            Some(config::Probe::Document(_)) | None => None,
        },
        force: agent.force.as_ref().map(|force| force.before),
    }
}

fn unit_protocol(drain: &UnitDrain) -> Protocol {
    match drain {
        UnitDrain::Stop => Protocol::Polled,
        UnitDrain::Signal(_) => Protocol::Once,
        UnitDrain::Start(_) => Protocol::Running,
    }
}

fn step_settings(step: &config::Step) -> StepSettings {
    StepSettings { name: step.command[0].clone(), timeout: step.timeout }
}

/// The after steps, in the order of the configuration.
pub fn steps(config: &Config) -> Arc<Steps> {
    Arc::new(Steps::new(config.after.iter().map(|step| step.command.clone())))
}

/// The agents, in the order of the configuration.
pub fn agents(config: &Config) -> Result<Arc<[Agent]>, EndpointError> {
    let launches = config.launch.hook.is_some();
    config.agents.iter().map(|one| agent(one, launches)).collect()
}

/// One agent. With a launching hook, it also shows whether it is ready.
pub fn agent(agent: &config::Agent, launches: bool) -> Result<Agent, EndpointError> {
    let kind = match &agent.kind {
        AgentKind::Http(http) => {
            let force = agent.force.as_ref().and_then(config::Force::request);
            let endpoint = Endpoint { force: force.cloned(), ..endpoint(http) };
            Kind::Http(Box::new(http::Agent::new(endpoint)?))
        }
        AgentKind::Command(CommandAgent { drain, back }) => {
            Kind::Command(command::CommandAgent::new(agent.name.clone(), drain.clone(), back.clone()))
        }
        AgentKind::Unit(UnitAgent { unit, drain, .. }) => {
            Kind::Unit(unit::UnitAgent::new(agent.name.clone(), unit.clone(), drain.clone()))
        }
    };
    let ready = if launches { readiness(agent)? } else { None };
    let force = agent.force.as_ref().map(|force| step(agent, force));
    Ok(Agent { kind, probe: probe(agent)?, force, ready })
}

/// What shows that the agent is ready, if anything does.
pub fn readiness(agent: &config::Agent) -> Result<Option<Readiness>, EndpointError> {
    Ok(match (&agent.ready, &agent.kind) {
        (Ready::Request(path), AgentKind::Http(http)) => {
            let endpoint = Endpoint { status_path: path.clone(), ..endpoint(http) };
            Some(Readiness::Request(Box::new(http::Agent::new(endpoint)?)))
        }
        (Ready::Active, AgentKind::Unit(unit)) => Some(Readiness::Unit(unit.unit.clone())),
        (Ready::Command(command), _) => Some(Readiness::command(&agent.name, command.clone())),
        (Ready::Request(_) | Ready::Active | Ready::Unknown, _) => None,
    })
}

fn step(agent: &config::Agent, force: &config::Force) -> Force {
    match &force.how {
        ForceKind::Command(command) => Force::command(&agent.name, command.clone()),
        ForceKind::Signal(signal) => Force::Signal(signal.clone()),
        ForceKind::Request(_) => Force::Request,
    }
}

/// Where the agent's status is read, if the agent does not return it itself.
pub fn probe(agent: &config::Agent) -> Result<Option<Probe>, EndpointError> {
    let page = |url: &Option<String>, format| {
        let (endpoint, is_agent) = match (url, &agent.kind) {
            (Some(url), _) => (Endpoint::of_status(url)?, false),
            (None, AgentKind::Http(http)) => (endpoint(http), true),
            // The configuration requires a URL.
            (None, AgentKind::Command(_) | AgentKind::Unit(_)) => return Ok(None),
        };
        let client = Box::new(http::Agent::new(endpoint)?);
        Ok(Some(Probe::Page { client, format, is_agent }))
    };
    let reading = match &agent.probe {
        None => return Ok(None),
        Some(config::Probe::Document(url)) => {
            return Ok(Some(Probe::Document(Box::new(http::Agent::new(Endpoint::of_status(url)?)?))));
        }
        Some(config::Probe::Number { reading, .. }) => reading,
    };
    match reading {
        Reading::Pointer { url, pointer } => page(url, Format::Json { pointer: pointer.clone() }),
        Reading::Metric { url, name, labels } => {
            page(url, Format::Prometheus { name: name.clone(), labels: labels.clone() })
        }
        Reading::Processes(name) => Ok(Some(Probe::Processes(name.clone()))),
        Reading::Command(command) => {
            Ok(Some(Probe::Command(command::Counter::new(agent.name.clone(), command.clone()))))
        }
    }
}

/// Where and how an agent's HTTP interface is reached.
pub fn endpoint(agent: &HttpAgent) -> Endpoint {
    Endpoint {
        base: match &agent.address {
            Address::Url(url) => Base::Tcp(url.clone()),
            Address::Unix(path) => Base::Unix(path.clone(), agent.user.clone()),
        },
        drain: agent.drain.clone(),
        back: agent.back.clone(),
        force: None,
        status_path: agent.status_path.clone(),
        drain_blocks: agent.drain_blocks,
        headers: agent.headers.clone(),
        token_file: agent.token_file.clone(),
    }
}
