//! Runs of fleets.

use std::time::Duration;

use super::{Figures, Losses, Plan, run, run_telling};
use crate::fault::Faults;

fn plan(seed: u64, instances: u32, faults: Faults) -> Plan {
    Plan { seed, instances, span: Duration::from_secs(3600), leaving: 0.5, faults, trace: false }
}

#[test]
fn calm() {
    for seed in 0..15 {
        let outcome = run(&plan(seed, 20, Faults::none()));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        assert_eq!(outcome.figures.drained, outcome.figures.terminated, "seed {seed}: {:?}", outcome.figures);
        assert_eq!(outcome.figures.work_lost, 0, "seed {seed}");
    }
}

#[test]
fn rough() {
    let mut total = Figures::default();
    for seed in 0..15 {
        let outcome = run(&plan(seed, 20, Faults::rough()));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        total += outcome.figures;
    }
    let Figures { drained, overtaken, kills, throttled, misdelivered, .. } = total;
    let something = [drained, overtaken, kills, throttled, misdelivered].iter().all(|count| *count > 0);
    assert!(something, "some kinds of events never happened: {total:?}");

    // Every lost work item has a cause, and no drain that ended as `drained` lost one.
    let Losses { lost_to_spot, lost_to_capacity, lost_at_deadline, lost_failed, lost_in_launch, .. } =
        total.losses;
    let Losses { lost_after_drained, lost_drained, lost_expired, lost_released, lost_without_action, .. } =
        total.losses;
    let others = lost_after_drained + lost_drained + lost_expired + lost_released + lost_without_action;
    assert_eq!(
        lost_to_spot + lost_to_capacity + lost_in_launch + lost_at_deadline + lost_failed + others,
        total.work_lost,
        "{total:?}"
    );
    assert!(lost_to_spot > 0 && lost_at_deadline > 0 && lost_after_drained > 0, "{total:?}");
    assert_eq!(lost_drained, 0, "{total:?}");
}

/// Without faults, each termination has one completion, and every instance is checked at the end.
#[test]
fn checks_are_counted() {
    let outcome = run(&plan(1, 20, Faults::none()));
    let Figures { terminated, completions, compared, effects, end_states, instances, .. } = outcome.figures;
    assert_eq!(completions, terminated, "{:?}", outcome.figures);
    assert_eq!(end_states, instances, "{:?}", outcome.figures);
    assert!(compared > effects && effects > completions, "{:?}", outcome.figures);
}

/// Watching a run does not change it.
#[test]
fn progress() {
    let plan = plan(3, 20, Faults::rough());
    let mut told = Vec::new();
    let watched = run_telling(&plan, |part| told.push(part));
    assert_eq!(watched.figures, run(&plan).figures);
    assert!(told.is_sorted() && told.len() > 60, "{told:?}");
    assert!(told.iter().all(|part| (0.0..=1.0).contains(part)), "{told:?}");
}

#[test]
fn the_same_plan_gives_the_same_run() {
    let plan = Plan { trace: true, ..plan(7, 20, Faults::rough()) };
    let (first, second) = (run(&plan), run(&plan));
    assert!(first.trace.len() > 1000, "{} lines", first.trace.len());
    assert!(first.trace == second.trace);
}
