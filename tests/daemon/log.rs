//! The log: programs read its fields, and its reader cannot delay a drain.

use machine::Time;
use serde_json::Value;
use tokio::process::Command;

use crate::support::daemon::{Daemon, Stage, told};
use crate::world;

/// The deadline in the log is the one that the agent is told.
#[tokio::test]
async fn deadline_that_the_agents_are_told() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("a POST", told).await;
    daemon.logged(&["agents_told"]).await;
    let log = daemon.log();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["event"] == "agents_told").expect("it was logged");
    assert_eq!(line["deadline"].as_str().and_then(Time::from_rfc3339), Some(stage.deadlines()[0]), "{line}");
}

/// The reader of the log has exited, so writing each line fails.
#[tokio::test]
async fn reader_has_exited() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let command = command.arg("run").stderr(writer);
    let mut daemon = Daemon::spawn_unread(command, &stage.variables(&stage.instance()));
    daemon.told("STATUS=serving").await;
    drop(reader);
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert!(daemon.runs());
}

/// The reader of the log hangs, and its pipe is full.
#[tokio::test]
async fn reader_hangs() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_LOG__LEVEL", "trace".to_owned());
    fill(&writer);
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let mut daemon = Daemon::spawn_unread(command.arg("run").stderr(writer), &variables);
    daemon.told("STATUS=serving").await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// Fills the pipe. Leaves it in blocking mode, as pipes usually are.
fn fill(writer: &std::io::PipeWriter) {
    use std::io::Write;

    let flags = rustix::fs::fcntl_getfl(writer).expect("a pipe");
    rustix::fs::fcntl_setfl(writer, flags | rustix::fs::OFlags::NONBLOCK).expect("a pipe");
    for size in [4096, 1] {
        let mut pipe = writer;
        while pipe.write(&vec![b'x'; size]).is_ok() {}
    }
    rustix::fs::fcntl_setfl(writer, flags).expect("a pipe");
}
