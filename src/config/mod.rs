//! The configuration: a file, then the environment, then flags; later wins, and an unknown key is an error.
//!
//! # Layout
//!
//! * [`keys`]: the one list of keys, which everything here and the table in README.md come from
//! * [`value`]: what each key takes
//! * `layers`: the file, the environment and flags, read into settings with their origin
//! * `build`: the settings, made into [`Config`]
//! * [`problem`]: what can be wrong, in sentences
//! * [`user`]: a user, by name or by id
//! * `warning`: what is allowed and probably a mistake

mod build;
pub mod keys;
mod layers;
pub mod problem;
#[cfg(test)]
mod tests;
pub mod user;
pub mod value;
mod warning;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use self::layers::{Flag, environment};
pub use self::problem::{ConfigError, Problem};
pub use self::user::User;
pub use self::warning::warnings;
use crate::clock::Scale;
use machine::effect::CompletionResult;
pub use machine::settings::{DrainAt, OnExit, OnRebalance};

/// The file that is read where none is named; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/drainhook/drainhook.toml";

/// The most agents that one daemon drains.
pub const AGENTS_MAX: usize = 16;

/// The configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[agent]`, or each `[[agent]]`: 1 to [`AGENTS_MAX`].
    pub agents: Vec<Agent>,
    /// `[queue]`
    pub queue: Queue,
    /// `[lifecycle]`
    pub lifecycle: Lifecycle,
    /// `[imds]`
    pub imds: Imds,
    /// `[aws]`
    pub aws: Aws,
    /// `[instance]`
    pub instance: Instance,
    /// `[control]`
    pub control: Control,
    /// `[journal]`
    pub journal: Journal,
    /// `[log]`
    pub log: Log,
    /// `[simulation]`
    pub simulation: Simulation,
}

/// One agent: where it is, and how it is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What logs call it; no two agents share one.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long it may stay unreachable before the drain counts as failed.
    pub unreachable_grace: Duration,
    /// What it means that it went away while it was draining.
    pub on_exit: OnExit,
    /// How often it is polled if it ignores `Prefer: wait`.
    pub poll: Duration,
    /// Where it is told to drain; appended to the URL.
    pub drain_path: String,
    /// Where it says how far it is; appended to the URL.
    pub status_path: String,
    /// The method that tells it to drain.
    pub method: Method,
    /// Whether it answers that request only when its work is done.
    pub drain_blocks: bool,
    /// A file with the bearer token that it asks for.
    pub token_file: Option<PathBuf>,
    /// The user whose process must have opened its Unix socket.
    pub user: Option<User>,
}

/// The method that asks an agent to drain. `GET` has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `GET`
    Get,
}

/// Where an agent is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An `http://` URL, loopback or allowed by name, without a slash at its end.
    Url(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The host of a URL, without brackets, where it is not this machine.
    pub fn remote_host(&self) -> Option<String> {
        let Address::Url(url) = self else { return None };
        let url = url::Url::parse(url).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']);
        let is_loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        (!is_loopback).then(|| host.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Url(url) => f.write_str(url),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The termination queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its URL.
    pub url: Option<String>,
}

/// The lifecycle action and how it is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The termination hook; else the group's only one that no other controller owns.
    pub hook: Option<String>,
    /// The Auto Scaling group; else detected.
    pub group: Option<String>,
    /// When draining starts.
    pub drain_at: DrainAt,
    /// The result reported when the agents have drained.
    pub on_drained: CompletionResult,
    /// The result reported when the time is up.
    pub on_deadline: CompletionResult,
    /// The result reported when an agent could not be drained.
    pub on_failed: CompletionResult,
    /// What to do at a rebalance recommendation.
    pub on_rebalance: OnRebalance,
    /// The hook's heartbeat timeout where the hook cannot be read.
    pub heartbeat_timeout: Option<Duration>,
}

/// The instance metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imds {
    /// How often it is asked.
    pub poll: Duration,
}

/// How AWS is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The hosts that may be asked by plain HTTP, besides this machine and its link.
    pub allow_http: Vec<String>,
}

/// This instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id, for where the metadata service cannot be reached.
    pub id: Option<String>,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Where it is.
    pub socket: PathBuf,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The folder that it is in.
    pub dir: PathBuf,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How its lines look.
    pub format: LogFormat,
    /// What is logged.
    pub level: tracing::Level,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// What only `drainhook simulate` sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// How simulated time runs; else time is real.
    pub clock: Option<Scale>,
}

/// The configuration and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key in the order of the list, once for each agent in section `agent`.
    pub origins: Vec<Setting>,
}

/// One key, as it stands in the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its section.
    pub section: &'static str,
    /// Which agent it is of, from 0; 0 in every other section.
    pub agent: usize,
    /// Its name.
    pub key: &'static str,
    /// What it is worth; `None` where it has no value.
    pub value: Option<String>,
    /// Who says so.
    pub origin: Origin,
    /// Whether TOML writes the value in quotes.
    #[serde(skip)]
    quoted: bool,
    /// What happens where it has no value.
    #[serde(skip)]
    unset: &'static str,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// A line of the file, from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line, such as `--agent`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Config {
    /// Loads the configuration from the file, the environment and flags; all problems found are reported at once.
    ///
    /// Without a `path` the file is [`DEFAULT_PATH`], and need not exist. [`environment`] is this process's.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Loaded, ConfigError> {
        let text = match path {
            Some(path) => Some(layers::read_file(path)?),
            None => layers::read_file_if_there(Path::new(DEFAULT_PATH))?,
        };
        Self::from_layers(path.unwrap_or(Path::new(DEFAULT_PATH)), text.as_deref(), env, flags)
    }

    fn from_layers(
        path: &Path,
        text: Option<&str>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Loaded, ConfigError> {
        let mut layers = layers::Layers::default();
        if let Some(text) = text {
            layers.add_file(path, text)?;
        }
        layers.add_environment(env);
        layers.add_flags(flags);
        build::build(layers)
    }
}

impl Loaded {
    /// The effective configuration as TOML, each line with where it came from: what `drainhook config` prints.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut table = None;
        for setting in &self.origins {
            if setting.section == keys::SIMULATION && setting.value.is_none() {
                continue;
            }
            if table != Some((setting.section, setting.agent)) {
                let several = setting.section == "agent" && self.config.agents.len() > 1;
                let (open, close) = if several { ("[[", "]]") } else { ("[", "]") };
                let gap = if table.is_some() { "\n" } else { "" };
                text.push_str(&format!("{gap}{open}{}{close}\n", setting.section));
                table = Some((setting.section, setting.agent));
            }
            text.push_str(&format!("{setting}\n"));
        }
        text
    }
}

/// A line of TOML.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignment = match &self.value {
            // TOML's basic strings escape as JSON's do.
            Some(value) if self.quoted => {
                format!("{} = {}", self.key, serde_json::Value::from(value.as_str()))
            }
            Some(value) => format!("{} = {value}", self.key),
            None => return write!(f, "# {:<48} # not set: {}", self.key, self.unset),
        };
        write!(f, "{assignment:<50} # {}", self.origin)
    }
}
