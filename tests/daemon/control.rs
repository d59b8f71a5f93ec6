//! The control socket of a running daemon.

use std::os::fd::OwnedFd;
use std::time::Duration;

use drainhook::daemon::control::Answer;
use machine::notice::Reason;
use machine::status::State;
use rustix::process::Signal;
use sim::world::{ActionResult, Happening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::support::command::run;
use crate::support::daemon::{Daemon, Stage, Variables, completed, eventually, in_time, told, worked};
use crate::{stuck_world, world};

const DRAIN: &str = r#"{"command":"drain"}"#;
const CANCEL: &str = r#"{"command":"cancel"}"#;

#[tokio::test]
async fn operators_drain() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    let before = daemon.status().await;
    assert_eq!((before.instance_id, before.state), (stage.instance(), State::Serving));

    daemon.order(DRAIN).await;
    stage.until("a POST", told).await;
    let reasons: Vec<_> = stage.history.iter().filter_map(|(_, one)| reason(one)).collect();
    assert_eq!(reasons, ["operator"]);
    stage.until("work that is done", worked).await;
    let during = daemon.status().await;
    assert_eq!((during.state, during.reason), (State::Draining, Some(Reason::Operator)));
    assert!(during.deadline.is_some());

    daemon.order(CANCEL).await;
    stage.until("a DELETE", |one| matches!(one, Happening::AgentReturned { .. })).await;
    assert_eq!(stage.count(completed), 0);
    let again = daemon.ask(CANCEL).await;
    assert!(matches!(again, Answer::Refused(_)), "{again:?}");
}

