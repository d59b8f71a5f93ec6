//! Runs fleets in virtual time with the pure crates alone: `fleets FIRST COUNT INSTANCES [OPTION]...`. tests/mutations/run
//! builds it with one deliberate defect at a time. People use `drainhook simulate --instances`.
//!
//! - `--with FAULT` adds a kind of fault that the rough profile leaves out. `--without FAULT` removes one.
//! - `--pending` prints the kinds of fault that the machine does not withstand yet, and runs nothing.
//! - `--calm` turns all faults off. `--seconds N` sets how long faults last.
//! - `--all` continues after a violation and counts the seeds. `--shrink` makes the first failed run smaller. `--trace`
//!   prints everything that happens.

use std::process::ExitCode;
use std::time::Duration;

use sim::fault::{Fault, Faults};
use sim::fleet::{Figures, Plan, run, shrink};

const USAGE: &str =
    "usage: fleets FIRST COUNT INSTANCES [--with FAULT]... [--without FAULT]... [--all | --shrink] [--trace]";

struct Options {
    numbers: Vec<u64>,
    span: Duration,
    faults: Faults,
    all: bool,
    shrink: bool,
    trace: bool,
}

fn read() -> Option<Options> {
    let mut options = Options {
        numbers: Vec::new(),
        span: Duration::from_secs(3600),
        faults: Faults::rough(),
        all: false,
        shrink: false,
        trace: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--with" => options.faults = options.faults.with(Fault::find(&words.next()?)?),
            "--without" => options.faults = options.faults.without(Fault::find(&words.next()?)?),
            "--calm" => options.faults = Faults::none(),
            "--seconds" => options.span = Duration::from_secs(words.next()?.parse().ok()?),
            "--all" => options.all = true,
            "--shrink" => options.shrink = true,
            "--trace" => options.trace = true,
            number => options.numbers.push(number.parse().ok()?),
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == "--pending") {
        Fault::PENDING.iter().for_each(|fault| println!("{}", fault.name()));
        return ExitCode::SUCCESS;
    }
    let Some(Options { numbers, span, faults, all, shrink: smaller, trace }) = read() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let [first, count, instances] = numbers[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (mut failed, mut total) = (0, Figures::default());
    for seed in first..first + count {
        let faults = faults.clone();
        let plan = Plan { seed, instances: instances as u32, span, leaving: 0.5, faults, trace };
        let outcome = run(&plan);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        total += outcome.figures;
        let Some(violation) = outcome.violations.first() else { continue };
        println!("seed {seed}: {violation}");
        failed += 1;
        if smaller {
            let (plan, outcome) = shrink(&plan);
            let kinds: Vec<_> = plan.faults.kinds().map(Fault::name).collect();
            outcome.trace.iter().for_each(|line| println!("{line}"));
            println!(
                "{} instances, {:?}, {}: {:?}",
                plan.instances,
                plan.span,
                kinds.join(" "),
                outcome.violations
            );
        }
        if !all {
            return ExitCode::FAILURE;
        }
    }
    if failed > 0 {
        println!("{failed} of {count} seeds violate the invariants: {total:?}");
        return ExitCode::FAILURE;
    }
    println!("{count} seeds: no violations");
    ExitCode::SUCCESS
}
