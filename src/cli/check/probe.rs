//! Reads the status of an agent once, where the configuration says, and looks at the sandbox that reading processes needs.

use super::agent::Beside;
use super::command::written;
use super::part::{Part, State};
use crate::agent::probe::LIMIT;
use crate::agent::systemctl;
use crate::config::{self, Probe, Reading};
use crate::daemon::settings;
use machine::event::{AgentAnswer, AgentState};

/// The unit of the daemon, as packages install it.
const UNIT: &str = "drainhook.service";

/// A row for an agent whose status is read by this probe.
pub async fn row(agent: &config::Agent, probe: &Probe, instance_id: &str, beside: Option<Beside>) -> Part {
    let name = &agent.name;
    let reader = match settings::probe(agent) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Part::skipped("agent", format!("{name}: it has no status")),
        Err(error) => return Part::ok("agent", name).failed(error.to_string()),
    };
    let answer = reader.look(instance_id, LIMIT).await;
    let part = match answer {
        AgentAnswer::Status { status, .. } => {
            let number = status.in_flight.map_or_else(String::new, |count| format!("{count} in flight, "));
            let state = match (probe, status.state) {
                // A number says nothing about the state.
                (Probe::Number { .. }, _) | (_, AgentState::Serving) => "",
                (Probe::Document(_), AgentState::Draining) => "draining, ",
                (Probe::Document(_), AgentState::Drained) => "drained, ",
            };
            Part::ok("agent", format!("{name}: {state}{number}by {}", source(agent, probe)))
        }
        AgentAnswer::Unreachable { why, gone: true } if beside.is_some_and(|beside| beside.has_drained) => {
            Part::ok("agent", format!("{name}: {why}; it has drained"))
        }
        AgentAnswer::Unreachable { why, .. }
        | AgentAnswer::Unsupported(why)
        | AgentAnswer::CannotDrain(why)
        | AgentAnswer::Busy(why)
        | AgentAnswer::Malformed(why) => Part::ok("agent", format!("{name}: {why}")).failed(format!(
            "the daemon cannot read the work in flight, so it would wait until the deadline; correct {}",
            keys(probe)
        )),
        AgentAnswer::Accepted(_) | AgentAnswer::Seen { .. } | AgentAnswer::Returned => {
            Part::ok("agent", name)
        }
    };
    match probe {
        Probe::Number { reading: Reading::Processes(_), .. } if hides_processes().await => part.failed(format!(
            "the sandbox hides other users' processes from the daemon; run sudo systemctl edit {UNIT}, add [Service] and \
             ProtectProc=default, and restart it"
        )),
        Probe::Number { .. } | Probe::Document(_) => part,
    }
}

/// Adds the number in flight to the row of an agent that has no status itself, if there is a probe.
pub async fn beside(part: Part, agent: &config::Agent, instance_id: &str) -> Part {
    let Some(probe) = agent.probe.as_ref().filter(|_| part.state != State::Failed) else { return part };
    let read = row(agent, probe, instance_id, None).await;
    let of_probe = read.found.strip_prefix(&format!("{}: ", agent.name)).unwrap_or(&read.found);
    let found = format!("{}; {of_probe}", part.found);
    let (state, advice) = (part.state.max(read.state), [part.advice, read.advice].concat());
    Part { state, found, advice, ..read }
}

/// Where the status comes from.
fn source(agent: &config::Agent, probe: &Probe) -> String {
    let page = |url: &Option<String>| match (url, &agent.kind) {
        (Some(url), _) => url.clone(),
        (None, config::AgentKind::Http(http)) => {
            format!("{} of {}", http.status_path, http.address)
        }
        (None, config::AgentKind::Command(_) | config::AgentKind::Unit(_)) => String::new(),
    };
    match probe {
        Probe::Document(url) => url.clone(),
        Probe::Number { reading, .. } => match reading {
            Reading::Pointer { url, pointer } => format!("{pointer} in {}", page(url)),
            Reading::Metric { url, name, .. } => format!("{name} in {}", page(url)),
            Reading::Processes(name) => format!("processes called {name}"),
            Reading::Command(command) => written(command),
        },
    }
}

/// The keys that say where the status is.
fn keys(probe: &Probe) -> String {
    match probe {
        Probe::Document(_) => "agent.status.url".to_owned(),
        Probe::Number { reading: reading @ (Reading::Processes(_) | Reading::Command(_)), .. } => {
            format!("agent.{}", reading.key())
        }
        Probe::Number { reading, .. } if reading.is_at_agent() => {
            format!("agent.status.path and agent.{}", reading.key())
        }
        Probe::Number { reading, .. } => format!("agent.status.url and agent.{}", reading.key()),
    }
}

/// Whether the installed unit hides processes. `false` if there is no systemd.
async fn hides_processes() -> bool {
    let properties = ["show", "--property=LoadState,ProtectProc", "--", UNIT];
    systemctl::call(&properties, LIMIT).await.is_ok_and(|shown| hides(&shown))
}

/// Whether a unit with these properties hides processes. One that is not installed hides none.
fn hides(shown: &str) -> bool {
    let has = |line: &str| shown.lines().any(|shown| shown == line);
    has("LoadState=loaded") && !has("ProtectProc=default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_that_hides_processes() {
        assert!(hides("LoadState=loaded\nProtectProc=invisible\n"));
        assert!(!hides("LoadState=loaded\nProtectProc=default\n"), "a drop-in shows them");
        assert!(!hides("LoadState=not-found\nProtectProc=default\n"));
        assert!(!hides("LoadState=not-found\nProtectProc=invisible\n"));
    }
}
