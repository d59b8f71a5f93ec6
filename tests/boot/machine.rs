//! A Debian with systemd as its first process, in the namespaces that `tests/boot/isolate` creates for the test.

use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Output, Stdio};

use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use crate::support::daemon::in_time;

/// nspawn's exit code when the system inside reboots. The caller must start nspawn again.
const REBOOT: i32 = 133;

/// The `PATH` of shells in the machine. They inherit nothing from the host's environment.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A booted machine. It ends with the namespaces of the test.
pub struct Machine {
    root: PathBuf,
    nspawn: Child,
    /// The process id of its first process, on the host.
    leader: u32,
    variables: Vec<String>,
}

/// Mounts a writable overlay over the root that the variable `from` names. Changes are lost when the test ends.
pub fn root(from: &str) -> PathBuf {
    let layers = std::env::var(from).unwrap_or_else(|_| panic!("{from} is not set: use tests/boot/run"));
    let folder = PathBuf::from("/run/root");
    outside("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
    for name in ["changes", "work", "merged"] {
        std::fs::create_dir_all(folder.join(name)).expect("/run is mounted");
    }
    let at = |name: &str| folder.join(name).display().to_string();
    let options = format!("lowerdir={layers},upperdir={},workdir={}", at("changes"), at("work"));
    outside("mount", &["-t", "overlay", "overlay", "-o", &options, &at("merged")]);
    folder.join("merged")
}

/// Runs a program of the host, which must succeed.
pub fn outside(program: &str, arguments: &[&str]) {
    let output = Blocking::new(program).args(arguments).output().expect("the program is installed");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

impl Machine {
    /// Boots a machine, and waits until its units have started. Its shells have these variables.
    pub async fn boot(root: PathBuf, variables: Vec<String>) -> Self {
        let (nspawn, leader) = start(&root).await;
        Machine { root, nspawn, leader, variables }
    }

    /// Reboots the machine with `systemctl reboot`.
    pub async fn reboot(&mut self) {
        self.sh("systemctl reboot").await;
        let ended =
            in_time("the machine's end", self.nspawn.wait()).await.expect("nspawn is a child process");
        assert_eq!(ended.code(), Some(REBOOT));
        (self.nspawn, self.leader) = start(&self.root).await;
    }

    /// The path on the host of a file in the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        inside(&self.root, path)
    }

    /// Runs a script in a root shell, which must succeed. Returns its standard output.
    pub async fn sh(&self, script: &str) -> String {
        let output = self.output(script).await;
        assert!(output.status.success(), "{script}: {}", words(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether a script in a root shell succeeds.
    pub async fn succeeds(&self, script: &str) -> bool {
        self.output(script).await.status.success()
    }

    /// Repeats a script until it succeeds.
    pub async fn until(&self, script: &str) {
        in_time(script, async {
            while !self.succeeds(script).await {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// Waits until the daemon has logged a line with these words.
    pub async fn until_logged(&self, words: &str) {
        self.until(&format!(
            "journalctl --unit drainhook --quiet --output cat --grep '{words}' | grep --quiet ."
        ))
        .await;
    }

    /// A property of the daemon's unit.
    pub async fn property(&self, name: &str) -> String {
        self.sh(&format!("systemctl show --property={name} --value drainhook.service")).await
    }

    /// Waits until the daemon has another process id than `before`, and returns it.
    pub async fn other_daemon(&self, before: &str) -> String {
        let pid = "systemctl show --property=MainPID --value drainhook.service";
        self.until(&format!("pid=$({pid}); test $pid -ne 0 && test $pid -ne {before}")).await;
        self.sh(pid).await
    }

    async fn output(&self, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--"]);
        command
            .args(["env", "--ignore-environment", "--chdir=/", PATH, "HOME=/root", "LANG=C.UTF-8"])
            .args(&self.variables);
        command.args(["bash", "-euc", script]).stdin(Stdio::null());
        in_time(script, command.output()).await.expect("nsenter is installed")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.path("/var/log/journal");
            let log = Blocking::new("journalctl").arg("--no-pager").arg("-D").arg(&journal).output();
            eprintln!("the machine's journal:\n{}", log.as_ref().map_or_else(ToString::to_string, words));
        }
    }
}

/// The path of a file below this root.
pub fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Starts nspawn, and waits until it reports that the system is up.
async fn start(root: &Path) -> (Child, u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let notify = UnixDatagram::bind(&path).expect("a fresh path");
    let nspawn = Command::new("systemd-nspawn")
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--notify-ready=yes", "--console=pipe"])
        .args(["--machine=drainhook", "--link-journal=no", "--resolv-conf=off", "--timezone=off"])
        .arg("--directory")
        .arg(root)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("systemd-nspawn is installed");
    let mut leader = None;
    let up = async {
        let mut datagram = [0; 4096];
        loop {
            let length = notify.recv(&mut datagram).await.expect("a datagram");
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let number = |line: &str| line.strip_prefix("X_NSPAWN_LEADER_PID=")?.parse().ok();
            leader = text.lines().find_map(number).or(leader);
            if text.lines().any(|line| line == "READY=1") {
                return;
            }
        }
    };
    in_time("the machine to be up", up).await;
    (nspawn, leader.expect("nspawn reports its leader before READY"))
}
