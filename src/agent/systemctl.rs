//! Asks systemd about units, and to start, stop and signal them, through `systemctl`. polkit decides what the daemon's user
//! may do.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::command::PATH;
use formats::text::printable;
use machine::process::Process;

/// Time limit for an answer that systemd gives at once.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The longest error message that is passed on, in characters.
const MESSAGE_MAX: usize = 300;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum SystemctlError {
    /// `systemctl` is not installed, or cannot be run.
    #[error("systemctl {what}: {source}")]
    NotStarted {
        /// The arguments.
        what: String,
        /// The error from the operating system.
        source: std::io::Error,
    },
    /// polkit has no rule that permits it.
    #[error(
        "systemctl {what}: {message}; polkit does not permit it: install the rule that `drainhook config --polkit` prints"
    )]
    Denied {
        /// The arguments.
        what: String,
        /// What systemctl wrote.
        message: String,
    },
    /// systemd refused it, or tried and failed.
    #[error("systemctl {what}: {message}")]
    Failed {
        /// The arguments.
        what: String,
        /// What systemctl wrote.
        message: String,
    },
    /// No answer. It may have taken effect.
    #[error("systemctl {what}: no answer within {limit:?}")]
    TimedOut {
        /// The arguments.
        what: String,
        /// The time limit.
        limit: Duration,
    },
}

/// Runs `systemctl` with these arguments and returns what it wrote. If the returned future is dropped, so is the call, but
/// what systemd has begun goes on.
pub async fn call(arguments: &[&str], limit: Duration) -> Result<String, SystemctlError> {
    let what = arguments.join(" ");
    let mut command = Command::new("systemctl");
    command.args(["--no-ask-password", "--no-pager"]).args(arguments).env_clear();
    command.env("PATH", PATH).env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0").current_dir("/");
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(limit, command.output()).await {
        Err(_) => Err(SystemctlError::TimedOut { what, limit }),
        Ok(Err(source)) => Err(SystemctlError::NotStarted { what, source }),
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(refusal(what, &String::from_utf8_lossy(&output.stderr), output.status)),
    }
}

fn refusal(what: String, stderr: &str, status: ExitStatus) -> SystemctlError {
    let message = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = if message.is_empty() { status.to_string() } else { printable(&message, MESSAGE_MAX) };
    // "Interactive authentication required." or "Access denied", from sd-bus's errors.
    if message.contains("authentication required") || message.contains("Access denied") {
        SystemctlError::Denied { what, message }
    } else {
        SystemctlError::Failed { what, message }
    }
}

/// The properties that [`show`] reads (org.freedesktop.systemd1(5)).
const PROPERTIES: &str = "--property=Id,LoadState,LoadError,ActiveState,SubState,Result,InvocationID,MainPID,ExecMainStatus,\
                          Type,RemainAfterExit,TimeoutStartUSec,TimeoutStopUSec,KillMode,KillSignal,Restart,RestartUSec,\
                          NeedDaemonReload,ControlGroup,ExecStart";

/// A unit, as systemd shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it does.
    pub state: UnitState,
    /// It is being started. With `Type=notify`, its program has not said that it is ready.
    pub starts: bool,
    /// `Id`: its name. An alias shows the name that it stands for.
    pub name: String,
    /// `Type`, such as `simple`.
    pub kind: String,
    /// `RemainAfterExit`: it stays active when its processes have ended.
    pub remains: bool,
    /// `TimeoutStartUSec`: how long it may take to start. `None`: without limit.
    pub start_timeout: Option<Duration>,
    /// `TimeoutStopUSec`: how long it may take to stop. Then its processes are killed. `None`: without limit.
    pub stop_timeout: Option<Duration>,
    /// `KillMode`: which of its processes get the signal when it is stopped.
    pub kill_mode: String,
    /// `KillSignal`, by name, or as a number if the name is not known.
    pub kill_signal: String,
    /// `Restart`: when it is started again after its process has ended.
    pub restart: String,
    /// `RestartUSec`: how long after that.
    pub restart_delay: Duration,
    /// `ExecStart`: the command that it runs. Variables are not expanded.
    pub command: Vec<String>,
    /// `NeedDaemonReload`: its files have changed since systemd read them.
    pub needs_reload: bool,
    /// How many processes its control group has.
    pub processes: usize,
}

/// What a unit does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitState {
    /// It runs.
    Runs {
        /// Its `InvocationID`.
        process: Process,
        /// `MainPID`, if it has a main process.
        main: Option<i32>,
    },
    /// It is being stopped.
    Stops {
        /// `MainPID`, if the main process has not ended yet.
        main: Option<i32>,
    },
    /// Its process has ended, and `Restart=` starts it again soon.
    Restarts,
    /// It does not run, and ended well, if it ever ran.
    Inactive,
    /// It does not run, and ended badly.
    Failed {
        /// `Result`, such as `timeout`.
        result: String,
        /// `ExecMainStatus`: the exit status or the signal of its main process.
        status: i32,
    },
    /// systemd cannot load it and it does not run. Why not.
    Unusable(String),
}

