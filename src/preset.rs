//! Presets: settings for software that people run. Each is a file of the folder `presets`, and part of the program. Pure.
//!
//! The configuration reads the tables `agent` and `must`, `drainhook check` the requirements, and `drainhook presets` prints
//! all of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        /// The names of all presets, sorted.
        pub const NAMES: &[&str] = &[$($name),*];

        /// The text of each preset, in the order of [`NAMES`].
        const TEXTS: &[&str] = &[$(include_str!(concat!("../presets/", $name, ".toml"))),*];
    };
}

presets![
    "arq",
    "buildkite-agent",
    "bullmq",
    "celery",
    "concourse-worker",
    "dask-worker",
    "docker-container",
    "dramatiq",
    "ecs-instance",
    "envoy",
    "github-runner",
    "gitlab-runner",
    "gunicorn",
    "haproxy",
    "huey",
    "jenkins-agent",
    "jitsi-videobridge",
    "kubernetes-node",
    "laravel-horizon",
    "lifecycled-handler",
    "livekit",
    "nginx",
    "nomad-client",
    "pgbouncer",
    "php-fpm",
    "puma",
    "ray-node",
    "rq",
    "selenium-node",
    "sidekiq",
    "temporal-worker",
    "trino-worker",
    "triton",
    "uvicorn",
    "vllm",
];

/// A preset.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    #[serde(skip_deserializing)]
    pub name: &'static str,
    /// What it drains.
    pub what: String,
    /// The software and its version that a test drains with it. `None`: no test drains the real software.
    pub tested: Option<String>,
    /// The keys of section `agent` that it fills in.
    #[serde(default)]
    pub agent: toml::Table,
    /// The keys of section `agent` that the user must set, with examples.
    #[serde(default)]
    pub must: toml::Table,
    /// How a command line that starts this software is recognized, for units that have no preset.
    #[serde(default)]
    pub runs: Vec<CommandLine>,
    /// What a stop of its unit loses. `None` if a stop is the way to drain it.
    pub stop_loses: Option<String>,
    /// What must hold for the agent's unit, or work is lost.
    #[serde(default)]
    pub requires: Vec<Requirement>,
    /// Time limits on the command line of the unit's program, or on the agent's own command.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// What else loses work, with its source in brackets.
    pub traps: Vec<String>,
}

/// Words that occur on a command line, in this order, with spaces between them. Paths do not count, and a word may end with
/// `*`: `celery worker` is found in `/opt/bin/celery --app tasks worker`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CommandLine(String);

impl CommandLine {
    /// Whether its words are on this command line.
    pub fn is_in(&self, command: &[String]) -> bool {
        let mut command = command.iter().map(|word| word.rsplit('/').next().unwrap_or(word));
        self.0.split(' ').all(|wanted| match wanted.strip_suffix('*') {
            Some(start) => command.any(|word| word.starts_with(start)),
            None => command.any(|word| word == wanted),
        })
    }
}

/// What must hold for a unit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Requirement {
    /// A setting of the unit has one of these values.
    Property {
        /// The setting.
        property: Property,
        /// The values. The first one is what a drop-in sets.
        good: Vec<String>,
        /// What goes wrong otherwise.
        why: String,
    },
    /// A variable is not set in the unit's environment.
    Unset {
        /// The variable.
        unset: String,
        /// What goes wrong otherwise.
        why: String,
    },
}

/// A time limit that a program's command line sets for a drain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The program. A unit that runs another one, such as a script of the user, is not judged.
    pub program: String,
    /// The spellings of the argument. The last one is shown.
    pub arguments: Vec<String>,
    /// The unit of its number.
    #[serde(default)]
    pub unit: LimitUnit,
    /// The number if the argument is missing. `None`: there is no limit then.
    pub default: Option<u64>,
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum LimitUnit {
    /// Seconds.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

impl LimitUnit {
    /// So many of this unit.
    pub fn times(self, number: u64) -> Duration {
        match self {
            LimitUnit::Seconds => Duration::from_secs(number),
            LimitUnit::Milliseconds => Duration::from_millis(number),
        }
    }

    /// How many of this unit a duration has, rounded up.
    pub fn of(self, duration: Duration) -> u128 {
        duration.as_nanos().div_ceil(self.times(1).as_nanos())
    }
}

/// A setting of a unit (systemd.kill(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Property {
    /// `KillMode=`: which processes a stop signals.
    KillMode,
    /// `KillSignal=`: the signal that a stop sends.
    KillSignal,
}

