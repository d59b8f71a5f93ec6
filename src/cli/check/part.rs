//! The result of one check, and the table of all results. Pure.

use serde::Serialize;

use crate::cli::output::counted;
use crate::cli::terminal::{indented, wrap_to};
use machine::event::{CallError, CallErrorKind};

/// The state of a part. Later variants are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was not checked.
    Skipped,
    /// It works.
    Ok,
    /// It works, but with a risk.
    Warning,
    /// A drain would go wrong.
    Failed,
}

impl State {
    /// As the table shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Skipped => "skipped",
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What was checked.
    pub part: &'static str,
    /// The worst state so far.
    pub state: State,
    /// What was tried, and what came back.
    pub found: String,
    /// What is wrong, and what to do.
    pub advice: Vec<String>,
}

impl Part {
    /// A part without problems so far.
    pub fn ok(part: &'static str, found: impl Into<String>) -> Self {
        Part { part, state: State::Ok, found: one_line(&found.into()), advice: Vec::new() }
    }

    /// A part that was not checked, and why.
    pub fn skipped(part: &'static str, why: impl Into<String>) -> Self {
        Part { state: State::Skipped, ..Part::ok(part, why) }
    }

    /// Adds a warning.
    #[must_use]
    pub fn warning(self, advice: impl Into<String>) -> Self {
        self.with(State::Warning, advice.into())
    }

    /// Adds a problem that makes a drain go wrong.
    #[must_use]
    pub fn failed(self, advice: impl Into<String>) -> Self {
        self.with(State::Failed, advice.into())
    }

    /// Adds what to do about the problems so far.
    #[must_use]
    pub fn advised(self, advice: impl Into<String>) -> Self {
        let state = self.state;
        self.with(state, advice.into())
    }

    /// Adds what the result of a call says about its permission. AWS checks permissions first, so an error that `proves` it rejects
    /// only what the call was about. Returns whether the call is permitted, in a word.
    pub fn tried(
        self,
        result: Result<(), CallError>,
        proves: impl Fn(&CallError) -> bool,
    ) -> (Self, &'static str) {
        match result {
            Ok(()) => (self, "permitted"),
            Err(error) if proves(&error) => (self, "permitted"),
            Err(error) if error.kind == CallErrorKind::AccessDenied => (self.failed(error.message), "denied"),
            Err(error) => (self.warning(error.message), "unknown"),
        }
    }

    fn with(mut self, state: State, advice: String) -> Self {
        self.state = self.state.max(state);
        self.advice.push(one_line(&advice));
        self
    }
}

/// Joins lines. Some SDK errors have several.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The columns that the states take up.
const STATE_WIDTH: usize = 7;

/// What the columns after the first are called.
const HEADING: [&str; 2] = ["state", "what came back"];

/// A row for each part, with its advice below, and a count. Wrapped to `columns` columns if there is a window.
pub fn table(parts: &[Part], columns: Option<usize>) -> String {
    const FIRST: &str = "part";
    let width = parts.iter().map(|part| part.part.len()).max().unwrap_or(0).max(FIRST.len());
    let mut text = heading(FIRST, width, columns);
    for part in parts {
        text.push_str(&row(part, width, columns));
    }
    let count = |state: State| {
        let found = parts.iter().filter(|part| part.state == state).count();
        match state {
            State::Warning => counted(found as u64, "warning"),
            State::Ok | State::Failed | State::Skipped => format!("{found} {}", state.as_str()),
        }
    };
    let counts = [State::Ok, State::Warning, State::Failed, State::Skipped].map(count);
    text.push_str(&format!("\n{}\n", counts.join(", ")));
    text
}

/// The first line of a table. `first` is what its first column is called, `width` how wide that column is.
pub fn heading(first: &str, width: usize, columns: Option<usize>) -> String {
    line([first, HEADING[0], HEADING[1]], width, columns)
}

/// The row of a part, with its advice below.
pub fn row(part: &Part, width: usize, columns: Option<usize>) -> String {
    let mut text = line([part.part, part.state.as_str(), &part.found], width, columns);
    let hanging = width + STATE_WIDTH + 4;
    for advice in &part.advice {
        let indent = " ".repeat(indented(hanging, columns));
        text.push_str(&format!("{}\n", wrap_to(&format!("{indent}→ {advice}"), hanging, columns)));
    }
    text
}

fn line([first, state, found]: [&str; 3], width: usize, columns: Option<usize>) -> String {
    let line = format!("{first:<width$}  {state:<STATE_WIDTH$}  {found}");
    format!("{}\n", wrap_to(&line, width + STATE_WIDTH + 4, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let parts = [
            Part::ok("daemon", "running: serving"),
            Part::ok("agent", "GET http://127.0.0.1:8080/drain: connection refused")
                .failed("is the agent running?"),
            Part::ok("journal", "writable").warning("first").warning("second"),
            Part::skipped("queue", "none is configured"),
        ];
        let expected = "\
part     state    what came back
daemon   ok       running: serving
agent    failed   GET http://127.0.0.1:8080/drain: connection refused
                  → is the agent running?
journal  warning  writable
                  → first
                  → second
queue    skipped  none is configured

1 ok, 1 warning, 1 failed, 1 skipped
";
        assert_eq!(table(&parts, None), expected);
        let narrow = table(&parts, Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    }

    #[test]
    fn counts_agree_with_their_nouns() {
        let warnings = |count| table(&vec![Part::ok("hook", "").warning(""); count], None);
        for (count, expected) in [(0, "0 warnings"), (1, "1 warning"), (2, "2 warnings")] {
            let counts = format!("\n0 ok, {expected}, 0 failed, 0 skipped\n");
            assert!(warnings(count).ends_with(&counts), "{}", warnings(count));
        }
    }

    #[test]
    fn permissions_by_the_answer() {
        let of = |kind| {
            let error = CallError { kind, message: "why".to_owned() };
            let proves = |error: &CallError| error.kind == CallErrorKind::NoActiveAction;
            let (part, word) = Part::ok("permissions", "").tried(Err(error), proves);
            (part.state, word)
        };
        assert_eq!(of(CallErrorKind::NoActiveAction), (State::Ok, "permitted"));
        assert_eq!(of(CallErrorKind::AccessDenied), (State::Failed, "denied"));
        assert_eq!(of(CallErrorKind::Throttled), (State::Warning, "unknown"));
    }

    #[test]
    fn the_worst_state_counts() {
        let part = Part::ok("hook", "drain").failed("bad").warning("not\n  so bad");
        assert_eq!(part.state, State::Failed);
        let line = serde_json::to_string(&part).expect("text");
        assert_eq!(line, r#"{"part":"hook","state":"failed","found":"drain","advice":["bad","not so bad"]}"#);
    }
}
