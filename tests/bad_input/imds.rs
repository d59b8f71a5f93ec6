//! The metadata service returns malformed responses, or something else answers in its place.

use machine::status::State;
use sim::world::{Work, WorldConfig};

use crate::support::daemon::{Daemon, Stage, Variables, told};
use crate::support::{Reply, Server, answer, ok};
use crate::{BadAnswers, assert_plain, assert_told, world};

const TOKEN: &str = "PUT /latest/api/token";
const INSTANCE_ID: &str = "GET /latest/meta-data/instance-id";
const GROUP: &str = "GET /latest/meta-data/tags/instance/aws:autoscaling:groupName";
const TARGET: &str = "GET /latest/meta-data/autoscaling/target-lifecycle-state";
const SPOT: &str = "GET /latest/meta-data/spot/instance-action";
const REBALANCE: &str = "GET /latest/meta-data/events/recommendations/rebalance";
const MAINTENANCE: &str = "GET /latest/meta-data/events/maintenance/scheduled";
const LIFE_CYCLE: &str = "GET /latest/meta-data/instance-life-cycle";

/// The paths that are polled.
const PATHS: [&str; 4] = [TARGET, SPOT, REBALANCE, MAINTENANCE];

/// Bad responses, each with words that must be logged. None is valid for any path.
fn bad_answers() -> Vec<(Reply, &'static [&'static str])> {
    let declared = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
    vec![
        (ok("<html>Terminated</html>"), &["expected", "<html>Terminated</html>"]),
        (ok(""), &["expected", "got nothing"]),
        (ok("\n"), &["expected", r"\\n"]),
        (ok(b"Terminated\xff\xfe\x00"), &["expected text in UTF-8"]),
        (ok("Terminated \x1b[31m"), &["expected", r"Terminated \\u{1b}[31m"]),
        (ok("x".repeat(64 * 1024 + 1)), &["the response is longer than 65536 bytes"]),
        (Reply::Endless, &["the response is longer than 65536 bytes"]),
        (Reply::BytesThenClose(declared), &["the response is longer than 65536 bytes"]),
        (answer(204, &[], ""), &["answered 204; expected 200 or 404"]),
        (answer(301, &[("location", "/latest/meta-data/instance-id")], ""), &["answered 301"]),
        (answer(500, &[], "Terminated"), &["answered 500; expected 200 or 404"]),
    ]
}

