//! Looks at the unit of an agent, and at the settings of it that are known to lose work. Changes nothing.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::part::{Part, State};
use super::requirement;
use crate::agent::systemctl::{self, SystemctlError, Unit, UnitState};
use crate::cli::output::word;
use crate::config::duration::Written;
use crate::config::{self, Config, POLKIT_PATH, UnitAgent, UnitDrain, polkit_rule};
use crate::preset::{Preset, Property};

/// Time enough to stop a unit that would be started again.
const RESTART_DELAY_MIN: Duration = Duration::from_secs(1);

/// A row for an agent that is a unit.
pub async fn row(agent: &config::Agent, unit: &UnitAgent) -> Part {
    let looked = async {
        let main = systemctl::show(&unit.unit).await?;
        let software = Software::of(agent, &main);
        let oneshot = match &unit.drain {
            UnitDrain::Start(oneshot) => Some(systemctl::show(oneshot).await?),
            UnitDrain::Stop | UnitDrain::Signal(_) => None,
        };
        let variables = match software.preset().is_some_and(requirement::are_about_variables) {
            true => systemctl::variables(&unit.unit).await?,
            false => BTreeSet::new(),
        };
        Ok::<_, SystemctlError>(Shown { main, oneshot, software, variables })
    };
    match looked.await {
        Ok(shown) => judge(agent, unit, &shown),
        Err(error) => Part::ok("agent", format!("{}: {error}", agent.name))
            .failed("systemd cannot be asked about the unit; drainhook needs systemd and D-Bus to drain it"),
    }
}

/// What systemd says about an agent.
struct Shown {
    /// Its unit.
    main: Unit,
    /// The unit that drains it, if there is one.
    oneshot: Option<Unit>,
    /// What its unit runs.
    software: Software,
    /// The names of variables that its unit sets. Empty if the preset of its software requires nothing of them.
    variables: BTreeSet<String>,
}

/// What a unit runs.
enum Software {
    /// The configuration names its preset.
    Configured(Preset),
    /// The configuration names no preset, and the unit's command line shows that this one fits.
    Recognized(Preset),
    /// No preset knows what loses its work.
    Unknown,
}

impl Software {
    fn of(agent: &config::Agent, unit: &Unit) -> Self {
        match agent.preset.as_deref().and_then(Preset::named) {
            Some(preset) => Software::Configured(preset),
            None => Preset::recognized(&unit.command).map_or(Software::Unknown, Software::Recognized),
        }
    }

    /// The preset that knows what loses its work.
    fn preset(&self) -> Option<&Preset> {
        match self {
            Software::Configured(preset) | Software::Recognized(preset) => Some(preset),
            Software::Unknown => None,
        }
    }
}

/// What is wrong with a unit's settings. Pure.
fn judge(agent: &config::Agent, config: &UnitAgent, shown: &Shown) -> Part {
    let (name, unit) = (&config.unit, &shown.main);
    let how = match &config.drain {
        UnitDrain::Stop => format!("drained by systemctl stop ({} to its processes)", unit.kill_signal),
        UnitDrain::Signal(signal) => format!("drained by {signal} to its main process"),
        UnitDrain::Start(oneshot) => format!("drained by systemctl start {oneshot}"),
    };
    let (state, wrong) = words(name, &unit.state);
    let part = Part::ok("agent", format!("{}: {name} {state}; {how}", agent.name));
    let part = match wrong {
        Some(advice) => part.failed(advice),
        None => part,
    };
    if matches!(unit.state, UnitState::Unusable(_)) {
        return part;
    }
    if unit.name != *name {
        // systemd asks polkit about the unit by that name.
        return part.failed(format!(
            "{name} is an alias of {0}, and the daemon's rule must name {0}; set agent.unit to that",
            unit.name
        ));
    }
    let part = match (&config.drain, &shown.oneshot) {
        (UnitDrain::Start(name), Some(oneshot)) => judge_oneshot(part, agent, name, oneshot),
        (UnitDrain::Start(_), None) => part,
        (UnitDrain::Stop, _) => judge_stop(part, agent, name, shown),
        (UnitDrain::Signal(_), _) => judge_signal(part, agent, name, shown),
    };
    let part = match &shown.software {
        Software::Recognized(preset) if part.state == State::Failed => {
            part.advised(format!("it runs {}; see drainhook presets {}", preset.what, preset.name))
        }
        Software::Recognized(_) | Software::Configured(_) | Software::Unknown => part,
    };
    if unit.needs_reload {
        return part
            .warning("its files have changed since systemd read them; run sudo systemctl daemon-reload");
    }
    part
}

fn words(name: &str, state: &UnitState) -> (String, Option<String>) {
    match state {
        UnitState::Runs { .. } => ("runs".to_owned(), None),
        UnitState::Stops { .. } => ("is being stopped".to_owned(), None),
        UnitState::Restarts => ("restarts".to_owned(), None),
        UnitState::Inactive => ("is inactive".to_owned(), None),
        UnitState::Failed { result, .. } => (
            format!("has failed ({result})"),
            Some(format!("a drain would fail; see why with journalctl --unit {name}, and start it")),
        ),
        UnitState::Unusable(why) => {
            (format!("cannot be used: {why}"), Some("install the unit, or correct agent.unit".to_owned()))
        }
    }
}

