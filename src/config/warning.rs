//! What a configuration may say and probably should not: said at the start and by `drainhook check`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Address, Agent, Config, Method};

/// Others may read it.
const OTHERS_READ: u32 = 0o004;

/// Each as one sentence that says what to do. Looks at the permissions of token files.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = config.agents.iter().flat_map(of_agent).collect();
    let mut places: BTreeMap<(&Address, &str), &str> = BTreeMap::new();
    for agent in &config.agents {
        let place = (&agent.address, agent.drain_path.as_str());
        if let Some(other) = places.insert(place, &agent.name) {
            warnings.push(format!(
                "the agents {other} and {} have the same address and drain_path, so one agent is drained twice: remove one of them",
                agent.name
            ));
        }
    }
    warnings
}

fn of_agent(agent: &Agent) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(path) = &agent.token_file {
        warnings.extend(exposure(path));
        if let Some(host) = agent.address.remote_host() {
            warnings.push(format!(
                "the token in agent.token_file is sent to {host} in clear text: use it only with loopback or a Unix socket"
            ));
        }
    }
    if agent.drain_blocks && agent.status_path != agent.drain_path {
        warnings.push(
            "agent.status_path has no effect because agent.drain_blocks is set: remove one of them"
                .to_owned(),
        );
    }
    if !agent.drain_blocks && agent.method == Method::Get && agent.status_path == agent.drain_path {
        warnings.push(format!(
            "GET {} both drains the agent and requests its status: set agent.status_path or agent.drain_blocks",
            agent.drain_path
        ));
    }
    if agent.unreachable_grace >= agent.drain_timeout {
        warnings.push(
            "agent.unreachable_grace is not shorter than agent.drain_timeout, so it never takes effect: shorten it"
                .to_owned(),
        );
    }
    warnings
}

/// What is wrong with the permissions of a token file, if anything; nothing is said of a file that cannot be looked at.
fn exposure(path: &Path) -> Option<String> {
    let found = path.metadata().ok()?;
    (found.mode() & OTHERS_READ != 0).then(|| {
        format!(
            "agent.token_file {} is readable by every user of this machine (mode {:04o}): run chmod o-r on it",
            path.display(),
            found.mode() & 0o7777
        )
    })
}
