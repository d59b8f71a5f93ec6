//! The disk refuses writes. The drain continues anyway, and the log says what to do.
//!
//! The kernel refuses the writes, also to root: a file-size limit cuts a write short, `/sys` accepts no files, or a folder is
//! in the way of the new file. A hung disk is simulated by a debug build (`HOLD`).

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::daemon::{
    Daemon, Stage, Variables, completed, drained, eventually, journal, told, worked, written,
};
use crate::world;

/// The new journal's path, before it replaces the old one.
fn new_journal(variables: &Variables) -> PathBuf {
    journal(variables).with_extension("new")
}

/// No journal can be written, from the start. The drain continues without one, and the log says once what to do.
#[tokio::test]
async fn disk_refuses_writes() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    std::fs::create_dir(new_journal(&variables)).expect("a fresh path");
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "Is a directory", "free up space"]).await;
    let warnings = daemon.log().lines().filter(|line| is_warning(line)).count();
    assert_eq!(warnings, 1, "one warning is enough: {}", daemon.log());
    assert!(written(&variables, &instance).is_none());
}

fn is_warning(line: &str) -> bool {
    line.contains("WARN") && line.contains("journal_failed")
}

/// An operator makes the disk writable during the drain. The journal is written then, and a restarted daemon continues from
/// it.
#[tokio::test]
async fn disk_refuses_writes_for_a_while() {
    let mut stage = Stage::new(20, world(3, 60)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    std::fs::create_dir(new_journal(&variables)).expect("a fresh path");
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    daemon.logged(&["journal_failed"]).await;
    std::fs::remove_dir(new_journal(&variables)).expect("it is there");
    eventually("a journal", || written(&variables, &instance).is_some()).await;
    daemon.kill().await;
    let _daemon = Daemon::start(&variables).await;
    let restart = stage.service.clock().now();
    stage.until_ended_well(&[restart]).await;
}

/// The disk has room for an idle instance's journal, but not for a drain's. Each write is cut short.
#[tokio::test]
async fn disk_fills_up() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    // 512 bytes. Without the trap, the kernel would kill the process with SIGXFSZ.
    let script = format!("trap '' XFSZ; ulimit -f 1; exec '{}' run", env!("CARGO_BIN_EXE_drainhook"));
    let mut daemon = Daemon::spawn_as(Command::new("/bin/sh").args(["-c", &script]), &variables);
    daemon.told("STATUS=").await;
    eventually("the journal of an idle instance", || written(&variables, &instance).is_some()).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "File too large"]).await;
    assert!(
        written(&variables, &instance).is_some_and(|journal| journal.drain.is_none()),
        "the old journal is still there"
    );
}

#[tokio::test]
async fn folder_refuses_files() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_JOURNAL__DIR", "/sys".to_owned());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    daemon.logged(&["WARN", "journal_failed", "/sys/journal.new", "let drainhook write there"]).await;
}

/// The disk refuses writes once the beginning of the drain is in the journal, and then the daemon is killed. The next daemon
/// continues the drain.
#[tokio::test]
async fn read_only_during_a_drain() {
    let mut stage = Stage::new(20, world(6, 60)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until("a POST", told).await;
    // Waits until no write is under way.
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

/// The disk hangs while the beginning of the drain is written. The daemon stops waiting for that write and completes the
/// drain. Then the disk continues, with the old write first. The journal on disk at the end is the last one.
#[tokio::test]
async fn write_hangs_and_continues() {
    let mut stage = Stage::new(20, world(2, 20)).await;
    let instance = stage.instance();
    let mut variables = stage.variables(&instance);
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "HOLD WriteJournal drain\n").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let daemon = Daemon::start(&variables).await;
    stage.scale_in();
    daemon.logged(&["WARN", "journal_failed", "took longer than"]).await;
    stage.until("the completion", completed).await;
    let has = |line: &str| std::fs::read_to_string(&orders).is_ok_and(|all| all.contains(line));
    // The write has finished, or the daemon has stopped waiting for it.
    eventually("the last write", || has("after WriteJournal ended, 0 messages")).await;
    order(&orders, "RELEASE WriteJournal drain");
    eventually("the first write", || has("wrote drain")).await;
    eventually("the last write on disk", || has("wrote ended, 0 messages")).await;
    let left = written(&variables, &instance).and_then(|journal| journal.drain).expect("a drain");
    assert!(left.phase.ended().is_some(), "an older write has replaced a later one: {left:?}");
}

/// The disk hangs while a damaged journal is read, for longer than the daemon waits. The late read does not set aside the
/// journal that the daemon writes meanwhile.
#[tokio::test]
async fn read_hangs_and_continues() {
    let stage = Stage::new(20, world(2, 20)).await;
    let instance = stage.instance();
    let mut variables = stage.variables(&instance);
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "HOLD LoadJournal\n").expect("written");
    std::fs::write(journal(&variables), "damaged").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["ERROR", "the disk", "read"]).await;
    // A write has finished, or the daemon has stopped waiting for it.
    let has = |line: &str| std::fs::read_to_string(&orders).is_ok_and(|all| all.contains(line));
    eventually("the first write", || has("after WriteJournal serving")).await;
    order(&orders, "RELEASE LoadJournal");
    let damaged = journal(&variables).with_file_name("journal.damaged.json");
    eventually("a journal set aside", || damaged.exists()).await;
    assert_eq!(std::fs::read(&damaged).expect("there"), b"damaged");
    eventually("a journal", || journal(&variables).exists()).await;
    assert!(written(&variables, &instance).is_some());
}

/// The thread that writes the journal panics. That write counts as failed, and the next one is tried as after any failure.
#[tokio::test]
async fn writer_panics() {
    let mut stage = Stage::new(20, world(3, 60)).await;
    let instance = stage.instance();
    let mut variables = stage.variables(&instance);
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "PANIC journal\n").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "journal_failed", "panic"]).await;
    eventually("a journal", || written(&variables, &instance).is_some()).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// The disk hangs at the first write. The daemon is told to stop, and waits for that write, which fails. The log says so.
#[tokio::test]
async fn last_write_fails() {
    let stage = Stage::new(20, world(2, 20)).await;
    let mut variables = stage.variables(&stage.instance());
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "HOLD WriteJournal serving\n").expect("written");
    std::fs::create_dir(new_journal(&variables)).expect("a fresh path");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let mut daemon = Daemon::start(&variables).await;
    let has = |line: &str| std::fs::read_to_string(&orders).is_ok_and(|all| all.contains(line));
    eventually("the first write", || has("before WriteJournal serving")).await;
    daemon.terminate();
    daemon.told("STOPPING=1").await;
    order(&orders, "RELEASE WriteJournal serving");
    assert!(daemon.exit().await.success());
    daemon.logged(&["WARN", "journal_failed", "Is a directory"]).await;
}

fn order(orders: &Path, line: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(orders).expect("it is there");
    writeln!(file, "{line}").expect("written");
}
