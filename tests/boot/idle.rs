//! What the daemon costs while nothing happens: the figures of docs/performance.md.

use std::time::Duration;

use crate::site::Site;

/// Run `IDLE_SECONDS=300 tests/boot/run --no-capture -E 'test(idle)'` to print the figures.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn idle() {
    let seconds = std::env::var("IDLE_SECONDS").map_or(20, |text| text.parse().expect("a number"));
    let site = Site::with_agent(|_| {}).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let daemon = site.machine.property("MainPID").await;
    let properties = "MemoryCurrent,CPUUsageNSec,TasksCurrent,NRestarts";
    println!(
        "{}",
        site.machine.sh(&format!("systemctl show --property={properties} drainhook.service")).await
    );
    println!(
        "{}",
        site.machine.sh(&format!("grep -E '^(Rss|Pss|Anonymous|Private)' /proc/{daemon}/smaps_rollup")).await
    );
    assert_eq!(site.machine.sh(&format!("ls /proc/{daemon}/task | wc -l")).await, "1", "threads");
    assert_eq!(site.machine.property("NRestarts").await, "0");
}
