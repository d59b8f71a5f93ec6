//! Agents that return malformed responses.

use crate::support::daemon::{Stage, drained, told};
use crate::support::{Reply, Server, answer, ok};
use crate::{BadAnswers, assert_told, world};

const STATUS: &str = "GET /drain";
const DRAIN: &str = "POST /drain";

fn document(fields: &str) -> Reply {
    ok(format!(r#"{{"state":"drained",{fields}}}"#))
}

/// Bad status responses, each with words that must be logged.
fn bad_statuses() -> Vec<(Reply, &'static [&'static str])> {
    let redirect = &[("location", "http://169.254.169.254/latest/meta-data/")];
    let declared = |length: u64| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    vec![
        (ok(""), &["answered 200 OK with nothing; expected {"]),
        (answer(204, &[], ""), &["answered 204 No Content with nothing; expected {"]),
        (ok("OK"), &["OK", "expected {"]),
        (ok("<html><body>drained</body></html>"), &["<html>", "expected {"]),
        (ok("[\"drained\"]"), &["[", "expected {"]),
        (ok(r#"{"state":"drained""#), &["EOF while parsing"]),
        (ok(r#"{"state":"done"}"#), &["unknown variant `done`"]),
        (ok(r#"{"State":"drained"}"#), &["missing field `state`"]),
        (ok(r#"{"state":"draining","state":"drained"}"#), &["duplicate field `state`"]),
        (document(&format!(r#""detail":{}"#, "[".repeat(10_000))), &["expected value"]),
        (document(&format!(r#""x":{}"#, "{\"x\":".repeat(10_000))), &["EOF while parsing an object"]),
        (
            ok(format!(r#"{{"state":"{}"}}"#, r"\u001b[31m\n".repeat(5000))),
            &["unknown variant", r"\\u{1b}[31m\\n"],
        ),
        (document(&format!(r#""x":"{}""#, "x".repeat(64 * 1024))), &["longer than 65536 bytes"]),
        (answer(200, &[("content-encoding", "gzip")], b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), &["expected {"]),
        (answer(302, redirect, ""), &["a redirect to", "169.254.169.254", "expected 2xx"]),
        (answer(999, &[], ""), &["answered 999", "expected 2xx"]),
        (answer(404, &[], "<html>"), &["answered 404"]),
        (answer(503, &[], "\x1b[31mbusy\n"), &["answered 503", r"\\u{1b}[31mbusy\\n"]),
        (Reply::BytesThenClose(b"{\"state\":\"drained\"}\r\n\r\n".to_vec()), &["GET http", "invalid HTTP"]),
        (Reply::BytesThenClose(declared(1 << 62).into_bytes()), &["longer than 65536 bytes"]),
        (
            Reply::BytesThenClose(format!("{}{{\"state\"", declared(19)).into_bytes()),
            &["end of file before message"],
        ),
        (Reply::BytesThenReset(declared(19).into_bytes()), &["GET http", "reset"]),
        (Reply::Close, &["GET http", "connection closed before message completed"]),
        (Reply::EndlessHead, &["GET http", "message head is too large"]),
        (Reply::Endless, &["longer than 65536 bytes"]),
    ]
}

/// Bad responses to a drain request, each with words that must be logged. A 202 with a malformed body does accept the drain;
/// here the agent forgets it afterwards.
fn bad_acceptances() -> Vec<(Reply, &'static [&'static str])> {
    vec![
        (answer(302, &[("location", "/login")], ""), &["POST http", "a redirect to", "expected 2xx"]),
        (answer(500, &[], "<html>oops</html>"), &["POST http", "answered 500", "oops"]),
        (Reply::Close, &["POST http", "connection closed"]),
        (Reply::Endless, &["POST http", "longer than 65536 bytes"]),
        (Reply::BytesThenClose(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), &["POST http", "invalid HTTP"]),
        (answer(404, &[], ""), &["POST http", "answered 404"]),
        (answer(202, &[], "<html>drained</html>"), &[]),
    ]
}

/// No malformed response counts as drained, however often it is repeated. The drain ends when the agent has drained.
#[tokio::test]
async fn nonsense() {
    let mut stage = Stage::new(100, world(4, 60)).await;
    let bad = BadAnswers::new(|kind| {
        let all = if kind == DRAIN { bad_acceptances() } else { bad_statuses() };
        all.into_iter().map(|(reply, _)| reply).collect()
    });
    bad.begin();
    let behind = stage.variables(&stage.instance()).remove("DRAINHOOK_AGENT__URL").expect("set");
    let script = bad.clone();
    let agent = Server::before(&behind, move |request| script.next(request.line())).await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h"),
        ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1h"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
    ];
    let mut daemon = stage.daemon_with(&settings).await;
    let before = daemon.peak_memory();
    stage.scale_in();
    bad.used_up(&[DRAIN, STATUS]).await;
    stage.until_ended_well(&[]).await;
    let ended = stage.history.iter().position(|(_, one)| drained(one));
    assert!(ended.is_some(), "completed before the agent had drained: {:#?}", stage.history);
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    for (_, words) in bad_acceptances().into_iter().chain(bad_statuses()) {
        assert_told(&daemon, &[words]).await;
    }
    assert!(daemon.runs());
    let grown = daemon.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown} bytes more than before 64 MiB of an answer");
}

/// The agent has no status endpoint. The daemon repeats the drain request, and uses the responses to that.
#[tokio::test]
async fn accepted_and_then_not_found() {
    let mut stage = Stage::new(100, world(4, 60)).await;
    let behind = stage.variables(&stage.instance()).remove("DRAINHOOK_AGENT__URL").expect("set");
    let agent =
        Server::before(&behind, |request| (request.line() == STATUS).then(|| answer(404, &[], ""))).await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h"),
        ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1m"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    daemon.logged(&["WARN", "agent_trouble", "GET http", "answered 404"]).await;
    let of_404 = |line: &&str| line.contains("WARN") && line.contains("answered 404");
    assert_eq!(daemon.log().lines().filter(of_404).count(), 1, "said once");
    assert!(stage.count(told) > 1, "it was not told again, though it may have been restarted");
}

/// The agent has drained, but its status has gauges of null and NaN, a string for `in_flight` and a number for `detail`. The
/// drain ends as drained at once, and one log line says what was ignored.
#[tokio::test]
async fn odd_optional_fields() {
    let odd =
        r#"{"state":"drained","in_flight":"3","gauges":{"mean_s":null,"rate":NaN,"p99":"fast"},"detail":7}"#;
    let agent =
        Server::start(move |request| if request.line() == DRAIN { answer(202, &[], "") } else { ok(odd) })
            .await;
    let stage = Stage::new(20, world(0, 1)).await;
    let settings = [
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "10m"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    assert_told(&daemon, &[&["WARN", "ignored", "in_flight", "p99", "detail"]]).await;
    let said = daemon.log().lines().filter(|line| line.contains("ignored")).count();
    assert_eq!(said, 1, "{}", daemon.log());
}
