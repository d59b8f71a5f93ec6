//! Whether an agent is ready to serve.

use std::time::Duration;

use super::command::Runner;
use super::http;
use super::systemctl::{self, UnitState};

/// Time limit for the answer, in real time.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// What shows whether an agent is ready.
#[derive(Debug)]
pub enum Readiness {
    /// A GET request is answered with 2xx.
    Request(Box<http::Agent>),
    /// This unit is active.
    Unit(String),
    /// A command exits with 0.
    Command {
        /// Runs it.
        runner: Runner,
        /// The program and its arguments.
        command: Vec<String>,
    },
}

impl Readiness {
    /// A command of this agent. Runs nothing yet. Its output is logged only at the debug level, because it runs every second.
    pub fn command(agent: &str, command: Vec<String>) -> Self {
        Readiness::Command { runner: Runner::new(format!("{agent}, ready"), tracing::Level::DEBUG), command }
    }

    /// Looks once. The error says why the agent is not ready. `instance_id` is empty outside an instance.
    pub async fn look(&self, instance_id: &str) -> Result<(), String> {
        match self {
            Readiness::Request(agent) => {
                let answer = agent.page(("*/*", ANSWER_MAX), instance_id, LIMIT).await;
                answer.map(drop).map_err(|answer| answer.why().unwrap_or_default().to_owned())
            }
            Readiness::Unit(unit) => match systemctl::show(unit).await.map(|shown| shown.state) {
                Ok(UnitState::Runs { .. }) => Ok(()),
                Ok(UnitState::Stops { .. }) => Err(format!("{unit} is being stopped")),
                Ok(UnitState::Restarts) => Err(format!("{unit} restarts")),
                Ok(UnitState::Inactive) => Err(format!("{unit} is inactive")),
                Ok(UnitState::Failed { result, .. }) => Err(format!("{unit} has failed ({result})")),
                Ok(UnitState::Unusable(why)) => Err(format!("{unit} cannot be used: {why}")),
                Err(error) => Err(error.to_string()),
            },
            Readiness::Command { runner, command } => {
                let run = runner.succeed_alone(command, instance_id);
                let late = |_| Err(format!("{} did not exit within {LIMIT:?}", command[0]));
                tokio::time::timeout(LIMIT, run).await.unwrap_or_else(late)
            }
        }
    }
}
