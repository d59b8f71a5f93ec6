//! What a preset requires of its agent's unit. Pure.

use std::collections::BTreeSet;

use crate::agent::systemctl::Unit;
use crate::preset::{Preset, Property, Requirement};

/// A requirement that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is lost.
    pub why: String,
    /// The line of a drop-in that mends it.
    pub fix: String,
}

/// Whether the preset requires something of the unit's environment.
pub fn are_about_variables(preset: &Preset) -> bool {
    preset.requires.iter().any(|requirement| matches!(requirement, Requirement::Unset { .. }))
}

/// The values of a setting with which the software loses nothing. `None` if the preset does not know.
pub fn good(preset: &Preset, of: Property) -> Option<&[String]> {
    preset.requires.iter().find_map(|requirement| match requirement {
        Requirement::Property { property, good, .. } if *property == of => Some(good.as_slice()),
        Requirement::Property { .. } | Requirement::Unset { .. } => None,
    })
}

/// What a stop of the unit would lose. Modes that leave processes behind are bad for every unit, so they are not among it.
pub fn of_stop(preset: &Preset, unit: &Unit, variables: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for requirement in &preset.requires {
        let Requirement::Property { property, good, why } = requirement else { continue };
        let value = match property {
            Property::KillMode if ["none", "process"].contains(&unit.kill_mode.as_str()) => continue,
            Property::KillMode => &unit.kill_mode,
            Property::KillSignal => &unit.kill_signal,
        };
        if !good.contains(value) {
            let (setting, good) = (property.as_str(), good.join(" or "));
            let why = format!("{setting}={value}, and the preset {} needs {good}: {why}", preset.name);
            violations.push(Violation { why, fix: requirement.fix() });
        }
    }
    violations.extend(of_variables(preset, variables));
    violations
}

/// What the unit's environment would lose, however it is drained.
pub fn of_variables(preset: &Preset, variables: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for requirement in &preset.requires {
        let Requirement::Unset { unset, why } = requirement else { continue };
        if variables.contains(unset) {
            let why =
                format!("it sets the variable {unset}, and the preset {} needs it unset: {why}", preset.name);
            violations.push(Violation { why, fix: requirement.fix() });
        }
    }
    violations
}
