//! Drains an agent by a command, and reads a number from one. Every request is one run of a program, without a shell.
//!
//! One program of a runner runs at a time: of an agent, of its probe, or of the after steps. A run that is dropped gets SIGTERM,
//! and SIGKILL if that does not end it. The next run waits until then. Signals go to the process group, so that programs which a
//! script has started get them too.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::clock::boottime;
use formats::probe;
use formats::text::printable;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::AgentAnswer;

/// The exit status that asks to be run again (EX_TEMPFAIL in sysexits.h).
const TRY_AGAIN: i32 = 75;

/// Time limit for the command that returns the agent to service.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// How long a program may run after SIGTERM.
const KILL_AFTER: Duration = Duration::from_secs(10);

/// How often a process group is looked at until it is empty.
const GROUP_POLL: Duration = Duration::from_millis(100);

/// How long output is still read after the program has exited. A process that it left behind may keep the pipe open.
const LAST_OUTPUT: Duration = Duration::from_millis(20);

/// How many lines of output are logged at once. After these, one line per second is logged.
const LINES_MAX: u64 = 100;

/// The longest part of a line that is logged, in characters.
const LINE_MAX: usize = 200;

/// The longest part of a line that is kept in memory, in bytes.
const LINE_BYTES_MAX: usize = 4 * LINE_MAX;

/// How much output is read at once, in bytes.
const CHUNK: usize = 4096;

/// The `PATH` of a program.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An agent that is drained by a command.
#[derive(Debug)]
pub struct CommandAgent {
    runner: Runner,
    drain: Vec<String>,
    back: Option<Vec<String>>,
}

impl CommandAgent {
    /// An agent that these programs, with their arguments, drain and return to service. Runs nothing yet.
    pub fn new(name: String, drain: Vec<String>, back: Option<Vec<String>>) -> Self {
        CommandAgent { runner: Runner::new(name, tracing::Level::INFO), drain, back }
    }

    /// Runs the program for one request to its end, and returns what its exit status means. `instance_id` is empty outside an
    /// instance. Draining has no time limit: the caller drops this future at the deadline.
    pub async fn ask(&self, request: &AgentRequest, instance_id: &str) -> AgentAnswer {
        match request {
            AgentRequest::Drain(order) => {
                match self.runner.run(&self.drain, &variables(order, instance_id)).await {
                    Ok(ended) if ended.status.success() => AgentAnswer::Accepted(None),
                    Ok(ended) if ended.status.code() == Some(TRY_AGAIN) => AgentAnswer::Busy(ended.told()),
                    Ok(ended) => AgentAnswer::Unreachable { why: ended.told(), gone: false },
                    Err(error) => {
                        AgentAnswer::Unreachable { why: not_started(&self.drain, &error), gone: false }
                    }
                }
            }
            AgentRequest::Return => self.give_back(instance_id).await,
            AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Tell(_) => {
                AgentAnswer::Busy(format!("{} has no status", self.drain[0]))
            }
        }
    }

    async fn give_back(&self, instance_id: &str) -> AgentAnswer {
        let Some(back) = &self.back else {
            return AgentAnswer::Unsupported(
                "agent.return.command is not set, so the agent is not told; restart it if it takes no work"
                    .to_owned(),
            );
        };
        let variables = [("DRAINHOOK_INSTANCE_ID", instance_id.to_owned())];
        match tokio::time::timeout(RETURN_LIMIT, self.runner.run(back, &variables)).await {
            Ok(Ok(ended)) if ended.status.success() => AgentAnswer::Returned,
            Ok(Ok(ended)) => AgentAnswer::Busy(ended.told()),
            Ok(Err(error)) => AgentAnswer::Busy(not_started(back, &error)),
            Err(_) => AgentAnswer::Busy(format!("{} did not exit within {RETURN_LIMIT:?}", back[0])),
        }
    }
}

