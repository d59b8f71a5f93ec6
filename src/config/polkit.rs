//! The polkit rule that permits the daemon's user exactly what it does to the configured units. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{AgentKind, Config, Force, ForceKind, UnitAgent, UnitDrain};

/// Where the rule is installed. polkit reads the rules of all files in this folder (polkit(8)).
pub const POLKIT_PATH: &str = "/etc/polkit-1/rules.d/50-drainhook.rules";

/// The user of the packaged daemon.
const USER: &str = "drainhook";

/// The rule, or `None` if no agent is a unit. The details `unit` and `verb` are systemd's
/// ([`bus_verify_manage_units_async_full`](https://github.com/systemd/systemd/blob/v252/src/core/dbus-unit.c)).
pub fn polkit_rule(config: &Config) -> Option<String> {
    let mut permitted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for agent in &config.agents {
        if let AgentKind::Unit(unit) = &agent.kind {
            for (unit, verb) in used(unit) {
                permitted.entry(unit).or_default().insert(verb);
            }
            if let Some(Force { how: ForceKind::Signal(_), .. }) = &agent.force {
                permitted.entry(&unit.unit).or_default().insert("kill");
            }
        }
    }
    if permitted.is_empty() {
        return None;
    }
    let mut rule = String::from(
        "// Written by `drainhook config --polkit`: what drainhook may do to the units of its configuration.\n\
         polkit.addRule(function(action, subject) {\n    var permitted = {\n",
    );
    for (unit, verbs) in permitted {
        let verbs: Vec<_> = verbs.into_iter().map(|verb| format!("\"{verb}\"")).collect();
        // A unit's name has no character that JavaScript would need escaped but the backslash.
        let unit = unit.replace('\\', "\\\\");
        // Writing to a String cannot fail.
        let _ = writeln!(rule, "        \"{unit}\": [{}],", verbs.join(", "));
    }
    let _ = write!(
        rule,
        "    }};\n    \
         if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == \"{USER}\") {{\n        \
         var verbs = permitted[action.lookup(\"unit\")];\n        \
         if (verbs && verbs.indexOf(action.lookup(\"verb\")) >= 0) {{\n            \
         return polkit.Result.YES;\n        }}\n    }}\n}});\n"
    );
    Some(rule)
}

/// What the daemon does, and to which unit.
fn used(agent: &UnitAgent) -> Vec<(&str, &'static str)> {
    let unit = agent.unit.as_str();
    match &agent.drain {
        UnitDrain::Stop => vec![(unit, "start"), (unit, "stop")],
        // A unit that comes back after the signal is stopped.
        UnitDrain::Signal(_) => vec![(unit, "kill"), (unit, "start"), (unit, "stop")],
        UnitDrain::Start(oneshot) => vec![(unit, "start"), (oneshot, "start"), (oneshot, "stop")],
    }
}
