//! The log, on standard error.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::debug::{self, Fields};
use super::journald::Journald;
use crate::config::{Log, LogFormat};
use machine::journal::Outcome;
use machine::report::{Loudness, Progress, Report};

/// So much can be written at once to a pipe that takes more at all (PIPE_BUF on Linux), without a wait.
const CHUNK_MAX: usize = 4096;

/// Standard error, which is never waited for: a reader of the log that hangs must not hold up a drain. What cannot be
/// written at once is dropped.
struct Unwaiting;

impl Write for Unwaiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        let chunk = &bytes[..bytes.len().min(CHUNK_MAX)];
        if takes_more(&stderr) { stderr.write(chunk) } else { Ok(chunk.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn takes_more(stderr: &io::Stderr) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    // What cannot be polled is no pipe and no socket: it does not make anybody wait.
    rustix::event::poll(&mut polled, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

/// Starts logging. Below `warn`, only the daemon's own lines.
pub fn start(log: &Log) {
    let filter = Targets::new().with_target("drainhook", log.level).with_default(Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Unwaiting).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start, as tests in one process make it, changes nothing.
    let started = match form(log.format) {
        Form::Fields(journald) => registry.with(journald).try_init(),
        Form::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        Form::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
    };
    if let Err(error) = started {
        debug::say(format_args!("logging was started already: {error}"));
    }
}

/// What log lines are.
enum Form {
    /// journald's own fields.
    Fields(Journald),
    /// A JSON object each.
    Json,
    /// For people.
    Text,
}

fn form(format: LogFormat) -> Form {
    match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text,
        LogFormat::Auto if io::stderr().is_terminal() => Form::Text,
        // Where journald cannot be reached by its own protocol, it still reads standard error.
        LogFormat::Auto => Journald::behind_stderr().ok().flatten().map_or(Form::Json, Form::Fields),
    }
}

/// Logs what the machine reports, under a name that does not change with the wording, and the drain that it is part of.
pub fn tell(report: &Report, drain_id: Option<&str>) {
    let (event, outcome) = (report.name(), report.outcome().map(Outcome::as_str));
    let (agent, progress) = report.progress().unzip();
    let agent_state = progress.map(Progress::word);
    let in_flight = progress.and_then(|progress| progress.in_flight);
    match report.loudness() {
        Loudness::Error => {
            tracing::error!(event, drain_id, outcome, agent, agent_state, in_flight, "{report}")
        }
        Loudness::Warn => tracing::warn!(event, drain_id, outcome, agent, agent_state, in_flight, "{report}"),
        Loudness::Info => tracing::info!(event, drain_id, outcome, agent, agent_state, in_flight, "{report}"),
        Loudness::Debug => {
            let event = Some(event);
            let fields = Fields { event, drain_id, outcome, agent, agent_state, in_flight };
            debug::say_with(format_args!("{report}"), &fields)
        }
    }
}
