//! Drains agents that have an HTTP interface of their own, without code by the user.

use std::sync::{Arc, Mutex};

use sim::world::{ActionResult, Happening, Work, WorldConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::command::run;
use crate::support::daemon::{Daemon, Stage, eventually, in_time, journal};
use crate::support::{Request, Server, answer, ok, read_request, socket_path};
use crate::world;

/// A world whose own agent has no work.
fn idle_world() -> WorldConfig {
    WorldConfig { work: Work { items: 0, ..Work::default() }, ..world(0, 1) }
}

/// A Selenium node. It takes a drain request with its secret, tells its sessions when it is asked, and then exits. Returns the
/// requests that it got.
async fn selenium_node(listener: TcpListener) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("it listens");
        while let Some(request) = read_request(&mut stream, 0).await {
            let (line, secret) = (request.line().to_owned(), request.header("x-registration-secret"));
            let (code, body) = match (line.as_str(), secret) {
                ("POST /se/grid/node/drain", Some("open-sesame")) => (200, r#"{"value":null}"#),
                ("POST /se/grid/node/drain", _) => (401, ""),
                ("GET /status", _) => (200, r#"{"value":{"ready":true,"nodes":[]}}"#),
                _ => (404, ""),
            };
            let length = body.len();
            let response = format!("HTTP/1.1 {code} X\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(response.as_bytes()).await.expect("the daemon reads");
            let drains = requests.iter().any(|earlier| earlier.line() == "POST /se/grid/node/drain");
            requests.push(request);
            if drains && line == "GET /status" {
                return requests;
            }
        }
    }
}

/// A node whose status is not the agent protocol's document. It has drained when it exits.
#[tokio::test]
async fn selenium() {
    let mut stage = Stage::new(20, idle_world()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let node = tokio::spawn(selenium_node(listener));
    let secret = stage.folder.path().join("secret");
    std::fs::write(&secret, "open-sesame\n").expect("written");
    let headers = format!("{{ X-REGISTRATION-SECRET = {{ file = '{}' }} }}", secret.display());
    let settings = [
        ("DRAINHOOK_AGENT__URL", url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN__PATH", "/se/grid/node/drain"),
        ("DRAINHOOK_AGENT__DRAIN__BODY", ""),
        ("DRAINHOOK_AGENT__STATUS__PATH", "/status"),
        ("DRAINHOOK_AGENT__ON_EXIT", "drained"),
        ("DRAINHOOK_AGENT__HEADERS", &headers),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    let continued = |one: &Happening| matches!(one, Happening::Completed { result, .. } if *result == ActionResult::Continue);
    stage.until("the completion", continued).await;
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    let requests = in_time("the node's exit", node).await.expect("it exits");
    assert_eq!((requests[0].line(), requests[0].body.as_str()), ("POST /se/grid/node/drain", ""));
    assert_eq!(requests[0].header("content-length"), Some("0"));
}

/// An agent with two endpoints of its own on a Unix socket, as Jitsi Videobridge has them. It answers 409 if it drains already,
/// and refuses requests without the current key. The key is replaced during the drain, and the new one is used to return the
/// agent. Neither key is in the log, the journal or the printed configuration.
#[tokio::test]
async fn drained_and_returned_with_another_key() {
    let stage = Stage::new(20, idle_world()).await;
    let path = socket_path(&stage.folder);
    let state = Arc::new(Mutex::new(("first-key", "serving")));
    let shared = Arc::clone(&state);
    let agent = Server::on_unix(&path, move |request| {
        let (key, state) = &mut *shared.lock().expect("no panics");
        if request.header("x-key") != Some(*key) {
            return answer(401, &[], "");
        }
        match request.line() {
            "POST /colibri/drain/enable" => {
                *state = "drained";
                answer(409, &[], "draining already")
            }
            "POST /colibri/drain/disable" => {
                *state = "serving";
                ok("")
            }
            _ => ok(format!("{{\"state\":\"{state}\"}}")),
        }
    })
    .await;
    let file = stage.folder.path().join("key");
    std::fs::write(&file, "first-key\n").expect("written");
    let headers =
        format!("{{ X-Key = {{ file = '{}' }}, X-Instance = \"{{instance_id}}\" }}", file.display());
    let instance = stage.instance();
    let mut variables = stage.variables(&instance);
    variables.remove("DRAINHOOK_AGENT__URL");
    variables.extend([
        ("DRAINHOOK_AGENT__UNIX", path.display().to_string()),
        ("DRAINHOOK_AGENT__DRAIN__PATH", "/colibri/drain/enable".to_owned()),
        ("DRAINHOOK_AGENT__DRAIN__BODY", r#"{"by":"{instance_id}","because":"{reason}"}"#.to_owned()),
        ("DRAINHOOK_AGENT__DRAIN__SUCCESS", "409".to_owned()),
        ("DRAINHOOK_AGENT__STATUS__PATH", "/colibri/stats".to_owned()),
        ("DRAINHOOK_AGENT__RETURN__METHOD", "POST".to_owned()),
        ("DRAINHOOK_AGENT__RETURN__PATH", "/colibri/drain/disable".to_owned()),
        ("DRAINHOOK_AGENT__RETURN__BODY", "{instance_id} is back".to_owned()),
        ("DRAINHOOK_AGENT__HEADERS", headers),
        ("DRAINHOOK_LOG__LEVEL", "trace".to_owned()),
    ]);
    let kept = journal(&variables);
    let daemon = Daemon::start(&variables).await;
    run(&variables, &["drain", "--wait"]).await.done("drain ended: drained\n");
    let written = std::fs::read_to_string(kept).expect("there");

    state.lock().expect("no panics").0 = "second-key";
    std::fs::write(&file, "second-key\n").expect("written");
    run(&variables, &["drain", "--cancel"]).await.done("the agents return to service");
    let returned = |request: &Request| request.line() == "POST /colibri/drain/disable";
    eventually("the return", || agent.count(returned) > 0).await;
    assert_eq!(state.lock().expect("no panics").1, "serving", "it was returned with the new key");
    let requests = agent.requests();
    let drain =
        requests.iter().find(|request| request.line() == "POST /colibri/drain/enable").expect("asked");
    assert_eq!(drain.body, format!(r#"{{"by":"{instance}","because":"operator"}}"#));
    assert_eq!(requests.iter().find(|one| returned(one)).expect("asked").body, format!("{instance} is back"));
    assert!(requests.iter().all(|request| request.header("x-instance") == Some(&instance)), "{requests:?}");

    let printed = run(&variables, &["config"]).await;
    assert!(printed.out.contains("\nheaders = { "), "{printed:?}");
    for text in [daemon.log(), written, printed.out, printed.err] {
        assert!(!text.contains("first-key") && !text.contains("second-key"), "{text}");
    }
}
