//! Requests the status of each agent. Sends nothing else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use url::{Host, Url};

use super::part::Part;
use super::{command, curl, probe, unit};
use crate::agent::http::Agent;
use crate::cli::output::word;
use crate::config::{self, Address, AgentKind, Config, HttpAgent, OnExit};
use crate::daemon::settings;
use machine::event::{AgentAnswer, AgentState};
use machine::status::{State, Status};

/// Time limit for an agent's answer to `check`, in real time.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Time limit for a connection to [::1].
const IPV6_LIMIT: Duration = Duration::from_millis(500);

/// How the operator gives an agent's address. Advice names the same way.
#[derive(Debug, Clone, Copy)]
pub enum Given {
    /// In the configuration, as `agent.url` or `agent.unix`.
    Setting,
    /// As `drainhook simulate --agent`.
    Flag,
}

/// A row for each agent, in the order of the configuration. The daemon's status, if known, decides whether an agent that takes
/// no work is a problem.
pub async fn ask(config: &Config, limit: Duration, daemon: Option<&Status>, given: Given) -> Vec<Part> {
    each(config, |agent, instance_id| {
        let beside = daemon.map(|status| Beside::of(status, &agent.name));
        async move { row((&agent, &instance_id), limit, beside, given).await }
    })
    .await
}

/// What `look` finds for each agent and the configured instance id, in the order of the configuration. All agents are looked at
/// at the same time.
pub async fn each<F>(config: &Config, look: impl Fn(config::Agent, String) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut looking = tokio::task::JoinSet::new();
    for (place, agent) in config.agents.iter().cloned().enumerate() {
        let found = look(agent, config.instance.id.clone().unwrap_or_default());
        looking.spawn(async move { (place, found.await) });
    }
    let mut found = looking.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, found)| found).collect()
}

/// What the daemon says about an agent.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    state: State,
    /// Whether the daemon counts this agent as drained.
    pub has_drained: bool,
}

impl Beside {
    fn of(status: &Status, name: &str) -> Self {
        let has_drained = status.agents.iter().any(|agent| agent.name == name && agent.state == "drained");
        Beside { state: status.state, has_drained }
    }
}

async fn row(
    (agent, instance_id): (&config::Agent, &str),
    limit: Duration,
    beside: Option<Beside>,
    given: Given,
) -> Part {
    let name = &agent.name;
    let http = match &agent.kind {
        AgentKind::Http(http) => http,
        AgentKind::Command(command) => {
            let part = command::row(agent, command);
            return probe::beside(part, agent, instance_id).await;
        }
        AgentKind::Unit(unit) => {
            let part = unit::row(agent, unit).await;
            return probe::beside(part, agent, instance_id).await;
        }
    };
    if http.drain_blocks {
        return Part::skipped("agent", format!("{name}: not asked, because agent.drain.blocks is set"));
    }
    if agent.is_drained_by_status() {
        return Part::skipped("agent", format!("{name}: not asked, because GET would drain it"));
    }
    if let Some(probe) = &agent.probe {
        return probe::row(agent, probe, instance_id, beside).await;
    }
    let client = match Agent::new(settings::endpoint(http)) {
        Ok(client) => client,
        Err(error) => return Part::ok("agent", name).failed(error.to_string()),
    };
    let answer = client.look(instance_id, limit).await;
    let is_gone = matches!(answer, AgentAnswer::Unreachable { gone: true, .. });
    let on_ipv6 = if is_gone { find_on_ipv6(&http.address).await } else { None };
    let part = judge((name, http), answer, beside, &Hints { given, on_ipv6 });
    match client.ignored() {
        Some(what) => {
            part.warning(format!("ignored {what}; see docs/agent-protocol.md for the expected fields"))
        }
        None => part,
    }
}

/// What makes advice specific.
#[derive(Debug)]
struct Hints {
    given: Given,
    /// Where something listens on [::1], and the agent's URL there.
    on_ipv6: Option<(SocketAddr, String)>,
}

impl Hints {
    /// What to do if nothing listens at the agent's address.
    fn start(&self) -> String {
        match (&self.on_ipv6, self.given) {
            (Some((at, url)), Given::Setting) => {
                format!("something listens on {at}; set agent.url to \"{url}\"")
            }
            (Some((at, url)), Given::Flag) => {
                format!("something listens on {at}; run drainhook simulate --agent {}", word(url))
            }
            (None, Given::Setting) => {
                "start the agent; if it listens elsewhere, set agent.url or agent.unix".to_owned()
            }
            (None, Given::Flag) => {
                "start the agent; if it listens elsewhere, pass that address to --agent".to_owned()
            }
        }
    }
}

/// Looks for a listener on [::1] at the port of an agent whose URL names 127.0.0.1. Some servers listen on IPv6 only.
async fn find_on_ipv6(address: &Address) -> Option<(SocketAddr, String)> {
    let Address::Url(url) = address else { return None };
    let mut url: Url = url.parse().ok()?;
    let is_ipv4_loopback = match url.host()? {
        Host::Ipv4(ip) => ip == Ipv4Addr::LOCALHOST,
        // The daemon connects to it as 127.0.0.1.
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv6(_) => false,
    };
    if !is_ipv4_loopback {
        return None;
    }
    let at = SocketAddr::from((Ipv6Addr::LOCALHOST, url.port_or_known_default()?));
    tokio::time::timeout(IPV6_LIMIT, TcpStream::connect(at)).await.ok()?.ok()?;
    url.set_ip_host(at.ip()).ok()?;
    Some((at, url.as_str().trim_end_matches('/').to_owned()))
}

