//! Runs the after steps, one at a time, as commands are run.

use super::command::{Runner, not_started, variables};
use machine::effect::DrainOrder;

/// The after steps of the configuration.
#[derive(Debug, Default)]
pub struct Steps {
    commands: Vec<Vec<String>>,
    runner: Runner,
}

impl Steps {
    /// Steps that run these programs with their arguments. Runs nothing yet.
    pub fn new(commands: Vec<Vec<String>>) -> Self {
        Steps { commands, runner: Runner::default() }
    }

    /// Runs a step to its end. The error says why it failed. `instance_id` is empty outside an instance. There is no time
    /// limit here: the caller drops this future at the deadline in `told`, which ends the program.
    pub async fn run(&self, step: usize, told: &DrainOrder, instance_id: &str) -> Result<(), String> {
        let command = self.commands.get(step).ok_or_else(|| format!("there is no step {}", step + 1))?;
        let name = format!("after step {}", step + 1);
        match self.runner.run(&name, command, &variables(told, instance_id)).await {
            Ok(ended) if ended.status.success() => Ok(()),
            Ok(ended) => Err(ended.told()),
            Err(error) => Err(not_started(command, &error)),
        }
    }
}
