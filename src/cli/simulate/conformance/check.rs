//! One check of a judgment, and its result. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::cli::check::{Part, State};

/// What is checked.
#[derive(Debug)]
pub struct Rule {
    /// Its name, in the table and in JUnit.
    pub name: &'static str,
    /// What a conforming agent does.
    pub expected: &'static str,
}

impl Rule {
    /// The agent did what was expected. `found` is what came.
    pub fn ok(&self, found: impl Into<String>) -> Check {
        self.check(State::Ok, found.into(), None)
    }

    /// The agent did something else. `lost` is what a scale-in would have lost by it, as a sentence.
    pub fn failed(&self, found: impl Into<String>, lost: impl Into<String>) -> Check {
        self.check(State::Failed, found.into(), Some(lost.into()))
    }

    /// It was not checked, and why.
    pub fn skipped(&self, why: impl Into<String>) -> Check {
        self.check(State::Skipped, why.into(), None)
    }

    fn check(&self, state: State, found: String, lost: Option<String>) -> Check {
        Check { check: self.name, state, expected: self.expected, found, lost, took: Duration::ZERO }
    }
}

/// The result of one check. With `--json`, a line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of its rule.
    pub check: &'static str,
    /// `ok`, `failed` or `skipped`.
    pub state: State,
    /// What a conforming agent does.
    pub expected: &'static str,
    /// What came, or why it was skipped.
    pub found: String,
    /// What a scale-in would have lost, if it failed.
    pub lost: Option<String>,
    /// How long it took, in real time.
    #[serde(skip)]
    pub took: Duration,
}

impl Check {
    /// Its row of the table.
    pub fn part(&self) -> Part {
        match (self.state, &self.lost) {
            (State::Skipped, _) => Part::skipped(self.check, self.found.clone()),
            (State::Failed | State::Warning, lost) => {
                let part = Part::ok(self.check, self.found.clone());
                let part = part.failed(format!("expected: {}", self.expected));
                lost.iter().fold(part, |part, lost| part.advised(lost.clone()))
            }
            (State::Ok, _) => Part::ok(self.check, self.found.clone()),
        }
    }
}
