//! Shows a simulated scale-in: a live view on a terminal, plain lines, or JSON lines.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::output::put_line;
use crate::cli::terminal::{self, clear_live, fit, put_above, show_live, wrap};
use formats::text::shorten;
use machine::Time;
use sim::scenario::Scenario;
use sim::story::Story;
use sim::world::{Happening, InstanceView};

use super::daemon::LogLine;
use super::words::words;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text lines, and a live line below them.
    Live,
    /// Text lines.
    Plain,
    /// One JSON object per line.
    Json,
}

impl Style {
    /// JSON with `--json`. Otherwise a live view on a terminal that can redraw lines, and plain lines elsewhere.
    pub fn choose(json: bool) -> Self {
        match (json, terminal::is_live()) {
            (true, _) => Style::Json,
            (false, true) => Style::Live,
            (false, false) => Style::Plain,
        }
    }
}

/// Shows one run.
#[derive(Debug)]
pub struct Timeline {
    pub(super) style: Style,
    pub(super) start: Time,
    /// The instance, if there is only one. Its id is left out of the lines.
    only: Option<String>,
    /// Whether text output leaves out what happens to each instance, because there are many.
    brief: bool,
    /// How many agents of the user's own there are. The simulated instance does not know their work. 0: the agent is simulated.
    pub(super) own_agents: usize,
}

/// The most that text output shows of a daemon's log line, in characters.
const SAID_SHOWN_MAX: usize = 600;

/// The column at which the details of a line begin.
const DETAIL_COLUMN: usize = 36;

/// The narrowest window in which details have a column of their own.
const COLUMNS_SIDE_BY_SIDE: usize = 72;

const BAR_WIDTH: usize = 24;

impl Timeline {
    /// A timeline that counts from `start`.
    pub fn new(style: Style, start: Time, only: Option<&str>) -> Self {
        Timeline { style, start, only: only.map(str::to_owned), brief: false, own_agents: 0 }
    }

    /// Leaves what happens to each instance out of text output.
    pub fn brief(self, brief: bool) -> Self {
        Timeline { brief, ..self }
    }

    /// Sets how many agents of the user's own there are.
    pub fn with_own_agents(self, own_agents: usize) -> Self {
        Timeline { own_agents, ..self }
    }

    /// Prints the scenario's name and description.
    pub fn title(&self, scenario: &Scenario) {
        if self.style != Style::Json {
            put_line(&wrap(&format!("{}: {}", scenario.name, scenario.about), 2));
            put_line("");
        }
    }

    /// Counts from `start` from now on.
    pub fn restart(&mut self, start: Time) {
        self.start = start;
    }

    /// Prints a happening.
    pub fn tell(&self, at: Time, happening: &Happening) {
        if self.style != Style::Json && self.brief && happening.instance().is_some() {
            return;
        }
        if self.style == Style::Json {
            if let Ok(Value::Object(mut object)) = serde_json::to_value(happening) {
                object.insert("at".to_owned(), json!(at.to_string()));
                object.insert("elapsed_ms".to_owned(), json!(elapsed_ms(at, self.start)));
                put_line(&Value::Object(object).to_string());
            }
        } else if let Some((what, mut detail)) = words(happening, at) {
            if self.own_agents > 0 && matches!(happening, Happening::InstanceTerminated { .. }) {
                detail.clear();
            }
            let who = happening.instance().filter(|id| self.only.as_deref() != Some(*id));
            let who = who.map(|id| format!("{id}  ")).unwrap_or_default();
            self.tell_line(at, &format!("{who}{}", in_columns(what, &detail)));
        }
    }

    /// Prints a daemon's log line. Text output shows it only if it is `news`.
    pub fn hear(&self, at: Time, instance: &str, line: &LogLine, news: bool) {
        let LogLine { level, text, outcome, .. } = line;
        if self.style == Style::Json {
            let elapsed_ms = elapsed_ms(at, self.start);
            let said = json!({
                "event": "daemon_said", "at": at.to_string(), "elapsed_ms": elapsed_ms, "instance": instance,
                "level": level, "text": text, "outcome": outcome,
            });
            return put_line(&said.to_string());
        }
        if !news || (self.brief && outcome.is_some()) {
            return;
        }
        let what = match (outcome, level.as_str()) {
            (Some(_), _) | (None, "INFO") => "daemon",
            (None, "ERROR") => "daemon: error",
            (None, _) => "daemon: warning",
        };
        let who = if self.only.is_some() { String::new() } else { format!("{instance}  ") };
        self.tell_line(at, &format!("{who}{}", in_columns(what, &shorten(text, SAID_SHOWN_MAX))));
    }

