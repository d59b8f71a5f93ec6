//! Ends the work of an agent shortly before its deadline.

use std::sync::Mutex;

use machine::journal::Outcome;
use sim::world::ActionResult;

use crate::command::{Script, WAITS, completed_with, idle_world};
use crate::support::daemon::{Daemon, Stage};
use crate::support::{Request, Server, answer, ok};

/// The variables of an agent with a minute to drain, whose work is ended ten seconds before its deadline.
const SETTINGS: [(&str, &str); 2] =
    [("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "1m"), ("DRAINHOOK_AGENT__FORCE__BEFORE", "10s")];

/// A command has work that does not end. The force step ends it, with the variables of commands, and the drain ends before its
/// deadline, and not as drained.
#[tokio::test]
async fn ends_the_work() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new(WAITS);
    script.write("force", "env >$here/env; echo aborting; touch $here/released");
    let force = script.path("force").display().to_string();
    let settings = [&SETTINGS[..], &[("DRAINHOOK_AGENT__FORCE__COMMAND", force.as_str())]].concat();
    let daemon = script.daemon(&stage, &settings).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    let status = daemon.until_status("the end", |status| status.last_drain.is_some()).await;
    assert_eq!(status.last_drain.map(|last| last.outcome), Some(Outcome::Deadline));
    assert_eq!(script.runs(), 1, "the command drained until then");
    let environment = script.text("env");
    assert!(environment.contains("DRAINHOOK_REASON=autoscaling_termination"), "{environment}");
    daemon.logged(&["WARN", "force_started", "agent worker: it has not drained"]).await;
    daemon.logged(&["INFO", "command_output", "worker, force step: aborting"]).await;
    daemon.logged(&["INFO", "force_done", "agent worker"]).await;
}

/// A step that hangs, and one that fails. The drain ends at its deadline.
#[tokio::test]
async fn never_in_the_way() {
    for (body, word) in
        [("sleep 600", "was stopped at the agent's deadline"), ("exit 3", "exited with status 3")]
    {
        let mut stage = Stage::new(20, idle_world()).await;
        let script = Script::new(WAITS);
        script.write("force", body);
        let force = script.path("force").display().to_string();
        let settings = [&SETTINGS[..], &[("DRAINHOOK_AGENT__FORCE__COMMAND", force.as_str())]].concat();
        let daemon = script.daemon(&stage, &settings).await;
        stage.scale_in();
        stage.until("the completion", completed_with(ActionResult::Abandon)).await;
        daemon.logged(&["WARN", "force_failed", word]).await;
    }
}

/// An agent with an HTTP interface. Its work ends at the request for that.
#[tokio::test]
async fn request() {
    let mut stage = Stage::new(20, idle_world()).await;
    let state = Mutex::new("serving");
    let agent = Server::start(move |request| {
        let mut state = state.lock().expect("no panics");
        match request.line() {
            "POST /drain" => *state = "draining",
            "PUT /abort" => {
                *state = "drained";
                return answer(404, &[], "no such job");
            }
            _ => {}
        }
        ok(format!("{{\"state\":\"{state}\"}}"))
    })
    .await;
    let mut variables = stage.variables(&stage.instance());
    variables.extend(SETTINGS.map(|(name, value)| (name, value.to_owned())));
    variables.extend([
        ("DRAINHOOK_AGENT__URL", agent.url.clone()),
        ("DRAINHOOK_AGENT__FORCE__PATH", "/abort".to_owned()),
        ("DRAINHOOK_AGENT__FORCE__METHOD", "PUT".to_owned()),
        ("DRAINHOOK_AGENT__FORCE__BODY", "{reason}".to_owned()),
        ("DRAINHOOK_AGENT__FORCE__SUCCESS", "404".to_owned()),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON".to_owned()),
    ]);
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    let aborts = |request: &&Request| request.line() == "PUT /abort";
    let bodies: Vec<String> =
        agent.requests().iter().filter(aborts).map(|request| request.body.clone()).collect();
    assert_eq!(bodies, ["autoscaling_termination"], "once");
    daemon.logged(&["INFO", "force_done", "agent"]).await;
}
