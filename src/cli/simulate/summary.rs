//! Prints the result of a scenario, as text or JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use machine::Time;
use sim::scenario::{Expectation, Scenario};
use sim::story::Story;

use super::timeline::{Style, Timeline, elapsed_ms, short, stamp};
use crate::cli::output::put_line;
use crate::cli::terminal::{columns, mark, wrap};

/// An expectation in words, and whether it was met.
pub type Verdict = (String, bool);

/// Prints the result.
pub fn show(timeline: &Timeline, scenario: &Scenario, stories: &[&Story], verdicts: &[Verdict]) {
    timeline.end();
    let start = timeline.start;
    let passed = verdicts.iter().all(|(_, holds)| *holds);
    if timeline.style == Style::Json {
        return put_line(&as_json(scenario, stories, verdicts, passed, start).to_string());
    }
    put_line("\nsummary");
    match stories {
        [story] => moments(timeline, story),
        stories => table(stories, start),
    }
    put_line("");
    for (text, holds) in verdicts {
        put_line(&wrap(&format!("  {} {text}", mark(*holds)), 4));
    }
    put_line(&format!("\n{}: {}", scenario.name, if passed { "passed" } else { "FAILED" }));
}

/// What happened instead of a failed expectation, if the summary does not show it.
pub fn instead(expectation: &Expectation, story: &Story) -> String {
    match expectation {
        Expectation::Outcomes(_) if story.outcomes.is_empty() => "; the daemon logged no outcome".to_owned(),
        Expectation::Outcomes(_) => format!("; the daemon logged: {}", story.outcomes.join(", then ")),
        _ => String::new(),
    }
}

/// Prints that the run was not judged, because this machine could not keep up with the speed.
pub fn too_fast(timeline: &Timeline, scenario: &Scenario, speed: u32, lag: Duration) {
    timeline.end();
    if timeline.style == Style::Json {
        let late = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        let summary = json!({
            "event": "summary", "scenario": scenario.name, "passed": false, "judged": false, "late_ms": late,
        });
        return put_line(&summary.to_string());
    }
    put_line(&wrap(
        &format!(
            "\n{}: not judged. This machine cannot keep up with --speed {speed}: a daemon was up to {} late, in \
             simulated time. Use a lower --speed; without --speed, this scenario runs at {}.",
            scenario.name,
            short(lag),
            scenario.speed
        ),
        0,
    ));
}

/// For one instance, a line for each moment.
fn moments(timeline: &Timeline, story: &Story) {
    let start = timeline.start;
    let row = |what: &str, at: Option<Time>, detail: &str| {
        let at = at.map_or_else(|| format!("{:>10}", "never"), |at| stamp(at, start));
        put_line(&wrap(format!("  {what:<18}{at}  {detail}").trim_end(), 32));
    };
    let row_if = |what: &str, at: Option<Time>, detail: &str| {
        if at.is_some() {
            row(what, at, detail);
        }
    };
    let agent = if timeline.own_agents > 1 { "agents" } else { "agent" };
    row("notice", story.noticed, "");
    let held = story.told.filter(|(_, held)| *held > 0);
    let held = held.map(|(_, held)| format!("{held} in flight")).unwrap_or_default();
    row(&format!("{agent} told"), story.told.map(|(at, _)| at), &held);
    row("Wait", story.waited, "");
    for at in &story.heartbeats {
        row("heartbeat", Some(*at), "");
    }
    let lost = story.agent_exited.map(|(_, lost)| format!("{lost} work items lost")).unwrap_or_default();
    row_if("agent exited", story.agent_exited.map(|(at, _)| at), &lost);
    row(&format!("{agent} drained"), story.drained, "");
    if story.completions.is_empty() {
        row("completion", None, "");
    }
    for (at, result) in &story.completions {
        let after =
            after_last_work(story, *at).map(|after| format!(", {} after the last work", short(after)));
        row("completion", Some(*at), &format!("{}{}", result.as_str(), after.unwrap_or_default()));
    }
    row_if("retained", story.retained, "");
    row_if("in the warm pool", story.pooled, "");
    row_if("agent returned", story.returned, "");
    row("terminated", story.terminated.map(|(at, _)| at), "");
    if timeline.own_agents > 0 {
        if story.drained.is_some() {
            put_line(match timeline.own_agents {
                1 => {
                    "  (your agent has drained; restart it to return it to service, or use its own way back)"
                }
                _ => {
                    "  (your agents have drained; restart them to return them to service, or use their own ways back)"
                }
            });
        }
        return;
    }
    let lost = story.terminated.map(|(_, lost)| format!("{lost} lost with the instance")).unwrap_or_default();
    let finished = format!("{} finished", story.finished.len());
    put_line(&wrap(format!("  {:<18}{finished:>10}  {lost}", "work items").trim_end(), 32));
}

