//! What can be wrong with a configuration, each as one sentence that says what to do.

use std::io;
use std::path::PathBuf;

use super::layers::PROBLEMS_MAX;
use super::{AGENTS_MAX, Origin};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{path}:{line} is not TOML: {message}", path = .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// There are keys or values that make no sense.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A key that there is not.
    #[error("{origin}: unknown key `{key}`{}", did_you_mean(.nearest))]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// As it was written, with its section.
        key: String,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// A section that there is not.
    #[error("{origin}: unknown section `[{section}]`{}", did_you_mean(.nearest))]
    UnknownSection {
        /// Where it stands.
        origin: Origin,
        /// As it was written.
        section: String,
        /// The section that was probably meant.
        nearest: Option<String>,
    },
    /// A section that is not a table.
    #[error("{origin}: `{section}` is {found}; expected a table, written `[{section}]`")]
    NotATable {
        /// Where it stands.
        origin: Origin,
        /// The section.
        section: String,
        /// The TOML type that it has.
        found: String,
    },
    /// A value that its key does not take.
    #[error("{origin}: `{key}` is {given}{}; expected {expected}", because(.why))]
    WrongValue {
        /// Where it stands.
        origin: Origin,
        /// The key, with its section.
        key: String,
        /// The value as it was written.
        given: String,
        /// What is wrong with it, where that needs saying.
        why: Option<&'static str>,
        /// What the key takes.
        expected: String,
    },
    /// Two addresses for one agent.
    #[error("{unix}: `agent.unix` and `agent.url` ({url}) both say where the agent is; keep one of them")]
    TwoAddresses {
        /// Who sets `url`.
        url: Origin,
        /// Who sets `unix`.
        unix: Origin,
    },
    /// An agent that is not on this machine.
    #[error(
        "{origin}: `agent.url` names the host {host}, which is not loopback; \
         if the agent really is there, allow it by name: allow_host = \"{host}\""
    )]
    RemoteHost {
        /// Where it stands.
        origin: Origin,
        /// The host.
        host: String,
    },
    /// A user to check, and no Unix socket to check it on.
    #[error("{origin}: `agent.user` is checked on Unix sockets only; set `agent.unix`, or remove it")]
    UserWithoutSocket {
        /// Who sets `user`.
        origin: Origin,
    },
    /// An agent's socket that is the daemon's own.
    #[error("`agent.unix` and `control.socket` are both {socket}; give the agent a socket of its own", socket = .socket.display())]
    OwnSocket {
        /// The socket.
        socket: PathBuf,
    },
    /// Two agents with one name.
    #[error("two agents are called {name}; give each `[[agent]]` a `name` or an address of its own")]
    SameName {
        /// The name.
        name: String,
    },
    /// No agent, or too many.
    #[error("{origin}: {count} agents are configured; expected 1 to {AGENTS_MAX}")]
    AgentCount {
        /// Where they stand.
        origin: Origin,
        /// How many there are.
        count: usize,
    },
    /// An environment variable or a flag that could mean any of several agents.
    #[error(
        "{origin} is set, but there are several [[agent]] tables and it does not say which; \
         leave it out, or use a configuration with one agent"
    )]
    WhichAgent {
        /// The variable or the flag.
        origin: Origin,
    },
    /// There are more than an operator reads at once.
    #[error("there are more problems than these {PROBLEMS_MAX}; fix these first")]
    More,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

fn because(why: &Option<&'static str>) -> String {
    why.map_or_else(String::new, |why| format!(", but {why}"))
}
