//! `drainhook status`: what the daemon is doing now, and what it waits for. `summary` writes the text.

mod summary;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use super::check::{Given, ask_agents};
use super::output::{put, put_line};
use super::terminal::columns;
use super::{Source, failed};
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::client;
use machine::status::{AgentLine, State, Status};
pub use summary::headline;
use summary::{agent_line, summary};

/// Time limit for an agent's answer, in real time.
const AGENT_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the daemon's status as one JSON object. Times are Unix milliseconds
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    let config = match args.source.load(&[]) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    match client::status(&config.control.socket).await {
        Ok(status) if args.json => match serde_json::to_string(&status) {
            Ok(line) => put_line(&line),
            Err(error) => return failed(&error),
        },
        Ok(status) => {
            let agents = agents(&config, &status).await;
            let now = Clock::start(config.simulation.clock).now();
            put(&summary(&status, &agents, now, columns()));
        }
        Err(error) => return failed(&error),
    }
    ExitCode::SUCCESS
}

/// A line for each agent. The daemon polls agents only in a drain, so in service this command requests their status itself.
async fn agents(config: &Config, status: &Status) -> Vec<String> {
    if status.state != State::Serving {
        return status.agents.iter().map(agent_line).collect();
    }
    let rows = ask_agents(config, AGENT_LIMIT, Some(status), Given::Setting).await;
    let rows: Vec<_> = config.agents.iter().zip(rows).collect();
    let line = |agent: &AgentLine| {
        // The daemon may run with another configuration.
        let row = rows.iter().find(|(asked, _)| asked.name == agent.name);
        let unknown =
            || format!("{}: not asked, because it is not in this command's configuration", agent.name);
        row.map_or_else(unknown, |(_, row)| row.found.clone())
    };
    status.agents.iter().map(line).collect()
}
