//! `drainhook completions`: a shell's completion script.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::output::put;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that reads the script, as in: source <(drainhook completions bash)
    shell: Shell,
}

pub fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "drainhook", &mut script);
    put(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
