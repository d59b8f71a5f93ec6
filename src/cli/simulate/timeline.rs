//! What people and programs see of a simulated scale-in: a live view on a terminal, plain lines, or JSON lines.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::output::{put, put_line};
use crate::machine::Time;
use crate::sim::scenario::Scenario;
use crate::sim::story::Story;
use crate::sim::world::{Happening, InstanceView};

use super::words::{instance_of, words};

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lines, and below them a bar that moves.
    Live,
    /// Lines.
    Plain,
    /// One JSON object per line.
    Json,
}

impl Style {
    /// JSON where it was asked for, a live view on a terminal, else lines.
    pub fn choose(json: bool) -> Self {
        match (json, std::io::stdout().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Live,
            (false, false) => Style::Plain,
        }
    }
}

/// Shows one run.
#[derive(Debug)]
pub struct Timeline {
    style: Style,
    start: Time,
    instance: String,
}

const BAR_WIDTH: usize = 24;

/// Takes back the live line.
const CLEAR_LINE: &str = "\r\x1b[2K";

impl Timeline {
    /// Times are shown since `start`; the instance is the one that need not be named.
    pub fn new(style: Style, start: Time, instance: &str) -> Self {
        Timeline { style, start, instance: instance.to_owned() }
    }

    /// What is played.
    pub fn title(&self, scenario: &Scenario) {
        if self.style != Style::Json {
            put_line(&format!("{}: {}\n", scenario.name, scenario.about));
        }
    }

    /// Times are shown since now.
    pub fn restart(&mut self, start: Time) {
        self.start = start;
    }

    /// One thing that happened.
    pub fn tell(&self, at: Time, happening: &Happening) {
        if self.style == Style::Json {
            if let Ok(Value::Object(mut object)) = serde_json::to_value(happening) {
                object.insert("at".to_owned(), json!(at.to_string()));
                object.insert("elapsed_ms".to_owned(), json!(elapsed_ms(at, self.start)));
                self.line(&Value::Object(object).to_string());
            }
        } else if let Some((what, detail)) = words(happening, at) {
            let who = instance_of(happening).filter(|id| *id != self.instance);
            let who = who.map(|id| format!("{id}  ")).unwrap_or_default();
            self.line(format!("{}  {who}{what:<24}{detail}", self.stamp(at)).trim_end());
        }
    }

    /// Something that is not the world's doing.
    pub fn note(&self, at: Time, what: &str) {
        if self.style == Style::Json {
            let elapsed_ms = elapsed_ms(at, self.start);
            self.line(
                &json!({ "event": "note", "at": at.to_string(), "elapsed_ms": elapsed_ms, "note": what })
                    .to_string(),
            );
        } else {
            self.line(&format!("{}  {what}", self.stamp(at)));
        }
    }

    /// The bar below the lines: work in flight, deadline, heartbeats, time to expiry.
    pub fn draw(&self, now: Time, story: &Story, view: Option<&InstanceView>) {
        let (Style::Live, Some((_, held)), Some(view)) = (self.style, story.told, view) else { return };
        let in_flight = view.agent.in_flight;
        let done = held.saturating_sub(in_flight) as usize * BAR_WIDTH / (held.max(1) as usize);
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(BAR_WIDTH - done));
        let deadline = view.agent.deadline.map(|at| format!("  deadline in {}", short(at.since(now))));
        let expiry =
            view.actions.first().map(|action| format!("  expires in {}", short(action.expires.since(now))));
        put(&format!(
            "{CLEAR_LINE}{}  {bar} {in_flight} in flight{}  heartbeats {}{}",
            self.stamp(now),
            deadline.unwrap_or_default(),
            story.heartbeats.len(),
            expiry.unwrap_or_default()
        ));
    }

    /// What came out.
    pub fn summary(&self, scenario: &Scenario, story: &Story, verdicts: &[(String, bool)], passed: bool) {
        let elapsed = |at: Option<Time>| at.map(|at| elapsed_ms(at, self.start));
        let lost = story.terminated.map(|(_, lost)| lost);
        let completed = story.completed.map(|(at, _)| at);
        let after = story.finished.last().zip(completed).map(|(last, completed)| completed.since(*last));
        if self.style == Style::Json {
            let checks: Vec<Value> =
                verdicts.iter().map(|(text, holds)| json!({ "check": text, "holds": holds })).collect();
            put_line(
                &json!({
                    "event": "summary", "scenario": scenario.name, "passed": passed,
                    "noticed_ms": elapsed(story.noticed), "told_ms": elapsed(story.told.map(|(at, _)| at)),
                    "wait_ms": elapsed(story.waited), "drained_ms": elapsed(story.drained),
                    "completed_ms": elapsed(completed), "result": story.completed.map(|(_, result)| result),
                    "terminated_ms": elapsed(story.terminated.map(|(at, _)| at)),
                    "heartbeats_ms": story.heartbeats.iter().map(|at| elapsed_ms(*at, self.start)).collect::<Vec<_>>(),
                    "finished": story.finished.len(), "lost": lost, "checks": checks,
                })
                .to_string(),
            );
            return;
        }
        if self.style == Style::Live {
            put(CLEAR_LINE);
        }
        let row = |what: &str, at: Option<Time>, detail: String| {
            let at = at.map_or_else(|| format!("{:>10}", "never"), |at| self.stamp(at));
            put_line(format!("  {what:<18}{at}  {detail}").trim_end());
        };
        put_line("\nsummary");
        row("notice", story.noticed, String::new());
        let held = story.told.map(|(_, held)| format!("{held} in flight")).unwrap_or_default();
        row("agent told", story.told.map(|(at, _)| at), held);
        row("Terminating:Wait", story.waited, String::new());
        for at in &story.heartbeats {
            row("heartbeat", Some(*at), String::new());
        }
        row("agent drained", story.drained, String::new());
        let result = story.completed.map(|(_, result)| result.as_str()).unwrap_or_default();
        let after = after.map(|after| format!(", {} after the last work", short(after))).unwrap_or_default();
        row("completion", completed, format!("{result}{after}"));
        row("terminated", story.terminated.map(|(at, _)| at), String::new());
        let lost = lost.map_or_else(|| "unknown".to_owned(), |lost| lost.to_string());
        put_line(&format!(
            "  {:<18}{:>10}  {lost} lost\n",
            "work items",
            format!("{} finished", story.finished.len())
        ));
        for (text, holds) in verdicts {
            put_line(&format!("  {} {text}", if *holds { "✓" } else { "✗" }));
        }
        put_line(&format!("\n{}: {}", scenario.name, if passed { "passed" } else { "FAILED" }));
    }

    fn line(&self, text: &str) {
        if self.style == Style::Live {
            put_line(&format!("{CLEAR_LINE}{text}"));
        } else {
            put_line(text);
        }
    }

    fn stamp(&self, at: Time) -> String {
        format!("{:>8.1} s", elapsed_ms(at, self.start) as f64 / 1000.0)
    }
}

fn elapsed_ms(at: Time, start: Time) -> u64 {
    u64::try_from(at.since(start).as_millis()).unwrap_or(u64::MAX)
}

/// 0.4 s, 12 s, 4:32, 1:02:03
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}
