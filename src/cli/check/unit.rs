//! Looks at the unit of an agent, and at the settings of it that are known to lose work. Changes nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::part::Part;
use crate::agent::systemctl::{self, SystemctlError, Unit, UnitState};
use crate::cli::output::word;
use crate::config::duration::Written;
use crate::config::{self, Config, POLKIT_PATH, UnitAgent, UnitDrain, polkit_rule};

/// Time enough to stop a unit that would be started again.
const RESTART_DELAY_MIN: Duration = Duration::from_secs(1);

/// A row for an agent that is a unit.
pub async fn row(agent: &config::Agent, unit: &UnitAgent) -> Part {
    let looked = async {
        let main = systemctl::show(&unit.unit).await?;
        let oneshot = match &unit.drain {
            UnitDrain::Start(oneshot) => Some(systemctl::show(oneshot).await?),
            UnitDrain::Stop | UnitDrain::Signal(_) => None,
        };
        Ok::<_, SystemctlError>((main, oneshot))
    };
    match looked.await {
        Ok((main, oneshot)) => judge(agent, unit, &main, oneshot.as_ref()),
        Err(error) => Part::ok("agent", format!("{}: {error}", agent.name))
            .failed("systemd cannot be asked about the unit; drainhook needs systemd and D-Bus to drain it"),
    }
}

