//! `simulate --agent` and `simulate --config`: the user's own agents instead of the simulated one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::check::{self, State};
use crate::cli::output::word;
use crate::cli::{EX_CONFIG, failed};
use crate::config::{self, Config, ConfigError, Flag, Loaded, Origin};
use machine::Time;
use sim::story::{Reported, Story};

use super::daemon::LogLine;
use super::verdict;

/// The drain timeout of a drill, unless the user sets another. A failing drill ends within minutes.
const DRAIN_TIMEOUT: DrainTimeout =
    DrainTimeout { key: "drain_timeout", variable: "DRAINHOOK_AGENT__DRAIN_TIMEOUT", text: "5m" };

/// A value of `agent.drain_timeout`, and what sets it.
struct DrainTimeout {
    key: &'static str,
    variable: &'static str,
    text: &'static str,
}

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

    /// Loads the settings of the agents and the after steps. Only those are used: the rest of the configuration belongs to this
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

/// The user's own agents, and their settings for the daemon.
#[derive(Debug)]
pub struct OwnAgents {
    /// The flag that names them.
    flag: String,
    /// Their settings. There is at least one.
    pub agents: Vec<config::Agent>,
    /// All settings in `[agent]`, as environment variables. Several agents have none, because a variable would not say which.
    pub variables: Vec<(String, String)>,
    /// The after steps, and the settings of several agents, as a configuration file.
    pub file: String,
    /// Whether the user has set `agent.drain_timeout` of each.
    pub has_drain_timeout: bool,
    /// What the daemon last reported of each, by name.
    reported: BTreeMap<String, Reported>,
}

impl OwnAgents {
    /// Loads the agents' settings, and looks at the agents. If they cannot be drained now, prints why and returns the exit
    /// code.
    pub async fn find(named: &Named) -> Result<Self, ExitCode> {
        let (own_agents, config) = Self::load(named)?;
        for part in check::agent_of_flag(&config).await {
            match part.state {
                State::Skipped | State::Ok => {}
                // An agent that is already draining cannot demonstrate a drain.
                State::Warning | State::Failed => {
                    return Err(failed(&format!("{}; {}", part.found, part.advice.join("; "))));
                }
            }
        }
        Ok(own_agents)
    }

    /// Loads the agents' settings, and the configuration that has them. Prints an error and returns its exit code.
    pub fn load(named: &Named) -> Result<(Self, Config), ExitCode> {
        let loaded = named.load().map_err(|error| {
            eprintln!("drainhook: {error}");
            ExitCode::from(EX_CONFIG)
        })?;
        let of_agents = loaded.origins.iter().filter(|setting| setting.section == "agent");
        let mut variables = Vec::new();
        let mut without_timeout = Vec::new();
        for setting in of_agents {
            match (&setting.origin, &setting.value) {
                (Origin::Default, _) if setting.key == DRAIN_TIMEOUT.key => {
                    without_timeout.push(setting.place)
                }
                (Origin::Default, _) | (_, None) => {}
                (_, Some(value)) => variables.push((setting.variable(), value.clone())),
            }
        }
        let has_drain_timeout = without_timeout.is_empty();
        let steps = loaded.steps_to_toml();
        let file = match named {
            Named::File(file) if loaded.config.agents.len() > 1 => {
                variables.clear();
                let agents = agents_of(file, &without_timeout);
                let agents =
                    agents.map_err(|why| failed(&format!("cannot read {}: {why}", file.display())))?;
                format!("{agents}\n{steps}")
            }
            Named::File(_) | Named::Address(_) => {
                let timeout = (DRAIN_TIMEOUT.variable.to_owned(), DRAIN_TIMEOUT.text.to_owned());
                variables.extend((!has_drain_timeout).then_some(timeout));
                steps
            }
        };
        let own_agents = OwnAgents {
            flag: named.flag(),
            agents: loaded.config.agents.clone(),
            variables,
            file,
            has_drain_timeout,
            reported: BTreeMap::new(),
        };
        Ok((own_agents, loaded.config))
    }