/// Runs programs of one agent, one after another.
#[derive(Debug)]
pub struct Runner {
    /// Whose programs they are, for the log.
    agent: String,
    /// The level of their output in the log.
    level: tracing::Level,
    /// Held while a program runs.
    running: Arc<Mutex<()>>,
}

impl Runner {
    /// A runner whose programs have this name in the log, and log their output at this level.
    pub fn new(agent: String, level: tracing::Level) -> Self {
        Runner { agent, level, running: Arc::default() }
    }

    /// A runner whose programs have another name in the log. One program of both runs at a time.
    pub fn beside(&self, agent: String) -> Self {
        Runner { agent, level: self.level, running: Arc::clone(&self.running) }
    }

    /// Runs a program to its end. Dropping the future ends the program.
    async fn run(&self, command: &[String], variables: &[(&str, String)]) -> io::Result<Ended> {
        let turn = Arc::clone(&self.running).lock_owned().await;
        let (reader, writer) = io::pipe()?;
        let output = Output::new(self.agent.clone(), self.level, Receiver::from_owned_fd(reader.into())?);
        let child = Command::new(&command[0])
            .args(&command[1..])
            .env_clear()
            .env("PATH", PATH)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        let mut guard = Guard(Some(Run { child, output, _turn: turn }));
        match &mut guard.0 {
            Some(run) => {
                Ok(Ended { program: command[0].clone(), status: run.end().await?, said: run.output.end() })
            }
            None => Err(io::Error::other("the program was already ended")),
        }
    }

    /// Runs a program that should exit with 0. The error says why it did not.
    pub async fn succeed(
        &self,
        command: &[String],
        told: &DrainOrder,
        instance_id: &str,
    ) -> Result<(), String> {
        self.exits_well(command, &variables(told, instance_id)).await
    }

    /// Runs a program that should exit with 0, outside a drain. The error says why it did not.
    pub async fn succeed_alone(&self, command: &[String], instance_id: &str) -> Result<(), String> {
        self.exits_well(command, &[("DRAINHOOK_INSTANCE_ID", instance_id.to_owned())]).await
    }

    async fn exits_well(&self, command: &[String], variables: &[(&str, String)]) -> Result<(), String> {
        match self.run(command, variables).await {
            Ok(ended) if ended.status.success() => Ok(()),
            Ok(ended) => Err(ended.told()),
            Err(error) => Err(not_started(command, &error)),
        }
    }
}

/// A command that prints how much an agent has in flight. Its output is logged at debug, because it runs again and again.
#[derive(Debug)]
pub struct Counter {
    runner: Runner,
    command: Vec<String>,
}

impl Counter {
    /// A program and its arguments. Runs nothing yet.
    pub fn new(agent: String, command: Vec<String>) -> Self {
        Counter { runner: Runner::new(agent, tracing::Level::DEBUG), command }
    }

    /// Runs the command, and returns the number in the last line of its output. The error names the program.
    pub async fn count(&self, instance_id: &str, limit: Duration) -> Result<u64, String> {
        let program = &self.command[0];
        let variables = [("DRAINHOOK_INSTANCE_ID", instance_id.to_owned())];
        match tokio::time::timeout(limit, self.runner.run(&self.command, &variables)).await {
            Ok(Ok(ended)) if ended.status.success() => {
                let line = ended.said.ok_or_else(|| format!("{program} wrote nothing; expected a number"))?;
                probe::printed(&line).map_err(|why| format!("{program} {why}"))
            }
            Ok(Ok(ended)) => Err(ended.told()),
            Ok(Err(error)) => Err(not_started(&self.command, &error)),
            Err(_) => Err(format!("{program} did not exit within {limit:?}")),
        }
    }
}

