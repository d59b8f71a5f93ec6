//! `drainhook simulate --instances N`: a fleet in virtual time.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::super::output::put_line;
use sim::fault::{Fault, Faults};
use sim::fleet::{self, Figures, Outcome, Plan, shrink};

/// Violations that are shown of a run.
const VIOLATIONS_MAX: usize = 10;

/// The last lines of a trace that are shown of an instance; `--trace` shows all, of all.
const TRACE_MAX: usize = 60;

/// The part of the instances that is taken away.
const LEAVING: f64 = 0.5;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Nothing
    None,
    /// Everything, now and then
    Rough,
}

/// What is run.
#[derive(Debug)]
pub struct Runs {
    /// How many instances.
    pub instances: u32,
    /// The first seed, and how many.
    pub seeds: (u64, u64),
    /// For how many hours of virtual time, before what is under way may end.
    pub hours: f64,
    pub profile: Profile,
    pub without: Vec<Fault>,
    /// Show each event and each effect.
    pub trace: bool,
    pub json: bool,
}

/// Runs each seed; stops at the first that violates an invariant, and makes that run smaller.
pub fn play(runs: &Runs) -> ExitCode {
    let mut total = Figures::default();
    for seed in runs.seeds.0..runs.seeds.0.saturating_add(runs.seeds.1) {
        let plan = runs.plan(seed);
        let outcome = fleet::run(&plan);
        outcome.trace.iter().for_each(|line| put_line(line));
        if !outcome.violations.is_empty() {
            tell_failure(runs, &plan, &outcome);
            return ExitCode::FAILURE;
        }
        total += outcome.figures;
    }
    if runs.json {
        put_line(&json!({ "event": "fleet", "seeds": runs.seeds.1, "figures": total }).to_string());
    } else {
        put_line(&summary(runs, &total));
    }
    ExitCode::SUCCESS
}

impl Runs {
    fn plan(&self, seed: u64) -> Plan {
        let all = match self.profile {
            Profile::None => Faults::none(),
            Profile::Rough => Faults::rough(),
        };
        Plan {
            seed,
            instances: self.instances,
            // A replay gives the hours as a number in decimals.
            span: Duration::from_millis((self.hours * 3_600_000.0).round() as u64),
            leaving: LEAVING,
            faults: self.without.iter().fold(all, |faults, fault| faults.without(*fault)),
            trace: self.trace,
        }
    }
}

/// What a run without a violation has come to.
fn summary(runs: &Runs, figures: &Figures) -> String {
    let seeds = match runs.seeds {
        (seed, 1) => format!("seed {seed}"),
        (first, count) => format!("seeds {first} to {}", first.saturating_add(count - 1)),
    };
    let Figures { instances, terminated, drained, deadline, failed, overtaken, withdrawn, .. } = figures;
    let Figures { kills, heartbeats, calls, throttled, receives, misdelivered, expired, work_lost, .. } =
        figures;
    format!(
        "{seeds}: no violations\n\
         instances           {instances}, {terminated} of them taken away\n\
         drains              {drained} drained, {deadline} at their deadline, {failed} failed, {overtaken} overtaken, \
         {withdrawn} withdrawn\n\
         daemons killed      {kills}\n\
         Auto Scaling calls  {calls}, {heartbeats} heartbeats that took effect, {throttled} calls throttled\n\
         queue               {receives} receives, {misdelivered} messages that were for another instance\n\
         actions expired     {expired}, none that its daemon could have kept\n\
         work items lost     {work_lost}, none of a drain that ended as drained"
    )
}

/// Says what was violated, in the smallest run that could be found, and how to see that run again.
fn tell_failure(runs: &Runs, failed: &Plan, outcome: &Outcome) {
    eprintln!("seed {} violates the invariants:", failed.seed);
    outcome.violations.iter().take(VIOLATIONS_MAX).for_each(|violation| eprintln!("  {violation}"));
    let (plan, outcome) = shrink(failed);
    eprintln!("\na smaller run violates them, too:");
    outcome.violations.iter().take(VIOLATIONS_MAX).for_each(|violation| eprintln!("  {violation}"));
    let first = outcome.violations.first().map(String::as_str).unwrap_or_default();
    let instance = instance_in(first).unwrap_or_default();
    let lines = lines_before(&outcome.trace, first, instance);
    eprintln!("\nthe last of {} lines about {instance} before that:", lines.len());
    lines.iter().skip(lines.len().saturating_sub(TRACE_MAX)).for_each(|line| eprintln!("  {line}"));
    eprintln!("\nto see the whole trace: {}", replay(runs, &plan));
}

/// What happened to an instance up to its violation; what happened again and again is there once.
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
fn replay(runs: &Runs, plan: &Plan) -> String {
    let hours = plan.span.as_secs_f64() / 3600.0;
    let mut command =
        format!("drainhook simulate --instances {} --seed {} --hours {hours}", plan.instances, plan.seed);
    if runs.profile == Profile::Rough {
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

    /// What of the command line is about fleets.
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulate: super::super::Args,
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
        for plan in [whole, part] {
            let command = replay(&runs, &plan);
            // The first word is the program's, as it is here.
            let words = command.split(' ').filter(|word| *word != "simulate");
            let read = Line::try_parse_from(words).expect("a command that works").simulate;
            let again = read.fleet(read.instances.expect("a number"));
            assert_eq!(again.plan(read.seed), plan, "{command}");
        }
    }
}
