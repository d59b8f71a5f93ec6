//! The launching hook, from the first boot of an instance until it enters service.

use std::path::Path;

use sim::world::{Happening, LifecycleState};

use crate::site::{Site, write};

/// A program that says that it is ready once a file exists.
const WORKER: &str = "[Service]
Type=notify
NotifyAccess=all
TimeoutStartSec=infinity
ExecStart=/bin/sh -euc 'until test -e /srv/loaded; do sleep 0.05; done; systemd-notify --ready; exec sleep infinity'
";

const CONFIGURATION: &str = "[agent]
unit = \"worker.service\"

[launch]
hook = \"warm-up\"
";

/// The worker is being started.
async fn launched() -> Site {
    let site = Site::launched(|root: &Path| {
        write(root, "/etc/drainhook/drainhook.toml", CONFIGURATION);
        write(root, "/etc/systemd/system/worker.service", WORKER);
    })
    .await;
    site.machine.sh("systemctl start --no-block worker.service").await;
    site
}

fn state(site: &Site) -> LifecycleState {
    site.stage.service.instances()[0].state
}

async fn until_in_service(site: &mut Site) {
    site.stage.until("service", |one| matches!(one, Happening::InstanceInService { .. })).await;
}

/// The instance waits while the worker is being started. Once it is active, one call completes the launch. A restart of the daemon
/// makes no further call.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn first_boot() {
    let mut site = launched().await;
    site.machine.until_logged("worker.service is being started").await;
    assert_eq!(state(&site), LifecycleState::PendingWait);
    site.machine.sh("touch /srv/loaded").await;
    until_in_service(&mut site).await;
    site.machine.until_logged("launch completed with CONTINUE").await;
    site.machine.sh("systemctl restart drainhook && drainhook status").await;
    let calls = site
        .stage
        .count(|one| matches!(one, Happening::Completed { .. } | Happening::CompletionRejected { .. }));
    assert_eq!(calls, 1);
}

/// Auto Scaling replaces the root volume: the journal is gone, and the hook waits again. Here the state folder is emptied instead.
#[tokio::test]
#[ignore = "needs a Debian root: tests/boot/run"]
async fn journal_is_gone() {
    let mut site = launched().await;
    site.machine.sh("touch /srv/loaded").await;
    until_in_service(&mut site).await;
    site.machine.until_logged("launch completed with CONTINUE").await;
    let id = site.stage.instance();
    site.stage.service.world(|world, now| world.launch_again(now, &id));
    site.machine.sh("systemctl stop drainhook; rm -f /var/lib/drainhook/*; systemctl start drainhook").await;
    site.stage
        .until_times(2, "service again", |one| matches!(one, Happening::InstanceInService { .. }))
        .await;
}
