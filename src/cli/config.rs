//! `drainhook config`: prints the configuration in effect, and where each value came from. Warnings go to standard error.

use std::process::ExitCode;

use super::output::{put, put_line};
use super::{Source, warn};
use crate::config::polkit_rule;

const EXAMPLE: &str = "\
Example, to validate a file before you install it:
  drainhook config --config ./drainhook.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Print one JSON object per line, one for each key
    #[arg(long)]
    json: bool,

    /// Print the polkit rule that lets the daemon drain the configured units; nothing if no agent is a unit
    #[arg(long, conflicts_with = "json")]
    polkit: bool,

    #[command(flatten)]
    source: Source,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match args.source.load(&[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    warn(loaded.warnings());
    if args.polkit {
        put(&polkit_rule(&loaded.config).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    if !args.json {
        put(&loaded.to_toml());
        return ExitCode::SUCCESS;
    }
    for setting in &loaded.origins {
        // A setting is only text and numbers, so this cannot fail.
        if let Ok(line) = serde_json::to_string(setting) {
            put_line(&line);
        }
    }
    ExitCode::SUCCESS
}