impl Property {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Property::KillMode => "KillMode",
            Property::KillSignal => "KillSignal",
        }
    }
}

impl Preset {
    /// The preset with this name.
    pub fn named(name: &str) -> Option<Self> {
        let place = NAMES.iter().position(|known| *known == name)?;
        let preset: Preset = toml::from_str(TEXTS[place]).expect("a test reads every preset");
        Some(Preset { name: NAMES[place], ..preset })
    }

    /// The preset for the software that a unit starts with this command. `None` if no preset knows what loses its work.
    pub fn recognized(command: &[String]) -> Option<Self> {
        Self::all().find(|preset| preset.runs.iter().any(|words| words.is_in(command)))
    }

    /// All presets.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().filter_map(|name| Self::named(name))
    }
}

impl Requirement {
    /// The line of a drop-in that makes it hold.
    pub fn fix(&self) -> String {
        match self {
            Requirement::Property { property, good, .. } => format!("{}={}", property.as_str(), good[0]),
            Requirement::Unset { unset, .. } => format!("UnsetEnvironment={unset}"),
        }
    }
}

/// The text of the preset with this name.
pub fn text(name: &str) -> Option<&'static str> {
    let place = NAMES.iter().position(|known| *known == name)?;
    Some(TEXTS[place])
}

/// The lines of one table of a preset's text, such as `agent`, as they were written.
pub fn lines_of<'a>(text: &'a str, table: &str) -> Vec<&'a str> {
    let heading = format!("[{table}]");
    let mut lines = text.lines().skip_while(|line| *line != heading);
    lines.next();
    lines.take_while(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file in the folder is part of the program, and no other.
    #[test]
    fn every_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
        let entries = std::fs::read_dir(folder).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut files: Vec<String> = files.filter(|name| name.ends_with(".toml")).collect();
        files.sort();
        let listed: Vec<String> = NAMES.iter().map(|name| format!("{name}.toml")).collect();
        assert_eq!(files, listed, "list the files of presets/ in src/preset.rs, sorted");
    }

    /// Units that have no preset.
    #[test]
    fn software_is_recognized() {
        for (command, expected) in [
            ("/opt/venv/bin/celery --app tasks worker", Some("celery")),
            ("/usr/bin/python3 -m celery -A tasks worker -c 4", Some("celery")),
            ("/opt/venv/bin/celery --app tasks beat", None),
            ("/opt/venv/bin/worker celery", None),
            ("/usr/bin/java -jar /srv/selenium-server-4.48.0.jar node --port 5555", Some("selenium-node")),
            ("/usr/bin/java -jar /srv/selenium-server-4.48.0.jar hub", None),
            ("/opt/venv/bin/gunicorn -k uvicorn.workers.UvicornWorker app:app", Some("gunicorn")),
            ("/usr/sbin/php-fpm8.2 --nodaemonize", Some("php-fpm")),
            ("/usr/bin/my-worker", None),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(Preset::recognized(&words).map(|preset| preset.name), expected, "{command}");
        }
    }

    /// Requirements are about units, have a fix, and name a setting only once. Each trap is a line.
    #[test]
    fn data() {
        for preset in Preset::all() {
            let name = preset.name;
            let is_unit = preset.agent.contains_key("unit") || preset.must.contains_key("unit");
            assert!(preset.requires.is_empty() || is_unit, "{name} has requirements, but is no unit");
            let judges =
                !preset.requires.is_empty() || !preset.limits.is_empty() || preset.stop_loses.is_some();
            assert!(preset.runs.is_empty() || judges, "{name} is recognized, but nothing loses its work");
            let mut fixed: Vec<String> = Vec::new();
            for requirement in &preset.requires {
                let fix = requirement.fix();
                fixed.extend(fix.split_once('=').map(|(setting, _)| setting.to_owned()));
            }
            let count = fixed.len();
            fixed.dedup();
            assert_eq!(fixed.len(), count, "{name} requires a setting twice");
            for line in preset.traps.iter().chain([&preset.what]) {
                assert!(!line.is_empty() && !line.contains('\n'), "{name}: {line:?}");
            }
            for (table, keys) in [("agent", &preset.agent), ("must", &preset.must)] {
                let lines = lines_of(text(name).expect("listed"), table).join("\n");
                let shown: toml::Table = lines.parse().expect("TOML");
                assert_eq!(shown, *keys, "{name}: an empty line in [{table}]?");
            }
        }
    }
}
