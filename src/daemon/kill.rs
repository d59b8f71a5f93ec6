//! Kill points, in debug builds only: a test can make the daemon die right before or right after any effect.
//!
//! `DRAINHOOK_KILL_POINTS` names a file. The daemon appends a line such as `after Complete` for each point that it reaches,
//! so a run without a kill lists all points. A test writes orders to the same file. With `SIGKILL 2 after Complete`, the
//! daemon sends itself that signal at the second `after Complete`, before anything else learns the result.
//!
//! Other orders do what no signal can:
//!
//! - `HOLD WriteJournal drain` holds such a write, as a hung disk would, until the file also has
//!   `RELEASE WriteJournal drain`. The daemon then adds a line such as `wrote drain` for each write that has ended.
//! - `HOLD LoadJournal` holds the read at the start in the same way.
//! - `PANIC imds` makes that task panic once.
//! - `DEFECT` makes the daemon believe once that the machine found a defect. A debug build does not survive a real one.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use machine::Effect;
use machine::action::Completion;
use machine::after::AfterStage;
use machine::drain::Phase;
use machine::effect::AgentRequest;
use machine::journal::{AgentStage, Journal};
use machine::launch::LaunchStage;
use machine::protection::Protection;
use machine::report::Report;

/// The variable that names the file.
const VARIABLE: &str = "DRAINHOOK_KILL_POINTS";

/// How often the orders are read while a write is held.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// An effect that is being performed.
#[derive(Debug)]
pub struct Point(String);

/// Reached when the new journal is on disk and has not replaced the old one yet.
pub fn within_write(journal: &Journal) {
    reached(&format!("within WriteJournal {}", stage(journal)));
}

/// Called before a write of the journal. Blocks while the write is held.
pub fn hold_write(journal: &Journal) {
    panic_if_ordered("journal");
    hold(&format!("WriteJournal {}", stage(journal)));
}

/// Called after the journal's bytes were read and before they are decoded. Blocks while the read is held.
pub fn hold_load() {
    hold("LoadJournal");
}

fn hold(what: &str) {
    let (held, released) = (format!("HOLD {what}"), format!("RELEASE {what}"));
    while orders().is_some_and(|orders| has(&orders, &held) && !has(&orders, &released)) {
        std::thread::sleep(HOLD_LOOK);
    }
}

/// Called when a write of the journal has ended.
pub fn write_ended(journal: &Journal) {
    if orders().is_some_and(|orders| orders.contains("HOLD WriteJournal")) {
        append(&format!("wrote {}", stage(journal)));
    }
}

/// Panics if this task was ordered to, once for each order.
pub fn panic_if_ordered(task: &str) {
    let Some(orders) = orders() else { return };
    let count = |line: &str| orders.lines().filter(|one| *one == line).count();
    let obeyed = format!("panicked {task}");
    if count(&format!("PANIC {task}")) > count(&obeyed) {
        append(&obeyed);
        panic!("ordered to panic: {task}");
    }
}

/// Whether a defect was ordered; true once for each order.
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

    /// The report is about to be logged.
    pub fn before_report(report: &Report) -> Self {
        Point::begin(report_name(report))
    }

    fn begin(name: String) -> Self {
        reached(&format!("before {name}"));
        panic_if_ordered(&name);
        Point(name)
    }

    /// It was performed, and nothing else has learned the result yet.
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

/// The variant, with what distinguishes such effects within a drain.
fn name(effect: &Effect) -> String {
    match effect {
        Effect::WriteJournal { journal, .. } => format!("WriteJournal {}", stage(journal)),
        Effect::AskAgent { request: AgentRequest::Drain(_), .. } => "AskAgent drain".to_owned(),
        Effect::AskAgent { request: AgentRequest::Tell(_), .. } => "AskAgent tell".to_owned(),
        Effect::AskAgent { request: AgentRequest::Status | AgentRequest::Watch(_), .. } => {
            "AskAgent status".to_owned()
        }
        Effect::AskAgent { request: AgentRequest::Return, .. } => "AskAgent return".to_owned(),
        Effect::AskReady { .. } => "AskReady".to_owned(),
        Effect::AskBusy { .. } => "AskBusy".to_owned(),
        Effect::CancelRequest { .. } => "CancelRequest".to_owned(),
        Effect::ForceAgent { .. } => "ForceAgent".to_owned(),
        Effect::RunStep { .. } => "RunStep".to_owned(),
        Effect::StopStep { .. } => "StopStep".to_owned(),
        Effect::Heartbeat { .. } => "Heartbeat".to_owned(),
        Effect::Complete { .. } => "Complete".to_owned(),
        Effect::DescribeInstance { .. } => "DescribeInstance".to_owned(),
        Effect::DescribeHooks { .. } => "DescribeHooks".to_owned(),
        Effect::Protect { protect: true, .. } => "Protect set".to_owned(),
        Effect::Protect { protect: false, .. } => "Protect lift".to_owned(),
        Effect::ReceiveMessages { .. } => "ReceiveMessages".to_owned(),
        Effect::SetVisibility { .. } => "SetVisibility".to_owned(),
        Effect::DeleteMessage { .. } => "DeleteMessage".to_owned(),
        Effect::DescribeTarget { .. } => "DescribeTarget".to_owned(),
        Effect::DeregisterTarget { .. } => "DeregisterTarget".to_owned(),
        Effect::RegisterTarget { .. } => "RegisterTarget".to_owned(),
    }
}

fn report_name(report: &Report) -> String {
    format!("Report {}", report.name())
}

/// The stage of the drain in this journal. Writes are named by stage because their number depends on timing.
fn stage(journal: &Journal) -> String {
    let Some(drain) = &journal.drain else {
        let serve = journal.agents.iter().all(|agent| agent.stage == AgentStage::Serving)
            && journal.targets.iter().all(|target| !target.taken_out);
        let launches = matches!(journal.launch, LaunchStage::UnderWay { .. });
        return match journal.protection {
            _ if launches => "launching",
            _ if !serve => "returning",
            Protection::Setting { .. } => "to protect",
            Protection::Protected { .. } => "protected",
            Protection::Lifted { .. } => "lifted",
            Protection::Unknown | Protection::Yielding => "serving",
        }
        .to_owned();
    };
    match (&drain.phase, drain.action.completion) {
        (Phase::Ended { .. }, _) => format!("ended, {} messages", drain.receipts.len()),
        (_, Completion::Unanswered { .. }) => "unanswered".to_owned(),
        (_, Completion::Intended(_)) => "intention".to_owned(),
        (_, Completion::Open) if drain.after != AfterStage::Pending => match drain.after {
            AfterStage::Next { step, .. } => format!("step {step}"),
            AfterStage::Pending | AfterStage::Over { .. } => "steps over".to_owned(),
        },
        (_, Completion::Open) if journal.agents.iter().any(|agent| agent.forced) => "forced".to_owned(),
        (_, Completion::Open) if drain.action.wait.is_waiting() => "wait".to_owned(),
        (_, Completion::Open) => "drain".to_owned(),
    }
}
