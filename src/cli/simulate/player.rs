//! The instances of a scenario, each with its daemon.

use std::path::Path;

use tokio::sync::mpsc;

use crate::clock::Scale;
use crate::serve::Service;
use machine::Time;
use sim::scenario::{Act, Deed, Scenario};
use sim::story::Story;
use sim::world::{ImdsMode, InstanceView};

use super::SimulateError;
use super::daemon::{Daemon, Said};
use super::environment;
use super::own_agent::OwnAgents;

/// An instance in the scenario.
pub struct Player {
    /// What has happened to it.
    pub story: Story,
    /// Its daemon.
    pub daemon: Daemon,
    /// The acts that are still to come.
    acts: Vec<Act>,
}

impl Player {
    /// Removes and returns the next act that is due.
    pub fn take_due(&mut self, now: Time) -> Option<Deed> {
        let due = |act: &Act| act.due(&self.story).filter(|due| *due <= now);
        let (_, index) =
            self.acts.iter().enumerate().filter_map(|(index, act)| Some((due(act)?, index))).min()?;
        Some(self.acts.remove(index).deed)
    }

    /// When the next act is due, if that is known.
    pub fn next_due(&self) -> Option<Time> {
        self.acts.iter().filter_map(|act| act.due(&self.story)).min()
    }
}

/// The instances of a scenario, each with a daemon that has not started yet.
pub fn players(
    scenario: &'static Scenario,
    own_agents: Option<&OwnAgents>,
    service: &Service,
    scale: Option<Scale>,
    folder: &Path,
    said: &mpsc::Sender<Said>,
) -> Result<Vec<Player>, SimulateError> {
    let hook = service.world(|world, _| world.config().hooks.first().map(|hook| hook.name.clone()));
    let hook = hook.unwrap_or_default();
    let with_imds = service.world(|world, _| world.config().imds.mode) == ImdsMode::Answers;
    let player = |(place, view): (usize, InstanceView)| {
        let endpoints = service.endpoints(&view.id).ok_or(SimulateError::NoEndpoints)?;
        let folder = folder.join(&view.id);
        std::fs::create_dir(&folder).map_err(SimulateError::Folder)?;
        let mut variables = environment::common(service, scale);
        variables.extend(environment::instance(&endpoints, &folder));
        variables.extend(scenario.settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if !with_imds {
            // Without IMDS the daemon has no role and no instance id.
            variables.extend(environment::credentials());
            variables.push(("DRAINHOOK_INSTANCE__ID", view.id.clone()));
        }
        let mut variables: Vec<_> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(own_agents) = own_agents {
            variables.retain(|(name, _)| name != "DRAINHOOK_AGENT__URL");
            variables.extend(own_agents.variables.iter().cloned());
        }
        let mut daemon =
            Daemon::new(place, variables, &folder, said.clone()).map_err(SimulateError::Daemon)?;
        if let Some(own_agents) = own_agents {
            let file = folder.join("drainhook.toml");
            std::fs::write(&file, &own_agents.file).map_err(SimulateError::Folder)?;
            daemon = daemon.with_config(file);
        }
        Ok(Player { story: Story::of(&view.id, &hook), daemon, acts: scenario.acts.to_vec() })
    };
    service.instances().into_iter().enumerate().map(player).collect()
}
