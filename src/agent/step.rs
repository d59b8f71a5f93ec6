//! Runs the after steps, one at a time, as commands are run.

use super::command::Runner;
use machine::effect::DrainOrder;

/// The after steps of the configuration.
#[derive(Debug)]
pub struct Steps(Vec<Step>);

#[derive(Debug)]
struct Step {
    command: Vec<String>,
    runner: Runner,
}

impl Steps {
    /// Steps that run these programs with their arguments. Runs nothing yet.
    pub fn new(commands: impl IntoIterator<Item = Vec<String>>) -> Self {
        let runner = Runner::new(String::new(), tracing::Level::INFO);
        let step = |(place, command)| {
            let name = format!("after step {}", place + 1);
            Step { command, runner: runner.beside(name) }
        };
        Steps(commands.into_iter().enumerate().map(step).collect())
    }

    /// Runs a step to its end. The error says why it failed. `instance_id` is empty outside an instance. There is no time
    /// limit here: the caller drops this future at the deadline in `told`, which ends the program.
    pub async fn run(&self, step: usize, told: &DrainOrder, instance_id: &str) -> Result<(), String> {
        let Step { command, runner } =
            self.0.get(step).ok_or_else(|| format!("there is no step {}", step + 1))?;
        runner.succeed(command, told, instance_id).await
    }
}
