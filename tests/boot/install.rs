//! What the package and the scripts leave on a machine, and the commands of docs/install.md.

use crate::machine::{inside, outside};
use crate::page;
use crate::site::{Site, write};

/// The daemon starts at boot, and its whole sandbox is active.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn sandbox() {
    let site = Site::with_agent(|_| {}).await;
    let machine = &site.machine;
    assert_eq!(machine.property("SubState").await, "running");
    let daemon = machine.property("MainPID").await;
    let status = machine.sh(&format!("cat /proc/{daemon}/status")).await;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux lists the field");
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2", "filtered");
    assert_eq!(field("CapBnd:"), "0000000000000000");
    assert_eq!(machine.sh(&format!("stat --format=%U /proc/{daemon}")).await, "drainhook");
    let limits = machine.sh(&format!("cat /proc/{daemon}/limits")).await;
    assert_eq!(machine.property("MemoryMax").await, (128 << 20).to_string());
    assert_eq!(machine.property("TasksMax").await, "64");
    let no_core = ["Max", "core", "file", "size", "0", "0", "bytes"];
    assert!(limits.lines().any(|line| line.split_whitespace().eq(no_core)), "{limits}");
    // The daemon can write only its own folder, and cannot see home folders.
    let inside = format!("nsenter --target {daemon} --mount --root");
    assert!(!machine.succeeds(&format!("{inside} touch /usr/lib/x")).await);
    assert!(!machine.succeeds(&format!("{inside} ls -A \"$HOME\" | grep .")).await);
    machine.sh(&format!("{inside} touch /var/lib/drainhook/x")).await;
    let warnings = machine.sh("journalctl --unit drainhook --quiet --priority warning").await;
    assert_eq!(warnings, "", "the daemon logged warnings");
    machine.sh("systemd-analyze security --threshold=12 drainhook.service").await;
    assert_eq!(machine.sh("systemctl --failed --quiet --no-legend").await, "");
}

/// Members of the group `drainhook` can use the daemon without root. Other users cannot.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn operators() {
    let site = Site::with_agent(|_| {}).await;
    site.machine.sh("useradd --groups drainhook oncall && useradd stranger").await;
    let status = |user: &str| format!("runuser --user {user} -- drainhook status");
    site.machine.sh(&status("oncall")).await;
    assert!(!site.machine.succeeds(&status("stranger")).await);
}

/// With a bad configuration, the daemon exits with 78 and systemd does not restart it.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn bad_configuration() {
    let site = Site::with_agent(|_| {}).await;
    site.machine
        .sh("echo 'agnet = 1' >/etc/drainhook/drainhook.toml; systemctl restart drainhook || true")
        .await;
    site.machine.until("systemctl is-failed --quiet drainhook").await;
    assert_eq!(site.machine.property("ExecMainStatus").await, "78");
    assert_eq!(site.machine.property("NRestarts").await, "0");
    site.machine.until_logged("agnet").await;
}

/// Installing neither starts nor enables the unit. Removing leaves no unit. Purging leaves nothing.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn install_remove_purge() {
    const TRACES: &str = "find / -xdev -path /srv -prune -o -path /var/log -prune -o -path /var/cache -prune -o \
                          -path /var/lib/apt -prune -o -name '*drainhook*' -print; grep drainhook /etc/passwd \
                          /etc/group /etc/shadow /etc/gshadow /var/lib/dpkg/status || true";
    let site = Site::fresh().await;
    let machine = &site.machine;
    assert_eq!(machine.sh(TRACES).await, "", "a fresh machine");
    machine.sh("apt-get install --yes /srv/drainhook_*.deb").await;
    assert_eq!(machine.property("ActiveState").await, "inactive");
    assert!(!machine.succeeds("systemctl is-enabled drainhook").await);

    machine.sh("systemctl enable --now drainhook").await;
    machine.sh("echo '# mine' >>/etc/drainhook/drainhook.toml").await;
    machine.sh("apt-get remove --yes drainhook").await;
    assert_eq!(machine.property("ActiveState").await, "inactive");
    assert_eq!(machine.property("LoadState").await, "not-found");
    assert!(!machine.succeeds("ls /etc/systemd/system/*.wants/drainhook.service").await);
    machine.sh("grep mine /etc/drainhook/drainhook.toml").await;

    machine.sh("apt-get purge --yes drainhook").await;
    assert_eq!(machine.sh(TRACES).await, "", "a purged machine");
}

