//! `drainhook run`: runs the daemon.

use std::process::ExitCode;
use std::sync::Arc;

use super::{Source, check, failed};
use crate::config::Config;
use crate::daemon::{self, Findings};
use crate::telemetry::log;

const DEFAULTS: &str = "Without a configuration, the agent is http://127.0.0.1:8080, and the hook is the group's only \
                        terminating hook that no other controller owns. To see whether that works here: drainhook check";

#[derive(Debug, clap::Args)]
#[command(after_help = DEFAULTS)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    let loaded = match args.source.load_to_drain(&[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    log::start(&loaded.config.log);
    match daemon::run(loaded, preflight).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// What `drainhook check` says about the units, for the log of a drain.
fn preflight(config: Arc<Config>) -> Findings {
    Box::pin(async move {
        let parts = check::preflight(&config).await;
        parts.iter().map(|part| format!("{}: {}", part.found, part.advice.join("; "))).collect()
    })
}
