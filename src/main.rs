//! The `drainhook` command.

use std::process::ExitCode;

use clap::Parser;
use drainhook::cli::{self, Cli};

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
