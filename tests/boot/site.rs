//! A machine, the simulated AWS around it, and the agent in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use drainhook::serve::Addresses;
use machine::Time;
use machine::status::{State, Status};
use sim::world::WorldConfig;

use tokio::process::Command;

use crate::machine::{Machine, inside, outside, root};
use crate::support::daemon::{Stage, in_time};
use crate::support::world::{launching, world};

/// The address of the metadata service on every EC2 instance.
const IMDS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The agent's one task.
pub const TASK: &str = "/var/lib/worker/task";

/// The agent's unit.
const WORKER: &str = "[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/worker/agent.py
StateDirectory=worker

[Install]
WantedBy=multi-user.target
";

/// A machine with a simulated AWS.
pub struct Site {
    pub machine: Machine,
    pub stage: Stage,
}

impl Site {
    /// A machine with the package as the provision scripts install it, and with an agent that has a task.
    pub async fn with_agent(prepare: impl FnOnce(&Path)) -> Self {
        Self::with_package(|root| {
            write(root, "/usr/local/lib/worker/agent.py", include_str!("agent.py"));
            write(root, "/etc/systemd/system/worker.service", WORKER);
            let drop_in = include_str!("../../systemd/agent.conf");
            write(root, "/etc/systemd/system/worker.service.d/drainhook.conf", drop_in);
            write(root, TASK, "");
            outside(
                "systemctl",
                &["--quiet", &format!("--root={}", root.display()), "enable", "worker.service"],
            );
            prepare(root);
        })
        .await
    }

    /// A machine with the package as the provision scripts install it. Waits until the daemon serves.
    pub async fn with_package(prepare: impl FnOnce(&Path)) -> Self {
        let prepare = |root: &Path, stage: &Stage| {
            let queue =
                stage.service.world(|world, _| world.config().queue.clone()).expect("the world has a queue");
            let queue = format!("DRAINHOOK_QUEUE__URL={}\n", stage.service.queue_url(&queue));
            write(root, "/etc/drainhook/drainhook.env", &queue);
            prepare(root);
        };
        let site = Self::boot("DRAINHOOK_BOOT_IMAGE", idle_world(), prepare).await;
        site.until_status("a daemon that serves", |status| status.state == State::Serving).await;
        site
    }

    /// The same, for an instance that Auto Scaling has just launched, and that waits for the launching hook `warm-up`.
    pub async fn launched(prepare: impl FnOnce(&Path)) -> Self {
        let mut world = WorldConfig { instances: 0, queue: None, ..idle_world() };
        world.hooks.push(launching("warm-up", Duration::from_secs(300)));
        Self::boot("DRAINHOOK_BOOT_IMAGE", world, |root, _| prepare(root)).await
    }

    /// A fresh Debian in a group without a queue. The package is in `/srv`, but not installed.
    pub async fn fresh() -> Self {
        let package = std::env::var("DRAINHOOK_BOOT_PACKAGE").expect("tests/boot/run sets it");
        let package = Path::new(&package);
        let prepare = |root: &Path, _: &Stage| {
            let name = package.file_name().expect("a file").to_string_lossy();
            std::fs::copy(package, inside(root, &format!("/srv/{name}"))).expect("copied");
        };
        Self::boot("DRAINHOOK_BOOT_DEBIAN", WorldConfig { queue: None, ..idle_world() }, prepare).await
    }

    async fn boot(from: &str, world: WorldConfig, prepare: impl FnOnce(&Path, &Stage)) -> Self {
        outside("ip", &["link", "set", "lo", "up"]);
        outside("ip", &["address", "add", &format!("{IMDS}/32"), "dev", "lo"]);
        let imds = SocketAddr::from((IMDS, 80));
        let stage = Stage::at(Addresses { imds, ..Addresses::default() }, 1, world).await;
        if stage.instances().is_empty() {
            stage.launch().await;
        }
        let root = root(from);
        // Point services, shells and sudo at the simulated AWS instead of AWS's own endpoints.
        let endpoint = format!("AWS_ENDPOINT_URL={}", stage.service.aws_url());
        let manager = format!("[Manager]\nDefaultEnvironment={endpoint}\n");
        write(&root, "/etc/systemd/system.conf.d/simulated-aws.conf", &manager);
        write(&root, "/etc/sudoers.d/simulated-aws", "Defaults env_keep += \"AWS_ENDPOINT_URL\"\n");
        prepare(&root, &stage);
        let machine = Machine::boot(root, vec![endpoint]).await;
        Site { machine, stage }
    }

    /// Runs a script on the host, with the AWS CLI and an administrator's credentials.
    pub async fn elsewhere(&self, script: &str) {
        let cli = std::env::var("DRAINHOOK_BOOT_AWS").expect("tests/boot/run sets it");
        let cli = Path::new(&cli).parent().expect("a folder").display();
        let mut command = Command::new("bash");
        command.args(["-euc", script]).env_clear().env("PATH", format!("{cli}:/usr/bin:/bin"));
        command.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
        command.envs([("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
        command
            .envs([("AWS_ENDPOINT_URL", self.stage.service.aws_url()), ("AWS_DEFAULT_REGION", "eu-west-1")]);
        let output = in_time(script, command.env("INSTANCE_ID", self.stage.instance()).output()).await;
        let output = output.expect("bash is installed");
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Polls the daemon's status until `holds` returns true for it.
    pub async fn until_status(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        in_time(what, async {
            loop {
                // Right after the daemon's start, the command fails and prints nothing.
                let told = self.machine.sh("drainhook status --json || true").await;
                match serde_json::from_str(&told) {
                    Ok(status) if holds(&status) => return status,
                    Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await
    }

    /// Waits until the agent drains and Wait has begun. Only the agent's task then keeps the instance.
    pub async fn until_held(&self) -> Status {
        let held = |status: &Status| {
            let busy = status.agents[0].state == "draining" && status.in_flight == Some(1);
            busy && status.wait_since.is_some()
        };
        self.until_status("an agent that drains", held).await
    }

    /// Ends the agent's task, and waits for the end of the instance. Checks that nothing was completed before.
    /// `restarts` are the times when the daemon was restarted.
    pub async fn finish(&mut self, restarts: &[Time]) {
        let completed = self.stage.count(crate::support::daemon::completed);
        assert_eq!(completed, 0, "completed with work in flight: {:#?}", self.stage.history);
        std::fs::remove_file(self.machine.path(TASK)).expect("the task exists");
        self.stage.until_ended_well(restarts).await;
        self.machine.until_logged("drain ended: drained").await;
    }
}

/// A world whose simulated agent has no work, because the agent in the machine has some.
fn idle_world() -> WorldConfig {
    world(0, 1)
}

/// Writes a file below a root, with the mode that packages give to such files.
pub fn write(root: &Path, path: &str, text: &str) {
    let path = inside(root, path);
    std::fs::create_dir_all(path.parent().expect("below a root")).expect("a folder");
    std::fs::write(&path, text).expect("write the file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
}
