//! The effective configuration as TOML, with the origin of each value.

use std::fmt;

use super::{Loaded, Setting, after, keys};

impl Loaded {
    /// The effective configuration as TOML, with the origin of each value in a comment. `drainhook config` prints it.
    pub fn to_toml(&self) -> String {
        self.written(|_| true)
    }

    /// The after steps alone, in the same format. Empty without steps.
    pub fn steps_to_toml(&self) -> String {
        self.written(|setting| setting.section == after::SECTION)
    }

    fn written(&self, shows: impl Fn(&Setting) -> bool) -> String {
        let mut text = String::new();
        let mut table = None;
        for setting in self.origins.iter().filter(|setting| shows(setting)) {
            if setting.section == keys::SIMULATION && setting.value.is_none() {
                continue;
            }
            if table != Some((setting.section, setting.place)) {
                let agents = setting.section == "agent" && self.config.agents.len() > 1;
                let several = agents || keys::is_list(setting.section);
                let (open, close) = if several { ("[[", "]]") } else { ("[", "]") };
                let gap = if table.is_some() { "\n" } else { "" };
                text.push_str(&format!("{gap}{open}{}{close}\n", setting.section));
                table = Some((setting.section, setting.place));
            }
            text.push_str(&format!("{setting}\n"));
        }
        text
    }
}

/// A line of TOML.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignment = match &self.value {
            // TOML's basic strings have the same escapes as JSON's.
            Some(value) if self.quoted => {
                format!("{} = {}", self.key, serde_json::Value::from(value.as_str()))
            }
            Some(value) => format!("{} = {value}", self.key),
            None => return write!(f, "# {:<48} # not set: {}", self.key, self.unset),
        };
        write!(f, "{assignment:<50} # {}", self.origin)
    }
}
