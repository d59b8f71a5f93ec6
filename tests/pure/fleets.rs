//! The pure half of drainhook by itself, without SDK and runtime: it builds in seconds. `pure FIRST COUNT INSTANCES` runs
//! fleets in virtual time. The mutation check builds it with one defect after the other.

#![allow(dead_code, unused_imports)]

#[path = "../../src/machine/mod.rs"]
mod machine;
#[path = "../../src/text.rs"]
mod text;

#[path = "../../src/aws"]
mod aws {
    pub mod answer;
    pub mod message;
}

#[path = "../../src/sim"]
mod sim {
    pub mod fault;
    pub mod fleet;
    pub mod invariant;
    pub mod schedule;
    pub mod world;
}

use std::process::ExitCode;
use std::time::Duration;

use sim::fault::Faults;
use sim::fleet::{Plan, run};

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let [first, count, instances] = numbers[..] else {
        eprintln!("usage: pure FIRST COUNT INSTANCES");
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
