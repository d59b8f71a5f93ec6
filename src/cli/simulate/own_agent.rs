//! `simulate --agent`: the user's own agent instead of the simulated one.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::check::{self, State};
use crate::cli::{EX_CONFIG, failed};
use crate::config::{self, Config, Flag};
use machine::Time;
use sim::story::{Reported, Story};

use super::daemon::LogLine;

/// The drain timeout of a drill, unless the user sets another. A failing drill ends within minutes.
const DRAIN_TIMEOUT: (&str, &str) = ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "5m");

/// The user's own agent, and its settings for the daemon.
#[derive(Debug)]
pub struct OwnAgent {
    /// Its URL, or the path of its socket.
    pub address: String,
    /// Its settings.
    pub agent: config::Agent,
    /// All settings in `[agent]`, as environment variables.
    pub variables: Vec<(String, String)>,
}

impl OwnAgent {
    /// Requests the agent's status at this URL or socket. Its other settings come from the environment. If the agent cannot be
    /// drained now, prints why and returns the exit code.
    pub async fn find(address: String) -> Result<Self, ExitCode> {
        let given = |(name, _): &(String, String)| {
            // Includes misspelled names such as DRAINHOOK_AGENT_URL, which are errors.
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
                // An agent that is already draining cannot demonstrate a drain.
                State::Warning | State::Failed => {
                    return Err(failed(&format!("{}; {}", part.found, part.advice.join("; "))));
                }
            }
        }
        let address = variable.1.clone();
        variables.push(variable);
        let agent = loaded.config.agents.into_iter().next();
        let agent = agent.ok_or_else(|| failed(&"no agent is configured"))?;
        Ok(OwnAgent { address, agent, variables })
    }
}

/// Adds to the story what a daemon reports about the user's own agent, which the simulated world does not know. Returns a
/// warning if the agent's answers contradict each other.
pub fn report(story: &mut Story, now: Time, line: &LogLine) -> Option<String> {
    let (_, held) = *story.told.get_or_insert((now, 0));
    story.deadlines.extend(line.deadline.as_deref().and_then(Time::from_rfc3339));
    let state = line.agent_state.as_ref()?;
    let mut doubt = None;
    if state == "drained" {
        story.drained.get_or_insert(now);
        doubt = match (line.in_flight, story.in_flight()) {
            (Some(count @ 1..), _) => Some(format!(
                "the agent says \"drained\" with {count} in flight; drainhook goes by the state"
            )),
            (None, Some(count @ 1..)) => Some(format!(
                "the agent last reported {count} in flight; drainhook cannot tell this end from a crash"
            )),
            _ => None,
        };
    }
    let in_flight = line.in_flight.or(story.in_flight().filter(|_| state == "draining"));
    story.told = story.told.map(|(at, _)| (at, held.max(in_flight.unwrap_or(0))));
    story.reported = Some(Reported { state: state.clone(), in_flight });
    doubt
}
