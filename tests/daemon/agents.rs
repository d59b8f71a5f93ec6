//! Drains agents of every kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine::status::{State, Status};
use sim::world::{ActionResult, AgentMode, Happening, Work, WorldConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;

use crate::support::daemon::{Daemon, Stage, completed, drained, eventually, journal, told, worked};
use crate::support::{Reply, Request, Server, answer, ok, socket_path};
use crate::world;

fn completed_with(result: ActionResult) -> impl Fn(&Happening) -> bool {
    move |happening| matches!(happening, Happening::Completed { result: of, .. } if *of == result)
}

/// A world whose own agent has no work, for tests that use another agent.
fn idle_world() -> WorldConfig {
    WorldConfig { work: Work { items: 0, ..Work::default() }, ..world(0, 1) }
}

/// The daemon reaches the world's agent through a Unix socket. The drain completes.
#[tokio::test]
async fn unix_socket() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let path = socket_path(&stage.folder);
    let mut variables = stage.variables(&stage.instance());
    let address = variables.remove("DRAINHOOK_AGENT__URL").expect("set");
    let address = address.trim_start_matches("http://").to_owned();
    let listener = UnixListener::bind(&path).expect("a fresh path");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.expect("the agent listens");
                // The daemon must handle broken connections.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    variables.insert("DRAINHOOK_AGENT__UNIX", path.display().to_string());
    let _daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert_eq!(stage.count(drained), 1);
}

/// A blocking agent. It answers when the test says that its work is done.
struct Blocking {
    url: String,
    asked: watch::Receiver<Vec<String>>,
    done: watch::Sender<bool>,
}

impl Blocking {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (seen, asked) = watch::channel(Vec::new());
        let (done, wait) = watch::channel(false);
        let seen = Arc::new(seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_blocking(stream, Arc::clone(&seen), wait.clone()));
            }
        });
        Blocking { url, asked, done }
    }
}

async fn serve_blocking(
    mut stream: TcpStream,
    seen: Arc<watch::Sender<Vec<String>>>,
    mut done: watch::Receiver<bool>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.send_modify(|seen| seen.push(head.lines().next().unwrap_or_default().to_owned()));
    let _ = done.wait_for(|done| *done).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
}

/// The drain request stays open for longer than any other request may take. Heartbeats are sent meanwhile.
#[tokio::test]
async fn blocking_agent() {
    let mut stage = Stage::new(20, idle_world()).await;
    let mut agent = Blocking::start().await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN__BLOCKS", "true"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    agent.asked.wait_for(|asked| !asked.is_empty()).await.expect("it is asked");
    stage.until("a heartbeat", |one| matches!(one, Happening::Heartbeat { .. })).await;
    assert_eq!(stage.count(completed), 0);
    assert_eq!(daemon.status().await.state, State::Draining);
    agent.done.send_replace(true);
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(*agent.asked.borrow(), ["POST /drain HTTP/1.1"]);
}

#[tokio::test]
async fn agent_is_down() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Refuses));
    let settings =
        [("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "20s"), ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON")];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    daemon.logged(&["WARN", "drain_ended", "failed"]).await;
}

/// The agent is unreachable when the drain begins, and comes back within `unreachable_grace`. It drains normally.
#[tokio::test]
async fn agent_starts_late() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let set = |stage: &Stage, mode| {
        stage.service.world(|world, now| world.set_agent_mode(now, &instance, mode));
    };
    set(&stage, AgentMode::Refuses);
    let settings =
        [("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "10m"), ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON")];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    daemon.logged(&["agent_trouble"]).await;
    set(&stage, AgentMode::Fails(503));
    daemon.logged(&["503"]).await;
    set(&stage, AgentMode::Answers);
    stage.until_ended_well(&[]).await;
    assert_eq!(stage.count(completed_with(ActionResult::Continue)), 1);
}

