//! Runs after steps.

use std::path::PathBuf;

use machine::journal::Outcome;
use machine::status::State;
use sim::world::{ActionResult, Happening};
use tokio::process::Command;

use crate::command::{Script, WAITS, completed_with, idle_world};
use crate::support::daemon::{Daemon, Stage, completed, eventually};

/// The time of a step that outlasts the heartbeat interval.
const TEN_MINUTES: &str = "timeout = \"10m\"\n";

/// An agent that a command drains at once, and after steps. Each is a script that adds its name to the file `order`.
struct Steps {
    script: Script,
    /// The configuration file with the steps.
    file: PathBuf,
}

impl Steps {
    fn new(steps: &[(&str, &str)]) -> Self {
        Steps::with("", steps)
    }

    /// Each step also has these settings.
    fn with(settings: &str, steps: &[(&str, &str)]) -> Self {
        let script = Script::new("echo drain >>$here/order");
        let file = script.path("after.toml");
        let mut text = String::new();
        for (name, body) in steps {
            script.write(name, &format!("echo {name} >>$here/order\n{body}"));
            let program = script.path(name);
            text.push_str(&format!("[[after]]\ncommand = [\"{}\"]\n{settings}", program.display()));
        }
        std::fs::write(&file, text).expect("written");
        Steps { script, file }
    }

    async fn daemon(&self, stage: &Stage) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
        let variables = self.script.variables(stage, &[]);
        let mut daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(&self.file), &variables);
        assert!(daemon.end_before_it_is_up().await.is_none(), "{}", daemon.log());
        daemon
    }

    fn order(&self) -> Vec<String> {
        self.script.text("order").lines().map(str::to_owned).collect()
    }

    async fn runs(&self, name: &str) {
        eventually(name, || self.order().last().is_some_and(|last| last == name)).await;
    }
}

/// Both steps run after the drain, in order, with the variables of commands. Heartbeats are sent meanwhile. The second fails,
/// which is a warning, and the action is completed as drained.
#[tokio::test]
async fn before_the_completion() {
    let mut stage = Stage::new(20, idle_world()).await;
    let steps = Steps::with(
        TEN_MINUTES,
        &[("first", &format!("env >$here/env\n{WAITS}")), ("second", "echo oh no; exit 3")],
    );
    let daemon = steps.daemon(&stage).await;
    stage.scale_in();
    steps.runs("first").await;
    let status = daemon.until_status("a step", |status| status.state == State::AfterSteps).await;
    assert_eq!(status.step.map(|step| (step.number, step.of)), Some((1, 2)));
    stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
    assert_eq!(stage.count(completed), 0);
    steps.script.release();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(steps.order(), ["drain", "first", "second"]);
    let environment = steps.script.text("env");
    for variable in
        ["DRAINHOOK_REASON=autoscaling_termination", "DRAINHOOK_DEADLINE=", "DRAINHOOK_INSTANCE_ID=i-"]
    {
        assert!(environment.contains(variable), "{environment}");
    }
    daemon.logged(&["INFO", "step_done", "after step 1, "]).await;
    daemon.logged(&["INFO", "command_output", "after step 2: oh no"]).await;
    daemon
        .logged(&["WARN", "step_failed", "after step 2, ", "exited with status 3; it last wrote", "oh no"])
        .await;
    let error = daemon.status().await.last_error.expect("it failed");
    assert!(error.what.contains("exited with status 3"), "{error:?}");
}

/// One step hangs, and one cannot be started. The drain goes on after the first one's time.
#[tokio::test]
async fn hang_or_cannot_be_started() {
    let mut stage = Stage::new(20, idle_world()).await;
    let steps = Steps::new(&[("hangs", "exec sleep 600"), ("gone", ""), ("last", "")]);
    std::fs::remove_file(steps.script.path("gone")).expect("written");
    let daemon = steps.daemon(&stage).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(steps.order(), ["drain", "hangs", "last"]);
    daemon.logged(&["WARN", "step_failed", "after step 1, ", "its time is over"]).await;
    daemon.logged(&["WARN", "step_failed", "after step 2, ", "cannot run"]).await;
}

/// The daemon is restarted while the second step runs. It runs that step again, and not the first.
#[tokio::test]
async fn restarted() {
    let mut stage = Stage::new(20, idle_world()).await;
    let steps = Steps::new(&[("first", ""), ("second", WAITS)]);
    let mut daemon = steps.daemon(&stage).await;
    stage.scale_in();
    steps.runs("second").await;
    daemon.terminate();
    daemon.exit().await;
    let _next = steps.daemon(&stage).await;
    let twice = || steps.order().iter().filter(|step| *step == "second").count() == 2;
    eventually("the second run", twice).await;
    steps.script.release();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    let order: Vec<_> = steps.order().into_iter().filter(|name| name != "drain").collect();
    assert_eq!(order, ["first", "second", "second"]);
}

/// An operator drains, and cancels while a step runs. The step is stopped. Another drain, which has no lifecycle action, runs it
/// again and then ends.
#[tokio::test]
async fn canceled() {
    let stage = Stage::new(20, idle_world()).await;
    let steps = Steps::new(&[("only", &format!("trap 'echo stopped >>$here/order; exit 0' TERM\n{WAITS}"))]);
    let daemon = steps.daemon(&stage).await;
    daemon.order(r#"{"command":"drain"}"#).await;
    steps.runs("only").await;
    daemon.order(r#"{"command":"cancel"}"#).await;
    steps.runs("stopped").await;
    daemon.until_status("in service", |status| status.state == State::Serving).await;
    steps.script.release();
    daemon.order(r#"{"command":"drain"}"#).await;
    let ended = daemon.until_status("the end", |status| status.state == State::Ended).await;
    assert_eq!(ended.outcome, Some(Outcome::Drained));
    assert_eq!(steps.order(), ["drain", "only", "stopped", "drain", "only"]);
}
