//! Writes the log to standard error.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::debug::{self, Fields};
use super::journald::Journald;
use crate::config::{Log, LogFormat};
use machine::journal::Outcome;
use machine::report::{Loudness, Progress, Report};

/// The most bytes that never block on a pipe that is ready (PIPE_BUF on Linux).
const CHUNK_MAX: usize = 4096;

/// Standard error, without ever blocking: a hung log reader must not delay a drain. Output that cannot be written at once is
/// dropped.
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
    // A file that cannot be polled is neither a pipe nor a socket, and writing to it does not block on a reader.
    rustix::event::poll(&mut polled, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

/// Starts logging. Lines of dependencies are logged from `warn` up.
pub fn start(log: &Log) {
    let filter = Targets::new().with_target("drainhook", log.level).with_default(Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Unwaiting).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start, as in tests that share a process, changes nothing.
    let started = match form(log.format) {
        Form::Fields(journald) => registry.with(journald).try_init(),
        Form::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        // People read the message. The fields are for programs.
        Form::Text => {
            let message_only = format::debug_fn(|writer, field, value| {
                if field.name() == "message" { write!(writer, "{value:?}") } else { Ok(()) }
            });
            registry.with(lines.fmt_fields(message_only).with_ansi(takes_color(&io::stderr()))).try_init()
        }
    };
    if let Err(error) = started {
        debug::say(format_args!("logging was started already: {error}"));
    }
}

/// Whether a stream takes color: it is a terminal, not a dumb one, and <https://no-color.org> is honored.
pub fn takes_color(stream: &impl IsTerminal) -> bool {
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !plain && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// The format of log lines.
enum Form {
    /// journald fields.
    Fields(Journald),
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

fn form(format: LogFormat) -> Form {
    match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text,
        LogFormat::Auto if io::stderr().is_terminal() => Form::Text,
        // If journald's socket is not available, journald still reads standard error.
        LogFormat::Auto => Journald::behind_stderr().ok().flatten().map_or(Form::Json, Form::Fields),
    }
}

/// Logs a report of the machine, with its stable event name and the drain that it belongs to.
pub fn tell(report: &Report, drain_id: Option<&str>) {
    let (event, outcome) = (report.name(), report.outcome().map(Outcome::as_str));
    let (agent, progress) = report.progress().unzip();
    let agent_state = progress.map(Progress::word);
    let in_flight = progress.and_then(|progress| progress.in_flight);
    let deadline = report.deadline().map(|deadline| deadline.to_string());
    let deadline = deadline.as_deref();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(event, drain_id, outcome, agent, agent_state, in_flight, deadline, "{report}")
        };
    }
    match report.loudness() {
        Loudness::Error => line!(error),
        Loudness::Warn => line!(warn),
        Loudness::Info => line!(info),
        Loudness::Debug => {
            let event = Some(event);
            let fields = Fields { event, drain_id, outcome, agent, agent_state, in_flight };
            debug::say_with(format_args!("{report}"), &fields)
        }
    }
}
