//! Drains agents by commands.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use machine::status::State;
use rustix::process::{Pid, Signal, test_kill_process};
use sim::world::{ActionResult, Happening, Work, WorldConfig};

use crate::support::daemon::{Daemon, Stage, Variables, completed, eventually};
use crate::world;

/// A script that drains, and the folder in which it leaves its marks.
pub struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    /// `$here` is the folder. Each run adds a line to the file `runs`.
    pub fn new(body: &str) -> Self {
        let script = Script { folder: tempfile::tempdir().expect("a folder") };
        script.write("drain", &format!("echo \"$$ $*\" >>$here/runs\n{body}"));
        script
    }

    /// The same, for a script that does this at SIGTERM.
    fn with_trap(trap: &str, body: &str) -> Self {
        let script = Script { folder: tempfile::tempdir().expect("a folder") };
        script.write("drain", &format!("trap '{trap}' TERM\necho \"$$ $*\" >>$here/runs\n{body}"));
        script
    }

    pub fn write(&self, name: &str, body: &str) {
        let path = self.path(name);
        let text = format!("#!/bin/sh\nhere={}\n{body}\n", self.folder.path().display());
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn runs(&self) -> usize {
        self.text("runs").lines().count()
    }

    /// The process of the latest run.
    fn process(&self) -> Pid {
        let runs = self.text("runs");
        let id = runs.lines().last().and_then(|run| run.split(' ').next()?.parse().ok());
        id.and_then(Pid::from_raw).expect("a process id")
    }

    pub fn variables(&self, stage: &Stage, settings: &[(&'static str, &str)]) -> Variables {
        let mut variables = stage.variables(&stage.instance());
        variables.remove("DRAINHOOK_AGENT__URL");
        let command = serde_json::json!([self.path("drain"), "--now", "a b"]);
        variables.insert("DRAINHOOK_AGENT__COMMAND", command.to_string());
        variables.insert("DRAINHOOK_AGENT__NAME", "worker".to_owned());
        variables.insert("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON".to_owned());
        variables.insert("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON".to_owned());
        variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables
    }

    pub async fn daemon(&self, stage: &Stage, settings: &[(&'static str, &str)]) -> Daemon {
        Daemon::start(&self.variables(stage, settings)).await
    }

    pub fn release(&self) {
        std::fs::write(self.path("released"), "").expect("written");
    }
}

/// Waits until the test says that the work is done.
pub const WAITS: &str = "until [ -e $here/released ]; do sleep 0.05; done";

/// A world whose own agent has no work, because a command drains another one.
pub fn idle_world() -> WorldConfig {
    WorldConfig { work: Work { items: 0, ..Work::default() }, ..world(0, 1) }
}

pub fn completed_with(result: ActionResult) -> impl Fn(&Happening) -> bool {
    move |happening| matches!(happening, Happening::Completed { result: of, .. } if *of == result)
}

fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

/// The command runs without a shell and with a clean environment. Heartbeats are sent while it runs. The action is completed
/// when it exits with 0. Its output is in the log.
#[tokio::test]
async fn drains() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new(&format!("env >$here/env\necho one; echo two >&2\n{WAITS}\nprintf three"));
    let daemon = script.daemon(&stage, &[]).await;
    stage.scale_in();
    stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
    assert_eq!(stage.count(completed), 0);
    assert_eq!(daemon.status().await.state, State::Draining);
    script.release();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert!(script.text("runs").ends_with(" --now a b\n"), "{}", script.text("runs"));
    assert_eq!(script.runs(), 1);
    for line in ["one", "two", "three"] {
        daemon.logged(&["INFO", "command_output", &format!("worker: {line}")]).await;
    }
    let environment = script.text("env");
    let names: Vec<_> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    for name in ["DRAINHOOK_REASON", "DRAINHOOK_DEADLINE", "DRAINHOOK_INSTANCE_ID", "PATH"] {
        assert!(names.contains(&name), "{environment}");
    }
    assert!(environment.contains("DRAINHOOK_REASON=autoscaling_termination"), "{environment}");
    assert!(!environment.contains("AWS_") && !environment.contains("__"), "{environment}");
}

/// The command exits with 75 twice, and is run again each time.
#[tokio::test]
async fn try_again() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("[ $(wc -l <$here/runs) -ge 3 ] || { echo not yet; exit 75; }");
    let daemon = script.daemon(&stage, &[]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(script.runs(), 3);
    daemon.logged(&["WARN", "agent_trouble", "exited with status 75; it last wrote", "not yet"]).await;
}

/// The command fails until `unreachable_grace` is over. The drain has failed, and its result says so.
#[tokio::test]
async fn fails() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("exit 3");
    let daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "20s")]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    assert!(script.runs() > 1);
    daemon.logged(&["WARN", "agent_trouble", "drain exited with status 3"]).await;
    daemon.logged(&["WARN", "drain_ended", "failed"]).await;
}

/// At its deadline the command gets SIGTERM, and so does what it has started. It ends in order. The drain does not count as
/// drained.
#[tokio::test]
async fn deadline() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script =
        Script::with_trap("echo ended >$here/trap; exit 0", "sleep 600 & echo $! >$here/child\nwait");
    let _daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "30s")]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    eventually("its trap", || script.text("trap") == "ended\n").await;
    let child = script.text("child").trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    eventually("the end of its child", || !is_alive(child)).await;
    assert_eq!(script.runs(), 1, "it is not run again");
}

