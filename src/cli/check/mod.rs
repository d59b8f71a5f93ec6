//! `drainhook check`: what is configured, and whether each part answers. It changes nothing and disturbs no drain.
//!
//! - `part`: what came out of one check, and the table of all.
//! - `local`: the configuration, the journal, the daemon, the agents; `imds`: the metadata service.
//! - `autoscaling`: credentials, group, permissions; `hook`: the judgement on the hook, pure.
//! - `queue`: the termination queue; `attributes` and `policy`: the judgement on its settings, pure.

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

use super::Source;
use super::output::{put, put_line};
use crate::aws::clients::Clients;
use crate::aws::local::simulation;
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::daemon::settings;
pub use local::agents;
use machine::event::{CallError, CallErrorKind};
use part::table;
pub use part::{Part, State};

/// What a call to AWS may take, in real time.
const CALL_LIMIT: Duration = Duration::from_secs(5);

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
    let parts = look(&loaded).await;
    if args.json {
        for part in &parts {
            // Text only: it can always be written.
            if let Ok(line) = serde_json::to_string(part) {
                put_line(&line);
            }
        }
    } else {
        put(&table(&parts));
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
        let Some(clients) = connect(config).await else {
            return (journal, imds, autoscaling::no_clients());
        };
        let mut parts = vec![autoscaling::credentials(&clients).await];
        let reachable = parts[0].state != State::Failed;
        let hooks = if reachable {
            let (found, hooks) = autoscaling::look(config, &identity, &clients).await;
            parts.extend(found);
            hooks
        } else {
            parts.push(Part::skipped("Auto Scaling", "cannot be asked without Region and credentials"));
            None
        };
        match &config.queue.url {
            None => parts.push(Part::skipped("queue", "none is configured")),
            Some(_) if !reachable => {
                parts.push(Part::skipped("queue", "cannot be asked without Region and credentials"));
            }
            Some(url) => parts.extend(queue::look(&clients, url, hooks.as_deref()).await),
        }
        (journal, imds, parts)
    };
    let (daemon, agents, (journal, imds, remote)) =
        tokio::join!(local::daemon(config), local::agents(config), remote);
    let mut configuration = local::configuration(loaded);
    let simulation = config.simulation.clock.map(|_| simulation(|name| std::env::var(name).ok()));
    if let Some(Err(why)) = simulation {
        configuration = configuration.failed(why);
    }
    let mut parts = vec![configuration, journal, daemon, imds];
    parts.extend(agents);
    parts.extend(remote);
    parts
}

/// Finding Region and credentials' source may ask IMDS.
async fn connect(config: &Config) -> Option<Clients> {
    let settings = settings::aws(config);
    tokio::time::timeout(CALL_LIMIT, Clients::connect(&settings)).await.ok()
}

/// One call, within its time limit.
async fn within<T>(action: &str, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    tokio::time::timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| {
        let message = format!(
            "{action}: no answer within {CALL_LIMIT:?}; can the instance reach the service's endpoint (a NAT gateway, or \
             a VPC endpoint)?"
        );
        Err(CallError { kind: CallErrorKind::Unanswered, message })
    })
}
