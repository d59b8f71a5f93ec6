//! Drains agents that do not speak our protocol: what is in flight is read elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use machine::status::State;
use sim::world::{ActionResult, Happening};

use crate::command::{Script, completed_with, idle_world};
use crate::support::daemon::{Daemon, Stage, Variables, completed, drained, eventually, told, worked};
use crate::support::{Reply, Request, Server, answer, ok};
use crate::world;

const ZERO_FOR: (&str, &str) = ("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "10s");

/// The daemon reads an agent's document as if it did not know our protocol: only the number in it. It completes the action once
/// the number has been 0 for ten seconds.
#[tokio::test]
async fn number_in_a_document() {
    let mut stage = Stage::new(20, world(2, 20)).await;
    let settings = [("DRAINHOOK_AGENT__STATUS__POINTER", "/in_flight"), ZERO_FOR];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("a finished item", worked).await;
    let status = daemon.until_status("work in flight", |status| status.agents[0].in_flight == Some(1)).await;
    assert_eq!(status.agents[0].state, "draining");
    stage.until_ended_well(&[]).await;
    let at = |found: fn(&Happening) -> bool| {
        stage.history.iter().find(|(_, one)| found(one)).expect("it happened").0
    };
    assert!(at(completed) >= at(drained) + Duration::from_secs(10), "{:#?}", stage.history);
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
}

/// An agent with a page of metrics, a request that drains it, and a number in flight that the test sets.
struct Metrics {
    server: Server,
    running: Arc<AtomicU32>,
}

impl Metrics {
    async fn new(running: u32) -> Self {
        let running = Arc::new(AtomicU32::new(running));
        let of_server = Arc::clone(&running);
        let reply = move |request: &Request| -> Reply {
            match request.line() {
                "PUT /pause" => answer(202, &[], ""),
                "GET /metrics?all=1" => ok(format!(
                    "# TYPE jobs gauge\njobs{{state=\"waiting\"}} 7\njobs{{state=\"running\"}} {}\n",
                    of_server.load(Ordering::Relaxed)
                )),
                _ => answer(404, &[], ""),
            }
        };
        Metrics { server: Server::start(reply).await, running }
    }

    fn count(&self, line: &str) -> usize {
        self.server.lines().iter().filter(|asked| *asked == line).count()
    }
}

/// The agent is drained by a request of its own, and says on a page of metrics how many jobs run. The page is read until the
/// jobs are done, and neither our document nor `Prefer: wait` is asked for.
#[tokio::test]
async fn metric_of_an_agent() {
    let mut stage = Stage::new(20, idle_world()).await;
    let agent = Metrics::new(3).await;
    let url = format!("{}/metrics?all=1", agent.server.url);
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.server.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN__PATH", "/pause"),
        ("DRAINHOOK_AGENT__DRAIN__METHOD", "PUT"),
        ("DRAINHOOK_AGENT__STATUS__URL", &url),
        ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs"),
        ("DRAINHOOK_AGENT__STATUS__LABELS", "{ state = \"running\" }"),
        ZERO_FOR,
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    daemon.until_status("its jobs", |status| status.agents[0].in_flight == Some(3)).await;
    eventually("many readings", || agent.count("GET /metrics?all=1") > 20).await;
    assert_eq!(stage.count(completed), 0);
    agent.running.store(0, Ordering::Relaxed);
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(agent.count("PUT /pause"), 1);
    let asked: Vec<String> = agent.server.lines();
    assert!(asked[1..].iter().all(|line| line == "GET /metrics?all=1"), "{asked:?}");
    assert!(agent.server.requests().iter().all(|request| request.header("prefer").is_none()));
}

/// Without `zero_for`, the number is reported, but 0 does not end the drain. The agent exits when it is done.
#[tokio::test]
async fn number_that_is_only_reported() {
    let mut stage = Stage::new(20, idle_world()).await;
    let agent = Metrics::new(0).await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.server.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN__PATH", "/pause"),
        ("DRAINHOOK_AGENT__DRAIN__METHOD", "PUT"),
        ("DRAINHOOK_AGENT__STATUS__PATH", "/metrics?all=1"),
        ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs"),
        ("DRAINHOOK_AGENT__STATUS__LABELS", "{ state = \"running\" }"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "60s"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    daemon.until_status("its number", |status| status.agents[0].in_flight == Some(0)).await;
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    daemon.logged(&["drain_ended", "deadline"]).await;
}

/// The document of an agent is at another URL than its drain request.
#[tokio::test]
async fn document_elsewhere() {
    let mut stage = Stage::new(20, world(2, 20)).await;
    let document = format!("{}/drain", stage.service.endpoints(&stage.instance()).expect("it listens").agent);
    let behind = stage.variables(&stage.instance()).remove("DRAINHOOK_AGENT__URL").expect("set");
    let agent = Server::before(&behind, |request| {
        request.line().starts_with("GET").then(|| answer(404, &[], "no status here"))
    })
    .await;
    let settings =
        [("DRAINHOOK_AGENT__URL", agent.url.as_str()), ("DRAINHOOK_AGENT__STATUS__URL", &document)];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert!(agent.lines().iter().all(|line| line == "POST /drain"), "{:?}", agent.lines());
}

/// A command deletes the runner, and exits. The runner's worker is a process of its own that ends when its job is done. The
/// command is not run again.
#[tokio::test]
async fn processes_after_a_command() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("");
    let name = format!("worker-{}", std::process::id());
    script.write(&name, "until [ -e $here/released ]; do sleep 0.05; done");
    let mut worker = tokio::process::Command::new(script.path(&name)).spawn().expect("it starts");
    let settings = [("DRAINHOOK_AGENT__STATUS__PROCESSES", name.as_str()), ZERO_FOR];
    let daemon = script.daemon(&stage, &settings).await;
    stage.scale_in();
    daemon.until_status("the worker", |status| status.agents[0].in_flight == Some(1)).await;
    stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
    assert_eq!(stage.count(completed), 0);
    assert_eq!(daemon.status().await.state, State::Draining);
    script.release();
    worker.wait().await.expect("it ends");
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(script.runs(), 1);
}

/// A command prints the number in flight. It runs again and again, so the log gets none of its output, only the number.
#[tokio::test]
async fn number_from_a_command() {
    let mut stage = Stage::new(20, idle_world()).await;
    let script = Script::new("");
    script.write("busy", "echo \"$# $DRAINHOOK_INSTANCE_ID\" >>$here/asked\necho checking\ncat $here/number");
    let write = |number: &str| std::fs::write(script.path("number"), number).expect("written");
    write("2\n");
    let command = serde_json::json!([script.path("busy"), "a b"]).to_string();
    let settings =
        [("DRAINHOOK_AGENT__STATUS__COMMAND", command.as_str()), ZERO_FOR, ("DRAINHOOK_LOG__LEVEL", "info")];
    let daemon = script.daemon(&stage, &settings).await;
    stage.scale_in();
    daemon.logged(&["agent_progress", "2 in flight"]).await;
    let runs = || std::fs::read_to_string(script.path("asked")).unwrap_or_default().lines().count();
    eventually("many readings", || runs() > 20).await;
    assert_eq!(stage.count(completed), 0);
    write("0");
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    let asked = std::fs::read_to_string(script.path("asked")).expect("it ran");
    assert!(asked.lines().all(|line| line == format!("1 {}", stage.instance())), "{asked}");
    assert!(!daemon.log().contains("checking"), "{}", daemon.log());
}

/// The daemon is restarted while the number is 0. It tells the agent again, and counts the ten seconds anew.
#[tokio::test]
async fn restarted() {
    let mut stage = Stage::new(20, world(1, 20)).await;
    let mut variables: Variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_AGENT__STATUS__POINTER", "/in_flight".to_owned());
    variables.insert(ZERO_FOR.0, "60s".to_owned());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("the end of the work", drained).await;
    daemon.until_status("the number", |status| status.agents[0].in_flight == Some(0)).await;
    daemon.kill().await;
    let restart = stage.service.clock().now();
    let _next = Daemon::start(&variables).await;
    stage.until_ended_well(&[restart]).await;
    let end = stage.history.iter().find(|(_, one)| completed(one)).expect("it ended").0;
    assert!(end >= restart + Duration::from_secs(60), "{:#?}", stage.history);
    assert_eq!(stage.count(told), 2);
}
