//! Measures what a scale-in costs and which instances it picks, by the size of the fleet, and how soon a fleet that listens hears of
//! warnings. Writes the tables in docs/performance.md and docs/fleet-cost.svg. Run it with
//! `cargo run --release --example fleet_cost`. It takes some minutes. With the argument `protection` or `warned`, it writes only that
//! table.

mod plot;
mod protection;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;

use plot::{Panel, Series};
use sim::fleet::cost::{Cost, Queue, ScaleIn, measure};
use sim::fleet::warned::{self, Heard, Warning};

const SEEDS: u64 = 3;

const SIZES: [u32; 5] = [1, 10, 100, 1_000, 10_000];

/// How much of a fleet is terminated at once, in percent.
const PARTS: [u32; 3] = [1, 10, 100];

/// The sizes of fleets that listen. They share one queue.
const LISTENERS: [u32; 3] = [10, 100, 1_000];

/// A fleet and its costs: behind the gate, and without it.
struct Row {
    instances: u32,
    leaving: u32,
    costs: [Cost; 2],
}

fn main() -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = docs.join("performance.md");
    match std::env::args().nth(1).as_deref() {
        Some("protection") => return write(&page, "protection", &protection::table()),
        Some("warned") => return write(&page, "warned", &warned_table()),
        Some(other) => {
            return Err(format!("{other} is no table; name protection or warned, or none for all").into());
        }
        None => {}
    }
    write(&page, "protection", &protection::table())?;
    write(&page, "warned", &warned_table())?;
    let mut rows: Vec<Row> = Vec::new();
    for instances in SIZES {
        for part in PARTS {
            let leaving = (instances * part / 100).max(1);
            if rows.last().is_none_or(|row| (row.instances, row.leaving) != (instances, leaving)) {
                eprintln!("{leaving} of {instances}");
                rows.push(measured(instances, leaving));
            }
        }
    }
    write(&page, "cost", &table(&rows))?;
    fs::write(docs.join("fleet-cost.svg"), plot::draw(&panels(&rows)))?;
    Ok(())
}

/// How soon agents are told of a warning.
fn warned_table() -> String {
    let mut lines = vec![
        "| instances | warned at once | agents told, s: median | most | told within 110 s |".to_owned(),
        "|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for instances in LISTENERS {
        eprintln!("{instances} that listen");
        let mut warnings: Vec<Warning> =
            PARTS.iter().map(|part| Warning::Interruptions((instances * part / 100).max(1))).collect();
        warnings.dedup();
        for warning in warnings.into_iter().chain([Warning::BlockEnd]) {
            let runs: Vec<Heard> =
                (1..=SEEDS).map(|seed| warned::measure(instances, warning, seed)).collect();
            let delays = |figure: fn(&Heard) -> Option<f64>| middle(runs.iter().filter_map(figure));
            let warned = match warning {
                Warning::Interruptions(warned) => warned.to_string(),
                Warning::BlockEnd => "all, by one message".to_owned(),
            };
            lines.push(format!(
                "| {instances} | {warned} | {:.1} | {:.1} | {:.0} % |",
                delays(|heard| heard.delay_s),
                delays(|heard| heard.delay_most_s),
                middle(runs.iter().map(|heard| heard.in_time)) * 100.0
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// Writes a table between its markers.
fn write(page: &Path, name: &str, table: &str) -> Result<(), Box<dyn Error>> {
    let (start, end) = (format!("<!-- {name}:start -->\n"), format!("<!-- {name}:end -->"));
    let text = fs::read_to_string(page)?;
    let parts = text.split_once(&start).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.ok_or("docs/performance.md lacks the markers of a table")?;
    Ok(fs::write(page, format!("{head}{start}{table}{end}{tail}"))?)
}

/// Measures both ways to poll at the same time, on one core each.
fn measured(instances: u32, leaving: u32) -> Row {
    let costs = thread::scope(|scope| {
        let ungated = scope.spawn(|| median_of_seeds(instances, leaving, Queue::Ungated));
        [median_of_seeds(instances, leaving, Queue::Gated), ungated.join().expect("the run has not panicked")]
    });
    Row { instances, leaving, costs }
}

/// The median of each figure over the seeds.
fn median_of_seeds(instances: u32, leaving: u32, queue: Queue) -> Cost {
    let runs: Vec<Cost> =
        (1..=SEEDS).map(|seed| measure(&ScaleIn { instances, leaving, queue, seed })).collect();
    let median = |figure: fn(&Cost) -> f64| middle(runs.iter().map(figure));
    let known = |figure: fn(&Cost) -> Option<f64>| {
        let known: Vec<f64> = runs.iter().filter_map(figure).collect();
        (!known.is_empty()).then(|| middle(known.into_iter()))
    };
    Cost {
        receives: median(|cost| cost.receives),
        misdelivered: median(|cost| cost.misdelivered),
        calls: median(|cost| cost.calls),
        delay_s: known(|cost| cost.delay_s),
        delay_most_s: known(|cost| cost.delay_most_s),
        expired: median(|cost| cost.expired),
        idle_receives: median(|cost| cost.idle_receives),
    }
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Each cell has two figures: behind the gate, and without it.
fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| instances | terminated | receives | misdeliveries | Auto Scaling calls | completion delay, s: median | most | expired | idle receives |".to_owned(),
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for Row { instances, leaving, costs } in rows {
        let pair =
            |figure: &dyn Fn(&Cost) -> String| format!("{} / {}", figure(&costs[0]), figure(&costs[1]));
        let cells = [
            pair(&|cost| format!("{:.1}", cost.receives)),
            pair(&|cost| format!("{:.1}", cost.misdelivered)),
            pair(&|cost| format!("{:.1}", cost.calls)),
            pair(&|cost| seconds(cost.delay_s)),
            pair(&|cost| seconds(cost.delay_most_s)),
            pair(&|cost| format!("{:.0} %", cost.expired * 100.0)),
            pair(&|cost| format!("{:.0}", cost.idle_receives)),
        ];
        lines.push(format!("| {instances} | {leaving} | {} |", cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}

fn seconds(delay: Option<f64>) -> String {
    delay.map_or("none".to_owned(), |delay| format!("{delay:.1}"))
}

fn panels(rows: &[Row]) -> Vec<Panel> {
    let panel = |title, unit, figure: fn(&Cost) -> Option<f64>| Panel {
        title,
        unit,
        series: PARTS.iter().flat_map(|part| [0, 1].map(|side| series(rows, *part, side, figure))).collect(),
    };
    vec![
        panel("Receives", "per termination", |cost| Some(cost.receives)),
        panel("Misdeliveries", "messages per termination", |cost| Some(cost.misdelivered)),
        panel("Auto Scaling calls", "per termination", |cost| Some(cost.calls)),
        panel("Completion delay, median", "seconds", |cost| cost.delay_s),
    ]
}

fn series(rows: &[Row], part: u32, side: usize, figure: fn(&Cost) -> Option<f64>) -> Series {
    let of_part = rows.iter().filter(|row| row.leaving == (row.instances * part / 100).max(1));
    let point = |row: &Row| Some((f64::from(row.instances), figure(&row.costs[side])?));
    Series { part, gated: side == 0, points: of_part.filter_map(point).collect() }
}
