//! Shows what a run violated, in the smallest run that was found, and how to run it again.

use sim::fault::Fault;
use sim::fleet::{Outcome, Plan};

use super::{Profile, Runs};

/// The most violations that are shown for a run.
const VIOLATIONS_MAX: usize = 10;

/// The most trace lines that are shown for the instance. `--trace` shows every line of every instance.
const TRACE_MAX: usize = 60;

/// Prints what a run violated.
pub fn violations(failed: &Plan, outcome: &Outcome) {
    eprintln!("seed {} violates the invariants:", failed.seed);
    outcome.violations.iter().take(VIOLATIONS_MAX).for_each(|violation| eprintln!("  {violation}"));
    eprintln!("\nlooking for a smaller run that violates the invariants");
}

/// Prints what the smaller run violated, and what happened before.
pub fn smaller(runs: &Runs, plan: &Plan, outcome: &Outcome) {
    eprintln!("\na smaller run violates the invariants:");
    outcome.violations.iter().take(VIOLATIONS_MAX).for_each(|violation| eprintln!("  {violation}"));
    let first = outcome.violations.first().map(String::as_str).unwrap_or_default();
    let instance = instance_in(first).unwrap_or_default();
    let lines = lines_before(&outcome.trace, first, instance);
    eprintln!("\nthe last of {} lines about {instance} before that:", lines.len());
    lines.iter().skip(lines.len().saturating_sub(TRACE_MAX)).for_each(|line| eprintln!("  {line}"));
    eprintln!("\nto see the whole trace: {}", replay(runs, plan));
}

/// The trace lines about an instance up to its violation, without repeated lines.
fn lines_before<'a>(trace: &'a [String], violation: &str, instance: &str) -> Vec<&'a str> {
    let until = violation.split(": ").next().unwrap_or_default();
    let about = |line: &&str| line.split(' ').nth(1) == Some(instance);
    let mut lines: Vec<&str> = trace
        .iter()
        .map(String::as_str)
        .filter(about)
        .take_while(|line| line.split(' ').next() <= Some(until))
        .collect();
    lines.dedup_by_key(|line| line.split_once(' ').map(|(_, what)| what));
    lines
}

/// The id of the instance that a violation is about.
fn instance_in(violation: &str) -> Option<&str> {
    let from = violation.find(" i-")? + 1;
    violation[from..].split(|char: char| !char.is_ascii_alphanumeric() && char != '-').next()
}

/// The command that runs a plan again.
pub fn replay(runs: &Runs, plan: &Plan) -> String {
    let hours = plan.span.as_secs_f64() / 3600.0;
    let mut command =
        format!("drainhook simulate --instances {} --seed {} --hours {hours}", plan.instances, plan.seed);
    if runs.profile == Profile::None {
        command.push_str(" --faults none");
    } else {
        command.push_str(" --faults rough");
        let off = Fault::ROUGH.iter().filter(|(fault, _)| plan.faults.kinds().all(|on| on != *fault));
        off.for_each(|(fault, _)| command.push_str(&format!(" --without {}", fault.name())));
    }
    command + " --trace"
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A command line with the options of `simulate`.
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulate: crate::cli::simulate::Args,
    }

    #[test]
    fn replay_is_the_same_plan() {
        let runs = Runs {
            instances: 20,
            seeds: (3, 1),
            hours: 1.0,
            profile: Profile::Rough,
            without: Vec::new(),
            trace: true,
            json: false,
        };
        let whole = runs.plan(3);
        let faults = whole.faults.clone().without(Fault::Throttling).without(Fault::ImdsStale);
        let part = Plan { instances: 7, span: whole.span / 32, faults, ..whole.clone() };
        let calm = Runs { profile: Profile::None, without: Vec::new(), ..runs };
        for (runs, plan) in [(&runs, whole), (&runs, part), (&calm, calm.plan(3))] {
            let command = replay(runs, &plan);
            // The parser takes the first word as the program's name.
            let words = command.split(' ').filter(|word| *word != "simulate");
            let read = Line::try_parse_from(words).expect("a command that works").simulate;
            let again = read.fleet(read.instances.expect("a number"));
            assert_eq!(again.plan(read.seed), plan, "{command}");
        }
    }
}
