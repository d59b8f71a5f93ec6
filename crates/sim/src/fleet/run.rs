//! A whole run, from a plan to its outcome.

use std::time::Duration;

use super::{Figures, Fleet, Plan, plan};

/// How often a run reports its progress, in virtual time.
const PROGRESS: Duration = Duration::from_secs(60);

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The violations, in words, with their times.
    pub violations: Vec<String>,
    /// The counts.
    pub figures: Figures,
    /// What happened, one line each, if the plan asked for it.
    pub trace: Vec<String>,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    run_telling(plan, |_| {})
}

/// The same. Reports the progress, from 0 to 1, about once per virtual minute.
pub fn run_telling(plan: &Plan, mut progress: impl FnMut(f64)) -> Outcome {
    let mut fleet = Fleet::new(plan.clone());
    let whole = plan.end().since(plan::START);
    let mut due = plan::START;
    while fleet.step() {
        if fleet.now >= due {
            progress(fleet.now.since(plan::START).as_secs_f64() / whole.as_secs_f64());
            due = fleet.now + PROGRESS;
        }
    }
    let Fleet { judge, trace, .. } = fleet;
    let (violations, figures) = judge.verdict();
    Outcome { violations, figures, trace }
}
