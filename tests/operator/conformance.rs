//! `simulate --conformance` against scripted agents: one that conforms, and others with one fault each.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::sample;
use crate::support::command::{Ran, run};
use crate::support::daemon::{Variables, eventually};
use crate::support::{Reply, Request, Server, answer};

/// The work in flight when a drain begins. The agent finishes one piece between two status requests.
const WORK: u32 = 5;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// What an agent does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The return request is answered 404, which is conforming.
    NoWayBack,
    /// The status is a page for people.
    Html,
    /// A drain request during a drain is answered 500.
    NotIdempotent,
    /// A drain request with an unknown field is answered 400.
    UnknownFields,
    /// Offered work is accepted at any time.
    TakesWork,
    /// A status request with `Prefer` is not answered during a drain.
    HangsOnPrefer,
    /// Status requests on another connection than the first are refused. The agent holds those with `Prefer` for a second.
    OneConnection,
    /// The return request is answered 200, and changes nothing.
    StaysDrained,
    /// A return request while the agent serves is answered 500.
    ReturnsOnce,
    /// After a return, offered work is refused.
    IdleAfterReturn,
    /// After a return, the drain request is answered 500.
    DrainsOnce,
    /// The health is answered 503.
    Unhealthy,
    /// After a restart, the drain request is answered 200, and changes nothing.
    DeafAfterRestart,
    /// "drained" comes with work in flight.
    DrainedWithWork,
    /// Every other status after "drained" says that there is work again.
    WorksAgain,
    /// The answers have no Content-Type.
    NoContentType,
}

/// An agent. Its script runs for each request, so nothing in it depends on time.
struct Agent {
    fault: Fault,
    /// Has the file `takes-work` while the agent accepts work, and `restarted` once it was restarted.
    folder: PathBuf,
    draining: bool,
    deaf: bool,
    returned: bool,
    in_flight: u32,
    connection: Option<usize>,
}

impl Agent {
    /// An agent that serves.
    fn new(fault: Fault, folder: &Path) -> Self {
        let (draining, deaf, returned) = (false, false, false);
        Agent { fault, folder: folder.to_owned(), draining, deaf, returned, in_flight: 2, connection: None }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        if std::fs::remove_file(self.folder.join("restarted")).is_ok() {
            self.draining = false;
            self.deaf = self.fault == Fault::DeafAfterRestart;
        }
        let reply = match request.line() {
            "POST /drain" => self.drain(&request.body),
            "GET /drain" => self.status(request),
            "DELETE /drain" if self.fault == Fault::NoWayBack => answer(404, &[], ""),
            "DELETE /drain" if self.fault == Fault::ReturnsOnce && !self.draining => answer(500, &[], ""),
            "DELETE /drain" => {
                self.returned = true;
                self.draining &= self.fault == Fault::StaysDrained;
                answer(204, &[], "")
            }
            "GET /health" if self.fault == Fault::Unhealthy => answer(503, &[], "warming up"),
            "GET /health" => answer(200, &[], "up"),
            line => panic!("{line:?} is not in the protocol"),
        };
        let takes_work = self.folder.join("takes-work");
        let is_idle = self.fault == Fault::IdleAfterReturn && self.returned;
        if (!self.draining && !is_idle) || self.fault == Fault::TakesWork {
            std::fs::write(takes_work, "").expect("written");
        } else {
            // It is missing already, unless the drain begins now.
            let _ = std::fs::remove_file(takes_work);
        }
        reply
    }

    fn drain(&mut self, body: &str) -> Reply {
        match self.fault {
            Fault::NotIdempotent if self.draining => return answer(500, &[], "already draining"),
            Fault::DrainsOnce if self.returned => return answer(500, &[], "once was enough"),
            Fault::UnknownFields if body.contains("unknown_number") => return answer(400, &[], "what?"),
            _ => {}
        }
        if !self.draining {
            self.in_flight = WORK;
        }
        self.draining = !self.deaf;
        answer(202, &[], "")
    }