/// Runs the commands of docs/install.md unchanged and in order, from a fresh Debian to a drained scale-in.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn page_commands_on_an_instance() {
    let mut site = Site::fresh().await;
    let commands = page::blocks("## On an instance");
    let (elsewhere, here): (Vec<_>, Vec<_>) = commands.iter().partition(|block| block.kind == "sh elsewhere");
    assert_eq!((elsewhere.len(), here.len()), (1, 6), "{commands:?}");
    let mut told = String::new();
    for block in &commands {
        assert!(block.kind.starts_with("sh"), "{block:?}");
        if block.kind == "sh" {
            told = site.machine.sh(&format!("cd /srv\n{}", block.text)).await;
        } else {
            site.elsewhere(&block.text).await;
            site.stage.until_ended_well(&[]).await;
            site.machine.until_logged("drain ended").await;
        }
    }
    assert!(told.contains("drain ended: drained, completed with CONTINUE"), "the last command shows {told}");
    site.machine.sh("systemctl is-enabled worker.service drainhook.service").await;
    site.machine.sh("systemd-analyze verify --man=no drainhook.service worker.service").await;
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn page_user_data() {
    let site = Site::with_agent(|_| {}).await;
    let [script] = &page::blocks("## By user data")[..] else { panic!("one script") };
    let path = site.machine.path("/srv/user-data");
    std::fs::write(&path, &script.text).expect("written");
    let before = site.machine.property("MainPID").await;
    site.machine.sh("chmod +x /srv/user-data && /srv/user-data").await;
    site.machine.other_daemon(&before).await;
    let config = site.machine.sh("drainhook config").await;
    for line in ["drain_timeout = \"30m\"", "url = \"https://sqs.eu-west-1.amazonaws.com/"] {
        assert!(config.contains(line), "{config}");
    }
}

/// The existing handler script returns when the work is done. The daemon runs it in its sandbox.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn page_handler_script_as_a_command() {
    let blocks = page::blocks("## In place of a handler script");
    let mut site = handler_script(&[("/etc/drainhook/drainhook.toml", &blocks[0].text)]).await;
    drained_by_the_script(&mut site).await;
}

/// The same script runs with other privileges than the daemon's, in the oneshot unit of the page.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn page_handler_script_as_a_unit() {
    let blocks = page::blocks("## In place of a handler script");
    let [_, configuration, unit, commands] = &blocks[..] else { panic!("a unit and commands: {blocks:?}") };
    let files = [
        ("/etc/systemd/system/worker-drain.service", unit.text.as_str()),
        ("/etc/drainhook/drainhook.toml", configuration.text.as_str()),
    ];
    let mut site = handler_script(&files).await;
    let before = site.machine.property("MainPID").await;
    site.machine.sh(&commands.text).await;
    site.machine.other_daemon(&before).await;
    drained_by_the_script(&mut site).await;
}

/// A machine with the handler script and these files.
async fn handler_script(files: &[(&str, &str)]) -> Site {
    Site::with_agent(|root| {
        let script = "#!/bin/sh\nuntil test ! -e /var/lib/worker/task; do sleep 0.1; done\n";
        write(root, "/opt/worker/drain.sh", script);
        files.iter().for_each(|(path, text)| write(root, path, text));
        outside("chmod", &["+x", &inside(root, "/opt/worker/drain.sh").display().to_string()]);
    })
    .await
}

/// A scale-in lasts until the script has ended.
async fn drained_by_the_script(site: &mut Site) {
    site.stage.scale_in();
    site.until_status("a drain in Wait", |status| status.wait_since.is_some()).await;
    site.machine.until("pgrep drain.sh").await;
    site.finish(&[]).await;
}
