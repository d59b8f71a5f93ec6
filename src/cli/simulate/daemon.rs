//! Runs the real daemon as a child process, and reads its log.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::environment;
use crate::daemon::journal;

/// Time limit for the daemon to start or to stop, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most of its log that is kept, in bytes.
const LOG_SHOWN_MAX: usize = 16_000;

/// A log line that belongs to the story.
#[derive(Debug)]
pub struct Said {
    /// The daemon's place among the daemons.
    pub daemon: usize,
    /// The line.
    pub line: LogLine,
}

/// A log line of a daemon.
#[derive(Debug, Deserialize)]
pub struct LogLine {
    /// What happened, as a name that does not change with the wording.
    #[serde(default)]
    pub event: String,
    /// `WARN`, or another level.
    pub level: String,
    /// The sentence.
    #[serde(rename = "message", default)]
    pub text: String,
    /// How a drain ended.
    pub outcome: Option<String>,
    /// The name of an agent.
    pub agent: Option<String>,
    /// The state of that agent.
    pub agent_state: Option<String>,
    /// The agent's work in flight.
    pub in_flight: Option<u32>,
    /// The deadline that the agents were told.
    pub deadline: Option<String>,
    /// When it was logged.
    #[serde(default)]
    timestamp: String,
}

impl LogLine {
    fn is_of_the_story(&self) -> bool {
        let loud = self.level == "WARN" || self.level == "ERROR";
        self.outcome.is_some() || loud || self.is_of_the_agent() || self.is_of_a_step()
    }

    /// Whether the line is about an after step.
    fn is_of_a_step(&self) -> bool {
        matches!(self.event.as_str(), "step_started" | "step_done" | "step_failed" | "step_canceled")
    }

    /// Whether the line is about the agent's progress.
    pub fn is_of_the_agent(&self) -> bool {
        matches!(self.event.as_str(), "agents_told" | "deadline_moved" | "agent_progress")
    }
}

/// A daemon, which may be running.
#[derive(Debug)]
pub struct Daemon {
    place: usize,
    variables: Vec<(String, String)>,
    /// The configuration file. The default keeps out the configuration of this machine's own daemon.
    config: PathBuf,
    said: mpsc::Sender<Said>,
    log: Arc<Mutex<String>>,
    notify: UnixDatagram,
    notify_path: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// The task that reads the log.
    reader: JoinHandle<()>,
}

impl Daemon {
    /// A daemon that is not started yet. Creates its notify socket in the folder. Its log lines go to `said`.
    pub fn new(
        place: usize,
        variables: Vec<(String, String)>,
        folder: &Path,
        said: mpsc::Sender<Said>,
    ) -> io::Result<Self> {
        let notify_path = folder.join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path)?;
        let config = PathBuf::from("/dev/null");
        Ok(Daemon { place, variables, config, said, log: Arc::default(), notify, notify_path, running: None })
    }

    /// Uses this configuration file.
    pub fn with_config(self, config: PathBuf) -> Self {
        Daemon { config, ..self }
    }

    /// Starts the daemon without waiting until it is up.
    pub fn start(&mut self) -> io::Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["run", "--config"])
            .arg(&self.config)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // Keeps out the user's own AWS configuration.
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NOTIFY_SOCKET", &self.notify_path)
            .env("DRAINHOOK_LOG__FORMAT", "json")
            .env("DRAINHOOK_LOG__LEVEL", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("its log cannot be read"))?;
        let reader = tokio::spawn(read(stderr, self.place, Arc::clone(&self.log), self.said.clone()));
        self.running = Some(Running { child, reader });
        Ok(())
    }

    /// Waits until the daemon watches the instance, or looks for its id.
    pub async fn is_up(&self) -> io::Result<()> {
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
                format!("not up after {PATIENCE:?}; its log:\n{}", self.log()),
            )
        })?
    }

    /// Whether it was started, and not stopped since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The exit status of a daemon that has exited on its own.
    pub async fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let Some(status) = running.child.try_wait()? else { return Ok(None) };
        // Reads its last lines.
        let _ = tokio::time::timeout(PATIENCE, &mut running.reader).await;
        Ok(Some(status))
    }

    /// Sends SIGKILL.
    pub async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            running.child.kill().await?;
        }
        self.forget_notifications();
        Ok(())
    }

    /// Removes the journal of a daemon that does not run.
    pub fn lose_journal(&self) -> io::Result<()> {
        let folder = self.variables.iter().find(|(name, _)| name == environment::JOURNAL_FOLDER);
        folder.map_or(Ok(()), |(_, folder)| std::fs::remove_file(Path::new(folder).join(journal::NAME)))
    }

    /// Sends SIGTERM, and waits until the daemon has exited.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let pid = running.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        if tokio::time::timeout(PATIENCE, running.child.wait()).await.is_err() {
            return self.kill().await;
        }
        self.running = None;
        self.forget_notifications();
        Ok(())
    }

    /// Discards the notifications of the previous process.
    fn forget_notifications(&self) {
        while self.notify.try_recv(&mut [0; 1024]).is_ok() {}
    }

    /// The end of the log as text, without DEBUG lines.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines().filter_map(for_people).collect::<Vec<_>>().join("\n")
    }
}

/// Reads a daemon's log while the daemon writes it.
async fn read(stderr: ChildStderr, daemon: usize, log: Arc<Mutex<String>>, said: mpsc::Sender<Said>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        keep(&mut log.lock().unwrap_or_else(PoisonError::into_inner), &line);
        // A line that is not JSON comes from a panic, and is only kept.
        if let Ok(line) = serde_json::from_str::<LogLine>(&line)
            && line.is_of_the_story()
        {
            // The receiver is dropped at the end of the simulation.
            let _ = said.send(Said { daemon, line }).await;
        }
    }
}

/// A log line as text, or `None` for a DEBUG line. A line that is not JSON comes from a panic.
fn for_people(line: &str) -> Option<String> {
    let Ok(LogLine { level, text, timestamp, .. }) = serde_json::from_str(line) else {
        return Some(line.to_owned());
    };
    (level != "DEBUG").then(|| format!("{timestamp} {level:>5} {text}"))
}

/// Appends a line, and drops whole lines from the start of a log that is too long.
fn keep(log: &mut String, line: &str) {
    log.push_str(line);
    log.push('\n');
    let surplus = log.len().saturating_sub(LOG_SHOWN_MAX);
    if surplus > 0 {
        let cut = log.bytes().skip(surplus).position(|byte| byte == b'\n');
        log.drain(..cut.map_or(log.len(), |at| surplus + at + 1));
    }
}