    /// Adds to the story what a daemon reports about the agents, which the simulated world does not know. Returns a warning if an
    /// agent's answers contradict each other.
    pub fn report(&mut self, story: &mut Story, now: Time, line: &LogLine) -> Option<String> {
        let (_, held) = *story.told.get_or_insert((now, 0));
        story.deadlines.extend(line.deadline.as_deref().and_then(Time::from_rfc3339));
        let state = line.agent_state.as_ref()?;
        let name = line.agent.clone().unwrap_or_default();
        let before = self.reported.get(&name).and_then(|reported| reported.in_flight);
        let mut doubt = None;
        if state == "drained" {
            let who = if self.agents.len() > 1 { format!("agent {name}") } else { "the agent".to_owned() };
            doubt = match (line.in_flight, before) {
                (Some(count @ 1..), _) => Some(format!(
                    "{who} says \"drained\" with {count} in flight; drainhook goes by the state"
                )),
                (None, Some(count @ 1..)) => Some(format!(
                    "{who} last reported {count} in flight; drainhook cannot tell this end from a crash"
                )),
                _ => None,
            };
        }
        let in_flight = line.in_flight.or(before.filter(|_| state == "draining"));
        self.reported.insert(name, Reported { state: state.clone(), in_flight });
        let all = self.together();
        if all.state == "drained" {
            story.drained.get_or_insert(now);
        }
        story.told = story.told.map(|(at, _)| (at, held.max(all.in_flight.unwrap_or(0))));
        story.reported = Some(all);
        doubt
    }

    /// The state of the first agent that has not drained, and the work in flight of all.
    fn together(&self) -> Reported {
        let of = |agent: &config::Agent| self.reported.get(&agent.name);
        let state = |agent| of(agent).map_or("", |reported| reported.state.as_str());
        let behind = self.agents.iter().map(state).find(|state| *state != "drained");
        let in_flight = self.reported.values().filter_map(|reported| reported.in_flight);
        Reported {
            state: behind.unwrap_or("drained").to_owned(),
            in_flight: in_flight.reduce(u32::saturating_add),
        }
    }

    /// Why the drill failed: a paragraph for each agent that has not drained.
    pub fn verdicts(&self, story: &Story) -> Vec<String> {
        if let [agent] = self.agents.as_slice() {
            let more_time = format!("{}=10m drainhook simulate {}", DRAIN_TIMEOUT.variable, self.flag);
            return vec![verdict::of(story, agent, &more_time)];
        }
        let is_behind = |agent: &&config::Agent| {
            self.reported.get(&agent.name).is_none_or(|reported| reported.state != "drained")
        };
        let mut verdicts = Vec::new();
        for agent in self.agents.iter().filter(is_behind) {
            let ours = format!("agent {}:", agent.name);
            let story = Story {
                reported: self.reported.get(&agent.name).cloned(),
                warnings: story
                    .warnings
                    .iter()
                    .filter(|warning| warning.starts_with(&ours))
                    .cloned()
                    .collect(),
                ..story.clone()
            };
            let more_time = "set its drain_timeout";
            verdicts.push(format!("{}: {}", agent.name, verdict::of(&story, agent, more_time)));
        }
        if verdicts.is_empty() {
            verdicts.push(verdict::ended_otherwise("The agents"));
        }
        verdicts
    }
}

/// The `[[agent]]` tables of a configuration file, as a file. Those in `without_timeout` get the drain timeout of a drill.
fn agents_of(file: &Path, without_timeout: &[usize]) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    table.retain(|section, _| section == "agent");
    let agents = table.get_mut("agent").and_then(toml::Value::as_array_mut);
    for (place, agent) in agents.into_iter().flatten().enumerate() {
        if let (true, Some(agent)) = (without_timeout.contains(&place), agent.as_table_mut()) {
            agent.insert(DRAIN_TIMEOUT.key.to_owned(), DRAIN_TIMEOUT.text.into());
        }
    }
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two agents answered with errors, and the name of one begins with the name of the other. The verdict on each has its own
    /// name and its own last answer.
    #[test]
    fn each_verdict_quotes_its_own_agent() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("drainhook.toml");
        let agent = |name: &str, port: u16| {
            format!("[[agent]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}\"\n")
        };
        std::fs::write(&file, agent("worker", 8080) + &agent("worker-2", 8081)).expect("written");
        let (own_agents, _) = OwnAgents::load(&Named::File(file)).expect("a good configuration");
        let story = Story {
            told: Some((Time::from_unix_ms(0), 0)),
            outcomes: vec!["failed".to_owned()],
            warnings: vec![
                "agent worker: answered 500".to_owned(),
                "agent worker-2: answered 503".to_owned(),
            ],
            ..Story::default()
        };
        let verdicts = own_agents.verdicts(&story);
        let [first, second] = verdicts.as_slice() else { panic!("{verdicts:?}") };
        assert!(first.starts_with("worker: Expected") && first.contains("worker: answered 500."), "{first}");
        assert!(!first.contains("503"), "{first}");
        assert!(
            second.starts_with("worker-2: Expected") && second.contains("worker-2: answered 503."),
            "{second}"
        );
    }
}
