//! The control socket of a running daemon.

use std::time::Duration;

use drainhook::daemon::control::Answer;
use machine::notice::Reason;
use machine::status::State;
use sim::world::{ActionResult, Happening};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::support::daemon::{Daemon, Stage, completed, in_time, told, worked};
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

/// One piece of work never ends: nothing but the operator ends this drain.
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
    second.logged(&["another daemon answers on", &variables["DRAINHOOK_CONTROL__SOCKET"]]).await;
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
    // What is too long is cut off: the sender may hear of it only as a connection that is gone.
    let mut endless = daemon.connect().await;
    in_time("the end of what is endless", async { while endless.write_all(&long).await.is_ok() {} }).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    assert!(daemon.runs());
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// As many connections as are served at once ask and ask and never read an answer: they keep nobody out for ever.
#[tokio::test]
async fn deaf_clients() {
    const DEAF: usize = 16;
    let stage = Stage::new(10, world(3, 30)).await;
    let daemon = stage.daemon().await;
    let mut deaf = JoinSet::new();
    for _ in 0..DEAF {
        deaf.spawn(fill(daemon.connect().await));
    }
    // They stay connected while another asks.
    let deaf = in_time("full connections", deaf.join_all()).await;
    assert_eq!(daemon.status().await.state, State::Serving);
    drop(deaf);
}

/// Sends questions until no more are taken: the daemon waits for somebody to read its answers.
async fn fill(stream: UnixStream) -> UnixStream {
    let questions = b"{\"command\":\"status\"}\n".repeat(1000);
    let full = Duration::from_secs(1);
    while tokio::time::timeout(full, stream.writable()).await.is_ok() {
        // What is taken of the questions does not matter, so long as it is much.
        if let Err(error) = stream.try_write(&questions) {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        }
    }
    stream
}
