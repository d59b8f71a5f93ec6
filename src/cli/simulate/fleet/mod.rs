//! `drainhook simulate --instances N`: runs fleets in virtual time.
//!
//! `summary` shows what is run, the progress and the result. `failure` shows what a run violated.

mod failure;
mod summary;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task;

use super::super::output::{counted, put_line};
use super::super::terminal::{clear_live, columns, is_live, show_live, wrap};
use super::super::{failed, interrupted};
use crate::clock::Clock;
use machine::Time;
use sim::fault::{Fault, Faults};
use sim::fleet::{Outcome, Plan, run_telling, shrink};
use summary::Played;

/// The fraction of the instances that is terminated.
const LEAVING: f64 = 0.5;

/// The faults to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// No faults
    None,
    /// Every kind of fault, now and then
    Rough,
}

/// The runs that the user asked for.
#[derive(Debug)]
pub struct Runs {
    /// The number of instances.
    pub instances: u32,
    /// The first seed, and the number of seeds.
    pub seeds: (u64, u64),
    /// The hours of virtual time. After that, drains that are under way may still end.
    pub hours: f64,
    pub profile: Profile,
    pub without: Vec<Fault>,
    /// Whether to print each event and each effect.
    pub trace: bool,
    pub json: bool,
}

/// How often the live line is redrawn.
const REDRAW: Duration = Duration::from_millis(500);

/// The progress of the current run, from 0 to 1. The run's thread writes it, and the live line reads it.
#[derive(Debug, Default)]
struct Part(AtomicU64);

impl Part {
    fn set(&self, part: f64) {
        self.0.store(part.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Runs each seed. At the first run that violates an invariant, stops and looks for a smaller run that does. After an interrupt,
/// prints the result of the complete seeds.
pub async fn play(runs: Runs) -> ExitCode {
    let mut interrupt = match signal(SignalKind::interrupt()) {
        Ok(interrupt) => interrupt,
        Err(error) => return failed(&error),
    };
    if !runs.json {
        put_line(&wrap(&summary::title(&runs), 2));
    }
    let runs = Arc::new(runs);
    let part = Arc::new(Part::default());
    let (sender, mut outcomes) = mpsc::channel(1);
    let worker = task::spawn_blocking({
        let (runs, part) = (Arc::clone(&runs), Arc::clone(&part));
        move || runs.run_each(&part, &sender)
    });
    let mut live = LiveLine::start(&runs);
    let mut played = Played::default();
    let is_interrupted = loop {
        tokio::select! {
            outcome = outcomes.recv() => {
                let Some((plan, outcome)) = outcome else { break false };
                outcome.trace.iter().for_each(|line| put_line(line));
                if !outcome.violations.is_empty() {
                    live.clear();
                    return fail(&runs, plan, &outcome, &mut interrupt).await;
                }
                played.add(plan.seed, outcome.figures);
            }
            () = live.due() => live.show(&runs, played.seeds, part.get()),
            _ = interrupt.recv() => break true,
        }
    };
    live.clear();
    // A run that panicked has printed why.
    if !is_interrupted && let Err(error) = worker.await {
        return failed(&error);
    }
    if runs.json {
        let fleet = json!({
            "event": "fleet", "seeds": played.seeds, "interrupted": is_interrupted, "figures": played.total,
        });
        put_line(&fleet.to_string());
    } else if played.seeds > 0 {
        put_line(summary::summary(&runs, &played, columns()).trim_end());
    }
    if is_interrupted {
        let seeds = counted(runs.seeds.1, "seed");
        return interrupted(&format!("interrupted after {} of {seeds}", played.seeds));
    }
    ExitCode::SUCCESS
}

/// Prints the violations, and looks for a smaller run with violations.
async fn fail(runs: &Runs, plan: Plan, outcome: &Outcome, interrupt: &mut Signal) -> ExitCode {
    failure::violations(&plan, outcome);
    let replay = failure::replay(runs, &plan);
    let smaller = task::spawn_blocking(move || shrink(&plan));
    tokio::select! {
        found = smaller => match found {
            Ok((plan, outcome)) => failure::smaller(runs, &plan, &outcome),
            Err(error) => return failed(&error),
        },
        _ = interrupt.recv() => eprintln!("\ninterrupted; to see the whole trace: {replay}"),
    }
    ExitCode::FAILURE
}

/// The live line with the progress of the runs, on a terminal that can redraw lines.
struct LiveLine {
    clock: Clock,
    start: Time,
    /// `None` if there is no live line.
    redraw: Option<tokio::time::Interval>,
}

impl LiveLine {
    fn start(runs: &Runs) -> Self {
        let clock = Clock::start(None);
        let shows = is_live() && !runs.json && !runs.trace;
        LiveLine { start: clock.now(), clock, redraw: shows.then(|| tokio::time::interval(REDRAW)) }
    }

    /// Waits until the next redraw is due.
    async fn due(&mut self) {
        match &mut self.redraw {
            Some(redraw) => _ = redraw.tick().await,
            None => std::future::pending().await,
        }
    }

    fn show(&self, runs: &Runs, complete: u64, part: f64) {
        if self.redraw.is_some() {
            let width = columns().unwrap_or(0).saturating_sub(1);
            let elapsed = self.clock.now().since(self.start);
            show_live(&summary::progress(runs, complete, part, elapsed, width));
        }
    }

    fn clear(&self) {
        if self.redraw.is_some() {
            clear_live();
        }
    }
}

impl Runs {
    /// Runs the seeds in order, and sends each outcome. Stops after a violation, or if the receiver is dropped.
    fn run_each(&self, part: &Part, outcomes: &mpsc::Sender<(Plan, Outcome)>) {
        for seed in self.seeds.0..self.seeds.0.saturating_add(self.seeds.1) {
            let plan = self.plan(seed);
            part.set(0.0);
            let outcome = run_telling(&plan, |over| part.set(over));
            let is_last = !outcome.violations.is_empty();
            if outcomes.blocking_send((plan, outcome)).is_err() || is_last {
                return;
            }
        }
    }

    fn plan(&self, seed: u64) -> Plan {
        let all = match self.profile {
            Profile::None => Faults::none(),
            Profile::Rough => Faults::rough(),
        };
        Plan {
            seed,
            instances: self.instances,
            // The replay command prints the hours as a decimal number, so the span is whole milliseconds.
            span: Duration::from_millis((self.hours * 3_600_000.0).round() as u64),
            leaving: LEAVING,
            faults: self.without.iter().fold(all, |faults, fault| faults.without(*fault)),
            trace: self.trace,
        }
    }
}