/// What a program is told, as environment variables.
fn variables(order: &DrainOrder, instance_id: &str) -> [(&'static str, String); 3] {
    [
        ("DRAINHOOK_REASON", order.reason.as_str().to_owned()),
        ("DRAINHOOK_DEADLINE", order.deadline.to_string()),
        ("DRAINHOOK_INSTANCE_ID", instance_id.to_owned()),
    ]
}

fn not_started(command: &[String], error: &io::Error) -> String {
    let program = &command[0];
    if error.kind() == io::ErrorKind::NotFound && Path::new(program).exists() {
        return format!("cannot run {program}: the interpreter in its first line does not exist");
    }
    format!("cannot run {program}: {error}")
}

/// A program that runs.
struct Run {
    child: Child,
    output: Output,
    /// The right to be the only one.
    _turn: OwnedMutexGuard<()>,
}

impl Run {
    /// Reads the output until the program has ended.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let status = tokio::select! {
            status = self.child.wait() => status?,
            () = self.output.read() => self.child.wait().await?,
        };
        // What the program wrote last is in the pipe by now.
        let _ = tokio::time::timeout(LAST_OUTPUT, self.output.read()).await;
        Ok(status)
    }
}

/// Ends the program when it is dropped. The output is read meanwhile: a script that writes to a closed pipe dies of it.
struct Guard(Option<Run>);

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(mut run) = self.0.take() else { return };
        // A program that was waited for has no id any more.
        let Some(group) = run.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        // Fails only if the group is gone.
        let _ = kill_process_group(group, Signal::TERM);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let ended = async {
                    let _ = run.end().await;
                    // What the program has started may ignore SIGTERM and outlive it.
                    while test_kill_process_group(group).is_ok() {
                        tokio::time::sleep(GROUP_POLL).await;
                    }
                };
                if tokio::time::timeout(KILL_AFTER, ended).await.is_err() {
                    let _ = kill_process_group(group, Signal::KILL);
                    let _ = run.end().await;
                }
                run.output.end();
            });
        }
    }
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    program: String,
    status: ExitStatus,
    /// The last line of its output.
    said: Option<String>,
}

impl Ended {
    /// How it ended, with its last line.
    fn told(&self) -> String {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => self.status.to_string(),
        };
        let said = self.said.as_ref().map_or_else(String::new, |line| format!("; it last wrote {line:?}"));
        format!("{} {how}{said}", self.program)
    }
}

/// Reads a program's output, and logs it line by line.
struct Output {
    agent: String,
    level: tracing::Level,
    pipe: Receiver,
    /// The current line.
    line: Vec<u8>,
    last: Option<String>,
    began: Duration,
    logged: u64,
    dropped: u64,
}

impl Output {
    fn new(agent: String, level: tracing::Level, pipe: Receiver) -> Self {
        Output { agent, level, pipe, line: Vec::new(), last: None, began: boottime(), logged: 0, dropped: 0 }
    }

    /// Reads to the end. May be dropped and called again at any time.
    async fn read(&mut self) {
        let mut chunk = Box::new([0; CHUNK]);
        while let Ok(count @ 1..) = self.pipe.read(&mut chunk[..]).await {
            for byte in &chunk[..count] {
                match byte {
                    b'\n' => self.end_line(),
                    _ if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                    _ => {}
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = printable(String::from_utf8_lossy(&line).trim_end(), LINE_MAX);
        if line.is_empty() {
            return;
        }
        if self.logged < LINES_MAX + (boottime() - self.began).as_secs() {
            self.logged += 1;
            self.log(&line);
        } else {
            self.dropped += 1;
        }
        self.last = Some(line);
    }

    fn log(&self, line: &str) {
        let agent = self.agent.as_str();
        if self.level == tracing::Level::INFO {
            tracing::info!(event = "command_output", agent, "{agent}: {line}");
        } else {
            tracing::debug!(event = "command_output", agent, "{agent}: {line}");
        }
    }

    /// Logs what is left, and returns the last line.
    fn end(&mut self) -> Option<String> {
        self.end_line();
        if self.dropped > 0 {
            self.log(&format!("{} more lines were not logged", self.dropped));
        }
        self.last.take()
    }
}
