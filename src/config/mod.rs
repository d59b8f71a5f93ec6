//! The configuration: a file, then the environment, then flags. Later layers win. An unknown key is an error.
//!
//! # Layout
//!
//! * [`keys`]: the only list of keys; the table in docs/configuration.md is generated from it
//! * [`value`]: what each key accepts
//! * `layers`: reads the file, the environment and flags into settings with their origin
//! * `preset`: what an agent's preset fills in
//! * `variable`: which environment variables set a key, and which set none
//! * `build`: builds [`Config`] from the settings
//! * [`agent`]: an agent of each kind
//! * `after`: the after steps; `queue`: the termination queue
//! * `address`: where an agent with an HTTP interface listens
//! * `command` and `labels`: how a command and the labels of a metric are written
//! * [`duration`]: how a duration is written
//! * `force`: what ends an agent's work shortly before its deadline
//! * [`header`], [`request`] and [`template`]: the requests to an agent with an HTTP interface
//! * `launch`: the launching hook, and how the daemon sees that an agent is ready
//! * [`probe`]: where an agent's status is read if it does not return our document
//! * `protection`: the protection from scale-in
//! * `polkit`: the polkit rule for the configured units
//! * `printed`: the effective configuration as TOML
//! * [`problem`]: the errors and their messages
//! * `target_group`: target groups that the Auto Scaling group does not manage
//! * [`user`]: a user of this machine, by name or by id
//! * `warning`: valid settings that are probably a mistake

mod address;
mod after;
pub mod agent;
mod build;
mod command;
pub mod duration;
mod force;
pub mod header;
pub mod keys;
mod labels;
mod launch;
mod layers;
mod polkit;
mod preset;
mod printed;
pub mod probe;
pub mod problem;
mod protection;
mod queue;
pub mod request;
mod target_group;
pub mod template;
#[cfg(test)]
mod tests;
pub mod user;
pub mod value;
mod variable;
mod warning;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use self::address::Address;
pub use self::after::{STEPS_MAX, Step};
pub use self::agent::{Agent, AgentKind, CommandAgent, HttpAgent, UnitAgent, UnitDrain};
pub use self::force::{Force, ForceKind};
pub use self::header::{Header, HeaderText};
pub use self::launch::{Launch, Ready};
pub use self::layers::Flag;
pub use self::polkit::{POLKIT_PATH, polkit_rule};
pub use self::probe::{Probe, Reading};
pub use self::problem::{ConfigError, Problem};
pub use self::protection::Protection;
pub use self::request::{Body, Method, Request};
pub use self::target_group::{TARGET_GROUPS_MAX, TargetGroup};
pub use self::template::Template;
pub use self::user::User;
pub use self::variable::environment;
use crate::clock::Scale;
use machine::effect::CompletionResult;
pub use machine::settings::{DrainAt, Listen, OnExit, OnNotice};

/// The file that is read if `--config` names none. It need not exist.
pub const DEFAULT_PATH: &str = "/etc/drainhook/drainhook.toml";

/// The most agents that one daemon drains.
pub const AGENTS_MAX: usize = 16;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[agent]`, or each `[[agent]]`: 1 to [`AGENTS_MAX`].
    pub agents: Vec<Agent>,
    /// Each `[[after]]`: up to [`STEPS_MAX`].
    pub after: Vec<Step>,
    /// Each `[[target_group]]`: up to [`TARGET_GROUPS_MAX`].
    pub target_groups: Vec<TargetGroup>,
    /// `[queue]`
    pub queue: Queue,
    /// `[lifecycle]`
    pub lifecycle: Lifecycle,
    /// `[launch]`
    pub launch: Launch,
    /// `[protection]`
    pub protection: Protection,
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

/// The termination queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its URL.
    pub url: Option<String>,
    /// When it is asked.
    pub listen: Listen,
}

/// The lifecycle action, and how it is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The termination hook. `None`: the group's only one that no other controller owns.
    pub hook: Option<String>,
    /// The Auto Scaling group. `None`: detected.
    pub group: Option<String>,
    /// When draining starts.
    pub drain_at: DrainAt,
    /// The result reported when the agents have drained.
    pub on_drained: CompletionResult,
    /// The result reported at the deadline.
    pub on_deadline: CompletionResult,
    /// The result reported when an agent could not be drained.
    pub on_failed: CompletionResult,
    /// What to do at a rebalance recommendation.
    pub on_rebalance: OnNotice,
    /// What to do while the instance is in standby.
    pub on_standby: OnNotice,
    /// What to do while the instance is detached from its group.
    pub on_detachment: OnNotice,
    /// The Capacity Block that the instance runs in.
    pub capacity_reservation: Option<String>,
    /// The hook's heartbeat timeout, used if the hook cannot be read.
    pub heartbeat_timeout: Option<Duration>,
}

/// The instance metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imds {
    /// How often it is polled.
    pub poll: Duration,
}

/// How AWS is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The hosts besides loopback and link-local that may stand in for AWS over plain HTTP.
    pub allow_http: Vec<String>,
}

/// This instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id, used while the metadata service does not answer.
    pub id: Option<String>,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Its folder.
    pub dir: PathBuf,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The format of its lines.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: tracing::Level,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, journald's own fields if standard error goes to journald, else JSON.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// Settings that only `drainhook simulate` makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// How simulated time runs. `None`: time is real.
    pub clock: Option<Scale>,
}

/// The configuration, and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key in the order of the list. The keys of section `agent` are repeated for each agent, and those of sections
    /// `after` and `target_group` for each table.
    pub origins: Vec<Setting>,
    /// The environment variables with drainhook's prefix that set no key.
    ignored: Vec<String>,
}

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its section.
    pub section: &'static str,
    /// The table of the section that it belongs to, from 0. Always 0 in a section with only one.
    pub place: usize,
    /// Its name.
    pub key: &'static str,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// Whether TOML writes the value in quotes.
    #[serde(skip)]
    quoted: bool,
    /// What happens if it has no value.
    #[serde(skip)]
    unset: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was not set.
    Default,
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// A preset, by its name.
    Preset(String),
    /// An environment variable.
    Variable(String),
    /// A command-line flag such as `--agent`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Preset(name) => write!(f, "preset {name}"),
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
    /// Loads the configuration from the file, the environment and flags. Reports all problems at once.
    ///
    /// Without a `path` it reads [`DEFAULT_PATH`], which need not exist. [`environment`] is the environment of this process.
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
        layers.add_presets();
        layers.add_flags(flags);
        build::build(layers)
    }
}

impl Setting {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        keys::find(self.section, self.key).map(keys::Key::variable).unwrap_or_default()
    }
}
