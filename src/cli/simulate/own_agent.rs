//! `simulate --agent`: the user's own agent instead of the simulated one.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::check::{self, State};
use crate::cli::{EX_CONFIG, failed};
use crate::config::{self, Config, Flag};

/// A drill that fails does so in minutes, unless the user sets another time.
const DRAIN_TIMEOUT: (&str, &str) = ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "5m");

/// The user's own agent, and its settings for the daemon.
#[derive(Debug)]
pub struct OwnAgent {
    /// Its URL, or the path of its socket.
    pub address: String,
    /// The path of its drain requests.
    pub drain_path: String,
    /// All settings in `[agent]`, as environment variables.
    pub variables: Vec<(String, String)>,
}

impl OwnAgent {
    /// Requests the agent's status at this URL or socket. Its other settings come from the environment. If the agent cannot be
    /// drained now, prints why and returns the exit code.
    pub async fn find(address: String) -> Result<Self, ExitCode> {
        let given = |(name, _): &(String, String)| {
            // With what is nearly the name of one, which is an error.
            name.starts_with("DRAINHOOK_AGENT") && !name.ends_with("__URL") && !name.ends_with("__UNIX")
        };
        let mut variables: Vec<_> = config::environment().filter(given).collect();
        if variables.iter().all(|(name, _)| name != DRAIN_TIMEOUT.0) {
            variables.push((DRAIN_TIMEOUT.0.to_owned(), DRAIN_TIMEOUT.1.to_owned()));
        }
        let flag = Flag::agent(address);
        let variable = (format!("DRAINHOOK_AGENT__{}", flag.name.to_uppercase()), flag.text.clone());
        // The configuration file of this machine's own daemon does not apply to the simulated one.
        let loaded = Config::load(Some(Path::new("/dev/null")), variables.iter().cloned(), &[flag]);
        let loaded = loaded.map_err(|error| {
            eprintln!("drainhook: {error}");
            ExitCode::from(EX_CONFIG)
        })?;
        for part in check::agent_of_flag(&loaded.config).await {
            match part.state {
                State::Skipped | State::Ok => {}
                // An agent that is draining already cannot show a drain.
                State::Warning | State::Failed => {
                    return Err(failed(&format!("{}; {}", part.found, part.advice.join("; "))));
                }
            }
        }
        let address = variable.1.clone();
        variables.push(variable);
        let drain_path =
            loaded.config.agents.into_iter().next().map_or_else(String::new, |agent| agent.drain_path);
        Ok(OwnAgent { address, drain_path, variables })
    }
}