/// The command ignores SIGTERM. It gets SIGKILL ten seconds later.
#[tokio::test]
async fn ignores_sigterm() {
    let stage = Stage::new(20, idle_world()).await;
    let script = Script::with_trap("", "while :; do sleep 1; done");
    let _daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "30s")]).await;
    stage.scale_in();
    eventually("the command", || script.runs() == 1).await;
    let process = script.process();
    assert!(is_alive(process));
    eventually("its end", || !is_alive(process)).await;
}

/// At SIGTERM the command ends, but a process that it has started ignores the signal. That process gets SIGKILL.
#[tokio::test]
async fn child_ignores_sigterm() {
    let stage = Stage::new(20, idle_world()).await;
    let child = "sh -c \"trap \\\"\\\" TERM; while :; do sleep 1; done\" & echo $! >$here/child\nwait";
    let script = Script::new(child);
    let _daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "30s")]).await;
    stage.scale_in();
    eventually("the child", || script.text("child").ends_with('\n')).await;
    let (leader, child) =
        (script.process(), script.text("child").trim().parse().ok().and_then(Pid::from_raw));
    let child = child.expect("a process id");
    eventually("the end of the command", || !is_alive(leader)).await;
    assert!(is_alive(child));
    eventually("the end of its child", || !is_alive(child)).await;
}

/// A script with Windows line ends. Linux looks for an interpreter whose name ends with a carriage return.
#[tokio::test]
async fn windows_line_ends() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("");
    let text = std::fs::read_to_string(script.path("drain")).expect("readable").replace('\n', "\r\n");
    std::fs::write(script.path("drain"), text).expect("written");
    let daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "5s")]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    daemon.logged(&["WARN", "agent_trouble", "the interpreter in its first line does not exist"]).await;
}

/// An operator drains, and cancels the drain. The command is stopped before the command that returns the agent runs.
#[tokio::test]
async fn returned_to_service() {
    let stage = Stage::new(20, idle_world()).await;
    let script = Script::with_trap(
        "echo stopping; sleep 0.3; echo stopped >>$here/order; exit 0",
        "while :; do sleep 0.05; done",
    );
    script.write("return", "echo \"returned $DRAINHOOK_INSTANCE_ID\" >>$here/order");
    let back = script.path("return").display().to_string();
    let daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__RETURN__COMMAND", &back)]).await;
    daemon.order(r#"{"command":"drain"}"#).await;
    eventually("the command", || script.runs() == 1).await;
    daemon.order(r#"{"command":"cancel"}"#).await;
    let expected = format!("stopped\nreturned {}\n", stage.instance());
    eventually("the return", || script.text("order") == expected).await;
    daemon.until_status("in service", |status| status.state == State::Serving).await;
    daemon.logged(&["command_output", "worker: stopping"]).await;
}

/// An operator gives the drain more time while the command runs. The command is not interrupted, and may use that time.
#[tokio::test]
async fn extended() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new(WAITS);
    let daemon = script.daemon(&stage, &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "60s")]).await;
    stage.scale_in();
    eventually("the command", || script.runs() == 1).await;
    let before = daemon.status().await.deadline.expect("a deadline");
    daemon.order(r#"{"command":"extend","seconds":600}"#).await;
    let past = before + Duration::from_secs(20);
    eventually("the first deadline is over", || stage.service.clock().now() > past).await;
    assert!(is_alive(script.process()));
    script.release();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(script.runs(), 1);
}

/// The daemon is restarted while the command runs. It stops the command, and its next life runs it again.
#[tokio::test]
async fn restarted() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new(WAITS);
    let variables = script.variables(&stage, &[]);
    let mut daemon = Daemon::start(&variables).await;
    stage.scale_in();
    eventually("the command", || script.runs() == 1).await;
    let first = script.process();
    daemon.terminate();
    daemon.exit().await;
    eventually("the end of the first run", || !is_alive(first)).await;
    let _next = Daemon::start(&variables).await;
    eventually("the second run", || script.runs() == 2).await;
    script.release();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
}

/// The command prints 10 MiB, in lines without an end and in many short ones. The log gets few of them, and no control
/// sequences.
#[tokio::test]
async fn prints_too_much() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new(
        "head -c 5242880 /dev/zero | tr '\\0' x\necho\nyes short | head -c 5242880\nprintf '\\033[2Jred\\n'",
    );
    let daemon = script.daemon(&stage, &[]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    daemon.logged(&["command_output", "more lines were not logged"]).await;
    let log = daemon.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("command_output")).collect();
    assert!(lines.len() < 150, "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() < 1000 && !line.contains('\u{1b}')));
}

/// The command leaves a process behind that keeps its output open. That does not hold up the drain.
#[tokio::test]
async fn leaves_a_process_behind() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("sleep 300 & echo $! >$here/child");
    let _daemon = script.daemon(&stage, &[]).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    let child = script.text("child").trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    assert!(is_alive(child), "it belongs to the agent");
    rustix::process::kill_process(child, Signal::KILL).expect("it runs");
}

/// The program does not exist, is a folder, or is not executable. The drain fails after `unreachable_grace`.
#[tokio::test]
async fn cannot_be_started() {
    for (program, why) in
        [("none", "No such file"), ("folder", "Permission denied"), ("plain", "Permission denied")]
    {
        let mut stage = Stage::new(20, idle_world()).await;
        let script = Script::new("");
        std::fs::create_dir(script.path("folder")).expect("made");
        std::fs::write(script.path("plain"), "exit 0\n").expect("written");
        let command = script.path(program).display().to_string();
        let settings =
            [("DRAINHOOK_AGENT__COMMAND", command.as_str()), ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "5s")];
        let daemon = script.daemon(&stage, &settings).await;
        stage.scale_in();
        stage.until("the completion", completed_with(ActionResult::Abandon)).await;
        daemon.logged(&["WARN", "agent_trouble", "cannot run", why]).await;
    }
}