/// Reads a unit's state.
pub async fn show(unit: &str) -> Result<Unit, SystemctlError> {
    let shown = call(&["show", PROPERTIES, "--", unit], LIMIT).await?;
    read(&shown).ok_or_else(|| SystemctlError::Failed {
        what: format!("show {unit}"),
        message: format!("cannot read {:?}", printable(&shown, MESSAGE_MAX)),
    })
}

/// The names of the variables that a unit sets for its processes with `Environment=`. Those of its `EnvironmentFile=` are not
/// known. Values may be secrets, so they are dropped.
pub async fn variables(unit: &str) -> Result<BTreeSet<String>, SystemctlError> {
    let shown = call(&["show", "--property=Environment,UnsetEnvironment", "--", unit], LIMIT).await?;
    Ok(variable_names(&shown))
}

fn variable_names(shown: &str) -> BTreeSet<String> {
    let names = |property: &str| -> BTreeSet<String> {
        let list = shown.lines().find_map(|line| line.strip_prefix(property)).unwrap_or_default();
        words(list).iter().filter_map(|word| word.split('=').next()).map(str::to_owned).collect()
    };
    &names("Environment=") - &names("UnsetEnvironment=")
}

/// Splits a list as systemd writes it: words with other characters than the usual ones are quoted.
fn words(list: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = list.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => word.extend(chars.next()),
            '$' if word.is_empty() && quote.is_none() => {}
            '"' | '\'' if quote.is_none() => quote = Some(char),
            _ if quote == Some(char) => quote = None,
            ' ' if quote.is_none() => words.push(std::mem::take(&mut word)),
            _ => word.push(char),
        }
    }
    words.push(word);
    words
}

/// Reads lines of `Name=value`, as `systemctl show` writes them. `None` if that is not what they are.
pub fn read(shown: &str) -> Option<Unit> {
    let properties: BTreeMap<&str, &str> = shown.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |name: &str| properties.get(name).copied().unwrap_or_default();
    let main = text("MainPID").parse().ok().filter(|pid| *pid > 0);
    let state = match (text("ActiveState"), text("SubState")) {
        ("activating", "auto-restart" | "auto-restart-queued") => UnitState::Restarts,
        ("active" | "activating" | "reloading" | "refreshing", _) => {
            UnitState::Runs { process: text("InvocationID").parse().ok()?, main }
        }
        ("deactivating", _) => UnitState::Stops { main },
        ("inactive", _) => match text("LoadState") {
            "loaded" | "masked" => UnitState::Inactive,
            "not-found" => UnitState::Unusable("there is no such unit".to_owned()),
            other => UnitState::Unusable(format!("systemd cannot load it ({other}) {}", text("LoadError"))),
        },
        ("failed", _) => UnitState::Failed {
            result: text("Result").to_owned(),
            status: text("ExecMainStatus").parse().unwrap_or_default(),
        },
        _ => return None,
    };
    Some(Unit {
        state,
        starts: text("ActiveState") == "activating",
        name: text("Id").to_owned(),
        kind: text("Type").to_owned(),
        remains: text("RemainAfterExit") == "yes",
        start_timeout: time_span(text("TimeoutStartUSec")),
        stop_timeout: time_span(text("TimeoutStopUSec")),
        kill_mode: text("KillMode").to_owned(),
        kill_signal: signal_name(text("KillSignal")),
        restart: text("Restart").to_owned(),
        restart_delay: time_span(text("RestartUSec")).unwrap_or_default(),
        command: command(text("ExecStart")),
        needs_reload: text("NeedDaemonReload") == "yes",
        processes: processes(text("ControlGroup")),
    })
}

