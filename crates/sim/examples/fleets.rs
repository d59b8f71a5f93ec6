//! Fleets in virtual time, from the pure crates alone: `fleets FIRST COUNT INSTANCES`. tests/mutations/run builds this
//! with one deliberate defect after the other. For people there is `drainhook simulate --instances`.

use std::process::ExitCode;
use std::time::Duration;

use sim::fault::Faults;
use sim::fleet::{Plan, run};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let [first, count, instances] = numbers[..] else {
        eprintln!("usage: fleets FIRST COUNT INSTANCES");
        return ExitCode::from(2);
    };
    for seed in first..first + count {
        let plan = Plan {
            seed,
            instances: instances as u32,
            span: Duration::from_secs(3600),
            leaving: 0.5,
            faults: Faults::rough(),
            trace: false,
        };
        if let Some(violation) = run(&plan).violations.first() {
            println!("seed {seed}: {violation}");
            return ExitCode::FAILURE;
        }
    }
    println!("{count} seeds: nothing was violated");
    ExitCode::SUCCESS
}
