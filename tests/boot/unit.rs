//! Agents that are systemd units, drained by the packaged daemon from inside its sandbox, as far as polkit permits.

use std::path::Path;

use machine::status::Status;

use crate::site::{Site, TASK, write};
use crate::support::daemon::completed;

/// What lets the worker finish its task when its unit is stopped.
const GRACEFUL: &str = "KillSignal=SIGQUIT\nTimeoutStopSec=infinity\n";

/// A unit that drains the worker with other privileges than the daemon's: it runs as root.
const ONESHOT: &str = "[Service]
Type=oneshot
ExecStart=/bin/sh -euc 'echo drain >>/var/lib/worker/story; while test -e /var/lib/worker/task; do sleep 0.05; done'
ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT >>/var/lib/worker/story'
";

/// A machine whose agent is the unit `worker.service`, with these settings of the agent and of the unit. The rule for polkit is
/// installed.
async fn site(agent: &str, unit: &str) -> Site {
    let site = site_without_rule(agent, unit).await;
    site.machine.sh("drainhook config --polkit >/etc/polkit-1/rules.d/50-drainhook.rules").await;
    site
}

async fn site_without_rule(agent: &str, unit: &str) -> Site {
    let site = Site::with_agent(|root: &Path| {
        write(root, "/etc/drainhook/drainhook.toml", &format!("[agent]\nunit = \"worker.service\"\n{agent}"));
        write(root, "/usr/local/lib/worker/agent.py", include_str!("worker.py"));
        write(root, "/etc/systemd/system/worker.service.d/signals.conf", &format!("[Service]\n{unit}"));
        write(root, "/etc/systemd/system/worker-drain.service", ONESHOT);
    })
    .await;
    site.machine.until("grep --quiet start /var/lib/worker/story").await;
    site
}

/// What happened to the worker, in order.
async fn story(site: &Site) -> String {
    site.machine.sh("cat /var/lib/worker/story").await.replace('\n', " ")
}

/// Waits until the worker drains and Wait has begun. Only its task then keeps the instance.
async fn until_held(site: &Site) -> Status {
    let held = |status: &Status| status.agents[0].state == "draining" && status.wait_since.is_some();
    site.until_status("a unit that drains", held).await
}

/// `check`, whose exit code must be 1, says this about the agent or polkit.
async fn refused(site: &Site, words: &str) {
    let told = site.machine.sh("! drainhook check").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(words), "{words:?} is not in {told}");
}

#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn stopped() {
    let mut site = site("", GRACEFUL).await;
    site.stage.scale_in();
    until_held(&site).await;
    site.machine.until("grep --quiet quit /var/lib/worker/story").await;
    site.finish(&[]).await;
    assert_eq!(story(&site).await, "start quit end");
}

/// The unit comes back whenever its process has ended (`Restart=always`). The daemon is killed and restarted during the drain.
/// The worker gets only one signal, and does not come back.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn told_by_a_signal_once() {
    let mut site = site("drain.signal = \"SIGQUIT\"\n", "Restart=always\nRestartSec=2s\n").await;
    site.stage.scale_in();
    until_held(&site).await;
    site.machine.until("grep --quiet quit /var/lib/worker/story").await;
    let daemon = site.machine.property("MainPID").await;
    site.machine.sh("systemctl kill --signal=SIGKILL drainhook").await;
    site.machine.other_daemon(&daemon).await;
    until_held(&site).await;
    let killed = site.stage.service.clock().now();
    site.machine.sh("systemctl restart drainhook").await;
    until_held(&site).await;
    let restarted = site.stage.service.clock().now();
    site.finish(&[killed, restarted]).await;
    assert_eq!(story(&site).await, "start quit end");
    assert_eq!(site.machine.sh("systemctl is-active worker.service || true").await, "inactive");
}

/// The work does not end. A signal ends it before the deadline. The unit then fails, but its time was over.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn forced_to_end() {
    let agent = "drain_timeout = \"12s\"\nforce = { before = \"6s\", signal = \"SIGQUIT\" }\n";
    let mut site = site(agent, GRACEFUL).await;
    site.stage.scale_in();
    site.stage.until("the completion", completed).await;
    assert_eq!(story(&site).await, "start quit quit cut");
    site.machine.until_logged("drain ended: deadline").await;
}

/// A oneshot unit drains the worker with privileges that the daemon does not have.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn drained_by_a_oneshot() {
    let mut site = site("drain.start = \"worker-drain.service\"\n", "").await;
    site.stage.scale_in();
    until_held(&site).await;
    site.machine.until("grep --quiet drain /var/lib/worker/story").await;
    site.finish(&[]).await;
    assert_eq!(story(&site).await, "start drain success");
}

/// A drain is withdrawn. The oneshot that drains is stopped.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn oneshot_of_a_withdrawn_drain() {
    let site = site("drain.start = \"worker-drain.service\"\n", "").await;
    site.machine.sh("drainhook drain").await;
    site.machine.until("grep --quiet drain /var/lib/worker/story").await;
    site.machine.sh("drainhook drain --cancel").await;
    site.machine.until("systemctl is-failed worker-drain.service || grep --quiet -E 'signal|success' /var/lib/worker/story").await;
    site.machine.until_logged("systemctl start worker.service").await;
    assert_eq!(site.machine.sh("systemctl is-active worker.service").await, "active");
}

