//! Scale-ins in a booted machine, and what may happen to the daemon during a drain.

use drainhook::daemon::journal::JournalFile;
use machine::status::Status;

use crate::site::{Site, write};
use crate::support::daemon::journal_of_an_image;

/// The drain continues with the same id and deadline, and ends well.
async fn goes_on(site: &mut Site, before: &Status) {
    let after = site.until_held().await;
    assert_eq!((&after.drain_id, after.deadline), (&before.drain_id, before.deadline), "not the same drain");
    let restarted = site.stage.service.clock().now();
    site.finish(&[restarted]).await;
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn scale_in() {
    let mut site = Site::with_agent(|_| {}).await;
    site.stage.scale_in();
    site.until_held().await;
    site.finish(&[]).await;
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn restarted() {
    let mut site = Site::with_agent(|_| {}).await;
    site.stage.scale_in();
    let before = site.until_held().await;
    site.machine.sh("systemctl restart drainhook").await;
    goes_on(&mut site, &before).await;
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn killed() {
    let mut site = Site::with_agent(|_| {}).await;
    site.stage.scale_in();
    let before = site.until_held().await;
    let daemon = site.machine.property("MainPID").await;
    site.machine.sh("systemctl kill --signal=SIGKILL drainhook").await;
    site.machine.other_daemon(&daemon).await;
    goes_on(&mut site, &before).await;
    assert_eq!(site.machine.property("NRestarts").await, "1");
}

/// The daemon is stopped but alive, so only the watchdog can notice.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn hung() {
    let mut site = Site::with_agent(|_| {}).await;
    site.stage.scale_in();
    let before = site.until_held().await;
    let daemon = site.machine.property("MainPID").await;
    site.machine.sh("systemctl kill --signal=SIGSTOP drainhook").await;
    site.machine.other_daemon(&daemon).await;
    site.machine.until_logged("Watchdog timeout").await;
    goes_on(&mut site, &before).await;
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn upgraded() {
    let newer = std::env::var("DRAINHOOK_BOOT_NEWER").expect("tests/boot/run sets it");
    let mut site = Site::with_agent(|root| {
        std::fs::copy(newer, root.join("srv/newer.deb")).expect("copied");
    })
    .await;
    site.stage.scale_in();
    let before = site.until_held().await;
    let daemon = site.machine.property("MainPID").await;
    let version = "dpkg-query --show --showformat='${Version}' drainhook";
    let installed = site.machine.sh(version).await;
    site.machine.sh("apt-get install --yes /srv/newer.deb").await;
    assert_ne!(site.machine.sh(version).await, installed);
    site.machine.other_daemon(&daemon).await;
    goes_on(&mut site, &before).await;
}

/// An agent that starts slowly. Its unit also stops slowly, long after the process has exited.
const SLOW: &str = "[Service]
ExecStart=
ExecStart=/bin/sh -c 'sleep 3; exec python3 /usr/local/lib/worker/agent.py'
ExecStopPost=/bin/sleep 3
";

/// With `on_exit = "drained"`, an exit of the agent means that it has drained. A shutdown ends the agent too, but with
/// work left. The daemon must not count that exit, nor count an agent that has not started yet as exited.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn rebooted() {
    let mut site = Site::with_agent(|root| {
        write(root, "/etc/drainhook/drainhook.toml", "[agent]\non_exit = \"drained\"\n");
        write(root, "/etc/systemd/system/worker.service.d/slow.conf", SLOW);
    })
    .await;
    site.stage.scale_in();
    let before = site.until_held().await;
    let boot = site.machine.sh("cat /proc/sys/kernel/random/boot_id").await;
    site.machine.reboot().await;
    assert_ne!(site.machine.sh("cat /proc/sys/kernel/random/boot_id").await, boot);
    goes_on(&mut site, &before).await;
}

/// The image was made from an instance during a drain, so it contains that instance's journal.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn journal_in_the_image() {
    let mut site = Site::with_agent(|root| {
        let file = JournalFile::open(&root.join("var/lib/drainhook")).expect("a folder");
        file.write(&journal_of_an_image()).expect("written");
    })
    .await;
    site.machine
        .sh("journalctl --unit drainhook --quiet --priority warning --grep i-00000000000000bad")
        .await;
    site.stage.scale_in();
    site.until_held().await;
    site.finish(&[]).await;
}

/// An operator can find all log lines of a drain by the drain's id, and notable lines by their message ids.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn journald_fields() {
    let mut site = Site::with_agent(|_| {}).await;
    site.stage.scale_in();
    let drain = site.until_held().await.drain_id.expect("it drains");
    site.finish(&[]).await;
    let ended = drainhook::telemetry::journald::MESSAGE_IDS.iter().find(|(event, _)| *event == "drain_ended");
    let id = ended.expect("drain_ended has a message id").1;
    let events = format!("journalctl --output json --output-fields EVENT DRAIN_ID={drain}");
    let told = site.machine.sh(&events).await;
    for event in ["drain_started", "agents_told", "agent_progress", "wait_began", "completing", "drain_ended"]
    {
        assert!(told.contains(&format!(r#""EVENT":"{event}""#)), "no {event} in {told}");
    }
    let line: serde_json::Value =
        serde_json::from_str(&site.machine.sh(&format!("journalctl --output json MESSAGE_ID={id}")).await)
            .expect("one line");
    assert_eq!(line["DRAIN_ID"], drain.as_str());
    assert_eq!(line["OUTCOME"], "drained");
    assert_eq!(line["_SYSTEMD_UNIT"], "drainhook.service");
    assert_eq!(line["SYSLOG_IDENTIFIER"], "drainhook");
    assert_eq!(line["PRIORITY"], "6");
    let message = line["MESSAGE"].as_str().expect("text");
    assert!(message.starts_with("drain ended: drained, completed with CONTINUE"), "{message}");
}