fn reason(happening: &Happening) -> Option<&str> {
    match happening {
        Happening::AgentDrainRequested { reason, .. } => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn extension() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon_with(&[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "10m")]).await;
    let too_early = daemon.ask(r#"{"command":"extend","seconds":300}"#).await;
    assert!(matches!(too_early, Answer::Refused(_)), "{too_early:?}");
    stage.scale_in();
    stage.until("a POST", told).await;
    let answer = daemon.order(r#"{"command":"extend","seconds":300}"#).await;
    stage.until_times(2, "a POST with the new deadline", told).await;
    let deadlines = stage.deadlines();
    assert_eq!(deadlines[1].since(deadlines[0]), Duration::from_secs(300));
    assert!(answer.contains(&deadlines[1].to_string()), "{answer}");
}

/// One work item never finishes, so only the operator's `finish` ends the drain.
#[tokio::test]
async fn finish() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    daemon.order(r#"{"command":"finish","result":"ABANDON"}"#).await;
    let abandoned =
        |one: &Happening| matches!(one, Happening::Completed { result: ActionResult::Abandon, .. });
    stage.until("the completion", abandoned).await;
}

#[tokio::test]
async fn second_daemon() {
    let stage = Stage::new(10, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let first = Daemon::start(&variables).await;
    let mut second = Daemon::spawn(&variables);
    second.logged(&["another daemon is already running on", &variables["DRAINHOOK_CONTROL__SOCKET"]]).await;
    assert_eq!(second.exit().await.code(), Some(1));
    assert_eq!(first.status().await.state, State::Serving);
}

#[tokio::test]
async fn nonsense() {
    let mut stage = Stage::new(10, world(3, 30)).await;
    let mut daemon = stage.daemon().await;
    let long = [br#"{"command":""#.to_vec(), vec![b'x'; 8192], b"\"}\n".to_vec()].concat();
    let nonsense: [&[u8]; 5] =
        [b"\x00\xff\n", b"{}\n", b"\n", br#"{"command":"extend","seconds":-1}"#, &long[..4096]];
    for request in nonsense {
        let answer = daemon.converse(request).await;
        assert!(answer.starts_with(r#"{"refused":"#), "{answer}");
    }
    // The daemon stops reading a line that is too long, so the client may only see a closed connection.
    let mut endless = daemon.connect().await;
    in_time("the end of what is endless", async { while endless.write_all(&long).await.is_ok() {} }).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    assert!(daemon.runs());
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// As many clients as are served at once keep sending requests and never read an answer. Another client is still served.
#[tokio::test]
async fn clients_that_never_read() {
    const DEAF: usize = 16;
    let stage = Stage::new(10, world(3, 30)).await;
    let daemon = stage.daemon().await;
    let mut deaf = JoinSet::new();
    for _ in 0..DEAF {
        deaf.spawn(fill(daemon.connect().await));
    }
    // They stay connected while another client asks.
    let deaf = in_time("full connections", deaf.join_all()).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    drop(deaf);
}

/// Sends requests until the daemon accepts no more, because it waits for the client to read its answers.
async fn fill(stream: UnixStream) -> UnixStream {
    let questions = b"{\"command\":\"status\"}\n".repeat(1000);
    let full = Duration::from_secs(1);
    while tokio::time::timeout(full, stream.writable()).await.is_ok() {
        // How much is accepted does not matter, as long as it is a lot.
        if let Err(error) = stream.try_write(&questions) {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        }
    }
    stream
}

/// The first daemon is paused, and its socket's backlog is full. A second daemon must not replace it.
#[tokio::test]
async fn second_daemon_while_the_first_is_busy() {
    let stage = Stage::new(10, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let first = Daemon::start(&variables).await;
    first.signal(Signal::STOP);
    let socket = &variables["DRAINHOOK_CONTROL__SOCKET"];
    let mut waiting = Vec::new();
    loop {
        match connect_at_once(socket) {
            Ok(connection) => waiting.push(connection),
            Err(error) if error == rustix::io::Errno::AGAIN => break,
            Err(error) => panic!("after {} connections: {error}", waiting.len()),
        }
    }
    let mut second = Daemon::spawn(&variables);
    second.logged(&["another daemon is already running on", socket]).await;
    assert_eq!(second.exit().await.code(), Some(1));
    drop(waiting);
    first.signal(Signal::CONT);
    eventually("a place in its backlog", || connect_at_once(socket).is_ok()).await;
    assert_eq!(first.status().await.state, State::Serving);
}

/// Connects without waiting, so a full backlog is an error.
fn connect_at_once(path: &str) -> rustix::io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A killed daemon leaves its socket and lock file behind. The next daemon takes over.
#[tokio::test]
async fn daemon_after_a_killed_one() {
    let stage = Stage::new(10, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    Daemon::start(&variables).await.kill().await;
    assert!(std::fs::exists(&variables["DRAINHOOK_CONTROL__SOCKET"]).expect("readable"));
    let daemon = Daemon::start(&variables).await;
    assert_eq!(daemon.status().await.state, State::Serving);
}

/// The log names the operator of each command: uid, user name and process id.
#[tokio::test]
async fn operators_are_logged() {
    let stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    daemon.order(DRAIN).await;
    let uid = rustix::process::geteuid();
    let passwd = std::fs::read_to_string("/etc/passwd").expect("readable");
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|user| user[2] == uid.as_raw().to_string()).expect("this user");
    let by = format!("{} (uid {uid})", user[0]);
    let pid = format!("\"pid\":{}", std::process::id());
    daemon.logged(&["INFO", "ordered: drainhook drain", &by, &pid]).await;
}

/// Something else listens on the socket and answers with terminal control sequences. No command prints them.
#[tokio::test]
async fn control_sequences_from_a_socket() {
    const ESCAPE: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{202e}";
    let stage = Stage::new(10, stuck_world()).await;
    let mut status = serde_json::to_value(stage.daemon().await.status().await).expect("JSON");
    status["instance_id"] = ESCAPE.into();
    status["group"] = ESCAPE.into();
    status["agents"][0]["name"] = ESCAPE.into();
    status["agents"][0]["detail"] = ESCAPE.into();
    let answers = [
        (&["status"] as &[&str], serde_json::json!({ "status": status }), Some(0)),
        (&["status", "--json"], serde_json::json!({ "status": status }), Some(0)),
        (&["status"], serde_json::json!({ "refused": ESCAPE }), Some(1)),
        (&["drain"], serde_json::json!({ "done": ESCAPE }), Some(0)),
        (&["drain", "--cancel"], serde_json::json!({ "refused": ESCAPE }), Some(1)),
        (&["extend", "1m"], serde_json::json!({ "done": ESCAPE }), Some(0)),
        (&["finish", "--result", "CONTINUE"], serde_json::json!({ "refused": ESCAPE }), Some(1)),
        (&["drain"], serde_json::json!({ ESCAPE: ESCAPE }), Some(1)),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let variables = Variables::from([("DRAINHOOK_CONTROL__SOCKET", socket.display().to_string())]);
    let listener = tokio::net::UnixListener::bind(&socket).expect("a fresh path");
    for (args, answer, code) in answers {
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_to_end(&mut Vec::new()).await.expect("a request");
            stream.write_all(format!("{answer}\n").as_bytes()).await.expect("taken");
        };
        let (ran, ()) = tokio::join!(run(&variables, args), serve);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        let printed = format!("{}{}", ran.out, ran.err);
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!printed.contains(bad), "{args:?}: {printed:?}");
        assert!(printed.contains(r"u{1b}]0;title"), "{args:?}: {printed:?}");
    }
}

/// The task that serves the socket panics. It is restarted on the same socket.
#[tokio::test]
async fn control_server_panics() {
    let stage = Stage::new(10, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "PANIC control\n").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let daemon = Daemon::start(&variables).await;
    drop(daemon.connect().await);
    daemon.logged(&["ERROR", "control", "panicked", "restarting it"]).await;
    assert_eq!(daemon.status().await.state, State::Serving);
}
