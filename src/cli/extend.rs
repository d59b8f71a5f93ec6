//! `drainhook extend`: gives the current drain more time.

use std::process::ExitCode;
use std::time::Duration;

use super::{Source, order};
use crate::config::duration::parse_duration;
use crate::daemon::control::Request;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  drainhook extend 30m")]
pub struct Args {
    /// How much longer the drain may take, such as 90s, 30m or 1h30m
    #[arg(value_parser = duration)]
    duration: Duration,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    order(&args.source, Request::Extend { seconds: args.duration.as_secs() }).await
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let whole = |duration: &Duration| duration.subsec_nanos() == 0 && !duration.is_zero();
    parse_duration(text)
        .filter(whole)
        .ok_or("expected a duration in whole seconds, such as 90s, 30m or 1h30m")
}