/// A drain is withdrawn. The worker was told, and finishes its task. Only then is its unit started again.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn returned() {
    let site = site("drain.signal = \"SIGQUIT\"\n", "").await;
    site.machine.sh("drainhook drain").await;
    site.machine.until("grep --quiet quit /var/lib/worker/story").await;
    site.machine.sh("drainhook drain --cancel").await;
    std::fs::remove_file(site.machine.path(TASK)).expect("the task exists");
    site.machine.until("test \"$(grep --count start /var/lib/worker/story)\" = 2").await;
    assert_eq!(story(&site).await, "start quit end start");
}

/// systemd kills the worker before its task is done, because `TimeoutStopSec` is too short. `check` refuses that. A drain says
/// that work was lost: its outcome is not `drained`.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn killed_by_its_timeout() {
    let mut site = site("", "KillSignal=SIGQUIT\nTimeoutStopSec=1s\n").await;
    refused(&site, "systemd kills it 1s after the stop (TimeoutStopSec), and agent.drain_timeout is 1h")
        .await;
    site.stage.scale_in();
    site.stage.until("the completion", completed).await;
    site.machine.until_logged("this drain may lose work: worker.service: worker.service").await;
    site.machine.until_logged("was killed because it did not stop within its TimeoutStopSec").await;
    site.machine.until_logged("drain ended: failed").await;
    assert_eq!(story(&site).await, "start quit");
    // The fix that `check` prints.
    let rows = site.machine.sh("drainhook check --json || true").await;
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let advice =
        rows.iter().filter_map(|row| row["advice"].as_array()).flatten().filter_map(|one| one.as_str());
    let fix = advice.filter_map(|one| one.strip_prefix("to fix it, run: ")).next().expect("a fix");
    site.machine.sh(&fix.replace("sudo ", "")).await;
    let limit = site.machine.sh("systemctl show --property=TimeoutStopUSec --value worker.service").await;
    assert_eq!(limit, "infinity");
}

/// Without the rule, polkit does not let the daemon stop the unit. `check` says what to run. Once that has been done, the drain
/// under way goes on.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn without_the_rule() {
    let mut site = site_without_rule("", GRACEFUL).await;
    refused(&site, "run: drainhook config --polkit | sudo tee /etc/polkit-1/rules.d/50-drainhook.rules")
        .await;
    site.stage.scale_in();
    site.machine.until_logged("polkit does not permit it").await;
    assert_eq!(story(&site).await, "start");
    site.machine.sh("drainhook config --polkit | tee /etc/polkit-1/rules.d/50-drainhook.rules").await;
    until_held(&site).await;
    site.finish(&[]).await;
    assert_eq!(story(&site).await, "start quit end");
}

/// A command tells the agent, and the processes of its jobs are counted. The sandbox hides them from the daemon, which does not
/// take that for none. With the drop-in, the daemon sees them, and the drain ends with the last job.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn counted_processes() {
    let agent = "command = \"/bin/true\"\nstatus.processes = \"Runner.Worker\"\nstatus.zero_for = \"2s\"\n";
    let mut site = Site::with_agent(|root: &Path| {
        write(root, "/etc/drainhook/drainhook.toml", &format!("[agent]\n{agent}"));
    })
    .await;
    site.machine.sh("cp /bin/sleep /usr/local/bin/Runner.Worker").await;
    site.machine.sh("systemd-run --quiet --unit=job /usr/local/bin/Runner.Worker 3600").await;
    refused(&site, "the sandbox hides other users' processes from the daemon").await;
    site.stage.scale_in();
    site.machine.until_logged("set ProtectProc=default in a drop-in").await;
    let drop_in = "mkdir -p /etc/systemd/system/drainhook.service.d && printf '[Service]\\nProtectProc=default\\n' \
                   >/etc/systemd/system/drainhook.service.d/processes.conf && systemctl daemon-reload";
    site.machine.sh(drop_in).await;
    site.machine.sh("systemctl restart drainhook").await;
    let restarted = site.stage.service.clock().now();
    site.until_status("its job", |status| status.agents[0].in_flight == Some(1)).await;
    site.machine.sh("systemctl stop job").await;
    site.stage.until_ended_well(&[restarted]).await;
    site.machine.until_logged("drain ended: drained").await;
}

/// The rule permits the configured units and verbs, and nothing else.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn the_rule_permits_nothing_else() {
    let site = site("", GRACEFUL).await;
    for (verb, permitted) in [
        ("stop worker.service", true),
        ("start worker.service", true),
        ("restart worker.service", false),
        ("kill worker.service", false),
        ("stop worker-drain.service", false),
        ("stop systemd-journald.service", false),
    ] {
        let as_daemon = format!(
            "setpriv --reuid drainhook --regid drainhook --clear-groups systemctl --no-block --no-ask-password {verb}"
        );
        assert_eq!(site.machine.succeeds(&as_daemon).await, permitted, "{verb}");
    }
    let as_other = "setpriv --reuid nobody --regid nogroup --clear-groups systemctl --no-block --no-ask-password stop worker.service";
    assert!(!site.machine.succeeds(as_other).await);
}
