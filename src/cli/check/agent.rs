//! Each agent: what it answers when asked for its status. It is never told anything.

use std::time::Duration;

use super::part::Part;
use crate::agent::http::Agent;
use crate::config::{self, Address, Config, Method};
use crate::daemon::settings;
use machine::event::{AgentAnswer, AgentState};
use machine::status::{State, Status};

/// How long an agent may take to answer `check`, in real time.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A row for each agent, in the order of the configuration. The daemon's status, if known, tells whether an agent that
/// takes no work is as it should be.
pub async fn ask(config: &Config, limit: Duration, daemon: Option<&Status>) -> Vec<Part> {
    let mut asking = tokio::task::JoinSet::new();
    for (place, agent) in config.agents.iter().cloned().enumerate() {
        let beside = daemon.map(|status| Beside::of(status, &agent.name));
        asking.spawn(async move { (place, row(&agent, limit, beside).await) });
    }
    let mut parts = asking.join_all().await;
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What the daemon says while the agent is asked.
#[derive(Debug, Clone, Copy)]
struct Beside {
    state: State,
    /// It counts this agent as drained.
    has_drained: bool,
}

impl Beside {
    fn of(status: &Status, name: &str) -> Self {
        let has_drained = status.agents.iter().any(|agent| agent.name == name && agent.state == "drained");
        Beside { state: status.state, has_drained }
    }
}

async fn row(agent: &config::Agent, limit: Duration, beside: Option<Beside>) -> Part {
    let name = &agent.name;
    if agent.drain_blocks {
        return Part::skipped("agent", format!("{name}: not asked, because agent.drain_blocks is set"));
    }
    if agent.method == Method::Get && agent.status_path == agent.drain_path {
        return Part::skipped("agent", format!("{name}: not asked, because GET would drain it"));
    }
    let client = match Agent::new(settings::endpoint(agent)) {
        Ok(client) => client,
        Err(error) => return Part::ok("agent", name).failed(error.to_string()),
    };
    let part = judge(agent, client.look(limit).await, beside);
    match client.ignored() {
        Some(what) => {
            part.warning(format!("ignored {what}; see docs/agent-protocol.md for the expected fields"))
        }
        None => part,
    }
}

fn judge(agent: &config::Agent, answer: AgentAnswer, beside: Option<Beside>) -> Part {
    let name = &agent.name;
    // What was tried names the agent's address, which may be its name.
    let found = |why: String| {
        Part::ok("agent", if why.contains(name.as_str()) { why } else { format!("{name}: {why}") })
    };
    match answer {
        AgentAnswer::Status { status, .. } => {
            let (word, is_idle) = match status.state {
                AgentState::Serving => ("serving", false),
                AgentState::Draining => ("draining", true),
                AgentState::Drained => ("drained", true),
            };
            let work = status.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
            let part = Part::ok("agent", format!("{name}: {word}{work}"));
            if is_idle { idle(part, agent, beside) } else { part }
        }
        AgentAnswer::Unreachable { why, gone: true } if beside.is_some_and(|beside| beside.has_drained) => {
            found(format!("{why}; it has drained"))
        }
        AgentAnswer::Unreachable { why, gone: true } => {
            found(why).failed("start the agent; if it listens elsewhere, set agent.url or agent.unix")
        }
        AgentAnswer::Unreachable { why, gone: false } => {
            found(why).failed("no connection can be made to the agent; check agent.url or agent.unix")
        }
        AgentAnswer::Unsupported(why) => found(why).failed(
            "the agent does not serve this path; set agent.drain_path and agent.status_path, or implement \
             docs/agent-protocol.md",
        ),
        AgentAnswer::Busy(why) => {
            found(why).failed("the agent accepts connections, but reports no status; check its log")
        }
        AgentAnswer::Malformed(why) => {
            found(why).failed("the agent must answer as in docs/agent-protocol.md")
        }
        AgentAnswer::CannotDrain(why) => found(why).failed("the agent says that it cannot drain"),
        AgentAnswer::Accepted(_) | AgentAnswer::Returned => Part::ok("agent", name),
    }
}

/// An agent that takes no work: right in a drain, and lost capacity otherwise.
fn idle(part: Part, agent: &config::Agent, beside: Option<Beside>) -> Part {
    let command = delete(agent);
    match beside.map(|beside| beside.state) {
        Some(State::Draining | State::Completing | State::Ended | State::Returning) => part,
        Some(State::Serving | State::Noticed) => part.warning(format!(
            "it takes no work, but the daemon has not told it to drain; to return it to service, run {command}"
        )),
        None => part.warning(format!(
            "it takes no work; if no drain is under way, return it to service: run {command}"
        )),
    }
}

/// The command that returns an agent to service.
fn delete(agent: &config::Agent) -> String {
    let token = agent.token_file.as_ref().map(|file| {
        let file = quoted(&file.display().to_string());
        format!("-H \"Authorization: Bearer $(cat {file})\" ")
    });
    let (socket, base) = match &agent.address {
        Address::Url(url) => (None, url.as_str()),
        Address::Unix(path) => (Some(path), "http://localhost"),
    };
    let socket = socket.map(|path| format!("--unix-socket {} ", quoted(&path.display().to_string())));
    let url = format!("{}/{}", base.trim_end_matches('/'), agent.drain_path.trim_start_matches('/'));
    format!("curl -X DELETE {}{}{}", token.unwrap_or_default(), socket.unwrap_or_default(), quoted(&url))
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@%+=,".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::part::State as PartState;
    use crate::config::Flag;
    use machine::event::AgentStatus;
    use std::path::Path;

    fn agent(address: &str, token_file: Option<&str>) -> config::Agent {
        let token_file = token_file.map(|file| ("DRAINHOOK_AGENT__TOKEN_FILE".to_owned(), file.to_owned()));
        let flags = [Flag::agent(address.to_owned())];
        let loaded = Config::load(Some(Path::new("/dev/null")), token_file.into_iter(), &flags);
        loaded.expect("good").config.agents.swap_remove(0)
    }

    #[test]
    fn commands_that_return_an_agent() {
        for (address, token_file, expected) in [
            ("http://127.0.0.1:8080", None, "curl -X DELETE http://127.0.0.1:8080/drain"),
            ("http://127.0.0.1:8080/a/", None, "curl -X DELETE http://127.0.0.1:8080/a/drain"),
            ("http://[::1]:8080", None, "curl -X DELETE 'http://[::1]:8080/drain'"),
            (
                "/run/worker.sock",
                Some("/etc/worker/token"),
                "curl -X DELETE -H \"Authorization: Bearer $(cat /etc/worker/token)\" --unix-socket /run/worker.sock \
                 http://localhost/drain",
            ),
        ] {
            assert_eq!(delete(&agent(address, token_file)), expected);
        }
    }

    /// An agent without new work is right while the daemon drains, and a warning otherwise.
    #[test]
    fn agents_that_take_no_work() {
        let agent = agent("http://127.0.0.1:8080", None);
        let state = |state, beside: Option<State>| {
            let status = AgentStatus { state, in_flight: Some(2), gauges: Default::default(), detail: None };
            let answer = AgentAnswer::Status { status, waited: false };
            judge(&agent, answer, beside.map(|state| Beside { state, has_drained: false }))
        };
        for beside in [State::Draining, State::Completing, State::Ended, State::Returning] {
            assert_eq!(state(AgentState::Draining, Some(beside)).advice, [""; 0], "{beside:?}");
        }
        for beside in [None, Some(State::Serving), Some(State::Noticed)] {
            let part = state(AgentState::Drained, beside);
            assert!(part.advice[0].ends_with("run curl -X DELETE http://127.0.0.1:8080/drain"), "{part:?}");
            assert_eq!(part.state, PartState::Warning);
            assert_eq!(state(AgentState::Serving, beside).state, PartState::Ok);
        }
    }

    /// An agent with `on_exit = "drained"` is gone at the end of a healthy drain.
    #[test]
    fn an_agent_that_has_exited() {
        let agent = agent("http://127.0.0.1:8080", None);
        let judge = |has_drained| {
            let why = "GET http://127.0.0.1:8080/drain: connection refused".to_owned();
            let beside = Some(Beside { state: State::Completing, has_drained });
            judge(&agent, AgentAnswer::Unreachable { why, gone: true }, beside).state
        };
        assert_eq!((judge(true), judge(false)), (PartState::Ok, PartState::Failed));
    }
}
