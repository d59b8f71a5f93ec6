//! The after steps: the `[[after]]` tables.

use std::time::Duration;

use super::Problem;
use super::build::Table;
use super::layers::Layers;

/// The most after steps.
pub const STEPS_MAX: usize = 8;

/// The section of the after steps.
pub(super) const SECTION: &str = "after";

/// One after step. Its program has an absolute path and runs without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

/// The after steps, in order.
pub(super) fn steps(layers: &Layers) -> Vec<Step> {
    let tables = (0..layers.count(SECTION)).map(|step| Table { layers, place: step, section: SECTION });
    tables
        .filter_map(|table| {
            Some(Step { command: table.optional("command")?, timeout: table.required("timeout") })
        })
        .collect()
}

/// A problem for each after step that says nothing about what it runs.
pub(super) fn check(layers: &Layers) -> Vec<Problem> {
    let idle = layers.places(SECTION).iter().enumerate().filter(|(step, _)| {
        let key = (*step, SECTION, "command");
        // A command that is wrong is a problem already.
        !layers.given.contains_key(&key) && !layers.wrong.contains(&key)
    });
    idle.map(|(_, origin)| Problem::NoCommand { origin: origin.clone() }).collect()
}