/// What is wrong with a unit's settings. Pure.
fn judge(agent: &config::Agent, config: &UnitAgent, unit: &Unit, oneshot: Option<&Unit>) -> Part {
    let name = &config.unit;
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
    let part = match (&config.drain, oneshot) {
        (UnitDrain::Start(name), Some(oneshot)) => judge_oneshot(part, agent, name, oneshot),
        (UnitDrain::Start(_), None) => part,
        (UnitDrain::Stop, _) => judge_stop(part, agent, name, unit),
        (UnitDrain::Signal(_), _) => judge_signal(part, name, unit),
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

fn judge_stop(part: Part, agent: &config::Agent, name: &str, unit: &Unit) -> Part {
    let mut lines = Vec::new();
    let mut part = part;
    if let Some(limit) = unit.stop_timeout.filter(|limit| *limit < agent.drain_timeout) {
        part = part.failed(format!(
            "systemd kills it {} after the stop (TimeoutStopSec), and agent.drain_timeout is {}: work that takes longer is lost",
            Written(limit),
            Written(agent.drain_timeout),
        ));
        lines.push("TimeoutStopSec=infinity");
    }
    match unit.kill_mode.as_str() {
        "none" | "process" => {
            part = part.failed(format!(
                "KillMode={} leaves processes behind when the unit is inactive, so their work is not waited for",
                unit.kill_mode
            ));
            lines.push("KillMode=mixed");
        }
        "control-group" if unit.processes > 1 => {
            part = part.warning(format!(
                "KillMode=control-group signals all its {} processes, and not only the main one: worker processes that end by \
                 that signal lose their work, and the unit still ends well",
                unit.processes
            ));
            lines.push("KillMode=mixed");
        }
        _ => {}
    }
    if lines.is_empty() { part } else { part.advised(drop_in(name, &lines)) }
}

fn judge_signal(part: Part, name: &str, unit: &Unit) -> Part {
    let comes_back = matches!(unit.restart.as_str(), "always" | "on-success");
    if !comes_back || unit.restart_delay >= RESTART_DELAY_MIN {
        return part;
    }
    let advice = format!(
        "Restart={} starts it again {} after it has drained: the new process may take work before drainhook has stopped the \
         unit",
        unit.restart,
        Written(unit.restart_delay),
    );
    let part = if unit.restart_delay.is_zero() { part.failed(advice) } else { part.warning(advice) };
    part.advised(drop_in(name, &["RestartSec=1s"]))
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
        lines.push("Type=oneshot");
    }
    if oneshot.remains {
        part = part
            .failed(format!("{name} has RemainAfterExit=yes, so a second drain would not start it again"));
        lines.push("RemainAfterExit=no");
    }
    if let Some(limit) = oneshot.start_timeout.filter(|limit| *limit < agent.drain_timeout) {
        part = part.failed(format!(
            "systemd stops {name} after {} (TimeoutStartSec), and agent.drain_timeout is {}",
            Written(limit),
            Written(agent.drain_timeout),
        ));
        lines.push("TimeoutStartSec=infinity");
    }
    if lines.is_empty() { part } else { part.advised(drop_in(name, &lines)) }
}

/// A command that installs these settings.
fn drop_in(unit: &str, lines: &[&str]) -> String {
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
mod tests {
    use super::*;
    use crate::agent::systemctl::read;
    use crate::cli::check::part::State;

    const RUNS: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nInvocationID=1f\nMainPID=1\nKillSignal=15\n\
                        Type=simple\nKillMode=mixed\nTimeoutStopUSec=infinity\nRestart=no\nRestartUSec=100ms\n";

    /// What `check` says about a unit with these settings, which replace others, and its state.
    fn judged(agent: &str, settings: &str, oneshot: Option<&str>) -> (State, String) {
        let text = format!("[agent]\nunit = \"a.service\"\n{agent}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let config = Config::load(Some(file.path()), std::iter::empty(), &[]).expect("good").config;
        let agent = &config.agents[0];
        let crate::config::AgentKind::Unit(unit) = &agent.kind else { panic!("it is a unit") };
        let shown = |settings: &str| read(&format!("{RUNS}{settings}")).expect("as systemctl writes it");
        let part = judge(agent, unit, &shown(settings), oneshot.map(shown).as_ref());
        (part.state, part.advice.join(" "))
    }

    #[test]
    fn units_that_are_stopped() {
        assert_eq!(judged("", "", None), (State::Ok, String::new()));
        let (state, advice) = judged("drain_timeout = \"2m\"", "TimeoutStopUSec=1min 30s", None);
        assert_eq!(state, State::Failed);
        assert!(
            advice.starts_with("systemd kills it 1m30s after the stop (TimeoutStopSec), and"),
            "{advice}"
        );
        assert!(
            advice.contains("printf '[Service]\\nTimeoutStopSec=infinity\\n' | sudo install"),
            "{advice}"
        );
        assert_eq!(judged("drain_timeout = \"90s\"", "TimeoutStopUSec=1min 30s", None).0, State::Ok);
        assert_eq!(judged("", "KillMode=process", None).0, State::Failed);
        assert_eq!(judged("", "NeedDaemonReload=yes", None).0, State::Warning);
        let (state, advice) = judged("", "ActiveState=failed\nResult=exit-code", None);
        assert!(state == State::Failed && advice.contains("journalctl --unit a.service"), "{advice}");
    }

    #[test]
    fn units_that_are_told() {
        let told = "drain.signal = \"SIGQUIT\"";
        let slow = "TimeoutStopUSec=1s\nRestart=always\nRestartUSec=1s";
        assert_eq!(judged(told, slow, None), (State::Ok, String::new()));
        let (state, advice) = judged(told, "Restart=always", None);
        assert!(state == State::Warning && advice.contains("again 100ms after it has drained"), "{advice}");
        let (state, advice) = judged(told, "Restart=always\nRestartUSec=0", None);
        assert!(state == State::Failed && advice.contains("RestartSec=1s"), "{advice}");
    }

    #[test]
    fn units_that_are_drained_by_another() {
        let started = "drain.start = \"b.service\"";
        let good = "ActiveState=inactive\nType=oneshot\nTimeoutStartUSec=infinity\n";
        assert_eq!(judged(started, "", Some(good)), (State::Ok, String::new()));
        for (bad, why) in [
            ("Type=simple", "so it counts as started before it has drained"),
            ("RemainAfterExit=yes", "so a second drain would not start it again"),
            ("TimeoutStartUSec=5min", "systemd stops b.service after 5m (TimeoutStartSec)"),
            ("LoadState=not-found", "b.service: there is no such unit"),
        ] {
            let (state, advice) = judged(started, "", Some(&format!("{good}{bad}")));
            assert!(state == State::Failed && advice.contains(why), "{advice}");
        }
    }

    /// The rule is in place, is for another configuration, or is missing.
    #[test]
    fn rules_for_polkit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("50-drainhook.rules");
        let missing = installed("rule", &path);
        assert_eq!(missing.state, State::Failed);
        assert!(missing.advice[0].contains("run: drainhook config --polkit | sudo tee /"), "{missing:?}");
        std::fs::write(&path, "rule").expect("written");
        assert_eq!(installed("rule", &path).state, State::Ok);
        assert_eq!(installed("another rule", &path).state, State::Failed);
    }
}
