//! Writes what is run, the progress, and the result of fleets. Pure.

use std::fmt::Write;
use std::time::Duration;

use sim::fault::Fault;
use sim::fleet::{Figures, Losses};

use super::{Profile, Runs};
use crate::cli::output::{counted, whole};
use crate::cli::terminal::{fit, indented, wrap_to};

/// The most rows in the table of seeds.
pub const ROWS_MAX: usize = 20;

/// The column at which the figures begin.
const FIGURES_COLUMN: usize = 20;

/// The result of the complete seeds.
#[derive(Debug, Default)]
pub struct Played {
    /// The number of complete seeds.
    pub seeds: u64,
    /// The sum of their figures.
    pub total: Figures,
    /// The figures of each of the first seeds.
    first: Vec<(u64, Figures)>,
}

impl Played {
    pub fn add(&mut self, seed: u64, figures: Figures) {
        if self.first.len() < ROWS_MAX {
            self.first.push((seed, figures.clone()));
        }
        self.seeds += 1;
        self.total += figures;
    }
}

/// What is run.
pub fn title(runs: &Runs) -> String {
    let (seeds, instances) = (counted(runs.seeds.1, "seed"), counted(u64::from(runs.instances), "instance"));
    let hours = if runs.hours == 1.0 { "1 hour".to_owned() } else { format!("{} hours", runs.hours) };
    let each = if runs.seeds.1 == 1 { "" } else { " each" };
    let faults = match runs.profile {
        Profile::None => "none".to_owned(),
        Profile::Rough if runs.without.is_empty() => "rough".to_owned(),
        Profile::Rough => {
            let names: Vec<&str> = runs.without.iter().map(|fault: &Fault| fault.name()).collect();
            format!("rough without {}", names.join(", "))
        }
    };
    format!("{seeds} × {instances}, {hours} of virtual time{each}, faults: {faults}")
}

/// The progress of the runs. `part` is the progress of the current run, from 0 to 1.
pub fn progress(runs: &Runs, complete: u64, part: f64, elapsed: Duration, columns: usize) -> String {
    let seeds = runs.seeds.1;
    let percent = (part * 100.0) as u32;
    let far = match seeds {
        1 => format!("{percent} % of the virtual time"),
        _ => format!("{complete} of {seeds} seeds done"),
    };
    let current = match runs.seeds {
        (first, count) if count > 1 && complete < count => {
            format!("seed {} at {percent} %", first + complete)
        }
        _ => String::new(),
    };
    // There is no estimate before the first seed is complete.
    let left = (complete > 0).then(|| {
        let done = complete as f64 + part;
        let left = elapsed.as_secs_f64() * (seeds as f64 / done - 1.0).max(0.0);
        format!("about {} left", whole(Duration::try_from_secs_f64(left.ceil()).unwrap_or_default()))
    });
    let fields =
        [(0, far), (3, current), (2, format!("{} elapsed", whole(elapsed))), (1, left.unwrap_or_default())];
    fit(&fields, columns)
}

/// The result of runs without violations.
pub fn summary(runs: &Runs, played: &Played, columns: Option<usize>) -> String {
    let seeds = match (runs.seeds.0, played.seeds) {
        (seed, 1) => format!("seed {seed}"),
        (first, count) => format!("seeds {first} to {}", first.saturating_add(count - 1)),
    };
    let mut text = format!("{seeds}: no violations\n");
    // The same indent as in `wrap_to`, so that rows without a label line up with the rows that it breaks.
    let indent = indented(FIGURES_COLUMN, columns);
    for (label, line) in rows(&played.total) {
        let start = if label.is_empty() { indent } else { FIGURES_COLUMN };
        let _ = writeln!(text, "{}", wrap_to(&format!("{label:<start$}{line}"), indent, columns));
    }
    if played.seeds > 1 {
        let _ = write!(text, "\n{}", table(played, columns));
    }
    text
}

/// Labels and figures. A row without a label continues the row before.
fn rows(figures: &Figures) -> Vec<(&'static str, String)> {
    let Figures { instances, terminated, drained, deadline, failed, overtaken, withdrawn, .. } = figures;
    let Figures { kills, heartbeats, calls, throttled, receives, misdelivered, expired, work_lost, .. } =
        figures;
    let Figures { completions, deletions, deadlines, compared, effects, end_states, losses, .. } = figures;
    let mut rows = vec![
        (
            "checks",
            format!(
                "{} and {} compared with the reference",
                counted(*compared, "event"),
                counted(*effects, "effect")
            ),
        ),
        (
            "",
            format!(
                "{}, {}, {}, {} and {} checked against the invariants",
                counted(*heartbeats, "heartbeat"),
                counted(*completions, "completion"),
                counted(*expired, "expired action"),
                counted(*deletions, "deleted message"),
                counted(*deadlines, "deadline"),
            ),
        ),
        ("", format!("{} checked at the end", counted(*end_states, "instance"))),
        ("instances", format!("{instances}, {terminated} of them terminated")),
        (
            "drains",
            format!(
                "{drained} drained, {deadline} at their deadline, {failed} failed, {overtaken} overtaken, {withdrawn} withdrawn"
            ),
        ),
        ("daemons killed", kills.to_string()),
        (
            "Auto Scaling calls",
            format!("{calls}; {} took effect, {throttled} throttled", counted(*heartbeats, "heartbeat")),
        ),
        (
            "queue",
            format!(
                "{}, {} for another instance",
                counted(*receives, "receive"),
                counted(*misdelivered, "message")
            ),
        ),
        ("actions expired", format!("{expired}, none that its daemon could have kept")),
        ("work items lost", work_lost.to_string()),
    ];
    rows.extend(causes(losses).into_iter().map(|(items, cause)| ("", format!("{items} {cause}"))));
    rows
}