    /// Prints something that the simulation does.
    pub fn note(&self, at: Time, what: &str) {
        if self.style == Style::Json {
            let elapsed_ms = elapsed_ms(at, self.start);
            put_line(
                &json!({ "event": "note", "at": at.to_string(), "elapsed_ms": elapsed_ms, "note": what })
                    .to_string(),
            );
        } else {
            self.tell_line(at, &format!("* {what}"));
        }
    }

    /// Draws the live line: work in flight, deadline, time to expiry, heartbeats, and a bar of the finished work. A narrow window
    /// loses the bar first, then the heartbeats, the expiry, and the deadline.
    pub fn draw(&self, now: Time, stories: &[&Story], views: &[InstanceView]) {
        if self.style != Style::Live {
            return;
        }
        let told = stories.iter().filter_map(|story| story.told);
        let Some(held) = told.map(|(_, held)| held).reduce(|all, held| all + held) else { return };
        let in_flight = if self.own_agents > 0 {
            stories.iter().filter_map(|story| story.in_flight()).reduce(|all, count| all + count)
        } else {
            Some(views.iter().map(|view| view.agent.in_flight).sum())
        };
        let first = views.first().filter(|_| self.only.is_some());
        let deadline = if self.own_agents > 0 {
            stories.first().and_then(|story| story.deadlines.last().copied())
        } else {
            first.and_then(|view| view.agent.deadline)
        };
        let expires = first.and_then(|view| view.actions.first()).map(|action| action.expires);
        let heartbeats: usize = stories.iter().map(|story| story.heartbeats.len()).sum();
        let fields = [
            (0, stamp(now, self.start)),
            (5, in_flight.map(|count| bar(held, count)).unwrap_or_default()),
            (1, in_flight.map_or_else(|| "draining".to_owned(), |count| format!("{count} in flight"))),
            (2, deadline.map(|at| countdown("deadline", at, now)).unwrap_or_default()),
            (4, format!("heartbeats {heartbeats}")),
            (3, expires.map(|at| countdown("expires", at, now)).unwrap_or_default()),
        ];
        show_live(&fit(&fields, terminal::columns().unwrap_or(0).saturating_sub(1)));
    }

    /// Clears the live line.
    pub fn end(&self) {
        if self.style == Style::Live {
            clear_live();
        }
    }

    fn tell_line(&self, at: Time, text: &str) {
        let line = format!("{}  {text}", stamp(at, self.start));
        let line = wrap(line.trim_end(), DETAIL_COLUMN);
        if self.style == Style::Live { put_above(&line) } else { put_line(&line) }
    }
}

/// What happened and its details, side by side if the window is wide enough.
fn in_columns(what: &str, detail: &str) -> String {
    match terminal::columns() {
        Some(columns) if columns < COLUMNS_SIDE_BY_SIDE => format!("{what}  {detail}"),
        Some(_) | None => format!("{what:<24}{detail}"),
    }
}

/// A bar of the finished work. Empty if the agent had no work.
fn bar(held: u32, in_flight: u32) -> String {
    if held == 0 {
        return String::new();
    }
    let done = held.saturating_sub(in_flight) as usize * BAR_WIDTH / (held as usize);
    format!("{}{}", "█".repeat(done), "░".repeat(BAR_WIDTH - done))
}

/// `deadline in 12 s`, or `deadline passed`.
fn countdown(what: &str, at: Time, now: Time) -> String {
    if at > now { format!("{what} in {}", short(at.since(now))) } else { format!("{what} passed") }
}

/// A time in seconds since the start.
pub(super) fn stamp(at: Time, start: Time) -> String {
    format!("{:>8.1} s", elapsed_ms(at, start) as f64 / 1000.0)
}

pub(super) fn elapsed_ms(at: Time, start: Time) -> u64 {
    u64::try_from(at.since(start).as_millis()).unwrap_or(u64::MAX)
}

/// 0.4 s, 12 s, 4:32, 1:02:03
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}