/// Whether the agent's URL already ends with the path that the daemon appends.
fn repeats_drain_path(agent: &HttpAgent) -> bool {
    let Address::Url(url) = &agent.address else { return false };
    let drain_path = agent.drain.path.trim_end_matches('/');
    let ends = |url: Url| url.path().trim_end_matches('/').ends_with(drain_path);
    !drain_path.is_empty() && url.parse().is_ok_and(ends)
}

fn judge(
    (name, agent): (&str, &HttpAgent),
    answer: AgentAnswer,
    beside: Option<Beside>,
    hints: &Hints,
) -> Part {
    // Most explanations contain the agent's address, which is its name by default.
    let found =
        |why: String| Part::ok("agent", if why.contains(name) { why } else { format!("{name}: {why}") });
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
        AgentAnswer::Unreachable { why, gone: true } => found(why).failed(hints.start()),
        AgentAnswer::Unreachable { why, gone: false } => {
            found(why).failed("no connection can be made to the agent; check agent.url or agent.unix")
        }
        AgentAnswer::Unsupported(why) if repeats_drain_path(agent) => found(why).failed(format!(
            "leave {} out of the URL; the daemon appends agent.drain.path",
            agent.drain.path
        )),
        AgentAnswer::Unsupported(why) => found(why).failed(
            "the agent does not serve this path; set agent.drain.path and agent.status.path, or implement \
             docs/agent-protocol.md",
        ),
        AgentAnswer::Busy(why) => {
            found(why).failed("the agent accepts connections, but reports no status; check its log")
        }
        AgentAnswer::Malformed(_) if agent.on_exit == OnExit::Drained => Part::ok(
            "agent",
            format!("{name}: listens, without a status document; it has drained when it exits"),
        ),
        AgentAnswer::Malformed(why) => found(why)
            .failed("the response is malformed; docs/agent-protocol.md shows what the agent must answer"),
        AgentAnswer::CannotDrain(why) => {
            found(why).failed("409 means that the agent cannot drain; check its log")
        }
        AgentAnswer::Accepted(_) | AgentAnswer::Seen { .. } | AgentAnswer::Returned => {
            Part::ok("agent", name)
        }
    }
}

/// Warns about an agent that takes no work, unless a drain is under way.
fn idle(part: Part, agent: &HttpAgent, beside: Option<Beside>) -> Part {
    let run = |words: &str| {
        curl::written(agent).map_or_else(String::new, |command| format!("{words}run {command}"))
    };
    match beside.map(|beside| beside.state) {
        Some(State::Draining | State::AfterSteps | State::Completing | State::Ended | State::Returning) => {
            part
        }
        Some(State::Serving | State::Noticed) => part.warning(format!(
            "it takes no work, but the daemon has not told it to drain{}",
            run("; to return it to service, ")
        )),
        None => part.warning(format!(
            "it takes no work; if no drain is under way, return it to service{}",
            run(": ")
        )),
    }
}

/// The shell command that returns an agent to service, if there is one.
pub fn return_command(agent: &config::Agent) -> Option<String> {
    match &agent.kind {
        AgentKind::Http(http) => curl::written(http),
        AgentKind::Command(command) => command.back.as_deref().map(command::written),
        AgentKind::Unit(unit) => Some(format!("systemctl start {}", unit.unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::part::State as PartState;
    use crate::config::Flag;
    use machine::event::AgentStatus;
    use std::path::Path;

    const HINTS: Hints = Hints { given: Given::Setting, on_ipv6: None };

    fn agent(address: &str, token_file: Option<&str>) -> config::Agent {
        let token_file = token_file.map(|file| ("DRAINHOOK_AGENT__TOKEN_FILE".to_owned(), file.to_owned()));
        let flags = [Flag::agent(address.to_owned())];
        let loaded = Config::load(Some(Path::new("/dev/null")), token_file.into_iter(), &flags);
        loaded.expect("good").config.agents.swap_remove(0)
    }

    fn http(agent: &config::Agent) -> &HttpAgent {
        match &agent.kind {
            AgentKind::Http(http) => http,
            AgentKind::Command(_) | AgentKind::Unit(_) => panic!("its flag is an address"),
        }
    }

    /// An agent that takes no work is as expected during a drain, and a warning otherwise.
    #[test]
    fn agents_that_take_no_work() {
        let agent = agent("http://127.0.0.1:8080", None);
        let state = |state, beside: Option<State>| {
            let status = AgentStatus { state, in_flight: Some(2), gauges: Default::default(), detail: None };
            let answer = AgentAnswer::Status { status, waited: false };
            let beside = beside.map(|state| Beside { state, has_drained: false });
            judge((&agent.name, http(&agent)), answer, beside, &HINTS)
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

    /// An agent with `on_exit = "drained"` has exited at the end of a healthy drain.
    #[test]
    fn an_agent_that_has_exited() {
        let agent = agent("http://127.0.0.1:8080", None);
        let judge = |has_drained| {
            let why = "GET http://127.0.0.1:8080/drain: connection refused".to_owned();
            let beside = Some(Beside { state: State::Completing, has_drained });
            let answer = AgentAnswer::Unreachable { why, gone: true };
            judge((&agent.name, http(&agent)), answer, beside, &HINTS).state
        };
        assert_eq!((judge(true), judge(false)), (PartState::Ok, PartState::Failed));
    }
}
