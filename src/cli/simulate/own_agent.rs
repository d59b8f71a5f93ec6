//! `simulate --agent` and `simulate --config`: the user's own agent instead of the simulated one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::check::{self, State};
use crate::cli::output::word;
use crate::cli::{EX_CONFIG, failed};
use crate::config::{self, Config, ConfigError, Flag, Loaded, Origin};
use machine::Time;
use sim::story::{Reported, Story};

use super::daemon::LogLine;

/// The drain timeout of a drill, unless the user sets another. A failing drill ends within minutes.
const DRAIN_TIMEOUT: (&str, &str) = ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "5m");

/// How the user names the agent.
#[derive(Debug)]
pub enum Named {
    /// By its address: `--agent`
    Address(String),
    /// By a configuration file: `--config`
    File(PathBuf),
}

impl Named {
    /// The flag, as a shell takes it.
    fn flag(&self) -> String {
        match self {
            Named::Address(address) => format!("--agent {}", word(address)),
            Named::File(file) => format!("--config {}", word(&file.display().to_string())),
        }
    }

    /// Loads the settings of the agent and the after steps. Only those are used: the rest of the configuration belongs to this
    /// machine's own daemon.
    fn load(&self) -> Result<Loaded, ConfigError> {
        let given = |(name, _): &(String, String)| {
            let replaced =
                matches!(self, Named::Address(_)) && (name.ends_with("__URL") || name.ends_with("__UNIX"));
            // Includes misspelled names such as DRAINHOOK_AGENT_URL, which are errors.
            (name.starts_with("DRAINHOOK_AGENT") || name.starts_with("DRAINHOOK_AFTER")) && !replaced
        };
        let variables = config::environment().filter(given);
        match self {
            Named::Address(address) => {
                Config::load(Some(Path::new("/dev/null")), variables, &[Flag::agent(address.clone())])
            }
            Named::File(file) => Config::load(Some(file), variables, &[]),
        }
    }
}

/// The user's own agent, and its settings for the daemon.
#[derive(Debug)]
pub struct OwnAgent {
    /// The flag that names it.
    pub flag: String,
    /// Its settings.
    pub agent: config::Agent,
    /// All settings in `[agent]`, as environment variables.
    pub variables: Vec<(String, String)>,
    /// The after steps, as a configuration file.
    pub steps: String,
    /// Whether the user has set `agent.drain_timeout`.
    pub has_drain_timeout: bool,
    /// Where the result of its drill is written as JUnit XML.
    pub junit: Option<PathBuf>,
}

impl OwnAgent {
    /// Loads the agent's settings, and looks at the agent. If it cannot be drained now, prints why and returns the exit code.
    pub async fn find(named: &Named) -> Result<Self, ExitCode> {
        let (own_agent, config) = Self::load(named)?;
        for part in check::agent_of_flag(&config).await {
            match part.state {
                State::Skipped | State::Ok => {}
                // An agent that is already draining cannot demonstrate a drain.
                State::Warning | State::Failed => {
                    return Err(failed(&format!("{}; {}", part.found, part.advice.join("; "))));
                }
            }
        }
        Ok(own_agent)
    }

    /// Loads the agent's settings, and the configuration that has them. Prints an error and returns its exit code.
    pub fn load(named: &Named) -> Result<(Self, Config), ExitCode> {
        let loaded = named.load().map_err(|error| {
            eprintln!("drainhook: {error}");
            ExitCode::from(EX_CONFIG)
        })?;
        let agent = match loaded.config.agents.as_slice() {
            [agent] => agent.clone(),
            agents => {
                return Err(failed(&format!(
                    "a drill drains one agent, but the configuration has {}; give each a file of its own",
                    agents.len()
                )));
            }
        };
        let of_agent = loaded.origins.iter().filter(|setting| setting.section == "agent");
        let given = of_agent.filter(|setting| setting.origin != Origin::Default);
        let mut variables: Vec<_> =
            given.filter_map(|setting| Some((setting.variable(), setting.value.clone()?))).collect();
        let has_drain_timeout = variables.iter().any(|(name, _)| name == DRAIN_TIMEOUT.0);
        if !has_drain_timeout {
            variables.push((DRAIN_TIMEOUT.0.to_owned(), DRAIN_TIMEOUT.1.to_owned()));
        }
        let steps = loaded.steps_to_toml();
        let own_agent =
            OwnAgent { flag: named.flag(), agent, variables, steps, has_drain_timeout, junit: None };
        Ok((own_agent, loaded.config))
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
