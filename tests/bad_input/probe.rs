//! Numbers in flight that cannot be read. None of them passes for 0.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::daemon::{Stage, completed, eventually};
use crate::support::{Reply, Server, answer, closed_port, ok};
use crate::{assert_told, world};

/// More than the daemon reads of any page.
const MIB_50: usize = 50 * 1024 * 1024;

fn document(value: &str) -> Reply {
    ok(format!(r#"{{"jobs":{{"running":{value}}}}}"#))
}

/// Bad documents, each with words that must be logged.
fn bad_documents() -> Vec<(Reply, &'static [&'static str])> {
    vec![
        (ok(""), &["answered 200 OK with nothing, which is not JSON"]),
        (ok("0"), &["which has nothing at /jobs/running"]),
        (ok("<html>0</html>"), &["which is not JSON"]),
        (ok(r#"{"jobs":{}}"#), &["which has nothing at /jobs/running"]),
        (document("\"0\""), &[r#"has \"0\" at /jobs/running; expected a whole number from 0 to 2^53"#]),
        (document("null"), &["has null at"]),
        (document("0.5"), &["has 0.5 at"]),
        (document("-1"), &["has -1 at"]),
        (document("NaN"), &["which is not JSON"]),
        (document("[]"), &["has [] at"]),
        (document(&"[".repeat(10_000)), &["which is not JSON"]),
        (answer(204, &[], ""), &["answered 204 No Content with nothing, which is not JSON"]),
        (answer(302, &[("location", "/login")], ""), &["a redirect to", "expected 2xx"]),
        (answer(404, &[], "no such page"), &["answered 404", "no such page"]),
        (answer(409, &[], ""), &["answered 409"]),
        (answer(500, &[], "oops"), &["answered 500", "oops"]),
        (Reply::Close, &["GET http", "connection closed before message completed"]),
        (Reply::EndlessHead, &["GET http", "message head is too large"]),
        (Reply::Endless, &["longer than 1048576 bytes"]),
    ]
}

/// Bad pages of metrics, each with words that must be logged.
fn bad_metrics() -> Vec<(Reply, &'static [&'static str])> {
    let long = format!("# {}\njobs{{state=\"running\"}} 0\n", "x".repeat(MIB_50));
    vec![
        (ok(""), &["with nothing, which has no metric jobs"]),
        (ok("<html>jobs 0</html>"), &["which has no metric jobs"]),
        (ok("jobs_total 0\n"), &["which has no metric jobs"]),
        (ok("jobs 0\n"), &[r#"has jobs, but not with the labels {state=\"running\"}"#]),
        (ok("jobs{state=\"running\"} NaN\n"), &["NaN", "expected a whole number"]),
        (ok("jobs{state=\"running\"} +Inf\n"), &["+Inf", "expected a whole number"]),
        (ok("jobs{state=\"running\"} -1\n"), &["} -1", "expected a whole number"]),
        (ok("jobs{state=\"running\"} 0.5\n"), &["} 0.5", "expected a whole number"]),
        (ok("jobs{state=\"running\"\n"), &["expected a series and its value"]),
        (ok("jobs{state=\"running\"} none\n"), &["expected a series and its value"]),
        (ok(long), &["longer than 4194304 bytes"]),
        (Reply::Endless, &["longer than 4194304 bytes"]),
    ]
}

/// Plays an agent whose readings are bad and 0 in turn, with these settings of the probe. Its drain must not end before the last
/// bad reading. Then it ends.
async fn play(bad: Vec<(Reply, &'static [&'static str])>, zero: &str, settings: &[(&'static str, &str)]) {
    let mut stage = Stage::new(50, crate::WorldConfig { queue: None, ..world(0, 1) }).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (of_server, zero) = (Arc::clone(&asked), ok(zero));
    let replies: Vec<Reply> = bad.iter().map(|(reply, _)| reply.clone()).collect();
    let last = 2 * replies.len();
    let agent = Server::start(move |request| {
        if request.line() != "GET /status" {
            return answer(202, &[], "");
        }
        let number = of_server.fetch_add(1, Ordering::Relaxed);
        let bad = replies.get(number / 2).filter(|_| number % 2 == 1);
        bad.unwrap_or(&zero).clone()
    })
    .await;
    let url = format!("{}/status", agent.url);
    let mut all = vec![
        ("DRAINHOOK_AGENT__URL", agent.url.as_str()),
        ("DRAINHOOK_AGENT__STATUS__URL", url.as_str()),
        ("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "2s"),
        ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1s"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h"),
        ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON"),
        ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON"),
    ];
    all.extend(settings);
    let mut daemon = stage.daemon_with(&all).await;
    let before = daemon.peak_memory();
    stage.scale_in();
    eventually("all bad readings", || {
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked >= last || !daemon.log().contains("drain_ended"), "ended after {asked} readings");
        asked >= last
    })
    .await;
    stage.until("the completion", completed).await;
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    for (_, words) in bad {
        assert_told(&daemon, &[words]).await;
    }
    assert!(daemon.runs());
    let grown = daemon.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown} bytes more than before 50 MiB of a page");
}

#[tokio::test]
async fn documents() {
    let settings = [("DRAINHOOK_AGENT__STATUS__POINTER", "/jobs/running")];
    play(bad_documents(), r#"{"jobs":{"running":0.0}}"#, &settings).await;
}

#[tokio::test]
async fn metrics() {
    let settings = [
        ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs"),
        ("DRAINHOOK_AGENT__STATUS__LABELS", "{ state = \"running\" }"),
    ];
    play(bad_metrics(), "jobs{state=\"running\"} 0\n", &settings).await;
}

/// The page is on a port where nothing listens. That says nothing about the agent, so it neither has exited nor has failed.
#[tokio::test]
async fn refused_page() {
    let mut stage = Stage::new(50, world(0, 1)).await;
    let page = closed_port().await;
    let settings = [
        ("DRAINHOOK_AGENT__STATUS__URL", page.as_str()),
        ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs"),
        ("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "2s"),
        ("DRAINHOOK_AGENT__ON_EXIT", "drained"),
        ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "1s"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "60s"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    daemon.logged(&["WARN", "agent_trouble", "connection refused"]).await;
    daemon.logged(&["drain_ended", "deadline"]).await;
}

/// Commands that print no number, each with words that must be logged.
const BAD_COMMANDS: &[(&str, &str)] = &[
    (":", "wrote nothing; expected a number"),
    ("echo", "wrote nothing; expected a number"),
    ("echo none", "none"),
    ("echo 0 jobs", "0 jobs"),
    ("echo -1", "-1"),
    ("echo 0.5", "0.5"),
    ("echo 0; exit 1", "exited with status 1"),
    ("echo 0; exit 75", "exited with status 75"),
    ("echo 0; kill -KILL $$", "was ended by signal 9"),
    ("head -c 5242880 /dev/zero | tr '\\0' 0; echo", "expected a whole number"),
    ("yes 0 | head -c 10485760; printf '\\033[2J'", "u{1b}[2J"),
];

/// A command is 0 and bad in turn. The drain does not end before the last bad one.
#[tokio::test]
async fn commands() {
    let mut stage = Stage::new(50, world(0, 1)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path().display();
    let arms: String = BAD_COMMANDS
        .iter()
        .enumerate()
        .map(|(number, (command, _))| format!("{}) {command};;\n", 2 * number + 1))
        .collect();
    let text =
        format!("#!/bin/sh\necho >>{here}/asked\ncase $(wc -l <{here}/asked) in\n{arms}*) echo 0;;\nesac\n");
    let script = folder.path().join("busy");
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
    let program = script.display().to_string();
    let settings = [
        ("DRAINHOOK_AGENT__STATUS__COMMAND", program.as_str()),
        ("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "2s"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40h"),
    ];
    let daemon = stage.daemon_with(&settings).await;
    stage.scale_in();
    let asked = || std::fs::read_to_string(folder.path().join("asked")).unwrap_or_default().len();
    eventually("all bad readings", || {
        let asked = asked();
        assert!(asked >= 2 * BAD_COMMANDS.len() || !daemon.log().contains("drain_ended"), "after {asked}");
        asked >= 2 * BAD_COMMANDS.len()
    })
    .await;
    stage.until("the completion", completed).await;
    daemon.logged(&["drain_ended", "drained, completed with CONTINUE"]).await;
    for (_, words) in BAD_COMMANDS {
        assert_told(&daemon, &[&["agent_trouble", words]]).await;
    }
}
