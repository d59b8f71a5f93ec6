//! The commands, with an agent that has an HTTP interface of its own.

use std::sync::{Arc, Mutex};

use crate::check::{expect, row};
use crate::support::command::{Ran, run};
use crate::support::daemon::{Stage, Variables};
use crate::support::{Server, answer, ok};
use crate::world;

/// A Trino worker whose status document a proxy writes. It takes `PUT /v1/info/state` from one user only.
struct Worker {
    server: Server,
    state: Arc<Mutex<&'static str>>,
    folder: tempfile::TempDir,
}

const DRAIN: &str = "PUT /v1/info/state";
const STATUS: &str = "GET /status";

impl Worker {
    async fn start() -> Self {
        let state = Arc::new(Mutex::new("serving"));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let mut state = shared.lock().expect("no panics");
            if request.header("x-trino-user") != Some("drainhook")
                || request.header("x-key") != Some("sesame")
            {
                return answer(403, &[], "");
            }
            // It answers in text.
            if request.line() == DRAIN && request.header("accept") == Some("application/json") {
                return answer(406, &[], "");
            }
            match (request.line(), request.body.as_str()) {
                (DRAIN, "\"DRAINING\"") => *state = "drained",
                (DRAIN, "\"ACTIVE\"") => *state = "serving",
                (DRAIN, _) => return answer(400, &[], "unknown state"),
                _ => {}
            }
            ok(format!("{{\"state\":\"{state}\"}}"))
        })
        .await;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "sesame").expect("written");
        Worker { server, state, folder }
    }

    fn configuration(&self) -> String {
        let file = self.folder.path().join("drainhook.toml");
        let text = format!(
            r#"
            [agent]
            url = "{}"
            drain = {{ method = "PUT", path = "/v1/info/state", body = "\"DRAINING\"" }}
            return = {{ method = "PUT", path = "/v1/info/state", body = "\"ACTIVE\"" }}
            status.path = "/status"
            headers = {{ X-Trino-User = "drainhook", X-Key = {{ file = "{}" }} }}
            "#,
            self.server.url,
            self.folder.path().join("key").display()
        );
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    }
}

fn hides_the_key(ran: &Ran) {
    assert!(!ran.out.contains("sesame") && !ran.err.contains("sesame"), "{ran:?}");
}

/// `check` requests the status with the agent's headers, and sends nothing that drains. Its advice for a drained agent is a
/// command that returns the agent, with the key's file in place of the key.
#[tokio::test]
async fn check() {
    let stage = Stage::new(1, world(3, 30)).await;
    let worker = Worker::start().await;
    let file = worker.configuration();
    let mut variables = stage.variables(&stage.instance());
    variables.remove("DRAINHOOK_AGENT__URL");
    let args = ["check", "--json", "--config", &file];
    let ran = run(&variables, &args).await;
    assert_eq!(row(&ran, "agent")["state"], "ok", "{ran:?}");
    assert_eq!(worker.server.lines(), [STATUS]);
    *worker.state.lock().expect("no panics") = "drained";
    let ran = run(&variables, &args).await;
    hides_the_key(&ran);
    let advice = row(&ran, "agent")["advice"][0].as_str().expect("text").to_owned();
    let (_, command) = advice.split_once("run ").expect("a command");
    let returned =
        tokio::process::Command::new("sh").args(["-c", &format!("{command} --fail")]).output().await;
    assert!(returned.as_ref().is_ok_and(|ran| ran.status.success()), "{command}: {returned:?}");
    assert_eq!(*worker.state.lock().expect("no panics"), "serving", "{command}");
}

#[tokio::test]
async fn simulate_and_drain() {
    let worker = Worker::start().await;
    let file = worker.configuration();
    let ran = run(&Variables::new(), &["simulate", "--config", &file]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        worker.server.count(|request| request.body == "\"DRAINING\""),
        1,
        "{:?}",
        worker.server.lines()
    );
    hides_the_key(&ran);

    *worker.state.lock().expect("no panics") = "serving";
    let ran = run(&Variables::new(), &["drain", "--config", &file, "--agent", &worker.server.url]).await;
    ran.done("drained\n");
    hides_the_key(&ran);
    assert_eq!(worker.server.count(|request| request.body == "\"DRAINING\""), 2);

    std::fs::remove_file(worker.folder.path().join("key")).expect("it is there");
    let ran = run(&Variables::new(), &["simulate", "--config", &file]).await;
    ran.failed("not sent: cannot use the file ");
}

/// The agent's status is in a format of its own. With `agent.on_exit = "drained"` that does no harm.
#[tokio::test]
async fn status_of_another_format() {
    let stage = Stage::new(1, world(3, 30)).await;
    let node = Server::start(|_| ok(r#"{"value":{"ready":true}}"#)).await;
    let url = ("DRAINHOOK_AGENT__URL", node.url.as_str());
    expect(&stage, &[url], "agent", "failed", "the response is malformed").await;
    let ran = expect(&stage, &[url, ("DRAINHOOK_AGENT__ON_EXIT", "drained")], "agent", "ok", "").await;
    let found = row(&ran, "agent")["found"].to_string();
    assert!(found.contains("listens, without a status document; it has drained when it exits"), "{found}");
}