/// Reads the words of a command such as `{ path=/bin/a ; argv[]=/bin/a -b ; ignore_errors=no ; … }`.
fn command(shown: &str) -> Vec<String> {
    let words = shown.split_once("argv[]=").map(|(_, rest)| rest.split(" ; ").next().unwrap_or_default());
    words.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Reads a span such as `1min 30s`. `None` if it is `infinity` (systemd.time(7)).
fn time_span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for word in text.split_whitespace() {
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = word.split_at(digits);
        let seconds = match unit {
            "y" => 31_557_600.0,
            "month" => 2_629_800.0,
            "w" => 604_800.0,
            "d" => 86_400.0,
            "h" => 3_600.0,
            "min" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    }
    Some(total)
}

/// `systemctl show` writes signals as numbers.
fn signal_name(number: &str) -> String {
    let name = match number.parse() {
        Ok(1) => "SIGHUP",
        Ok(2) => "SIGINT",
        Ok(3) => "SIGQUIT",
        Ok(9) => "SIGKILL",
        Ok(10) => "SIGUSR1",
        Ok(12) => "SIGUSR2",
        Ok(15) => "SIGTERM",
        Ok(28) => "SIGWINCH",
        Ok(other) => return format!("signal {other}"),
        Err(_) => number,
    };
    name.to_owned()
}

/// The number of processes in a control group, such as `/system.slice/worker.service`. 0 if it cannot be read.
fn processes(group: &str) -> usize {
    let path = format!("/sys/fs/cgroup{group}/cgroup.procs");
    let listed = if group.is_empty() { None } else { std::fs::read_to_string(path).ok() };
    listed.map_or(0, |listed| listed.lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(active: &str, more: &str) -> Option<UnitState> {
        read(&format!("LoadState=loaded\nActiveState={active}\n{more}")).map(|unit| unit.state)
    }

    #[test]
    fn states() {
        let id = "InvocationID=67bb0f67dd114a0ca3fa3fe2372ec3bc\nMainPID=12\n";
        let process = Process(0x67bb_0f67_dd11_4a0c_a3fa_3fe2_372e_c3bc);
        let runs = || Some(UnitState::Runs { process, main: Some(12) });
        assert_eq!(state("active", id), runs());
        assert_eq!(state("activating", &format!("SubState=start-pre\n{id}")), runs());
        assert_eq!(state("activating", &format!("SubState=auto-restart\n{id}")), Some(UnitState::Restarts));
        assert_eq!(state("deactivating", id), Some(UnitState::Stops { main: Some(12) }));
        assert_eq!(state("deactivating", "MainPID=0"), Some(UnitState::Stops { main: None }));
        assert_eq!(state("inactive", "MainPID=0"), Some(UnitState::Inactive));
        let failed = UnitState::Failed { result: "timeout".to_owned(), status: 9 };
        assert_eq!(state("failed", "Result=timeout\nExecMainStatus=9"), Some(failed));
        assert_eq!(state("active", "InvocationID="), None, "a process that runs has an id");
        assert_eq!(state("", ""), None);
        let none = read("LoadState=not-found\nActiveState=inactive\n").map(|unit| unit.state);
        assert_eq!(none, Some(UnitState::Unusable("there is no such unit".to_owned())));
        let masked = read("LoadState=masked\nActiveState=inactive\n").map(|unit| unit.state);
        assert_eq!(masked, Some(UnitState::Inactive), "it does not run, and can never be started");
    }

    #[test]
    fn commands() {
        let shown = "{ path=/bin/a ; argv[]=/bin/a -b $C ; ignore_errors=no ; start_time=[n/a] ; pid=0 }";
        assert_eq!(command(shown), ["/bin/a", "-b", "$C"]);
        assert_eq!(command(""), [""; 0]);
    }

    #[test]
    fn time_spans() {
        for (text, expected) in [
            ("1min 30s", Some(90.0)),
            ("infinity", None),
            ("0", None),
            ("5s", Some(5.0)),
            ("1h 500ms", Some(3600.5)),
            ("2.5s", Some(2.5)),
            ("1w 2d", Some(777_600.0)),
        ] {
            assert_eq!(time_span(text), expected.map(Duration::from_secs_f64), "{text}");
        }
    }

    #[test]
    fn names_of_variables() {
        let names = |shown: &str| variable_names(shown).into_iter().collect::<Vec<_>>();
        assert_eq!(names("Environment=A=1 \"B=x C=2\" D=\nUnsetEnvironment=\n"), ["A", "B", "D"]);
        assert_eq!(names(r#"Environment="A=a \" B=2" $'C=\t D=3'"#), ["A", "C"], "quotes in values");
        assert_eq!(names("Environment=A=1 B=2\nUnsetEnvironment=A\n"), ["B"], "as a drop-in fixes it");
        assert_eq!(names("Environment=\nUnsetEnvironment=\n"), [""; 0]);
    }

    #[test]
    fn refusals() {
        use std::os::unix::process::ExitStatusExt;
        let refused =
            |stderr| refusal("stop a.service".to_owned(), stderr, ExitStatus::from_raw(256)).to_string();
        let denied =
            refused("Failed to stop a.service: Interactive authentication required.\nSee system logs.\n");
        assert!(denied.contains("required. See system logs.; polkit does not permit it"), "{denied}");
        assert_eq!(
            refused("Failed to stop a.service: Unit a.service not loaded.\n"),
            "systemctl stop a.service: Failed to stop a.service: Unit a.service not loaded."
        );
        assert_eq!(refused(""), "systemctl stop a.service: exit status: 1");
    }
}