/// The agent restarts during the drain. Its work is lost, but it is told to drain again, so it takes no new work.
#[tokio::test]
async fn agent_restarts() {
    let mut stage = Stage::new(20, world(6, 60)).await;
    let instance = stage.instance();
    let _daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("a POST", told).await;
    stage.service.world(|world, now| world.restart_agent(now, &instance));
    stage.until_times(2, "a POST to the new process", told).await;
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert_eq!(stage.count(drained), 1, "completed before the new process had drained");
}

/// The instance has two agents: the world's, and one that drains when the test says so. The action is completed when both
/// have drained.
#[tokio::test]
async fn two_agents() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let done = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&done);
    let second = Server::start(move |_| {
        let state = if said.load(Ordering::Relaxed) { "drained" } else { "draining" };
        ok(format!(r#"{{"state":"{state}","in_flight":1}}"#))
    })
    .await;
    let mut variables = stage.variables(&stage.instance());
    let first = variables.remove("DRAINHOOK_AGENT__URL").expect("set");
    let file = write(
        stage.folder.path(),
        &format!(
            "[[agent]]\nname = \"first\"\nurl = \"{first}\"\n\n[[agent]]\nname = \"second\"\nurl = \"{}\"\n",
            second.url
        ),
    );
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(file), &variables);
    daemon.logged(&["watching"]).await;
    stage.scale_in();
    stage.until("the first agent's end", drained).await;
    let before = second.requests().len();
    eventually("more questions to the second", || second.requests().len() > before + 3).await;
    assert_eq!(stage.count(completed), 0);
    let agents = daemon.status().await.agents;
    let states: Vec<_> = agents.iter().map(|agent| (agent.name.as_str(), agent.state.as_str())).collect();
    assert_eq!(states, [("first", "drained"), ("second", "draining")]);
    done.store(true, Ordering::Relaxed);
    stage.until_ended_well(&[]).await;
}

/// The second agent is told once the first one has drained. The action is completed after both.
#[tokio::test]
async fn one_after_the_other() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let (done, is_done) = watch::channel(false);
    let second = Server::start(move |_| Reply::Held(is_done.clone(), bytes(ok("")))).await;
    let mut variables = stage.variables(&stage.instance());
    let first = variables.remove("DRAINHOOK_AGENT__URL").expect("set");
    let text = format!(
        "[[agent]]\nname = \"second\"\nurl = \"{}\"\norder = 2\ndrain.blocks = true\n\n[[agent]]\nname = \"first\"\nurl = \"{first}\"\n",
        second.url
    );
    let file = write(stage.folder.path(), &text);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(file), &variables);
    daemon.logged(&["watching"]).await;
    stage.scale_in();
    stage.until("work that finishes", worked).await;
    assert_eq!(second.requests().len(), 0, "the first one still drains");
    let status = daemon.status().await;
    let line =
        |status: &Status, place: usize| (status.agents[place].state.clone(), status.agents[place].deadline);
    assert_eq!(line(&status, 0), ("waiting".to_owned(), None));
    eventually("the second is told", || !second.requests().is_empty()).await;
    assert_eq!(stage.count(drained), 1);
    assert_eq!(stage.count(completed), 0);
    daemon.logged(&["agents_told", "telling the agents of order 2 to drain by"]).await;
    done.send_replace(true);
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("drainhook.toml");
    std::fs::write(&file, text).expect("written");
    file
}

