//! What people and programs see of a simulated scale-in: a live view on a terminal, plain lines, or JSON lines.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::output::{put, put_line};
use formats::text::shorten;
use machine::Time;
use sim::scenario::Scenario;
use sim::story::Story;
use sim::world::{Happening, InstanceView};

use super::daemon::LogLine;
use super::words::words;

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
    pub(super) style: Style,
    pub(super) start: Time,
    /// The only instance, which need not be named.
    only: Option<String>,
    /// Of each of many instances, people are told in the end.
    brief: bool,
    /// The agent is the user's own: what the simulated instance knows of work is nothing.
    pub(super) with_own_agent: bool,
}

/// How much of a line of a daemon's log is shown to people, in characters.
const SAID_SHOWN_MAX: usize = 600;

const BAR_WIDTH: usize = 24;

/// Takes back the live line.
const CLEAR_LINE: &str = "\r\x1b[2K";

impl Timeline {
    /// Times are shown since `start`.
    pub fn new(style: Style, start: Time, only: Option<&str>) -> Self {
        Timeline { style, start, only: only.map(str::to_owned), brief: false, with_own_agent: false }
    }

    /// What happens to single instances is not told to people.
    pub fn brief(self, brief: bool) -> Self {
        Timeline { brief, ..self }
    }

    /// The agent is not the simulated one.
    pub fn with_own_agent(self, with_own_agent: bool) -> Self {
        Timeline { with_own_agent, ..self }
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
        if self.style != Style::Json && self.brief && happening.instance().is_some() {
            return;
        }
        if self.style == Style::Json {
            if let Ok(Value::Object(mut object)) = serde_json::to_value(happening) {
                object.insert("at".to_owned(), json!(at.to_string()));
                object.insert("elapsed_ms".to_owned(), json!(elapsed_ms(at, self.start)));
                self.line(&Value::Object(object).to_string());
            }
        } else if let Some((what, mut detail)) = words(happening, at) {
            if self.with_own_agent && matches!(happening, Happening::InstanceTerminated { .. }) {
                detail.clear();
            }
            let who = happening.instance().filter(|id| self.only.as_deref() != Some(*id));
            let who = who.map(|id| format!("{id}  ")).unwrap_or_default();
            self.tell_line(at, &format!("{who}{what:<24}{detail}"));
        }
    }

    /// Something that a daemon says of itself; people are told what is `news`.
    pub fn hear(&self, at: Time, instance: &str, line: &LogLine, news: bool) {
        let LogLine { level, text, outcome, .. } = line;
        if self.style == Style::Json {
            let elapsed_ms = elapsed_ms(at, self.start);
            let said = json!({
                "event": "daemon_said", "at": at.to_string(), "elapsed_ms": elapsed_ms, "instance": instance,
                "level": level, "text": text, "outcome": outcome,
            });
            return self.line(&said.to_string());
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
        self.tell_line(at, &format!("{who}{what:<24}{}", shorten(text, SAID_SHOWN_MAX)));
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
            self.tell_line(at, &format!("* {what}"));
        }
    }

    /// The bar below the lines: work in flight, deadline, heartbeats, time to expiry; of several instances, the work
    /// of all.
    pub fn draw(&self, now: Time, stories: &[&Story], views: &[InstanceView]) {
        if self.style != Style::Live {
            return;
        }
        let held: u32 = stories.iter().filter_map(|story| story.told).map(|(_, held)| held).sum();
        if held == 0 {
            return;
        }
        let in_flight: u32 = views.iter().map(|view| view.agent.in_flight).sum();
        let done = held.saturating_sub(in_flight) as usize * BAR_WIDTH / (held as usize);
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(BAR_WIDTH - done));
        let heartbeats: usize = stories.iter().map(|story| story.heartbeats.len()).sum();
        let first = views.first().filter(|_| self.only.is_some());
        let deadline = first.and_then(|view| view.agent.deadline);
        let deadline = deadline.map(|at| format!("  deadline in {}", short(at.since(now))));
        let expires = first.and_then(|view| view.actions.first()).map(|action| action.expires);
        let expires = expires.map(|at| format!("  expires in {}", short(at.since(now))));
        put(&format!(
            "{CLEAR_LINE}{}  {bar} {in_flight} in flight{}  heartbeats {heartbeats}{}",
            stamp(now, self.start),
            deadline.unwrap_or_default(),
            expires.unwrap_or_default()
        ));
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if self.style == Style::Live {
            put(CLEAR_LINE);
        }
    }

    fn tell_line(&self, at: Time, text: &str) {
        self.line(format!("{}  {text}", stamp(at, self.start)).trim_end());
    }

    fn line(&self, text: &str) {
        if self.style == Style::Live {
            put_line(&format!("{CLEAR_LINE}{text}"));
        } else {
            put_line(text);
        }
    }
}

/// A time, as the timeline shows it.
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