/// Why work was lost, and why the invariants permit it.
fn causes(losses: &Losses) -> Vec<(u64, &'static str)> {
    let Losses { lost_to_spot, lost_to_capacity, lost_at_deadline, lost_failed, lost_after_drained, .. } =
        *losses;
    let Losses { lost_drained, lost_expired, lost_released, lost_without_action, lost_in_launch, .. } =
        *losses;
    let causes = [
        (lost_to_spot, "to spot interruptions: no hook runs"),
        (lost_to_capacity, "to reclaimed capacity: no hook runs"),
        (lost_in_launch, "in launches that were abandoned or expired: the agent already had work"),
        (lost_at_deadline, "at the drain's deadline: the agent did not finish in time"),
        (lost_failed, "in failed drains: the agent was unreachable or could not drain"),
        (lost_after_drained, "taken after the drain: the agent had drained or exited, and was started again"),
        (lost_drained, "in drains that ended as drained"),
        (lost_expired, "in expired actions: calls failed, or the daemon was down"),
        (lost_released, "in actions that AWS ended: their hook was deleted, or another hook abandoned"),
        (lost_without_action, "without an action: the hook was missing when the instance was terminated"),
    ];
    causes.into_iter().filter(|(items, _)| *items > 0).collect()
}

/// The columns of the table of seeds. A narrow window loses the columns with the highest rank first.
const COLUMNS: [(u8, &str); 6] =
    [(0, "seed"), (2, "terminated"), (3, "drained"), (4, "deadline"), (5, "failed"), (1, "work lost")];

/// One row for each of the first seeds.
fn table(played: &Played, columns: Option<usize>) -> String {
    let cells = |(seed, figures): &(u64, Figures)| {
        let Figures { terminated, drained, deadline, failed, work_lost, .. } = figures;
        [seed, terminated, drained, deadline, failed, work_lost].map(u64::to_string)
    };
    let mut lines = vec![COLUMNS.map(|(_, name)| name.to_owned())];
    lines.extend(played.first.iter().map(cells));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|place| lines.iter().map(|line| line[place].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).zip(COLUMNS);
        // All lines are equally wide, so they lose the same columns.
        let fields: Vec<_> =
            padded.map(|((cell, width), (rank, _))| (rank, format!("{cell:>width$}"))).collect();
        let _ = writeln!(text, "{}", fit(&fields, columns.unwrap_or(usize::MAX)));
    }
    if played.seeds > played.first.len() as u64 {
        let _ = writeln!(text, "{:>1$}", "…", widths[0]);
    }
    text
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn runs(seeds: u64) -> Runs {
        Runs {
            instances: 20,
            seeds: (1, seeds),
            hours: 1.0,
            profile: Profile::Rough,
            without: Vec::new(),
            trace: false,
            json: false,
        }
    }

    fn played(seeds: u64) -> Played {
        let mut played = Played::default();
        for seed in 1..=seeds {
            let losses = Losses { lost_to_spot: 9, lost_at_deadline: 4, ..Losses::default() };
            let figures =
                Figures { terminated: 12_345, drained: 7, work_lost: 13, losses, ..Figures::default() };
            played.add(seed, figures);
        }
        played
    }

    #[test]
    fn columns_are_left_out_in_order() {
        let header = |columns| table(&played(2), columns).lines().next().expect("a header").to_owned();
        assert_eq!(header(None), "seed  terminated  drained  deadline  failed  work lost");
        assert_eq!(header(Some(50)), "seed  terminated  drained  deadline  work lost");
        assert_eq!(header(Some(40)), "seed  terminated  drained  work lost");
        assert_eq!(header(Some(30)), "seed  terminated  work lost");
        assert_eq!(table(&played(1), Some(40)).lines().nth(1), Some("   1       12345        7         13"));
    }

    #[test]
    fn a_summary_fits_its_window() {
        for columns in [40, 80, 120] {
            let text = summary(&runs(30), &played(30), Some(columns));
            assert!(text.lines().all(|line| line.width() <= columns), "{columns}:\n{text}");
            assert_eq!(text.lines().last().map(str::trim), Some("…"), "{text}");
        }
        let text = summary(&runs(1), &played(1), None);
        assert!(text.contains("9 to spot interruptions: no hook runs\n"), "{text}");
        assert!(text.contains("4 at the drain's deadline: "), "{text}");
        assert!(!text.contains("failed drains"), "no work was lost in them:\n{text}");
    }

    #[test]
    fn progress_of_several_seeds_and_of_one() {
        let elapsed = Duration::from_secs(20);
        assert_eq!(
            progress(&runs(10), 0, 0.5, elapsed, 79),
            "0 of 10 seeds done  seed 1 at 50 %  20s elapsed"
        );
        assert_eq!(
            progress(&runs(10), 5, 0.0, elapsed, 79),
            "5 of 10 seeds done  seed 6 at 0 %  20s elapsed  about 20s left"
        );
        assert_eq!(progress(&runs(10), 5, 0.0, elapsed, 39), "5 of 10 seeds done  about 20s left");
        assert_eq!(progress(&runs(1), 0, 0.42, elapsed, 79), "42 % of the virtual time  20s elapsed");
    }
}
