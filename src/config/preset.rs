//! The layer of presets, below the file and the environment: the keys of an agent that its preset fills in.

use super::keys::{self, Key};
use super::layers::{Given, Layers};
use super::{Origin, Problem};
use crate::preset;

/// Keys of which an agent has only one. The user's wins over the preset's.
const ONE_OF: [&[&str]; 3] =
    [&["url", "unix"], &["drain.signal", "drain.start"], &["force.signal", "force.command", "force.path"]];

impl Layers {
    /// Adds what the agents' presets fill in, where the user has not set the key, and tells what the user must set.
    pub fn add_presets(&mut self) {
        for agent in 0..self.agents.max(1) {
            let Some(chosen) = self.given.get(&(agent, "agent", "preset")).cloned() else { continue };
            let text = preset::text(&chosen.text).expect("its name is one of the list");
            for (key, _) in of_table(text, "must") {
                if !self.given.contains_key(&(agent, "agent", key.name)) {
                    let (origin, preset) = (chosen.origin.clone(), chosen.text.clone());
                    let mut lines = preset::lines_of(text, "must").into_iter();
                    let line = lines.find(|line| line.starts_with(key.name)).unwrap_or(key.name);
                    self.tell(|| Problem::PresetNeeds { origin, preset, key: key.name, line });
                }
            }
            for (key, given) in of_table(text, "agent") {
                let given_by_user = |name: &str| self.given.keys().any(|at| *at == (agent, "agent", name));
                let rivals = ONE_OF.into_iter().find(|keys| keys.contains(&key.name)).unwrap_or_default();
                if !given_by_user(key.name) && !rivals.iter().any(|name| given_by_user(name)) {
                    let given = Given { origin: Origin::Preset(chosen.text.clone()), ..given };
                    self.given.insert((agent, "agent", key.name), given);
                }
            }
        }
    }
}

/// The keys of one table of a preset's file.
fn of_table(text: &str, table: &str) -> Vec<(&'static Key, Given)> {
    let given = Layers::of_preset(text, table).given.into_iter();
    given.filter_map(|((_, section, name), given)| Some((keys::find(section, name)?, given))).collect()
}
