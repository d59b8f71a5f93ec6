//! Parts of the daemon panic: a defect of its own, or of a library. It says so, and the drain goes on.

use crate::support::daemon::{Daemon, Stage};
use crate::world;

/// Four effects panic, each at its first try. Each has failed then, as for any other reason, and is tried again.
#[tokio::test]
async fn effects_that_panic() {
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
        daemon.logged(&["ERROR", "performing it panicked", &format!("ordered to panic: {effect}")]).await;
    }
    assert!(daemon.runs());
}
