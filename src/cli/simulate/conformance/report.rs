//! Prints each check as soon as it is judged, and keeps all of them.

use std::time::Duration;

use super::check::{Check, Rule};
use crate::cli::check::{State, heading, row};
use crate::cli::output::{put, put_line};
use crate::cli::terminal::{columns, wrap};
use crate::clock::boottime;

/// What the first column is called.
const FIRST: &str = "check";

/// The checks so far.
#[derive(Debug)]
pub struct Report {
    json: bool,
    /// All rules, in the order in which they are judged.
    rules: &'static [&'static Rule],
    checks: Vec<Check>,
    /// When the last check was judged.
    since: Duration,
}

impl Report {
    /// A report on these rules. Prints the heading.
    pub fn new(json: bool, rules: &'static [&'static Rule]) -> Self {
        let report = Report { json, rules, checks: Vec::new(), since: boottime() };
        if !json {
            put(&heading(FIRST, report.width(), columns()));
        }
        report
    }

    /// Prints a check.
    pub fn tell(&mut self, check: Check) {
        let now = boottime();
        let check = Check { took: now.saturating_sub(self.since), ..check };
        self.since = now;
        if !self.json {
            put(&row(&check.part(), self.width(), columns()));
        } else if let Ok(line) = serde_json::to_string(&check) {
            // A check is only text, so this cannot fail.
            put_line(&line);
        }
        self.checks.push(check);
    }

    /// Prints the rules that were not judged, and why.
    pub fn skip_rest(&mut self, why: &str) {
        for rule in self.rules {
            if self.checks.iter().all(|check| check.check != rule.name) {
                self.tell(rule.skipped(why));
            }
        }
    }

    /// Prints the result, and what the user has to do. Returns whether no check failed.
    pub fn end(&self, last: Option<String>) -> bool {
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        let passed = count(State::Failed) == 0;
        if !self.json {
            let counts = [State::Ok, State::Failed, State::Skipped];
            let counts = counts.map(|state| format!("{} {}", count(state), state.as_str()));
            put_line(&format!("\n{}", counts.join(", ")));
            if let Some(last) = last {
                put_line(&wrap(&last, 0));
            }
            put_line(&format!("\nconformance: {}", if passed { "passed" } else { "FAILED" }));
        }
        passed
    }

    /// All checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    fn width(&self) -> usize {
        self.rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0).max(FIRST.len())
    }
}
