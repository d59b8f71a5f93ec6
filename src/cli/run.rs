//! `drainhook run`: the daemon.

use std::process::ExitCode;

use super::{EX_CONFIG, Source, failed};
use crate::aws::local;
use crate::daemon;
use crate::telemetry::log;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    let config = match args.source.load(&[]) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(Err(why)) = config.simulation.clock.map(|_| local::simulation(variable)) {
        eprintln!("drainhook: {why}");
        return ExitCode::from(EX_CONFIG);
    }
    log::start(&config.log);
    match daemon::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
