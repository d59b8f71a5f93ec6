//! The command line. Each command has a file or folder: `run`, `simulate`, `check`, `status`, `drain`, `extend`, `finish`,
//! `presets`, `config`, `completions`. They share `output`, which writes to standard output, and `terminal`, which fits text to a
//! window.

mod check;
mod completions;
mod config;
mod drain;
mod extend;
mod finish;
mod output;
mod presets;
mod run;
mod simulate;
mod status;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::aws::local;
use crate::config::{self as configuration, Config, Flag, Loaded};
use crate::daemon::client;
use crate::daemon::control::Request;
use output::put_line;

/// The exit code for a bad configuration (EX_CONFIG in sysexits.h). systemd does not restart the daemon after it.
const EX_CONFIG: u8 = 78;

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 78 bad configuration, 130 interrupted";

/// The exit code after an interrupt: 128 plus the number of SIGINT.
const EX_INTERRUPTED: u8 = 130;

/// The exit code for a wrong command line. clap uses the same.
const EX_USAGE: u8 = 2;

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Args),
    /// Play a scale-in on this machine with a simulated AWS, a sample agent and the real daemon
    Simulate(Box<simulate::Args>),
    /// Check the configuration, and that each part answers
    Check(check::Args),
    /// Show what the daemon on this machine is doing, and what it waits for
    Status(status::Args),
    /// Drain this instance by hand, or one agent without a daemon
    Drain(drain::Args),
    /// Give the current drain more time
    Extend(extend::Args),
    /// End the current drain now
    Finish(finish::Args),
    /// List the presets for software that people run, or print one as TOML
    Presets(presets::Args),
    /// Print the configuration in effect, and where each value came from
    Config(config::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Where the configuration comes from.
#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration file [default: /etc/drainhook/drainhook.toml, if it exists]
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command, and returns one of the exit codes above.
pub fn main(cli: Cli) -> ExitCode {
    crate::clock::runtime_starts();
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
            Command::Simulate(args) => simulate::run(*args).await,
            Command::Check(args) => check::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Drain(args) => drain::run(args).await,
            Command::Extend(args) => extend::run(args).await,
            Command::Finish(args) => finish::run(args).await,
            Command::Presets(args) => presets::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Completions(args) => completions::run(&args),
        }
    });
    // Does not wait for blocking work that is still running, such as a DNS lookup.
    runtime.shutdown_background();
    code
}

impl Source {
    /// Loads the configuration. Prints an error and returns its exit code.
    fn load(&self, flags: &[Flag]) -> Result<Loaded, ExitCode> {
        Config::load(self.file.as_deref(), configuration::environment(), flags).map_err(|error| {
            eprintln!("drainhook: {error}");
            ExitCode::from(EX_CONFIG)
        })
    }

    /// The same for a command that drains. Such a command refuses a simulated clock outside a simulation.
    fn load_to_drain(&self, flags: &[Flag]) -> Result<Loaded, ExitCode> {
        let loaded = self.load(flags)?;
        match simulated(&loaded.config) {
            Ok(()) => Ok(loaded),
            Err(why) => {
                eprintln!("drainhook: {why}");
                Err(ExitCode::from(EX_CONFIG))
            }
        }
    }
}

/// Refuses a simulated clock unless IMDS and AWS are also simulated.
fn simulated(config: &Config) -> Result<(), String> {
    config.simulation.clock.map_or(Ok(()), |_| local::simulation(|name| std::env::var(name).ok()))
}

/// Sends the daemon a request, and prints what the daemon did.
async fn order(source: &Source, request: Request) -> ExitCode {
    let loaded = match source.load(&[]) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match client::order(&loaded.config.control.socket, request).await {
        Ok(what) => {
            put_line(&what);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// Prints warnings to standard error.
fn warn(warnings: Vec<String>) {
    for warning in warnings {
        eprintln!("drainhook: warning: {warning}");
    }
}

/// Prints what continues after an interrupt, and returns the exit code.
fn interrupted(what: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("drainhook: {what}");
    ExitCode::from(EX_INTERRUPTED)
}

/// What the user has to do after interrupting the drain of these agents.
fn still_draining(agents: &[configuration::Agent]) -> String {
    let commands: Vec<String> = agents.iter().filter_map(check::return_command).collect();
    let commands = commands.join("; ");
    match (agents, commands.as_str()) {
        ([], _) => "interrupted".to_owned(),
        ([_], "") => {
            "interrupted; your agent may still be draining. Restart it to return it to service".to_owned()
        }
        ([_], command) => {
            format!(
                "interrupted; your agent is still draining. Restart it, or return it to service: {command}"
            )
        }
        (_, "") => "interrupted; your agents may still be draining. Restart them to return them to service"
            .to_owned(),
        (_, commands) => {
            format!(
                "interrupted; your agents may still be draining. Restart them, or return them to service: {commands}"
            )
        }
    }
}

/// Prints an error, and returns the exit code.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("drainhook: {error}");
    ExitCode::FAILURE
}
