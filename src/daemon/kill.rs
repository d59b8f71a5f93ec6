//! Kill points, in debug builds only: tests let the daemon die right before or right after an effect of their choice.
//!
//! `DRAINHOOK_KILL_POINTS` names a file. Each point that is reached is appended to it as a line such as `after Complete`,
//! so that a run without a death lists them. A line such as `SIGKILL 2 after Complete`, put there by a test, is an
//! order: at the second `after Complete` the daemon sends itself that signal, before anybody hears of the result.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};

use rustix::process::{Signal, getpid, kill_process};

use machine::Effect;
use machine::action::Completion;
use machine::drain::Phase;
use machine::effect::AgentRequest;
use machine::journal::Journal;
use machine::report::Report;

/// An effect that is being performed.
#[derive(Debug)]
pub struct Point(String);

/// The new journal is on disk, and does not stand in place of the old one yet.
pub fn within_write(journal: &Journal) {
    reached(&format!("within WriteJournal {}", stage(journal)));
}

impl Point {
    /// The effect is about to be performed.
    pub fn before(effect: &Effect) -> Self {
        Point::begin(name(effect))
    }

    /// People are about to be told.
    pub fn before_report(report: &Report) -> Self {
        Point::begin(report_name(report))
    }

    fn begin(name: String) -> Self {
        reached(&format!("before {name}"));
        Point(name)
    }

    /// It has been performed, and its result is not known to anybody yet.
    pub fn after(self) {
        reached(&format!("after {}", self.0));
    }
}

fn reached(point: &str) {
    let Some(path) = std::env::var_os("DRAINHOOK_KILL_POINTS") else { return };
    if let Err(error) = append_and_obey(path.as_ref(), point) {
        tracing::error!("kill points in {}: {error}", path.display());
    }
}

fn append_and_obey(path: &std::path::Path, point: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let times = 1 + text.lines().filter(|line| *line == point).count();
    writeln!(file, "{point}")?;
    for (order, signal) in [("SIGKILL", Signal::KILL), ("SIGTERM", Signal::TERM)] {
        if text.lines().any(|line| line == format!("{order} {times} {point}")) {
            kill_process(getpid(), signal)?;
        }
    }
    Ok(())
}

/// The variant, and what else tells one such effect of a drain from another.
fn name(effect: &Effect) -> String {
    match effect {
        Effect::WriteJournal { journal, .. } => format!("WriteJournal {}", stage(journal)),
        Effect::AskAgent { request: AgentRequest::Drain(_), .. } => "AskAgent drain".to_owned(),
        Effect::AskAgent { request: AgentRequest::Status, .. } => "AskAgent status".to_owned(),
        Effect::AskAgent { request: AgentRequest::Return, .. } => "AskAgent return".to_owned(),
        Effect::Heartbeat { .. } => "Heartbeat".to_owned(),
        Effect::Complete { .. } => "Complete".to_owned(),
        Effect::DescribeInstance { .. } => "DescribeInstance".to_owned(),
        Effect::DescribeHooks { .. } => "DescribeHooks".to_owned(),
        Effect::ReceiveMessages { .. } => "ReceiveMessages".to_owned(),
        Effect::SetVisibility { .. } => "SetVisibility".to_owned(),
        Effect::DeleteMessage { .. } => "DeleteMessage".to_owned(),
    }
}

fn report_name(report: &Report) -> String {
    format!("Report {}", report.name())
}

/// How far the drain has come that is written down: how often a stage is written is a matter of timing.
fn stage(journal: &Journal) -> String {
    let Some(drain) = &journal.drain else {
        let told = journal.agents.iter().any(|agent| agent.told);
        return if told { "returning" } else { "serving" }.to_owned();
    };
    match (&drain.phase, drain.action.completion) {
        (Phase::Ended { .. }, _) => format!("ended, {} messages", drain.receipts.len()),
        (_, Completion::Unanswered { .. }) => "unanswered".to_owned(),
        (_, Completion::Intended(_)) => "intention".to_owned(),
        (_, Completion::Open) if drain.action.wait.is_waiting() => "wait".to_owned(),
        (_, Completion::Open) => "drain".to_owned(),
    }
}
