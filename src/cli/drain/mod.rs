//! `drainhook drain`: a drain by hand.
//!
//! - `wait`: by the daemon of this machine, to its end.
//! - `agent`: at one agent, without a daemon.

mod agent;
mod wait;

use std::process::ExitCode;

use super::{Source, order};
use crate::daemon::control::Request;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return only when the drain has ended; the exit code is 0 if the agents have drained
    #[arg(long)]
    wait: bool,

    /// Cancel an earlier `drain`: the agents serve again
    #[arg(long, conflicts_with_all = ["wait", "agent"])]
    cancel: bool,

    /// Drain the agent at this URL or Unix socket, without daemon and AWS, and wait: a preStop hook
    #[arg(long, value_name = "URL", conflicts_with = "wait")]
    agent: Option<String>,

    /// How long that agent may take [default: agent.drain_timeout]
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
