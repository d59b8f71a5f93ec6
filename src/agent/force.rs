//! What ends the work of an agent shortly before its deadline.

use super::command::Runner;

/// How the work of an agent is ended.
#[derive(Debug)]
pub enum Force {
    /// The agent's HTTP interface has a request for it.
    Request,
    /// The main process of the agent's unit gets this signal.
    Signal(String),
    /// A command.
    Command {
        /// Runs it, beside the command that drains the agent.
        runner: Runner,
        /// The program and its arguments.
        command: Vec<String>,
    },
}

impl Force {
    /// A command. Runs nothing yet.
    pub fn command(agent: &str, command: Vec<String>) -> Self {
        Force::Command { runner: Runner::new(format!("{agent}, force step"), tracing::Level::INFO), command }
    }
}
