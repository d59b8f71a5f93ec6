//! `drainhook check`: what is configured, and whether each part answers. It changes nothing and disturbs no drain.
//!
//! - `part`: what came out of one check, and the table of all.
//! - `local`: the configuration, the journal, the daemon; `agent`: the agents; `imds`: the metadata service.
//! - `autoscaling`: credentials, group, permissions; `hook`: the judgment on the hook, pure.
//! - `queue`: the termination queue; `attributes` and `policy`: the judgment on its settings, pure.

mod agent;
mod attributes;
mod autoscaling;
mod hook;
mod imds;
mod local;
mod part;
mod policy;
mod queue;

use std::process::ExitCode;
use std::time::Duration;

use super::output::{put, put_line};
use super::terminal::columns;
use super::{Source, simulated};
use crate::aws;
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::daemon::settings;
pub use agent::ask as ask_agents;
use machine::event::CallError;
use part::table;
pub use part::{Part, State};

/// What a call to AWS may take, in real time.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Why a service of AWS was skipped.
const NOT_ASKED: &str = "not asked, because the Region or the credentials are missing";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object per part and line
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
            // Text only: it can always be written.
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

/// Looks at everything, at once where nothing depends on something else, each with its own time limit.
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
            let (found, read) = autoscaling::look(config, &identity, clients).await;
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
        let agents = agent::ask(config, agent::ANSWER_LIMIT, status.as_ref()).await;
        (daemon, agents)
    };
    let ((daemon, agents), (journal, imds, remote)) = tokio::join!(local, remote);
    let mut configuration = local::configuration(loaded);
    if let Err(why) = simulated(config) {
        configuration = configuration.failed(why);
    }
    let mut parts = vec![configuration, journal, daemon, imds];
    parts.extend(agents);
    parts.extend(remote);
    parts
}

/// The agents, where no daemon is asked.
pub async fn agents(config: &Config) -> Vec<Part> {
    ask_agents(config, agent::ANSWER_LIMIT, None).await
}

/// One call, within its time limit.
async fn within<T>(call: &str, result: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    aws::within(CALL_LIMIT, call, result).await
}
