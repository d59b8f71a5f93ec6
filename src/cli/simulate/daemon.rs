//! The real daemon, as a process of its own, and what it says.

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

/// How long the daemon may take to be up, or to leave, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much of its log is shown when it exits unexpectedly.
const LOG_SHOWN_MAX: usize = 16_000;

/// A line of a daemon's log that belongs to the story.
#[derive(Debug)]
pub struct Said {
    /// The place of the daemon, as it was told at its start.
    pub daemon: usize,
    /// The line.
    pub line: LogLine,
}

/// A line of a daemon's log.
#[derive(Debug, Deserialize)]
pub struct LogLine {
    /// What it tells of, by a name that stays the same when the wording changes.
    #[serde(default)]
    pub event: String,
    /// `WARN`, or another level.
    pub level: String,
    /// The sentence.
    #[serde(rename = "message", default)]
    pub text: String,
    /// How a drain has ended.
    pub outcome: Option<String>,
    /// The state of an agent.
    pub agent_state: Option<String>,
    /// The agent's work in flight.
    pub in_flight: Option<u32>,
    /// The deadline that the agents are told.
    pub deadline: Option<String>,
    /// When it was logged.
    #[serde(default)]
    timestamp: String,
}

impl LogLine {
    fn is_of_the_story(&self) -> bool {
        self.outcome.is_some() || self.level == "WARN" || self.level == "ERROR" || self.is_of_the_agent()
    }

    /// Whether it is about the agent's progress.
    pub fn is_of_the_agent(&self) -> bool {
        matches!(self.event.as_str(), "agents_told" | "deadline_moved" | "agent_progress")
    }
}

/// A daemon that is told to run, and says when it does.
#[derive(Debug)]
pub struct Daemon {
    place: usize,
    variables: Vec<(String, String)>,
    said: mpsc::Sender<Said>,
    log: Arc<Mutex<String>>,
    notify: UnixDatagram,
    notify_path: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Reads the log to its end.
    reader: JoinHandle<()>,
}

impl Daemon {
    /// A daemon that is not started yet. Its notify socket goes into the folder; what it says goes to `said`.
    pub fn new(
        place: usize,
        variables: Vec<(String, String)>,
        folder: &Path,
        said: mpsc::Sender<Said>,
    ) -> io::Result<Self> {
        let notify_path = folder.join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path)?;
        Ok(Daemon { place, variables, said, log: Arc::default(), notify, notify_path, running: None })
    }

    /// Starts it, and does not wait for it.
    pub fn start(&mut self) -> io::Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            // Nothing of this machine's own daemon shall reach it,
            .args(["run", "--config", "/dev/null"])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // and nothing of the user's own AWS configuration.
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

    /// Waits until it watches the instance, or looks for it.
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
                format!("it is not up after {PATIENCE:?}: {}", self.log()),
            )
        })?
    }

    /// Whether it was started, and not stopped since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How it has ended, if it has without having been told to.
    pub async fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let Some(status) = running.child.try_wait()? else { return Ok(None) };
        // What it said at the last stands in the log too.
        let _ = tokio::time::timeout(PATIENCE, &mut running.reader).await;
        Ok(Some(status))
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            running.child.kill().await?;
        }
        self.forget_notifications();
        Ok(())
    }

    /// SIGTERM, and waits until it has left.
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

    /// What it said before it went is not said by the next one.
    fn forget_notifications(&self) {
        while self.notify.try_recv(&mut [0; 1024]).is_ok() {}
    }

    /// The end of its log, for people: without lines of level debug.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines().filter_map(for_people).collect::<Vec<_>>().join("\n")
    }
}

/// Reads a daemon's log as it is written.
async fn read(stderr: ChildStderr, daemon: usize, log: Arc<Mutex<String>>, said: mpsc::Sender<Said>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        keep(&mut log.lock().unwrap_or_else(PoisonError::into_inner), &line);
        // What is no JSON is the last word of a panic: it stands in the log.
        if let Ok(line) = serde_json::from_str::<LogLine>(&line)
            && line.is_of_the_story()
        {
            // The receiver is gone when the simulation is over.
            let _ = said.send(Said { daemon, line }).await;
        }
    }
}

/// A line of the log as text. A line that is not JSON is the last word of a panic.
fn for_people(line: &str) -> Option<String> {
    let Ok(LogLine { level, text, timestamp, .. }) = serde_json::from_str(line) else {
        return Some(line.to_owned());
    };
    (level != "DEBUG").then(|| format!("{timestamp} {level:>5} {text}"))
}

/// Keeps the end of the log.
fn keep(log: &mut String, line: &str) {
    log.push_str(line);
    log.push('\n');
    let surplus = log.len().saturating_sub(LOG_SHOWN_MAX);
    if surplus > 0 {
        let cut = log.bytes().skip(surplus).position(|byte| byte == b'\n');
        log.drain(..cut.map_or(log.len(), |at| surplus + at + 1));
    }
}
