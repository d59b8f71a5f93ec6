//! A disk that takes nothing more. The drain goes on all the same, and people are told what to do.
//!
//! All of it is refused by the kernel, to root as to anybody else: `/dev/full` has no space left, a file-size limit cuts
//! a write short, `/sys` takes no files, and a folder is no file.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tokio::process::Command;

use crate::support::daemon::{
    Daemon, Stage, Variables, completed, drained, eventually, journal, told, worked, written,
};
use crate::world;

/// Where a new journal is written before it takes the place of the old one.
fn new_journal(variables: &Variables) -> PathBuf {
    journal(variables).with_extension("new")
}

#[tokio::test]
async fn full_disk() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    symlink("/dev/full", new_journal(&variables)).expect("a fresh path");
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "No space left on device", "make room"]).await;
    let warnings = daemon.log().lines().filter(|line| is_warning(line)).count();
    assert_eq!(warnings, 1, "once is enough: {}", daemon.log());
    assert!(written(&variables, &instance).is_none());
}

fn is_warning(line: &str) -> bool {
    line.contains("WARN") && line.contains("journal_failed")
}

/// Somebody makes room: what could not be written is written.
#[tokio::test]
async fn full_disk_with_room_again() {
    let mut stage = Stage::new(20, world(3, 60)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    symlink("/dev/full", new_journal(&variables)).expect("a fresh path");
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    daemon.logged(&["journal_failed"]).await;
    std::fs::remove_file(new_journal(&variables)).expect("it is there");
    eventually("a journal", || written(&variables, &instance).is_some()).await;
    daemon.kill().await;
    let _daemon = Daemon::start(&variables).await;
    let restart = stage.service.clock().now();
    stage.until_ended_well(&[restart]).await;
}

/// The disk has room for the journal of an idle instance, and not for that of a drain: each write stops half-way.
#[tokio::test]
async fn disk_that_fills_up() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    // 512 bytes in all; without the trap, the kernel would end the process with SIGXFSZ.
    let script = format!("trap '' XFSZ; ulimit -f 1; exec '{}' run", env!("CARGO_BIN_EXE_drainhook"));
    let mut daemon = Daemon::spawn_as(Command::new("/bin/sh").args(["-c", &script]), &variables);
    daemon.told("STATUS=").await;
    eventually("the journal of an idle instance", || written(&variables, &instance).is_some()).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "File too large"]).await;
    assert!(
        written(&variables, &instance).is_some_and(|journal| journal.drain.is_none()),
        "the old one stands"
    );
}

#[tokio::test]
async fn folder_that_takes_no_files() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_JOURNAL__DIR", "/sys".to_owned());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "/sys/journal.new", "let drainhook write there"]).await;
}

/// The disk takes nothing more once the drain is written down, and then the daemon is killed.
#[tokio::test]
async fn read_only_from_mid_drain() {
    let mut stage = Stage::new(20, world(6, 60)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    // Until no write is under way.
    eventually("a folder in the way", || std::fs::create_dir(new_journal(&variables)).is_ok()).await;
    stage.until("work that is done", worked).await;
    daemon.kill().await;
    let before =
        written(&variables, &instance).and_then(|journal| journal.drain).expect("the drain is written down");
    let daemon = Daemon::start(&variables).await;
    stage.until_times(2, "a POST of the new life", told).await;
    stage.until("the completion", completed).await;
    daemon.logged(&["drain_ended", "completed with CONTINUE"]).await;
    let after = written(&variables, &instance).and_then(|journal| journal.drain).expect("as it was");
    assert_eq!((after.started, after.phase.ended()), (before.started, None));
    assert_eq!((stage.count(completed), stage.count(drained)), (1, 1));
    let deadlines = stage.deadlines();
    assert_eq!(deadlines[0], deadlines[1]);
}
