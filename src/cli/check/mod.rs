//! `drainhook check`: what is configured, and whether each part answers. It changes nothing and disturbs no drain.
//!
//! - `part` is the result of one check, and the table of all results.
//! - `local` checks the configuration, the journal and the daemon, `imds` the metadata service.
//! - `agent` checks the agents, `command` the programs that drain them and the after steps, `unit` the units. `requirement`
//!   judges a unit by its agent's preset and is pure. `curl` writes the request that returns an agent.
//! - `launch` checks the launching hook, and whether the agents are ready.
//! - `protection` checks whether a busy instance could be protected from scale-in.
//! - `autoscaling` checks credentials, group and permissions. `hook` judges the hook and is pure.
//! - `target_group` checks the target groups.
//! - `queue` checks the termination queue. `attributes` and `policy` judge its settings and are pure.

mod agent;
mod attributes;
mod autoscaling;
mod command;
mod curl;
mod hook;
mod imds;
mod launch;
mod local;
mod part;
mod policy;
mod probe;
mod protection;
mod queue;
mod requirement;
mod target_group;
mod unit;

use std::process::ExitCode;
use std::time::Duration;

use super::output::{put, put_line};
use super::terminal::columns;
use super::{Source, simulated};
use crate::aws;
use crate::clock::Clock;
use crate::config::{AgentKind, Config, Loaded};
use crate::daemon::settings;
pub use agent::{Given, ask as ask_agents, return_command};
use machine::event::CallError;
use part::table;
pub use part::{Part, State, heading, row};

/// Time limit for a call to AWS, in real time.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why an AWS service was skipped.
const NOT_ASKED: &str = "not asked, because the Region or the credentials are missing";

const RESULT: &str = "\
Exits with 1 if a drain would go wrong. Changes nothing, and disturbs no drain.

Example, as the daemon's user:
  sudo -u drainhook drainhook check";

#[derive(Debug, clap::Args)]
#[command(after_help = RESULT)]
pub struct Args {
    /// Print one JSON object per line, one for each part
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    let loaded = match args.source.load(&[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let parts = Box::pin(look(&loaded)).await;
    if args.json {
        for part in &parts {
            // A part is only text, so this cannot fail.
            if let Ok(line) = serde_json::to_string(part) {
                put_line(&line);
            }
        }
    } else {
        put(&table(&parts, columns()));
    }
    let failed = parts.iter().any(|part| part.state == State::Failed);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Checks everything, each part with its own time limit. Independent parts are checked at the same time.
async fn look(loaded: &Loaded) -> Vec<Part> {
    let config = &loaded.config;
    let clock = Clock::start(config.simulation.clock);
    let remote = async {
        let (imds, identity) = imds::look(config, clock).await;
        let journal = local::journal(config, &identity.instance_id).await;
        let (credentials, clients) =
            autoscaling::credentials(&settings::aws(config), &identity.instance_id).await;
        let mut parts = vec![credentials];
        let mut hooks = None;
        if let Some(clients) = &clients {
            let (found, read) = Box::pin(autoscaling::look(config, &identity, clients)).await;
            parts.extend(found);
            hooks = read;
        } else {
            parts.push(Part::skipped("Auto Scaling", NOT_ASKED));
        }
        parts.extend(queue::look(clients.as_ref(), config.queue.url.as_deref(), hooks.as_deref()).await);
        (journal, imds, parts)
    };
    let local = async {
        let (daemon, status) = local::daemon(config).await;
        let agents = agent::ask(config, agent::ANSWER_LIMIT, status.as_ref(), Given::Setting);
        let (mut agents, ready, work) =
            tokio::join!(agents, launch::readiness(config), protection::work(config));
        agents.extend(unit::polkit(config));
        agents.extend(ready.into_iter().chain(work));
        (daemon, agents)
    };
    let ((daemon, agents), (journal, imds, remote)) = tokio::join!(local, remote);
    let mut configuration = local::configuration(loaded);
    if let Err(why) = simulated(config) {
        configuration = configuration.failed(why);
    }
    let mut parts = vec![configuration, journal, daemon, imds];
    parts.extend(agents);
    parts.extend(command::steps(&config.after));
    parts.extend(remote);
    parts
}

/// A row for the agent of `drainhook simulate --agent` or `--config`, which no daemon knows, and for each after step.
pub async fn agent_of_flag(config: &Config) -> Vec<Part> {
    let mut parts = ask_agents(config, agent::ANSWER_LIMIT, None, Given::Flag).await;
    parts.extend(command::steps(&config.after));
    parts
}

/// What is known to lose work in a drain that has begun, by the settings of the agents' units and by polkit. Empty if nothing is.
pub async fn preflight(config: &Config) -> Vec<Part> {
    let mut parts = Vec::new();
    for agent in &config.agents {
        if let AgentKind::Unit(unit) = &agent.kind {
            parts.push(unit::row(agent, unit).await);
        }
    }
    parts.extend(unit::polkit(config));
    parts.retain(|part| part.state == State::Failed);
    parts
}

/// A call, within its time limit.
async fn within<T>(call: &str, result: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    aws::within(CALL_LIMIT, call, result).await
}
