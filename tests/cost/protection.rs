//! Which instances a scale-in picks, with and without busy protection.

use std::time::Duration;

use sim::fleet::picks::{Picking, Picks, pick};

use super::seconds;

/// The sizes, the minutes of work, and how many seeds of each are measured. One run of the largest takes four minutes.
const RUNS: [(u32, u64, u64); 7] = [
    (10, 15, 100),
    (100, 15, 30),
    (1_000, 15, 3),
    (10_000, 15, 1),
    (10, 2, 100),
    (1_000, 2, 3),
    (10_000, 2, 1),
];

/// The table. Each cell has two figures: without protection, and with it.
pub fn table() -> String {
    let mut lines = vec![
        "| instances | work, min | picked | busy | protection calls per instance and hour | of these throttled | completion delay, s: most | expired |".to_owned(),
        "|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for (instances, minutes, seeds) in RUNS {
        eprintln!("a tenth of {instances} with {minutes} minutes of work");
        let work = Duration::from_secs(60 * minutes);
        let sides = [false, true].map(|protects| {
            (1..=seeds).map(|seed| pick(&Picking { instances, work, protects, seed })).collect::<Vec<_>>()
        });
        let pair =
            |figure: &dyn Fn(&[Picks]) -> String| sides.each_ref().map(|runs| figure(runs)).join(" / ");
        let mean = |runs: &[Picks], figure: fn(&Picks) -> f64| {
            runs.iter().map(figure).sum::<f64>() / runs.len() as f64
        };
        let most = |runs: &[Picks]| runs.iter().filter_map(|run| run.delay_most_s).reduce(f64::max);
        let cells = [
            format!("{:.0}", mean(&sides[0], |run| f64::from(run.picked))),
            pair(&|runs| format!("{:.1}", mean(runs, |run| f64::from(run.busy)))),
            format!("{:.1}", mean(&sides[1], |run| run.calls)),
            format!("{:.0} %", 100.0 * mean(&sides[1], |run| run.throttled)),
            pair(&|runs| seconds(most(runs))),
            pair(&|runs| format!("{:.0} %", 100.0 * mean(runs, |run| run.expired))),
        ];
        lines.push(format!("| {instances} | {minutes} | {} |", cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}