/// Responses that make the connection unusable. The daemon logs these only after a minute.
fn broken_answers() -> Vec<Reply> {
    vec![
        Reply::Close,
        Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nTermi".to_vec()),
        Reply::BytesThenReset(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Reply::BytesThenClose(b"Terminated".to_vec()),
        Reply::EndlessHead,
        answer(401, &[], ""),
        answer(403, &[], ""),
    ]
}

fn all_answers() -> Vec<Reply> {
    bad_answers().into_iter().map(|(reply, _)| reply).chain(broken_answers()).collect()
}

/// Starts a metadata service in front of the world's. Returns it with the variables of a daemon that uses it.
async fn before(stage: &Stage, bad: &BadAnswers) -> (Server, Variables) {
    let mut variables = stage.variables(&stage.instance());
    let imds = variables.get_mut("AWS_EC2_METADATA_SERVICE_ENDPOINT").expect("set");
    let bad = bad.clone();
    let server = Server::before(imds, move |request| bad.next(request.line())).await;
    imds.clone_from(&server.url);
    (server, variables)
}

/// The daemon retries until it has identified the instance, and never uses a malformed response as an id.
#[tokio::test]
async fn nonsense_at_start() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let bad = BadAnswers::new(|kind| match kind {
        TOKEN => vec![
            ok(""),
            ok("a\r\nb"),
            ok("<html> </html>"),
            ok("x".repeat(64 * 1024 + 1)),
            ok("x".repeat(1025)),
            ok(b"\xff\xfe"),
            Reply::Endless,
        ],
        INSTANCE_ID => {
            let of_id = [ok("i-"), ok("i-0123456789abcdef0\n\n<html>"), ok("I-0123456789ABCDEF0")];
            // Lasts more than a minute.
            [all_answers(), of_id.to_vec(), all_answers(), all_answers()].concat()
        }
        _ => Vec::new(),
    });
    bad.begin();
    let (_imds, variables) = before(&stage, &bad).await;
    let daemon = Daemon::start(&variables).await;
    assert!(bad.are_used_up(&[TOKEN, INSTANCE_ID]));
    assert_eq!(daemon.status().await.instance_id, stage.instance());
    daemon.logged(&["ERROR", "cannot identify this instance", "retrying"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert_plain(&daemon);
}

/// The group's tag is malformed. The daemon asks Auto Scaling for the group instead.
#[tokio::test]
async fn malformed_group_tag() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let bad = BadAnswers::new(|kind| if kind == GROUP { vec![ok("<html>"); 1000] } else { Vec::new() });
    bad.begin();
    let (_imds, variables) = before(&stage, &bad).await;
    let daemon = Daemon::start(&variables).await;
    assert_told(&daemon, &[&["WARN", "groupName", "expected the name of an Auto Scaling group", "<html>"]])
        .await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

fn of_every_path(kind: &str) -> Vec<Reply> {
    match kind {
        TARGET => all_answers(),
        SPOT => [r#"{"action":"dance","time":"2017-09-18T08:22:00Z"}"#, r#"{"action":"terminate"}"#, "[]"]
            .map(ok)
            .into_iter()
            .chain(all_answers())
            .collect(),
        REBALANCE => vec![ok("{}"), ok(r#"{"noticeTime":"soon"}"#), ok(r#"{"noticeTime":-1}"#)],
        MAINTENANCE => vec![ok("{}"), ok(r#"[{"Code":"system-reboot"}]"#)],
        LIFE_CYCLE => vec![ok("<html>on-demand</html>"), answer(500, &[], "on-demand"), Reply::Close],
        _ => Vec::new(),
    }
}

/// Malformed responses neither start a drain nor hide a real notice.
#[tokio::test]
async fn nonsense_in_service() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let bad = BadAnswers::new(of_every_path);
    bad.begin();
    let (_imds, variables) = before(&stage, &bad).await;
    let mut daemon = Daemon::start(&variables).await;
    let before = daemon.peak_memory();
    bad.used_up(&PATHS).await;
    bad.used_up(&[LIFE_CYCLE]).await;
    let all: Vec<_> = bad_answers().into_iter().map(|(_, words)| words).collect();
    assert_told(&daemon, &all).await;
    assert_told(&daemon, &[&["imds_malformed", "instance-action", "unknown variant `dance`"]]).await;
    assert_told(&daemon, &[&["imds_malformed", "rebalance", "the time is not RFC 3339"]]).await;
    assert_told(&daemon, &[&["imds_malformed", "scheduled", "missing field `EventId`"]]).await;
    assert_told(
        &daemon,
        &[&["imds_malformed", "expected a life cycle in one word", "<html>on-demand</html>"]],
    )
    .await;
    let grown = daemon.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown} bytes more than before 64 MiB of an answer");
    assert_eq!(daemon.status().await.state, State::Serving);
    assert_eq!(stage.count(told), 0);
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert!(daemon.runs());
}

/// Malformed responses during a drain neither end nor withdraw it. The drain lasts until all of them were given.
#[tokio::test]
async fn nonsense_during_a_drain() {
    let mut stage =
        Stage::new(100, WorldConfig { work: Work { items: 0, ..Work::default() }, ..world(0, 1) }).await;
    let bad = BadAnswers::new(of_every_path);
    let (_imds, mut variables) = before(&stage, &bad).await;
    let script = bad.clone();
    let agent = Server::start(move |_| {
        let state = if script.are_used_up(&PATHS) { "drained" } else { "draining" };
        ok(format!(r#"{{"state":"{state}"}}"#))
    })
    .await;
    variables.insert("DRAINHOOK_AGENT__URL", agent.url.clone());
    variables.insert("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h".to_owned());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    daemon.logged(&["agent_progress", "draining"]).await;
    bad.begin();
    stage.until_ended_well(&[]).await;
    assert!(bad.are_used_up(&PATHS), "completed before the agent had drained");
    assert!(!agent.lines().contains(&"DELETE /drain".to_owned()));
    assert_plain(&daemon);
}
