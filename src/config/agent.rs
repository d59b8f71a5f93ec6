//! The agents, by how they are reached and drained.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Address, Body, Force, Header, Method, OnExit, Probe, Ready, Request, User};

/// One agent, and how it is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What logs call it. No two agents have the same name.
    pub name: String,
    /// The name of its preset.
    pub preset: Option<String>,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long it may stay unreachable, or its command or its `drain.start` may fail, before the drain counts as failed.
    pub unreachable_grace: Duration,
    /// It is told to drain once all agents with a lower order have an outcome.
    pub order: u8,
    /// How it is reached.
    pub kind: AgentKind,
    /// What ends its work shortly before its deadline.
    pub force: Option<Force>,
    /// How the daemon sees that it is ready.
    pub ready: Ready,
    /// Where its status is read. `None`: with a status request to it, if its kind has one.
    pub probe: Option<Probe>,
}

impl Agent {
    /// Whether its status is requested at its own address.
    pub fn is_asked_for_status(&self) -> bool {
        match &self.probe {
            None => true,
            Some(Probe::Document(_)) => false,
            Some(Probe::Number { reading, .. }) => reading.is_at_agent(),
        }
    }

    /// Whether a request for its status would drain it, so that none may be sent while it serves.
    pub fn is_drained_by_status(&self) -> bool {
        let AgentKind::Http(http) = &self.kind else { return false };
        let is_drain = http.drain.method == Method::Get && http.status_path == http.drain.path;
        is_drain && !http.drain_blocks && self.is_asked_for_status()
    }
}

/// How an agent is reached. No two agents are reached in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentKind {
    /// `url` or `unix`
    Http(Box<HttpAgent>),
    /// `command`
    Command(CommandAgent),
    /// `unit`
    Unit(UnitAgent),
}

/// An agent that has an HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAgent {
    /// Where it listens.
    pub address: Address,
    /// What it means when it exits during a drain.
    pub on_exit: OnExit,
    /// How often it is polled if it ignores `Prefer: wait`.
    pub poll: Duration,
    /// The drain request.
    pub drain: Request<Body>,
    /// The request that returns it to service.
    pub back: Request,
    /// The path of the status request, appended to the URL.
    pub status_path: String,
    /// Whether it answers the drain request only when its work is done.
    pub drain_blocks: bool,
    /// The headers of every request.
    pub headers: Vec<Header>,
    /// A file with the bearer token that it requires.
    pub token_file: Option<PathBuf>,
    /// The user whose process must have opened its Unix socket.
    pub user: Option<User>,
}

/// An agent that is drained by a command. Programs have absolute paths, and run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandAgent {
    /// The program that drains the agent, and its arguments.
    pub drain: Vec<String>,
    /// The program that returns the agent to service, and its arguments.
    pub back: Option<Vec<String>>,
}

/// An agent that is a systemd unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitAgent {
    /// The unit's name, such as `worker.service`.
    pub unit: String,
    /// How it is told to drain.
    pub drain: UnitDrain,
    /// How often the daemon looks at it.
    pub poll: Duration,
}

/// How a unit is told to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitDrain {
    /// `systemctl stop`.
    Stop,
    /// A signal such as `SIGQUIT` to the main process.
    Signal(String),
    /// Another unit, a oneshot, is started. It drains the agent.
    Start(String),
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentKind::Http(agent) => agent.address.fmt(f),
            AgentKind::Command(agent) => f.write_str(&agent.drain[0]),
            AgentKind::Unit(agent) => f.write_str(&agent.unit),
        }
    }
}
