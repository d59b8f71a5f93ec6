//! Runs of a fleet.

use std::time::Duration;

use super::{Plan, run};
use crate::sim::fault::Faults;

fn plan(seed: u64, instances: u32, faults: Faults) -> Plan {
    Plan { seed, instances, span: Duration::from_secs(3600), leaving: 0.5, faults, trace: false }
}

#[test]
fn calm() {
    for seed in 0..50 {
        let outcome = run(&plan(seed, 20, Faults::none()));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        assert_eq!(outcome.figures.drained, outcome.figures.terminated, "seed {seed}: {:?}", outcome.figures);
        assert_eq!(outcome.figures.work_lost, 0, "seed {seed}");
    }
}

#[test]
fn rough() {
    let mut bad = Vec::new();
    for seed in 0..100 {
        let outcome = run(&plan(seed, 20, Faults::rough()));
        if !outcome.violations.is_empty() {
            bad.push((seed, outcome.violations));
        }
    }
    assert!(bad.is_empty(), "{} {:#?}", bad.len(), &bad[..bad.len().min(5)]);
}
