//! `drainhook run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{EX_CONFIG, failed};
use crate::config::{self, Config};
use crate::shell;
use crate::telemetry::log;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file [default: /etc/drainhook/drainhook.toml, which need not exist]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(args: Args) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), config::environment()) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            eprintln!("drainhook: {error}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    log::start(&config.log);
    match shell::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
