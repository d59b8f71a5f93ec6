//! The real daemon, as a process of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use super::environment::Variables;

/// How long the daemon may take to be up, or to leave, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much of its log is shown when it has ended by itself.
const LOG_SHOWN_MAX: usize = 4000;

/// A daemon that is told to run, and says when it does.
#[derive(Debug)]
pub struct Daemon {
    variables: Variables,
    log: PathBuf,
    notify: UnixDatagram,
    notify_path: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon that is not started yet. Its log and its notify socket go into the folder.
    pub fn new(variables: Variables, folder: &Path) -> io::Result<Self> {
        let notify_path = folder.join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path)?;
        Ok(Daemon { variables, log: folder.join("daemon.log"), notify, notify_path, child: None })
    }

    /// Starts it, and waits until it watches the instance, or looks for it.
    pub async fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("run")
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // Nothing of the user's own AWS configuration shall reach it.
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NOTIFY_SOCKET", &self.notify_path)
            .env("DRAINHOOK_LOG__LEVEL", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.child = Some(child);
        let up = async {
            let mut datagram = [0; 1024];
            loop {
                let length = self.notify.recv(&mut datagram).await?;
                // The first status line comes when the daemon knows which instance it is on.
                if datagram[..length].starts_with(b"STATUS=") {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, up).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it is not up after {PATIENCE:?}: {}", self.log()),
            )
        })?
    }

    /// Resolves when it ends without having been told to; never while it is not running.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        // What it said before it died is not said by the next one.
        while self.notify.try_recv(&mut [0; 1024]).is_ok() {}
        Ok(())
    }

    /// SIGTERM, and waits until it has left.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_SHOWN_MAX);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text[start..].to_owned()
    }
}
