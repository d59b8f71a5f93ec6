//! `drainhook run`: the daemon.

use std::process::ExitCode;

use super::{Source, failed};
use crate::daemon;
use crate::telemetry::log;

#[derive(Debug, clap::Args)]
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
    match daemon::run(loaded).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
