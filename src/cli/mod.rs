//! The command line: one file per command.

mod run;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code for a bad configuration: EX_CONFIG of sysexits.h. The service manager does not restart on it.
const EX_CONFIG: u8 = 78;

/// The exit code for a wrong command line, as clap has it.
const EX_USAGE: u8 = 2;

/// Drains the agent on this EC2 instance before Auto Scaling takes the instance away.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Args),
    /// Play a scale-in on this machine: simulated AWS, sample agent, the real daemon
    Simulate(simulate::Args),
}

/// Runs the command; the exit code is 0 for done, 1 for failed, 78 for a bad configuration.
pub fn main(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("drainhook: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Simulate(args) => simulate::run(args).await,
        }
    });
    // What is still under way, such as a name that is being looked up, is not waited for.
    runtime.shutdown_background();
    code
}

/// Says what went wrong, and is the exit code for it.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("drainhook: {error}");
    ExitCode::FAILURE
}
