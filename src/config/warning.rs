//! Warnings: settings that are valid but probably a mistake. The daemon logs them when it starts, and `drainhook check` and
//! `drainhook config` print them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{
    Agent, AgentKind, Body, HeaderText, HttpAgent, Loaded, Method, OnExit, Probe, Template, variable,
};

/// The permission of all other users to read a file.
const OTHERS_READ: u32 = 0o004;

impl Loaded {
    /// One sentence for each probable mistake. Reads the permissions of files with secrets.
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
        AgentKind::Http(http) => of_http(http, agent),
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

fn of_http(agent: &HttpAgent, whole: &Agent) -> Vec<String> {
    let mut warnings = Vec::new();
    let host = agent.address.remote_host();
    if let Some(path) = &agent.token_file {
        warnings.extend(exposure("agent.token_file", path));
        warnings.extend(host.as_ref().map(|host| in_clear_text("the token in agent.token_file", host)));
    }
    for header in &agent.headers {
        if let HeaderText::File(path) = &header.value {
            warnings.extend(exposure("the file of agent.headers", path));
            let secret = format!("the header {} in agent.headers", header.name);
            warnings.extend(host.as_ref().map(|host| in_clear_text(&secret, host)));
        }
    }
    if let Body::Text(text) = &agent.drain.body {
        warnings.extend(body_without_effect("drain", agent.drain.method, text));
    }
    warnings.extend(body_without_effect("return", agent.back.method, &agent.back.body));
    if agent.back.resembles(&agent.drain) {
        warnings.push(format!(
            "{} {} both drains the agent and returns it to service; set agent.return.method, agent.return.path or \
             agent.return.body",
            agent.back.method.as_str(),
            agent.back.path
        ));
    }
    if agent.drain_blocks && agent.status_path != agent.drain.path {
        warnings.push(
            "agent.status.path has no effect because agent.drain.blocks is set; remove one of them"
                .to_owned(),
        );
    }
    if whole.is_drained_by_status() {
        warnings.push(format!(
            "GET {} both drains the agent and requests its status; set agent.status.path or agent.drain.blocks",
            agent.drain.path
        ));
    }
    warnings.extend(of_probe(agent, whole));
    warnings
}

/// A warning if a probe leaves a drain without an end, or hides that the agent has exited.
fn of_probe(agent: &HttpAgent, whole: &Agent) -> Option<String> {
    let exits = agent.on_exit == OnExit::Drained;
    match &whole.probe {
        Some(_) if exits && !whole.is_asked_for_status() => Some(
            "agent.on_exit has no effect because the agent's status is not read at the agent itself; remove it, or set \
             agent.status.path"
                .to_owned(),
        ),
        Some(Probe::Number { zero_for: None, reading }) if !exits => Some(format!(
            "every drain lasts until its deadline, because agent.{} only reports a number; set agent.status.zero_for",
            reading.key()
        )),
        Some(_) | None => None,
    }
}

fn in_clear_text(secret: &str, host: &str) -> String {
    format!("{secret} is sent to {host} in clear text; use it only with loopback or a Unix socket")
}

/// A warning about a body that is not sent. `table` is the request's table in the configuration.
fn body_without_effect(table: &str, method: Method, body: &Template) -> Option<String> {
    let is_sent = method.has_body() || body.is_empty();
    (!is_sent).then(|| {
        let method = method.as_str();
        format!(
            "agent.{table}.body has no effect because agent.{table}.method is {method}; remove one of them"
        )
    })
}

/// A warning if all users can read the file of a secret. `None` if the file cannot be examined.
fn exposure(key: &str, path: &Path) -> Option<String> {
    let found = path.metadata().ok()?;
    (found.mode() & OTHERS_READ != 0).then(|| {
        format!(
            "{key} {} is readable by every user of this machine (mode {:04o}); run chmod o-r on it",
            path.display(),
            found.mode() & 0o7777
        )
    })
}
