//! Whether an agent is ready to serve.

use std::time::Duration;

use super::command::Runner;
use super::http;
use super::systemctl::{self, Unit, UnitState};

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
            Readiness::Unit(unit) => {
                let shown = systemctl::show(unit).await.map_err(|error| error.to_string())?;
                is_active(unit, &shown)
            }
            Readiness::Command { runner, command } => {
                let run = runner.succeed_alone(command, instance_id);
                let late = |_| Err(format!("{} did not exit within {LIMIT:?}", command[0]));
                tokio::time::timeout(LIMIT, run).await.unwrap_or_else(late)
            }
        }
    }
}

/// A unit is ready once it is active. One that is being started is not.
fn is_active(name: &str, unit: &Unit) -> Result<(), String> {
    match &unit.state {
        UnitState::Runs { .. } if unit.starts => Err(format!("{name} is being started")),
        UnitState::Runs { .. } => Ok(()),
        UnitState::Stops { .. } => Err(format!("{name} is being stopped")),
        UnitState::Restarts => Err(format!("{name} restarts")),
        UnitState::Inactive => Err(format!("{name} is inactive")),
        UnitState::Failed { result, .. } => Err(format!("{name} has failed ({result})")),
        UnitState::Unusable(why) => Err(format!("{name} cannot be used: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let look = |shown: &str| {
            let shown = format!("LoadState=loaded\nInvocationID=1f\nMainPID=1\n{shown}");
            is_active("a.service", &systemctl::read(&shown).expect("as systemctl writes it"))
        };
        assert_eq!(look("ActiveState=active\nSubState=running"), Ok(()));
        for (shown, why) in [
            ("ActiveState=activating\nSubState=start", "a.service is being started"),
            ("ActiveState=activating\nSubState=auto-restart", "a.service restarts"),
            ("ActiveState=deactivating", "a.service is being stopped"),
            ("ActiveState=inactive", "a.service is inactive"),
            ("ActiveState=failed\nResult=exit-code", "a.service has failed (exit-code)"),
        ] {
            assert_eq!(look(shown), Err(why.to_owned()));
        }
    }
}
