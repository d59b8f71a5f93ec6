//! `drainhook config`: the effective configuration, and where each value came from.

use std::process::ExitCode;

use super::Source;
use super::output::{put, put_line};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object per key and line
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
    if !args.json {
        put(&loaded.to_toml());
        return ExitCode::SUCCESS;
    }
    for setting in &loaded.origins {
        // Text and numbers only: it can always be written.
        if let Ok(line) = serde_json::to_string(setting) {
            put_line(&line);
        }
    }
    ExitCode::SUCCESS
}