fn judge_stop(part: Part, agent: &config::Agent, name: &str, shown: &Shown) -> Part {
    let (unit, preset) = (&shown.main, shown.software.preset());
    let mut lines = Vec::new();
    let mut part = part;
    if let Some((preset, lost)) = preset.and_then(|preset| Some((preset, preset.stop_loses.as_ref()?))) {
        return part.failed(format!(
            "{lost}; drain it as drainhook presets {} shows, and not by a stop",
            preset.name
        ));
    }
    if let Some(limit) = unit.stop_timeout.filter(|limit| *limit < agent.drain_timeout) {
        part = part.failed(format!(
            "systemd kills it {} after the stop (TimeoutStopSec), and agent.drain_timeout is {}: work that takes longer is lost",
            Written(limit),
            Written(agent.drain_timeout),
        ));
        lines.push("TimeoutStopSec=infinity".to_owned());
    }
    let known = preset.and_then(|preset| requirement::good(preset, Property::KillMode));
    match unit.kill_mode.as_str() {
        mode if known.is_some_and(|good| good.iter().any(|good| good == mode)) => {}
        "none" | "process" => {
            part = part.failed(format!(
                "KillMode={} leaves processes behind when the unit is inactive, so their work is not waited for",
                unit.kill_mode
            ));
            lines.push("KillMode=mixed".to_owned());
        }
        "control-group" if unit.processes > 1 && known.is_none() => {
            part = part.warning(format!(
                "KillMode=control-group signals all its {} processes, and not only the main one: worker processes that end by \
                 that signal lose their work, and systemd still reports success",
                unit.processes
            ));
            lines.push("KillMode=mixed".to_owned());
        }
        _ => {}
    }
    for why in
        preset.iter().flat_map(|preset| requirement::of_command(preset, &unit.command, agent.drain_timeout))
    {
        part = part.failed(why);
    }
    for violation in preset.iter().flat_map(|preset| requirement::of_stop(preset, unit, &shown.variables)) {
        part = part.failed(violation.why);
        lines.push(violation.fix);
    }
    if lines.is_empty() { part } else { part.advised(drop_in(name, &lines)) }
}

fn judge_signal(part: Part, agent: &config::Agent, name: &str, shown: &Shown) -> Part {
    let (unit, preset) = (&shown.main, shown.software.preset());
    let mut lines = Vec::new();
    let mut part = part;
    let comes_back = matches!(unit.restart.as_str(), "always" | "on-success");
    if comes_back && unit.restart_delay < RESTART_DELAY_MIN {
        let advice = format!(
            "Restart={} starts it again {} after it has drained: the new process may take work before drainhook has stopped the \
             unit",
            unit.restart,
            Written(unit.restart_delay),
        );
        part = if unit.restart_delay.is_zero() { part.failed(advice) } else { part.warning(advice) };
        lines.push("RestartSec=1s".to_owned());
    }
    for why in
        preset.iter().flat_map(|preset| requirement::of_command(preset, &unit.command, agent.drain_timeout))
    {
        part = part.failed(why);
    }
    for violation in preset.iter().flat_map(|preset| requirement::of_variables(preset, &shown.variables)) {
        part = part.failed(violation.why);
        lines.push(violation.fix);
    }
    if lines.is_empty() { part } else { part.advised(drop_in(name, &lines)) }
}

fn judge_oneshot(part: Part, agent: &config::Agent, name: &str, oneshot: &Unit) -> Part {
    let mut part = part;
    let mut lines = Vec::new();
    if let UnitState::Unusable(why) = &oneshot.state {
        return part.failed(format!("{name}: {why}; install the unit, or correct agent.drain.start"));
    }
    if oneshot.kind != "oneshot" {
        part = part.failed(format!(
            "{name} has Type={}, so it counts as started before it has drained anything",
            oneshot.kind
        ));
        lines.push("Type=oneshot".to_owned());
    }
    if oneshot.remains {
        part = part
            .failed(format!("{name} has RemainAfterExit=yes, so a second drain would not start it again"));
        lines.push("RemainAfterExit=no".to_owned());
    }
    if let Some(limit) = oneshot.start_timeout.filter(|limit| *limit < agent.drain_timeout) {
        part = part.failed(format!(
            "systemd stops {name} after {} (TimeoutStartSec), and agent.drain_timeout is {}",
            Written(limit),
            Written(agent.drain_timeout),
        ));
        lines.push("TimeoutStartSec=infinity".to_owned());
    }
    if lines.is_empty() { part } else { part.advised(drop_in(name, &lines)) }
}

/// A command that installs these settings.
fn drop_in(unit: &str, lines: &[String]) -> String {
    format!(
        "to fix it, run: printf '[Service]\\n{}\\n' | sudo install -D -m 644 /dev/stdin {} && sudo systemctl daemon-reload",
        lines.join("\\n"),
        word(&format!("/etc/systemd/system/{unit}.d/zz-drainhook.conf")),
    )
}

/// A row for polkit, if an agent is a unit.
pub fn polkit(config: &Config) -> Option<Part> {
    let rule = polkit_rule(config)?;
    Some(installed(&rule, Path::new(POLKIT_PATH)))
}

fn installed(rule: &str, path: &Path) -> Part {
    let shown = path.display();
    let install = format!("run: drainhook config --polkit | sudo tee {shown}");
    match std::fs::read_to_string(path) {
        Ok(found) if found == rule => {
            Part::ok("polkit", format!("{shown} permits what the daemon does to the units"))
        }
        Ok(_) => Part::ok("polkit", format!("{shown} is not the rule of this configuration"))
            .failed(format!("the daemon may not do what it must do to the units; {install}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Part::ok("polkit", format!("there is no {shown}"))
                .failed(format!("the daemon may not stop or start any unit; {install}"))
        }
        Err(error) => Part::skipped("polkit", format!("{shown}: {error}; run this with sudo")),
    }
}

#[cfg(test)]
mod tests;