/// The agent refuses requests without its token. The drain ends as drained, so the token was sent.
#[tokio::test]
async fn token_file() {
    let mut stage = Stage::new(20, idle_world()).await;
    let agent = Server::start(|request| match request.header("authorization") {
        Some("Bearer open-sesame") => ok(r#"{"state":"drained","in_flight":0}"#),
        Some(_) | None => Reply::clone(&answer(401, &[], "")),
    })
    .await;
    let file = stage.folder.path().join("token");
    std::fs::write(&file, "open-sesame\n").expect("written");
    // Nothing listens there: an agent that is asked through a proxy cannot be reached.
    let proxy = crate::support::closed_port().await;
    let settings = [
        ("HTTP_PROXY", proxy.as_str()),
        ("http_proxy", &proxy),
        ("ALL_PROXY", &proxy),
        ("DRAINHOOK_LOG__LEVEL", "trace"),
        ("DRAINHOOK_AGENT__URL", &agent.url),
        ("DRAINHOOK_AGENT__TOKEN_FILE", &file.display().to_string()),
        ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "5s"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
    ];
    let kept = journal(&stage.variables(&stage.instance()));
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
    assert!(!daemon.log().contains("open-sesame"), "the token is in the log");
    assert!(!std::fs::read_to_string(kept).expect("there").contains("open-sesame"), "it is in the journal");
}

/// The agent is told the deadline, and the drain ends at it.
#[tokio::test]
async fn deadline() {
    let mut stage = Stage::new(20, crate::stuck_world()).await;
    let settings =
        [("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "90s"), ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON")];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("the completion", completed_with(ActionResult::Abandon)).await;
    let told_at = stage.history.iter().find(|(_, one)| told(one)).map(|(at, _)| *at).expect("told");
    let completed_at = stage.history.iter().find(|(_, one)| completed(one)).map(|(at, _)| *at);
    let deadline = stage.deadlines()[0];
    assert!(deadline.since(told_at) <= Duration::from_secs(90), "{deadline}");
    assert!(completed_at.is_some_and(|at| at >= deadline), "{completed_at:?}");
}

/// The bytes of a whole response.
fn bytes(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Bytes(bytes) => bytes,
        other => panic!("{other:?} is not a whole answer"),
    }
}

/// Waits until `holds`, and fails if a completion comes first.
async fn before_any_completion(stage: &mut Stage, what: &str, holds: impl FnMut() -> bool) {
    tokio::select! {
        () = eventually(what, holds) => {}
        () = stage.until("a completion", completed) => panic!("completed before {what}"),
    }
    assert_eq!(stage.count(completed), 0, "completed before {what}");
}

