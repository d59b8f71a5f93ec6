//! What can be wrong with a configuration. Each message is one sentence that says what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::PROBLEMS_MAX;
use super::value::{either, either_quoted};
use super::{AGENTS_MAX, Origin};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error from the operating system.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{path}:{line} is not TOML: {message}", path = .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// The file, the environment or the flags have these problems.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", did_you_mean(.nearest))]
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// As it was written, with its section if it has one.
        key: String,
        /// The keys that the user may have meant.
        nearest: Vec<String>,
    },
    /// A preset that does not exist.
    #[error("{origin}: unknown preset `{name}`{} To list all: drainhook presets", .nearest.as_ref().map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?")))]
    UnknownPreset {
        /// Where it was set.
        origin: Origin,
        /// As it was written.
        name: String,
        /// The preset that the user may have meant.
        nearest: Option<String>,
    },
    /// A key that a preset cannot fill in.
    #[error("{origin}: the preset {preset} needs `agent.{key}`; set it, like {line}")]
    PresetNeeds {
        /// Where the preset was set.
        origin: Origin,
        /// Its name.
        preset: String,
        /// The key.
        key: &'static str,
        /// An example, as TOML.
        line: &'static str,
    },
    /// A section that does not exist.
    #[error("{origin}: unknown section `[{section}]`{}", did_you_mean(.nearest.as_slice()))]
    UnknownSection {
        /// Where it starts.
        origin: Origin,
        /// As it was written.
        section: String,
        /// The section that the user may have meant.
        nearest: Option<String>,
    },
    /// A key at the top level of the file.
    #[error("{origin}: {key} belongs in {}", either(.sections))]
    NoSection {
        /// Where it was set.
        origin: Origin,
        /// The key.
        key: String,
        /// The sections that have a key of this name, in brackets.
        sections: Vec<String>,
    },
    /// A section that is not a table.
    #[error("{origin}: `{section}` is {found}; expected a table, written `[{section}]`")]
    NotATable {
        /// Where it was set.
        origin: Origin,
        /// The section.
        section: String,
        /// The TOML type that it has, with an article.
        found: String,
    },
    /// A value that its key does not accept.
    #[error("{origin}: `{key}` is {given}{}; expected {expected}", because(.why))]
    WrongValue {
        /// Where it was set.
        origin: Origin,
        /// The key, with its section.
        key: String,
        /// The value as it was written.
        given: String,
        /// What is wrong with the value, if `expected` does not make that clear.
        why: Option<&'static str>,
        /// What the key accepts.
        expected: String,
    },
    /// Two keys of one agent that both say the same thing.
    #[error(
        "{}: `agent.{}` and `agent.{}` ({}) both say {what}; keep one of them",
        other.1, other.0, one.0, one.1
    )]
    Both {
        /// One of the keys, and where it was set.
        one: (&'static str, Origin),
        /// The other key.
        other: (&'static str, Origin),
        /// What they say.
        what: &'static str,
    },
    /// The user reaches the agent in another way than its preset.
    #[error(
        "{origin}: `agent.{key}` is set, but the preset {} sets `agent.{}`; remove `agent.preset` or `agent.{key}`",
        preset.0, preset.1
    )]
    PresetKind {
        /// Where the user's key was set.
        origin: Origin,
        /// The user's key.
        key: &'static str,
        /// The name of the preset, and its key.
        preset: (String, &'static str),
    },
    /// A key that means nothing for the agent's kind.
    #[error("{origin}: `agent.{key}` means nothing without {}; set that, or remove it", of_agent(.kinds))]
    IdleKey {
        /// Where the key was set.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The keys that it goes with.
        kinds: &'static [&'static str],
    },
    /// A key that has no effect without another one.
    #[error("{origin}: `{key}` has no effect without {needs}; set that, or remove it")]
    Alone {
        /// Where the key was set.
        origin: Origin,
        /// The key, with its section.
        key: &'static str,
        /// What it needs, in backquotes.
        needs: &'static str,
    },
    /// A force step that would run as soon as the agent is told to drain.
    #[error(
        "{origin}: `agent.force.before` ({before:?}) must be less than `agent.drain_timeout` ({drain_timeout:?}), or the agent \
         would have no time to drain"
    )]
    ForceTooEarly {
        /// Where the time, or the step, was set.
        origin: Origin,
        /// How long before the deadline the step would run.
        before: Duration,
        /// How long a drain may take.
        drain_timeout: Duration,
    },
    /// A launching hook, and an agent of which nothing shows that it is ready.
    #[error("{origin}: `launch.hook` needs `agent.ready.command` for an agent with `agent.command`; set it")]
    NotSeenReady {
        /// Where the hook was set.
        origin: Origin,
    },
    /// A launch in which no agent could be ready in time.
    #[error(
        "{origin}: `launch.timeout` ({timeout:?}) is too short for `launch.times` ({times}), with a second between two answers; \
         set it to {least:?} or more"
    )]
    LaunchTooShort {
        /// Where the hook was set.
        origin: Origin,
        /// The time that a launch has.
        timeout: Duration,
        /// How many times in a row the agents must be ready.
        times: u8,
        /// The least time.
        least: Duration,
    },
    /// One hook for launching and terminating.
    #[error("{origin}: `launch.hook` and `lifecycle.hook` are both {hook}; a hook is for one of the two")]
    OneHook {
        /// Where the launching hook was set.
        origin: Origin,
        /// Its name.
        hook: String,
    },
    /// An agent of which nothing shows how busy it is.
    #[error(
        "{origin}: `protection.when_busy` needs to know how much {agent} has in flight while it serves; {advice}"
    )]
    NotSeenBusy {
        /// Where the protection was switched on.
        origin: Origin,
        /// The agent.
        agent: String,
        /// What to do.
        advice: &'static str,
    },
    /// A protection that is lifted before it is set.
    #[error(
        "{origin}: `protection.longest` ({longest:?}) must be more than `protection.busy_for` ({busy_for:?}); raise \
         `protection.longest`"
    )]
    ProtectionTooShort {
        /// Where the protection was switched on.
        origin: Origin,
        /// How long there must have been work.
        busy_for: Duration,
        /// After this time the protection is lifted.
        longest: Duration,
    },
    /// A header that cannot be sent.
    #[error("{origin}: the header `{name}` in `agent.headers` {why}")]
    Header {
        /// Where the headers were set.
        origin: Origin,
        /// Its name.
        name: String,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// A placeholder that has no value there.
    #[error("{origin}: {place} cannot use {{{name}}}; it can use {}", placeholders(.known))]
    Placeholder {
        /// Where it was set.
        origin: Origin,
        /// The key or the header, in backquotes.
        place: String,
        /// The name between the braces.
        name: String,
        /// The names of the placeholders that have a value there.
        known: &'static [&'static str],
    },
    /// An agent on another machine.
    #[error(
        "{origin}: `agent.url` names the host {host}, which is not loopback; \
         if the agent is on that host, allow it by name: allow_host = \"{host}\""
    )]
    RemoteHost {
        /// Where the URL was set.
        origin: Origin,
        /// The host.
        host: String,
    },
    /// A status on another machine.
    #[error(
        "{origin}: `agent.status.url` names the host {host}, which is not loopback; \
         only the host of `agent.url` can be allowed, with allow_host = \"{host}\""
    )]
    RemoteStatus {
        /// Where the URL was set.
        origin: Origin,
        /// The host.
        host: String,
    },
    /// An agent's socket that is the daemon's own.
    #[error("`agent.unix` and `control.socket` are both {socket}; give the agent a socket of its own", socket = .socket.display())]
    OwnSocket {
        /// The socket.
        socket: PathBuf,
    },
    /// Two agents with one name.
    #[error("two agents have the name {name}; set a different `name` for one of them")]
    SameName {
        /// The name.
        name: String,
    },
    /// Two agents that are drained in one way.
    #[error("the agents {first} and {second} are both drained by {address}; change or remove one of them")]
    SameAddress {
        /// The agent that comes first in the file.
        first: String,
        /// The other agent.
        second: String,
        /// Where both drain requests would go, or the command.
        address: String,
    },
    /// No agents, or too many.
    #[error("{origin}: {count} agents are configured; expected 1 to {AGENTS_MAX}")]
    AgentCount {
        /// Where they start.
        origin: Origin,
        /// How many there are.
        count: usize,
    },
    /// Too many after steps or target groups.
    #[error("{origin}: {count} {what} are configured; expected at most {max}")]
    TableCount {
        /// Where they start.
        origin: Origin,
        /// How many there are.
        count: usize,
        /// What they are.
        what: &'static str,
        /// The most.
        max: usize,
    },
    /// A target group without an ARN.
    #[error("{origin}: this target group has no `arn`; set it, or remove the table")]
    NoArn {
        /// Where it was set.
        origin: Origin,
    },
    /// A target group, and a build that cannot leave one.
    #[error(
        "{origin}: this drainhook was built without target groups; install the package, or build it with the feature target-groups"
    )]
    NoTargetGroups {
        /// Where it was set.
        origin: Origin,
    },
    /// A target that is listed twice.
    #[error(
        "{origin}: the target group {arn} is listed twice with the same target and port; remove one of the tables"
    )]
    SameTarget {
        /// Where it was set the second time.
        origin: Origin,
        /// The target group.
        arn: String,
    },
    /// An after step without a command.
    #[error("{origin}: this after step has no `command`; set the program that it runs, or remove the step")]
    NoCommand {
        /// Where it was set.
        origin: Origin,
    },
    /// An environment variable that could mean any of several tables.
    #[error(
        "{origin} is set, but the file has several [[{section}]] tables; remove it, or write it into one of them"
    )]
    WhichTable {
        /// The variable.
        origin: Origin,
        /// Their section.
        section: &'static str,
    },
    /// An environment variable or a flag that could mean any of several agents.
    #[error(
        "{origin} is set, but the file has several [[agent]] tables; \
         remove it, or use a configuration with one agent"
    )]
    WhichAgent {
        /// The variable or the flag.
        origin: Origin,
    },
    /// The list of problems was cut.
    #[error("there are more problems than these {PROBLEMS_MAX}; fix these first")]
    More,
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", either_quoted(nearest)) }
}

fn of_agent(kinds: &[&str]) -> String {
    either_quoted(&kinds.iter().map(|kind| format!("agent.{kind}")).collect::<Vec<_>>())
}

fn placeholders(names: &[&str]) -> String {
    either(&names.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>())
}

fn because(why: &Option<&'static str>) -> String {
    why.map_or_else(String::new, |why| format!(", but {why}"))
}
