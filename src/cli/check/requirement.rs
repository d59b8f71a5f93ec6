//! What a preset requires of its agent's unit. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::agent::systemctl::Unit;
use crate::config::duration::Written;
use crate::preset::{Limit, Preset, Property, Requirement};

/// A requirement that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is lost.
    pub why: String,
    /// The line of a drop-in that fixes it.
    pub fix: String,
}

/// Whether the preset requires something of the unit's environment.
pub fn are_about_variables(preset: &Preset) -> bool {
    preset.requires.iter().any(|requirement| matches!(requirement, Requirement::Unset { .. }))
}

/// The values of a setting with which the software loses nothing. `None` if the preset does not know.
pub fn good(preset: &Preset, of: Property) -> Option<&[String]> {
    preset.requires.iter().find_map(|requirement| match requirement {
        Requirement::Property { property, good, .. } if *property == of => Some(good.as_slice()),
        Requirement::Property { .. } | Requirement::Unset { .. } => None,
    })
}

/// Time limits on a command line that would cut work before the end of its drain.
pub fn of_command(preset: &Preset, command: &[String], drain_timeout: Duration) -> Vec<String> {
    let of_limit = |limit: &Limit| {
        let shown = limit.arguments.last()?;
        let time = limit.unit.times(number(limit, command)?);
        (time < drain_timeout).then(|| {
            format!(
                "{} {shown} cuts work after {}, and agent.drain_timeout is {}; set {shown} {} or more",
                limit.program,
                Written(time),
                Written(drain_timeout),
                limit.unit.of(drain_timeout),
            )
        })
    };
    preset.limits.iter().filter_map(of_limit).collect()
}

/// The number that the command line gives the limit. `None`: there is no limit, or the command line does not show it.
fn number(limit: &Limit, command: &[String]) -> Option<u64> {
    let is_program = |word: &String| word.rsplit('/').next() == Some(limit.program.as_str());
    if !command.iter().any(is_program) {
        return None;
    }
    for (place, word) in command.iter().enumerate() {
        for argument in &limit.arguments {
            let given = match word.strip_prefix(argument.as_str()) {
                Some("") => command.get(place + 1).map(String::as_str),
                Some(rest) if argument.starts_with("--") => rest.strip_prefix('='),
                rest => rest,
            };
            if let Some(given) = given {
                return given.parse().ok();
            }
        }
    }
    // A variable may hold the argument.
    if command.iter().any(|word| word.contains('$')) { None } else { limit.default }
}

/// What a stop of the unit would lose. Modes that leave processes behind are bad for every unit, so they are not among it.
pub fn of_stop(preset: &Preset, unit: &Unit, variables: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for requirement in &preset.requires {
        let Requirement::Property { property, good, why } = requirement else { continue };
        let value = match property {
            Property::KillMode if ["none", "process"].contains(&unit.kill_mode.as_str()) => continue,
            Property::KillMode => &unit.kill_mode,
            Property::KillSignal => &unit.kill_signal,
        };
        if !good.contains(value) {
            let (setting, good) = (property.as_str(), good.join(" or "));
            let why = format!("{setting}={value}, and the preset {} needs {good}: {why}", preset.name);
            violations.push(Violation { why, fix: requirement.fix() });
        }
    }
    violations.extend(of_variables(preset, variables));
    violations
}

/// What the unit's environment would lose, however it is drained.
pub fn of_variables(preset: &Preset, variables: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for requirement in &preset.requires {
        let Requirement::Unset { unset, why } = requirement else { continue };
        if variables.contains(unset) {
            let why =
                format!("it sets the variable {unset}, and the preset {} needs it unset: {why}", preset.name);
            violations.push(Violation { why, fix: requirement.fix() });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_on_the_command_line() {
        let of = |name: &str, command: &str| {
            let preset = Preset::named(name).expect("it exists");
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            preset.limits.iter().filter_map(|limit| number(limit, &command)).next()
        };
        for (name, command, expected) in [
            ("sidekiq", "/usr/bin/sidekiq", Some(25)),
            ("sidekiq", "/usr/bin/sidekiq -t 60", Some(60)),
            ("sidekiq", "/usr/bin/sidekiq -t60", Some(60)),
            ("sidekiq", "/usr/bin/bundle exec sidekiq --timeout=60 -c 5", Some(60)),
            ("sidekiq", "/usr/bin/sidekiq $OPTIONS", None),
            ("sidekiq", "/usr/local/bin/start-sidekiq", None),
            ("dramatiq", "/opt/venv/bin/dramatiq tasks --worker-shutdown-timeout 1000", Some(1000)),
            ("docker-container", "/usr/bin/env HOME=/tmp docker stop NAME", Some(10)),
            ("docker-container", "/usr/bin/env HOME=/tmp docker stop --time=7200 NAME", Some(7200)),
            ("docker-container", "/usr/local/bin/stop-it", None),
            ("uvicorn", "/usr/bin/uvicorn app:app", None),
            ("uvicorn", "/usr/bin/uvicorn app:app --timeout-graceful-shutdown 5", Some(5)),
        ] {
            assert_eq!(of(name, command), expected, "{command}");
        }
    }
}
