//! `drainhook drain`: drains by hand.
//!
//! - `wait` lets the daemon on this machine drain, and waits for the end.
//! - `agent` drains one agent without a daemon.

mod agent;
mod wait;

use std::process::ExitCode;

use super::{Source, order};
use crate::daemon::control::Request;

const EXAMPLES: &str = "\
Examples:
  drainhook drain --wait
  drainhook drain --cancel
In a preStop hook:
  drainhook drain --agent http://127.0.0.1:8080 --timeout 50s";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Wait until the drain has ended. Exit with 0 if the agents have drained, else with 1
    #[arg(long)]
    wait: bool,

    /// Cancel a drain that this command started. The agents return to service
    #[arg(long, conflicts_with_all = ["wait", "agent"])]
    cancel: bool,

    /// Drain the agent at this URL or Unix socket without a daemon or AWS, and wait until it has drained
    #[arg(long, value_name = "URL", conflicts_with = "wait")]
    agent: Option<String>,

    /// How long the agent may take [default: agent.drain_timeout, 1h if it is not set]
    #[arg(long, value_name = "DURATION", requires = "agent")]
    timeout: Option<String>,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    match args.agent {
        Some(address) => agent::run(&args.source, address, args.timeout).await,
        None if args.wait => wait::run(&args.source).await,
        None if args.cancel => order(&args.source, Request::Cancel).await,
        None => order(&args.source, Request::Drain).await,
    }
}
