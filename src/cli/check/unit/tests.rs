use super::*;
use crate::agent::systemctl::read;
use crate::preset::{Requirement, lines_of, text};

const RUNS: &str = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nInvocationID=1f\nMainPID=1\n\
                    KillSignal=15\n\
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
    let main = shown(settings);
    let software = Software::of(agent, &main);
    let shown = Shown { main, oneshot: oneshot.map(shown), software, variables: BTreeSet::new() };
    let part = judge(agent, unit, &shown);
    (part.state, part.advice.join(" "))
}

#[test]
fn units_that_are_stopped() {
    assert_eq!(judged("", "", None), (State::Ok, String::new()));
    let (state, advice) = judged("drain_timeout = \"2m\"", "TimeoutStopUSec=1min 30s", None);
    assert_eq!(state, State::Failed);
    assert!(advice.starts_with("systemd kills it 1m30s after the stop (TimeoutStopSec), and"), "{advice}");
    assert!(advice.contains("printf '[Service]\\nTimeoutStopSec=infinity\\n' | sudo install"), "{advice}");
    assert_eq!(judged("drain_timeout = \"90s\"", "TimeoutStopUSec=1min 30s", None).0, State::Ok);
    assert_eq!(judged("", "KillMode=process", None).0, State::Failed);
    assert_eq!(judged("", "NeedDaemonReload=yes", None).0, State::Warning);
    let (state, advice) = judged("", "Id=b.service", None);
    assert!(state == State::Failed && advice.contains("is an alias of b.service"), "{advice}");
    let (state, advice) = judged("", "ActiveState=failed\nResult=exit-code", None);
    assert!(state == State::Failed && advice.contains("journalctl --unit a.service"), "{advice}");
}

/// The configuration names no preset, and a preset knows the unit's program.
#[test]
fn units_without_a_preset() {
    let runs = |command: &str| format!("ExecStart={{ path=/x ; argv[]={command} ; ignore_errors=no }}");
    let celery = runs("/opt/bin/celery --app tasks worker");
    assert_eq!(judged("", &celery, None), (State::Ok, String::new()));
    let (state, advice) = judged("", &format!("{celery}\nKillMode=control-group"), None);
    assert!(state == State::Failed && advice.contains("the preset celery needs mixed"), "{advice}");
    assert!(advice.ends_with("see drainhook presets celery"), "{advice}");
    let dask = runs("/opt/bin/dask worker tcp://127.0.0.1:8786");
    let (state, advice) = judged("", &dask, None);
    assert!(state == State::Failed && advice.starts_with("a stop cuts the running tasks"), "{advice}");
    let good = "ActiveState=inactive\nType=oneshot\nTimeoutStartUSec=infinity\n";
    assert_eq!(judged("drain.start = \"b.service\"", &dask, Some(good)), (State::Ok, String::new()));
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

/// What `check` says about the unit of a preset's agent. systemd shows these settings and variables.
fn judged_with(preset: &Preset, settings: &[String], variables: &[&str], processes: usize) -> Part {
    let must = lines_of(text(preset.name).expect("listed"), "must").join("\n");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("[agent]\npreset = \"{}\"\n{must}", preset.name)).expect("written");
    let config = Config::load(Some(file.path()), std::iter::empty(), &[]).expect("good").config;
    let crate::config::AgentKind::Unit(unit) = &config.agents[0].kind else { panic!("it is a unit") };
    let settings = settings.join("\n");
    let main = read(&format!("{RUNS}Id={}\n{settings}", unit.unit)).expect("as systemctl writes it");
    let variables = variables.iter().map(|name| (*name).to_owned()).collect();
    let software = Software::of(&config.agents[0], &main);
    let shown = Shown { main: Unit { processes, ..main }, oneshot: None, software, variables };
    judge(&config.agents[0], unit, &shown)
}

/// Each requirement of each preset, with every good value and a bad one. All fixes of a unit are one command.
#[test]
fn units_with_presets() {
    let mut requirements = 0;
    for preset in Preset::all().filter(|preset| !preset.requires.is_empty()) {
        let name = preset.name;
        let fixes: Vec<String> = preset.requires.iter().map(Requirement::fix).collect();
        let good = judged_with(&preset, &fixes, &[], 1);
        assert!(good.state == State::Ok && good.advice.is_empty(), "{name}: {good:?}");
        let (mut all_bad, mut all_set) = (Vec::new(), Vec::new());
        for requirement in &preset.requires {
            let (bad, set, why) = match requirement {
                Requirement::Property { property, good, why } => {
                    for value in good {
                        let setting = format!("{}={value}", property.as_str());
                        let part = judged_with(&preset, &[fixes.clone(), vec![setting]].concat(), &[], 9);
                        assert!(part.state == State::Ok && part.advice.is_empty(), "{name}: {part:?}");
                    }
                    let bad = match property {
                        Property::KillMode if good.iter().any(|mode| mode == "control-group") => "process",
                        Property::KillMode => "control-group",
                        Property::KillSignal => "SIGHUP",
                    };
                    (vec![format!("{}={bad}", property.as_str())], vec![], why)
                }
                Requirement::Unset { unset, why } => (vec![], vec![unset.as_str()], why),
            };
            let part = judged_with(&preset, &[fixes.clone(), bad.clone()].concat(), &set, 1);
            let (advice, fix) = (part.advice.join(" "), requirement.fix());
            assert_eq!(part.state, State::Failed, "{name}: {fix}");
            assert!(advice.contains(&format!("printf '[Service]\\n{fix}\\n' | sudo")), "{advice}");
            let generic = bad.contains(&"KillMode=process".to_owned());
            assert!(generic || advice.contains(why.as_str()), "{advice}");
            all_bad.extend(bad);
            all_set.extend(set);
            requirements += 1;
        }
        let part = judged_with(&preset, &all_bad, &all_set, 1);
        let advice = part.advice.join(" ");
        assert_eq!(advice.matches("sudo install").count(), 1, "{advice}");
        assert!(fixes.iter().all(|fix| advice.contains(fix)), "{advice}");
    }
    assert!(requirements > 20, "only {requirements}");
}

/// A unit has several processes and the default KillMode. That is a risk unless the preset knows better.
#[test]
fn several_processes() {
    for (name, setting, expected) in [
        ("puma", "KillSignal=SIGTERM", State::Warning),
        ("gunicorn", "KillSignal=SIGTERM", State::Ok),
        ("celery", "KillSignal=SIGTERM", State::Failed),
    ] {
        let preset = Preset::named(name).expect("listed");
        let settings = ["KillMode=control-group", setting].map(str::to_owned);
        let part = judged_with(&preset, &settings, &[], 3);
        assert_eq!(part.state, expected, "{name}: {part:?}");
    }
}

/// A unit that is told by a signal: its environment counts, and what a stop would signal does not.
#[test]
fn told_with_a_preset() {
    let told = "preset = \"celery\"\ndrain.signal = \"SIGTERM\"";
    assert_eq!(judged(told, "KillMode=control-group\nKillSignal=3", None), (State::Ok, String::new()));
    let preset = Preset::named("celery").expect("listed");
    let violations = requirement::of_variables(&preset, &BTreeSet::from(["REMAP_SIGTERM".to_owned()]));
    assert_eq!(violations[0].fix, "UnsetEnvironment=REMAP_SIGTERM");
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
