//! The daemon, or a library, has a defect. The daemon logs it, and the drain continues.

use std::io::Write;

use crate::support::daemon::{Daemon, Stage};
use crate::world;

/// Four effects panic, each at its first try. Each counts as failed, and is retried.
#[tokio::test]
async fn effects_panic() {
    let mut stage = Stage::new(50, world(3, 60)).await;
    let mut variables = stage.variables(&stage.instance());
    let orders = stage.folder.path().join("orders");
    let effects = ["AskAgent drain", "AskAgent status", "DescribeHooks", "Complete"];
    std::fs::write(&orders, effects.map(|effect| format!("PANIC {effect}\n")).concat()).expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let mut daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    for effect in effects {
        daemon.logged(&["ERROR", "the attempt panicked", &format!("ordered to panic: {effect}")]).await;
    }
    assert!(daemon.runs());
}

/// The machine reports a defect during a drain. The daemon logs it and restarts from its journal, in the same process. The
/// drain ends well.
#[tokio::test]
async fn defect_during_a_drain() {
    let mut stage = Stage::new(50, world(3, 60)).await;
    let mut variables = stage.variables(&stage.instance());
    let orders = stage.folder.path().join("orders");
    std::fs::write(&orders, "").expect("written");
    variables.insert("DRAINHOOK_KILL_POINTS", orders.display().to_string());
    let mut daemon = Daemon::start(&variables).await;
    stage.scale_in();
    daemon.logged(&["agents_told"]).await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&orders).expect("it is there");
    writeln!(file, "DEFECT").expect("written");
    daemon.logged(&["WARN", "a defect was found", "from the journal"]).await;
    daemon.logged(&["drain_recovered"]).await;
    stage.until_ended_well(&[]).await;
    assert!(daemon.runs());
}