    fn status(&mut self, request: &Request) -> Reply {
        let first = *self.connection.get_or_insert(request.connection);
        match self.fault {
            Fault::Html => return answer(200, &[("content-type", "text/html")], "<h1>Draining</h1>"),
            Fault::HangsOnPrefer if self.draining && request.header("prefer").is_some() => {
                return Reply::Silence;
            }
            Fault::OneConnection if request.connection != first => return answer(503, &[], "busy"),
            _ => {}
        }
        let count = self.in_flight;
        let state = match (self.draining, count) {
            (false, _) => "serving",
            (true, _) if self.fault == Fault::DrainedWithWork => "drained",
            (true, 0) => "drained",
            (true, _) => "draining",
        };
        self.in_flight = match (self.draining, count) {
            (true, 0) => u32::from(self.fault == Fault::WorksAgain),
            (true, _) if self.fault == Fault::DrainedWithWork => count,
            (true, _) => count - 1,
            (false, _) => count,
        };
        let headers = if self.fault == Fault::NoContentType { &[] } else { JSON };
        let reply = answer(200, headers, format!(r#"{{"state":"{state}","in_flight":{count}}}"#));
        match (self.fault, reply) {
            (Fault::OneConnection, Reply::Bytes(bytes)) if request.header("prefer").is_some() => {
                Reply::Dripping(bytes, Duration::from_millis(10))
            }
            (_, reply) => reply,
        }
    }
}

/// Starts an agent with this fault.
async fn agent(fault: Fault, folder: &Path) -> Server {
    let agent = Mutex::new(Agent::new(fault, folder));
    Server::start(move |request| agent.lock().expect("no panics").answer(request)).await
}

/// The arguments of a whole judgment of an agent at this address.
fn arguments(address: &str, folder: &Path) -> Vec<String> {
    let folder = folder.display();
    let words = ["simulate", "--agent", address, "--conformance", "--json"].map(str::to_owned);
    let offer = ["--offer".to_owned(), format!("/bin/sh -c 'test -e {folder}/takes-work'")];
    let restart = ["--restart".to_owned(), format!("/bin/sh -c ': > {folder}/restarted'")];
    let junit = ["--junit".to_owned(), format!("{folder}/result.xml")];
    [words.as_slice(), &offer, &restart, &junit].concat()
}

async fn judge(arguments: &[String], drain_timeout: &str) -> Ran {
    let variables = Variables::from([
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", drain_timeout.to_owned()),
        ("DRAINHOOK_AGENT__POLL", "100ms".to_owned()),
    ]);
    run(&variables, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The names of the checks that are in this state.
fn names(ran: &Ran, state: &str) -> Vec<String> {
    let lines = ran.lines();
    let such = lines.iter().filter(|line| line["state"] == state);
    such.map(|line| line["check"].as_str().expect("a name").to_owned()).collect()
}

/// Judges an agent with this fault. Exactly these checks fail, and the first one says what came and what is lost.
async fn fails(fault: Fault, failed: &[&str], found: &str, lost: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = agent(fault, folder.path()).await;
    let mut arguments = arguments(&server.url, folder.path());
    if fault == Fault::OneConnection {
        // It never answers again, so no restart ends.
        arguments.retain(|word| word != "--restart" && !word.contains("restarted"));
    }
    let never_drains = failed.contains(&"drained");
    let ran = judge(&arguments, if never_drains { "2s" } else { "1m" }).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(names(&ran, "failed"), failed, "{ran:?}");
    let lines = ran.lines();
    let first: &Value = lines.iter().find(|line| line["check"] == failed[0]).expect("it was judged");
    assert!(first["found"].to_string().contains(found), "{first}");
    assert!(first["lost"].to_string().contains(lost), "{first}");
    let junit = std::fs::read_to_string(folder.path().join("result.xml")).expect("written");
    assert!(junit.contains(&format!("tests=\"{}\" failures=\"{}\"", lines.len(), failed.len())), "{junit}");
    assert_eq!(junit.matches("<failure ").count(), failed.len(), "{junit}");
}

#[tokio::test]
async fn an_agent_that_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = agent(Fault::None, folder.path()).await;
    let ran = judge(&arguments(&server.url, folder.path()), "1m").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let page = include_str!("../../docs/simulator.md");
    for check in ran.lines() {
        assert_eq!(check["state"], "ok", "{ran:?}");
        let row = format!("| `{}` |", check["check"].as_str().expect("a name"));
        assert!(page.contains(&row), "docs/simulator.md has no row {row}");
    }
    let lines = server.lines();
    assert_eq!(lines.last().map(String::as_str), Some("DELETE /drain"), "it is returned to service");
    let junit = std::fs::read_to_string(folder.path().join("result.xml")).expect("written");
    assert!(junit.contains("failures=\"0\" errors=\"0\" skipped=\"0\""), "{junit}");
}

/// The agent protocol of the sample worker in Rust, with a piece of work that ends once the drain has begun.
#[tokio::test]
async fn the_sample_in_rust() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let drain = sample::Drain::default();
    tokio::spawn(sample::serve(listener, drain.clone()));
    let (mut held, _) = drain.take().await.hold();
    tokio::spawn(async move {
        eventually("a deadline", || drain.ends_within(Duration::from_secs(3600))).await;
        held.outcome = "tasks_done";
        drop(held);
    });
    let ran = run(&Variables::new(), &["simulate", "--agent", &address, "--conformance", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(names(&ran, "failed"), [""; 0], "{ran:?}");
    let skipped = ["work while serving", "work during the drain", "work after the return", "restart"];
    assert_eq!(names(&ran, "skipped"), skipped, "{ran:?}");
}

/// Two requests are enough: the agent on a Unix socket has no way back and no health, and nothing offers it work.
#[tokio::test]
async fn an_agent_with_the_least() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let scripted = Mutex::new(Agent::new(Fault::NoWayBack, folder.path()));
    let _server = Server::on_unix(&socket, move |request| match request.line() {
        "GET /health" => answer(404, &[], ""),
        _ => scripted.lock().expect("no panics").answer(request),
    })
    .await;
    let file = folder.path().join("drainhook.toml");
    let text = format!("[agent]\nunix = \"{}\"\ndrain_timeout = \"1m\"\n", socket.display());
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let ran = run(&Variables::new(), &["simulate", "--config", &file, "--conformance"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("12 ok, 0 failed, 8 skipped\n"), "{ran:?}");
    let last = format!(
        "The agent stays drained. Restart it, or return it to service: curl -X DELETE --unix-socket {} http://localhost/drain\n\n\
         conformance: passed\n",
        socket.display()
    );
    assert!(ran.out.ends_with(&last), "{ran:?}");
}

/// The table of an agent that answers the second drain request with 500.
#[tokio::test]
async fn a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = agent(Fault::NotIdempotent, folder.path()).await;
    let ran = run(&Variables::new(), &["simulate", "--agent", &server.url, "--conformance"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let rows = [
        "check                    state    what came back\n".to_owned(),
        "drain request            ok       2xx; draining, 5 in flight\n".to_owned(),
        format!("repeated request         failed   POST {}/drain: answered 500 ", server.url),
        "→ expected: the same drain request again is answered with 2xx, and the agent goes on draining\n"
            .to_owned(),
        "or at the deadline, an Auto Scaling termination would have cut the 5 tasks in flight\n".to_owned(),
        "\nconformance: FAILED\n".to_owned(),
    ];
    for row in rows {
        assert!(ran.out.contains(&row), "{row:?} is not in {}", ran.out);
    }
}

#[tokio::test]
async fn the_status_is_a_page() {
    let failed = ["status while serving", "OpenAPI document"];
    fails(Fault::Html, &failed, "<h1>Draining</h1>", "drainhook would not read").await;
}

#[tokio::test]
async fn a_drain_request_that_is_not_idempotent() {
    let failed = ["repeated request", "unknown fields", "broken connections"];
    fails(Fault::NotIdempotent, &failed, "answered 500", "cut the 5 tasks in flight").await;
}

#[tokio::test]
async fn unknown_fields_are_refused() {
    fails(Fault::UnknownFields, &["unknown fields"], "answered 400", "drainhook could not drain it").await;
}

#[tokio::test]
async fn work_is_taken_during_the_drain() {
    let failed = ["work during the drain", "restart", "stays drained"];
    fails(Fault::TakesWork, &failed, "accepted offered work", "cut the work that it still accepts").await;
}

#[tokio::test]
async fn prefer_is_never_answered() {
    let failed = ["Prefer during the drain", "drained"];
    fails(Fault::HangsOnPrefer, &failed, "no answer within 13s", "would read no status").await;
}

#[tokio::test]
async fn a_broken_connection_is_the_last() {
    let failed = ["broken connections", "return to service", "second drain", "drained"];
    fails(Fault::OneConnection, &failed, "answered 503", "after a restart of the daemon").await;
}

#[tokio::test]
async fn a_return_that_changes_nothing() {
    let lost = "an instance that stays after all would take no work";
    fails(Fault::StaysDrained, &["return to service"], "2xx, but the status is", lost).await;
}

#[tokio::test]
async fn a_return_that_is_not_idempotent() {
    let lost = "an instance that stays after all would take no work";
    fails(Fault::ReturnsOnce, &["repeated return"], "answered 500", lost).await;
}

#[tokio::test]
async fn a_returned_agent_takes_no_work() {
    let failed = ["work after the return"];
    fails(Fault::IdleAfterReturn, &failed, "refused: the program exited with 1", "takes no work").await;
}

#[tokio::test]
async fn an_agent_that_drains_once() {
    let failed = ["second drain", "restart", "drained"];
    fails(Fault::DrainsOnce, &failed, "answered 500", "drainhook could not drain it: after 1m").await;
}

#[tokio::test]
async fn an_agent_that_is_not_healthy() {
    fails(Fault::Unhealthy, &["health"], "answered 503", "loses nothing by this").await;
}

#[tokio::test]
async fn a_restarted_agent_is_deaf() {
    let failed = ["restart", "drained", "no step back"];
    fails(Fault::DeafAfterRestart, &failed, "the status is serving", "would not read").await;
}

#[tokio::test]
async fn drained_with_work_in_flight() {
    let lost = "an Auto Scaling termination would have cut the 5 tasks in flight";
    fails(Fault::DrainedWithWork, &["in flight"], "drained, 5 in flight", lost).await;
}

#[tokio::test]
async fn drained_and_then_more_work() {
    let failed = ["stays drained", "no step back"];
    fails(Fault::WorksAgain, &failed, "draining, 1 in flight", "the work that came after it").await;
}

#[tokio::test]
async fn answers_without_a_content_type() {
    let found = "GET /drain: Content-Type is missing; expected application/json";
    fails(Fault::NoContentType, &["OpenAPI document"], found, "loses nothing by this alone").await;
}

/// The program of `--offer` does not exist. The report does not claim that work would have been lost.
#[tokio::test]
async fn an_offer_that_cannot_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = agent(Fault::None, folder.path()).await;
    let mut arguments = arguments(&server.url, folder.path());
    let offer = arguments.iter().position(|word| word == "--offer").expect("it is given");
    arguments[offer + 1] = "/no/such/program".to_owned();
    let ran = judge(&arguments, "1m").await;
    let failed =
        ["work while serving", "work during the drain", "work after the return", "restart", "stays drained"];
    assert_eq!(names(&ran, "failed"), failed, "{ran:?}");
    for check in ran.lines().iter().filter(|check| check["state"] == "failed") {
        assert!(check["found"].to_string().contains("cannot run /no/such/program: "), "{check}");
        assert_eq!(check["lost"], "nothing was judged; correct --offer");
    }
}

/// An agent with another protocol, wrong command lines, and a file that cannot be written.
#[tokio::test]
async fn refusals() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = agent(Fault::None, folder.path()).await;
    let judge = ["simulate", "--agent", &server.url, "--conformance"];
    let variables = Variables::from([("DRAINHOOK_AGENT__DRAIN__BODY", "bye".to_owned())]);
    run(&variables, &judge).await.failed("and agent.drain.body is for agents that do not speak it");
    for wrong in [
        vec!["simulate", "--conformance"],
        vec!["simulate", "--agent", &server.url, "--offer", "/bin/true"],
        vec!["simulate", "--junit", "result.xml"],
        [&judge[..], &["--restart", "'open"]].concat(),
    ] {
        let ran = run(&Variables::new(), &wrong).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert!(server.lines().is_empty(), "nothing was sent");
    let lost = [&judge[..], &["--junit", "/no/such/folder/result.xml"]].concat();
    run(&Variables::new(), &lost).await.failed("cannot write /no/such/folder/result.xml: ");
}