/// The agent is configured as a blocking one. It answers the drain request at once, with a status of three tasks in flight.
/// The daemon repeats the request until the agent says that it has drained.
#[tokio::test]
async fn blocking_agent_that_answers_with_work_in_flight() {
    for status in [
        r#"{"state":"draining","in_flight":3}"#,
        r#"{"state":"draining"}"#,
        r#"{"state":"serving","in_flight":3}"#,
        r#"{"in_flight":3}"#,
        r#"{"in_flight":3.0}"#,
        r#"{"in_flight":3,"gauges":{"x":NaN}}"#,
    ] {
        let mut stage = Stage::new(20, idle_world()).await;
        let (done, is_done) = watch::channel(false);
        let agent = Server::start(move |_| {
            ok(if *is_done.borrow() { r#"{"state":"drained","in_flight":0}"# } else { status })
        })
        .await;
        let settings = [
            ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
            ("DRAINHOOK_AGENT__DRAIN__BLOCKS", "true"),
            ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
            ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
        ];
        let _daemon = stage.daemon_with(&settings).await;
        stage.scale_in();
        stage.until("Wait", |one| matches!(one, Happening::WaitBegan { .. })).await;
        before_any_completion(&mut stage, "the agent is told again", || agent.requests().len() >= 3).await;
        done.send_replace(true);
        stage.until("the completion", completed_with(ActionResult::Continue)).await;
        assert!(agent.lines().iter().all(|line| line == "POST /drain"), "{:?}", agent.lines());
    }
}

/// The agent has drained while the load balancer still holds the instance. It exits and restarts with new work. The new
/// process accepts the drain request without a body, and holds its status request until its work is done. Wait begins
/// meanwhile. The action is not completed until the new process says that it has drained.
#[tokio::test]
async fn drained_agent_that_comes_back_with_work() {
    let lead = Some(Duration::from_secs(120));
    let mut stage = Stage::new(20, WorldConfig { load_balancer_drain: lead, ..idle_world() }).await;
    let path = socket_path(&stage.folder);
    let drained = bytes(answer(200, &[("connection", "close")], r#"{"state":"drained","in_flight":0}"#));
    let first = {
        let drained = drained.clone();
        Server::on_unix(&path, move |_| Reply::BytesThenClose(drained.clone())).await
    };
    let mut variables = stage.variables(&stage.instance());
    variables.remove("DRAINHOOK_AGENT__URL");
    variables.insert("DRAINHOOK_AGENT__UNIX", path.display().to_string());
    variables.insert("DRAINHOOK_LOG__LEVEL", "trace".to_owned());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    daemon.logged(&["agent_progress", "drained"]).await;
    assert!(!first.requests().is_empty());

    std::fs::remove_file(&path).expect("it was bound");
    let requests = || daemon.log().lines().filter(|line| line.contains("AskAgent")).count();
    let before = requests();
    // The second one is sent after the first one was refused.
    eventually("two requests that are refused", || requests() >= before + 2).await;
    let (done, is_done) = watch::channel(false);
    let second = Server::on_unix(&path, move |request: &Request| match request.line() {
        "POST /drain" => answer(202, &[], ""),
        _ => Reply::Held(is_done.clone(), drained.clone()),
    })
    .await;
    let asked = || second.lines().iter().any(|line| line == "GET /drain");
    before_any_completion(&mut stage, "the new process is asked for its status", asked).await;
    let beats = |one: &Happening| completed(one) || matches!(one, Happening::Heartbeat { .. });
    stage.until("a heartbeat in Wait", beats).await;
    assert_eq!(stage.count(completed), 0, "completed with the work of the new process in flight");
    done.send_replace(true);
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
}

/// A blocking agent drains behind a load balancer. When Wait begins, the hook's global timeout gives an earlier deadline than
/// the agent was told. The daemon tells the agent, and the agent's answer to that request ends the drain.
#[tokio::test]
async fn blocking_agent_hears_of_an_earlier_deadline() {
    let lead = Some(Duration::from_secs(60));
    let mut stage = Stage::new(20, WorldConfig { load_balancer_drain: lead, ..idle_world() }).await;
    let (done, is_done) = watch::channel(false);
    let agent = Server::start(move |_| Reply::Held(is_done.clone(), bytes(ok("")))).await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN__BLOCKS", "true"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "24h"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
    ];
    let _daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    before_any_completion(&mut stage, "the second order", || agent.requests().len() >= 2).await;
    let deadlines: Vec<String> = agent.requests().iter().map(|request| deadline_in(&request.body)).collect();
    assert!(deadlines[1] < deadlines[0], "{deadlines:?}");
    done.send_replace(true);
    stage.until("the completion", completed_with(ActionResult::Continue)).await;
}

/// The `deadline` of a drain request. RFC 3339 times in UTC sort as text.
fn deadline_in(body: &str) -> String {
    let order: serde_json::Value = serde_json::from_str(body).expect("JSON");
    order["deadline"].as_str().expect("a deadline").to_owned()
}

/// Nothing is listening when the drain begins. Then the agent listens, and answers 503 until the drain ends. The log warns
/// of both.
#[tokio::test]
async fn every_cause_of_failure_is_logged() {
    let stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let set = |mode| stage.service.world(|world, now| world.set_agent_mode(now, &instance, mode));
    set(AgentMode::Refuses);
    let daemon = stage.daemon_with(&[("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1h")]).await;
    stage.scale_in();
    daemon.logged(&["WARN", "agent_trouble", "refused"]).await;
    set(AgentMode::Fails(503));
    daemon.logged(&["WARN", "agent_trouble", "503"]).await;
}

/// The agent says that it honors `Prefer: wait`, but always has news, so the daemon polls it twenty times a second. The log
/// gets a line only every few seconds.
#[tokio::test]
async fn busy_agent_does_not_fill_the_log() {
    let stage = Stage::new(1, idle_world()).await;
    let counter = std::sync::atomic::AtomicU64::new(0);
    let agent = Server::start(move |_| {
        let count = counter.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"state":"draining","in_flight":{count}}}"#);
        answer(200, &[("preference-applied", "wait")], body)
    })
    .await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_AGENT__URL", agent.url.as_str())]).await;
    stage.scale_in();
    eventually("sixty requests", || agent.requests().len() >= 60).await;
    let lines = daemon.log().lines().filter(|line| line.contains("agent_progress")).count();
    assert!((1..=15).contains(&lines), "{lines} lines of 60 answers");
}
