//! What happens in a test: work is in flight when the instance is taken away.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use machine::status::Status;

use crate::machine::inside;
use crate::site::{Site, write};
use crate::software::{Software, Work};
use crate::support::daemon::{completed, eventually};

/// While this file exists, no item of work ends.
const HOLD: &str = "/srv/tasks/hold";
/// A line for each item that has started or finished.
const LOG: &str = "/srv/tasks/log";
/// The daemon's configuration.
const CONFIGURATION: &str = "/etc/drainhook/drainhook.toml";
/// Permits the daemon to drain the unit.
const PERMIT: &str = "drainhook config --polkit >/etc/polkit-1/rules.d/50-drainhook.rules";
/// How many items wait in a queue.
const QUEUED: usize = 3;

/// Two items are in flight, and more are queued. Auto Scaling takes the instance away, and nothing is lost.
pub async fn drains(software: &Software) {
    let mut story = Story::begin(software, Setting::Documented).await;
    story.site.machine.sh("drainhook check").await;
    story.site.stage.scale_in();
    story.until_held().await;
    assert_eq!(story.site.stage.count(completed), 0, "completed with work in flight");
    story.release();
    story.site.stage.until_ended_well(&[]).await;
    story.site.machine.until_logged("drain ended: drained").await;
    story.until_inactive().await;
    let done = story.items();
    assert_eq!(done.started, done.finished, "an item of work was cut");
    assert_eq!(done.started.len(), software.takes, "it took work while it drained");
    // The next instance finds the rest in the queue.
    story.start().await;
    story.until_finished().await;
}

/// The same software with a setting that loses work.
pub async fn killer(software: &Software) {
    let story = Story::begin(software, Setting::Killer).await;
    let told = story.site.machine.sh("! drainhook check").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(software.refusal), "{:?} is not in {told}", software.refusal);
    story.site.stage.scale_in();
    story.until_inactive().await;
    story.release();
    story.until_clients_end().await;
    let done = story.items();
    assert!(done.started.len() > done.finished.len(), "nothing was lost: {done:?}");
}

/// A drill on the user's machine: `drainhook simulate --config` drains the software that has work in flight, and succeeds.
pub async fn drill(software: &Software) {
    let story = Story::begin(software, Setting::Documented).await;
    let machine = &story.site.machine;
    // The daemon of the machine hears nothing, because only the drill's own Auto Scaling takes an instance away.
    let run = format!(
        "HOME=/root drainhook simulate --config {CONFIGURATION} >/srv/drill 2>&1; echo $? >/srv/drill-code"
    );
    machine.sh(&format!("systemd-run --quiet --collect --unit=drill bash -c '{run}'")).await;
    story.until_closed().await;
    story.release();
    machine.until("test -s /srv/drill-code").await;
    let told = machine.sh("cat /srv/drill").await;
    assert_eq!(machine.sh("cat /srv/drill-code").await, "0", "{told}");
    let done = story.items();
    assert_eq!(done.started, done.finished, "an item of work was cut: {told}");
}

/// The settings of the software.
enum Setting {
    /// Those of its folder.
    Documented,
    /// The same, but for one that loses work.
    Killer,
}

/// The numbers of the items of work that the log names.
#[derive(Debug)]
struct Items {
    started: BTreeSet<usize>,
    finished: BTreeSet<usize>,
}

/// A machine in which the software has work in flight.
struct Story<'a> {
    site: Site,
    software: &'a Software,
}

impl<'a> Story<'a> {
    async fn begin(software: &'a Software, setting: Setting) -> Self {
        let site = Site::with_package(|root| install(root, software, &setting)).await;
        let story = Story { site, software };
        story.site.machine.sh(PERMIT).await;
        for script in software.before {
            story.site.machine.sh(script).await;
        }
        story.start().await;
        story.give_work().await;
        story.until("work in flight", |items| items.started.len() == software.takes).await;
        story
    }

    async fn start(&self) {
        self.site.machine.sh(&format!("systemctl start {}", self.software.unit)).await;
    }

    async fn give_work(&self) {
        let Software { name, takes, .. } = self.software;
        match self.software.work {
            Work::Queue { enqueue, .. } => {
                self.site.machine.sh(&format!("cd /opt/{name} && {enqueue} {}", takes + QUEUED)).await;
            }
            Work::Clients(command) => {
                for number in 0..*takes {
                    let run = format!("systemd-run --quiet --collect --unit=client-{number}");
                    self.site.machine.sh(&format!("{run} {command} {number}")).await;
                }
            }
        }
    }

