//! Which instances a scale-in picks, with and without busy protection.

use sim::fleet::picks::{Picking, Picks, pick};

use super::seconds;

/// The sizes, and how many seeds of each are measured. One run of the largest takes four minutes.
const SIZES: [(u32, u64); 4] = [(10, 100), (100, 30), (1_000, 3), (10_000, 1)];

/// The table. Each cell has two figures: without protection, and with it.
pub fn table() -> String {
    let mut lines = vec![
        "| instances | picked | busy | protection calls per instance and hour | of these throttled | completion delay, s: most | expired |".to_owned(),
        "|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for (instances, seeds) in SIZES {
        eprintln!("a tenth of {instances}, protected");
        let sides = [false, true].map(|protects| {
            (1..=seeds).map(|seed| pick(&Picking { instances, protects, seed })).collect::<Vec<_>>()
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
        lines.push(format!("| {instances} | {} |", cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}
