//! Warnings: settings that are valid but probably a mistake. The daemon logs them when it starts, and `drainhook check` and
//! `drainhook config` print them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Agent, AgentKind, HttpAgent, Loaded, Method, variable};

/// The permission of all other users to read a file.
const OTHERS_READ: u32 = 0o004;

impl Loaded {
    /// One sentence for each probable mistake. Reads the permissions of token files.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.variable_warnings();
        warnings.extend(self.config.agents.iter().flat_map(of_agent));
        warnings
    }

    /// The warnings about environment variables that set no key.
    pub fn variable_warnings(&self) -> Vec<String> {
        variable::warnings(&self.ignored)
    }
}

fn of_agent(agent: &Agent) -> Vec<String> {
    let mut warnings = match &agent.kind {
        AgentKind::Http(http) => of_http(http),
        AgentKind::Command(_) | AgentKind::Unit(_) => Vec::new(),
    };
    if agent.unreachable_grace >= agent.drain_timeout {
        warnings.push(
            "agent.unreachable_grace is not shorter than agent.drain_timeout, so it never takes effect; shorten it"
                .to_owned(),
        );
    }
    warnings
}

fn of_http(agent: &HttpAgent) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(path) = &agent.token_file {
        warnings.extend(exposure(path));
        if let Some(host) = agent.address.remote_host() {
            warnings.push(format!(
                "the token in agent.token_file is sent to {host} in clear text; use it only with loopback or a Unix socket"
            ));
        }
    }
    if agent.drain_blocks && agent.status_path != agent.drain_path {
        warnings.push(
            "agent.status.path has no effect because agent.drain.blocks is set; remove one of them"
                .to_owned(),
        );
    }
    if !agent.drain_blocks && agent.method == Method::Get && agent.status_path == agent.drain_path {
        warnings.push(format!(
            "GET {} both drains the agent and requests its status; set agent.status.path or agent.drain.blocks",
            agent.drain_path
        ));
    }
    warnings
}

/// A warning if all users can read the token file. `None` if the file cannot be examined.
fn exposure(path: &Path) -> Option<String> {
    let found = path.metadata().ok()?;
    (found.mode() & OTHERS_READ != 0).then(|| {
        format!(
            "agent.token_file {} is readable by every user of this machine (mode {:04o}); run chmod o-r on it",
            path.display(),
            found.mode() & 0o7777
        )
    })
}