    /// Waits until only the work in flight keeps the instance.
    async fn until_held(&self) {
        let held = |status: &Status| status.agents[0].state == "draining" && status.wait_since.is_some();
        self.site.until_status("an agent that drains", held).await;
        self.until_closed().await;
    }

    /// Waits until the software says that it takes no more items.
    async fn until_closed(&self) {
        if let Work::Queue { closed, .. } = self.software.work {
            self.until_said(closed).await;
        }
    }

    fn release(&self) {
        std::fs::remove_file(self.site.machine.path(HOLD)).expect("no work has been released");
    }

    async fn until_inactive(&self) {
        let state = format!("systemctl show --property=ActiveState --value {}", self.software.unit);
        self.site
            .machine
            .until(&format!("{state} | grep --quiet --extended-regexp '^(inactive|failed)$'"))
            .await;
    }

    async fn until_said(&self, words: &str) {
        let unit = self.software.unit;
        self.site.machine.until(&format!("journalctl --unit {unit} --quiet --grep '{words}'")).await;
    }

    async fn until_clients_end(&self) {
        self.site.machine.until("! systemctl is-active --quiet 'client-*'").await;
    }

    /// Waits until every item has finished.
    async fn until_finished(&self) {
        let all = match self.software.work {
            Work::Queue { .. } => self.software.takes + QUEUED,
            Work::Clients(_) => self.software.takes,
        };
        self.until("all items", |items| items.finished.len() == all).await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&Items) -> bool) {
        eventually(what, || holds(&self.items())).await;
    }

    fn items(&self) -> Items {
        let log = std::fs::read_to_string(self.site.machine.path(LOG)).expect("the log exists");
        let numbers = |word: &str| {
            let lines = log.lines().filter_map(|line| line.strip_prefix(word));
            lines.map(|number| number.trim().parse().expect("a number")).collect()
        };
        Items { started: numbers("started"), finished: numbers("finished") }
    }
}

/// Copies the files of the software to where they belong.
fn install(root: &Path, software: &Software, setting: &Setting) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = repository.join("tests/agents");
    let folder = all.join(software.name);
    let copy = |from: &Path, to: &str| {
        let to = inside(root, to);
        std::fs::create_dir_all(to.parent().expect("below the root")).expect("a folder");
        std::fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    copy(&all.join("request"), "/opt/request");
    copy(&all.join("task.py"), &format!("/opt/{}/task.py", software.name));
    for file in std::fs::read_dir(&folder).expect("a folder for each software") {
        let file = file.expect("an entry").path();
        let name = file.file_name().expect("a file").to_string_lossy();
        copy(&file, &format!("/opt/{}/{name}", software.name));
    }
    for (file, path) in software.files {
        copy(&folder.join(file), path);
    }
    let unit = format!("/etc/systemd/system/{}", software.unit);
    copy(&repository.join("systemd/agent.conf"), &format!("{unit}.d/drainhook.conf"));
    // Files that only some of the folders have.
    let mut settings = vec![
        (software.unit, unit.clone()),
        ("drop-in.conf", format!("{unit}.d/drain.conf")),
        ("drainhook.toml", CONFIGURATION.to_owned()),
    ];
    match setting {
        Setting::Documented => {}
        Setting::Killer => settings.extend([
            ("killer.conf", format!("{unit}.d/killer.conf")),
            ("killer.toml", CONFIGURATION.to_owned()),
        ]),
    }
    for (file, path) in settings {
        if folder.join(file).exists() {
            copy(&folder.join(file), &path);
        }
    }
    // nspawn finds it by the machine's name. `/run` is the test's own.
    let permitted = folder.join("machine.nspawn");
    if permitted.exists() {
        std::fs::create_dir_all("/run/systemd/nspawn").expect("a folder");
        std::fs::copy(&permitted, "/run/systemd/nspawn/drainhook.nspawn").expect("copied");
    }
    write(root, HOLD, "");
    write(root, LOG, "");
    for (path, mode) in [("/srv/tasks", 0o1777), (LOG, 0o666)] {
        std::fs::set_permissions(inside(root, path), PermissionsExt::from_mode(mode)).expect("chmod");
    }
}