/// For several instances, a row for each. A narrow window loses the last columns.
fn table(stories: &[&Story], start: Time) {
    const COLUMNS: [(&str, usize); 8] = [
        ("instance", 20),
        ("told", 10),
        ("drained", 10),
        ("lost", 6),
        ("completed", 12),
        ("Wait", 10),
        ("heartbeats", 12),
        ("after work", 12),
    ];
    let window = columns().unwrap_or(usize::MAX);
    let mut width = 2;
    let fits = |(_, column): &&(&str, usize)| {
        width += column;
        width <= window
    };
    let shown = COLUMNS.iter().take_while(fits).count();
    let row = |cells: [String; 8]| {
        let cells = cells.iter().zip(COLUMNS).take(shown).enumerate();
        let padded =
            cells.map(
                |(place, (cell, (_, width)))| {
                    if place == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            );
        put_line(format!("  {}", padded.collect::<String>()).trim_end());
    };
    row(COLUMNS.map(|(name, _)| name.to_owned()));
    for story in stories {
        let seconds =
            |at: Option<Time>| at.map_or("never".to_owned(), |at| stamp(at, start).trim().to_owned());
        let completed = story.completions.last().map(|(at, _)| *at);
        let after = completed.and_then(|at| after_last_work(story, at));
        row([
            story.instance.clone(),
            seconds(story.told.map(|(at, _)| at)),
            seconds(story.drained),
            story.terminated.map(|(_, lost)| lost.to_string()).unwrap_or_default(),
            seconds(completed),
            seconds(story.waited),
            story.heartbeats.len().to_string(),
            after.map(short).unwrap_or_default(),
        ]);
    }
}

/// The time from the drained agent's last finished work to the completion.
fn after_last_work(story: &Story, completed: Time) -> Option<Duration> {
    let drained = story.drained.is_some_and(|drained| drained <= completed);
    story.finished.last().filter(|_| drained).map(|last| completed.since(*last))
}

/// The result as one object. A single instance's figures are in the object itself, several are in `instances`.
fn as_json(
    scenario: &Scenario,
    stories: &[&Story],
    verdicts: &[Verdict],
    passed: bool,
    start: Time,
) -> Value {
    let checks: Vec<Value> =
        verdicts.iter().map(|(text, holds)| json!({ "check": text, "holds": holds })).collect();
    let mut summary = match stories {
        [story] => figures(story, start),
        stories => {
            let each = stories.iter().map(|story| Value::Object(figures(story, start))).collect();
            Map::from_iter([("instances".to_owned(), Value::Array(each))])
        }
    };
    summary.insert("event".to_owned(), json!("summary"));
    summary.insert("scenario".to_owned(), json!(scenario.name));
    summary.insert("passed".to_owned(), json!(passed));
    summary.insert("checks".to_owned(), json!(checks));
    Value::Object(summary)
}

fn figures(story: &Story, start: Time) -> Map<String, Value> {
    let elapsed = |at: Option<Time>| json!(at.map(|at| elapsed_ms(at, start)));
    let last = story.completions.last();
    let heartbeats: Vec<u64> = story.heartbeats.iter().map(|at| elapsed_ms(*at, start)).collect();
    let figures = [
        ("instance", json!(story.instance)),
        ("noticed_ms", elapsed(story.noticed)),
        ("told_ms", elapsed(story.told.map(|(at, _)| at))),
        ("wait_ms", elapsed(story.waited)),
        ("drained_ms", elapsed(story.drained)),
        ("completed_ms", elapsed(last.map(|(at, _)| *at))),
        ("result", json!(last.map(|(_, result)| result))),
        ("outcomes", json!(story.outcomes)),
        ("terminated_ms", elapsed(story.terminated.map(|(at, _)| at))),
        ("heartbeats_ms", json!(heartbeats)),
        ("finished", json!(story.finished.len())),
        ("lost", json!(story.terminated.map(|(_, lost)| lost))),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
