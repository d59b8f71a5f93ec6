//! Kill points, in debug builds only: tests let the daemon die right before or right after an effect of their choice.
//!
//! `DRAINHOOK_KILL_POINTS` names a file. Each point that is reached is appended to it as a line such as `after Complete`,
//! so that a run without a death lists them. A line such as `SIGKILL 2 after Complete`, put there by a test, is an
//! order: at the second `after Complete` the daemon sends itself that signal, before anybody hears of the result.
//!
//! More orders are for what no signal can do. They are obeyed only where they stand, and add no points:
//! `HOLD WriteJournal drain` keeps such a write from starting until `RELEASE WriteJournal drain` is there too, as a disk
//! does that hangs; each write that has ended is then added as `wrote drain`. `HOLD LoadJournal` does the same to the read
//! at the start. `PANIC imds` makes that task panic once. `DEFECT` lets the daemon believe once that the machine is broken,
//! which a debug build does not survive otherwise.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use machine::Effect;
use machine::action::Completion;
use machine::drain::Phase;
use machine::effect::AgentRequest;
use machine::journal::{AgentStage, Journal};
use machine::report::Report;

/// Names the file.
const VARIABLE: &str = "DRAINHOOK_KILL_POINTS";

/// Between looks at the orders while a write is held.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// An effect that is being performed.
#[derive(Debug)]
pub struct Point(String);

/// The new journal is on disk, and does not stand in place of the old one yet.
pub fn within_write(journal: &Journal) {
    reached(&format!("within WriteJournal {}", stage(journal)));
}

/// A write of the journal begins: holds it for as long as an order says so.
pub fn hold_write(journal: &Journal) {
    panic_if_ordered("journal");
    hold(&format!("WriteJournal {}", stage(journal)));
}

/// The journal has been read, and nothing has been made of it: holds that for as long as an order says so.
pub fn hold_load() {
    hold("LoadJournal");
}

fn hold(what: &str) {
    let (held, released) = (format!("HOLD {what}"), format!("RELEASE {what}"));
    while orders().is_some_and(|orders| has(&orders, &held) && !has(&orders, &released)) {
        std::thread::sleep(HOLD_LOOK);
    }
}

/// A write of the journal has ended.
pub fn write_ended(journal: &Journal) {
    if orders().is_some_and(|orders| orders.contains("HOLD WriteJournal")) {
        append(&format!("wrote {}", stage(journal)));
    }
}

/// Panics where an order says that this task does, once for each such order.
pub fn panic_if_ordered(task: &str) {
    let Some(orders) = orders() else { return };
    let count = |line: &str| orders.lines().filter(|one| *one == line).count();
    let obeyed = format!("panicked {task}");
    if count(&format!("PANIC {task}")) > count(&obeyed) {
        append(&obeyed);
        panic!("ordered to panic: {task}");
    }
}

/// Whether an order says that the machine is to be taken for broken, once for each such order.
pub fn is_defect_ordered() -> bool {
    let Some(orders) = orders() else { return false };
    let count = |line: &str| orders.lines().filter(|one| *one == line).count();
    let ordered = count("DEFECT") > count("defect found");
    if ordered {
        append("defect found");
    }
    ordered
}

fn has(orders: &str, line: &str) -> bool {
    orders.lines().any(|one| one == line)
}

fn orders() -> Option<String> {
    std::fs::read_to_string(std::env::var_os(VARIABLE)?).ok()
}

fn append(line: &str) {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let written = OpenOptions::new().append(true).open(path).and_then(|mut file| writeln!(file, "{line}"));
    if let Err(error) = written {
        tracing::error!("kill points: {error}");
    }
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
        panic_if_ordered(&name);
        Point(name)
    }

    /// It has been performed, and its result is not known to anybody yet.
    pub fn after(self) {
        reached(&format!("after {}", self.0));
    }
}

fn reached(point: &str) {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
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
        Effect::CancelRequest { .. } => "CancelRequest".to_owned(),
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
        let serve = journal.agents.iter().all(|agent| agent.stage == AgentStage::Serving);
        return if serve { "serving" } else { "returning" }.to_owned();
    };
    match (&drain.phase, drain.action.completion) {
        (Phase::Ended { .. }, _) => format!("ended, {} messages", drain.receipts.len()),
        (_, Completion::Unanswered { .. }) => "unanswered".to_owned(),
        (_, Completion::Intended(_)) => "intention".to_owned(),
        (_, Completion::Open) if drain.action.wait.is_waiting() => "wait".to_owned(),
        (_, Completion::Open) => "drain".to_owned(),
    }
}
