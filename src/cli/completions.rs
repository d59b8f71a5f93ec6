//! `drainhook completions`: prints a completion script.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::output::put;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  source <(drainhook completions bash)")]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "drainhook", &mut script);
    put(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
