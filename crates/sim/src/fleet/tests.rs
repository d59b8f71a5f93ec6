//! Runs of fleets.

use std::time::Duration;

use super::{Figures, Plan, run};
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
}

#[test]
fn the_same_plan_gives_the_same_run() {
    let plan = Plan { trace: true, ..plan(7, 20, Faults::rough()) };
    let (first, second) = (run(&plan), run(&plan));
    assert!(first.trace.len() > 1000, "{} lines", first.trace.len());
    assert!(first.trace == second.trace);
}
