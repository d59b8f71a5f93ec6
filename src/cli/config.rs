//! `drainhook config`: prints the configuration in effect, and where each value came from. Warnings go to standard error.

use std::process::ExitCode;

use super::output::{put, put_line};
use super::{Source, warn};

const EXAMPLE: &str = "\
Example, to validate a file before you install it:
  drainhook config --config ./drainhook.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Print one JSON object per line, one for each key
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: Source,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match args.source.load(&[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    warn(loaded.warnings());
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
