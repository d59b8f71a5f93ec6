//! The daemon notifies the service manager.

use tokio::process::Command;

use crate::support::daemon::{Daemon, Stage};
use crate::world;

#[tokio::test]
async fn life_of_a_service() {
    let mut stage = Stage::new(20, world(3, 30)).await;
    let mut daemon = Daemon::spawn(&stage.variables(&stage.instance()));
    daemon.told("STATUS=serving").await;
    stage.scale_in();
    daemon.told("STATUS=autoscaling_termination: draining").await;
    daemon.told("STATUS=autoscaling_termination: drain ended, drained").await;
    stage.until_ended_well(&[]).await;
    daemon.terminate();
    daemon.told("STOPPING=1").await;
    assert!(daemon.exit().await.success());
    assert_eq!(daemon.told[0], "READY=1");
    let watchdog = daemon.told.iter().filter(|told| told.starts_with("WATCHDOG")).count();
    assert_eq!(watchdog, 0, "no watchdog was asked for");
}

#[tokio::test]
async fn watchdog() {
    // With IMDS polled only every 60 s, nothing else wakes the daemon this often.
    let stage = Stage::new(1, world(3, 30)).await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_IMDS__POLL", "60s".to_owned());
    variables.insert("WATCHDOG_USEC", "200000".to_owned());
    let binary = env!("CARGO_BIN_EXE_drainhook");
    // The shell sets the process id, which is not known before the start.
    let script = format!("WATCHDOG_PID=$$ exec '{binary}' run");
    let mut daemon = Daemon::spawn_as(Command::new("/bin/sh").args(["-c", &script]), &variables);
    daemon.told("STATUS=serving").await;
    for _ in 0..10 {
        daemon.told("WATCHDOG=1").await;
    }
}
