//! What is on this machine: the configuration, the journal, the daemon, the agents.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;

use super::part::{Part, State};
use crate::agent::http::Agent;
use crate::cli::status::headline;
use crate::config::Method;
use crate::config::{self, Config, Loaded, Origin};
use crate::daemon::client::{self, AskError};
use crate::daemon::journal::{self, JournalFile};
use crate::daemon::settings;
use machine::event::{AgentAnswer, AgentState};
use machine::journal::Journal;

/// How long a disk may take.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// A journal is a few kilobytes, and the new one is written beside the old.
const PROBE_LEN: usize = 64 * 1024;

/// Below this a disk is as good as full.
const SPACE_MIN: u64 = 10 * 1024 * 1024;

/// How long an agent may take to say how it stands.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

/// The configuration is valid: an invalid one ends the command.
pub fn configuration(loaded: &Loaded) -> Part {
    let mut file = None;
    let mut others = 0;
    for setting in &loaded.origins {
        match &setting.origin {
            Origin::Default => {}
            Origin::File(path, _) => file = Some(path),
            Origin::Variable(_) | Origin::Flag(_) => others += 1,
        }
    }
    let file = file.map_or_else(|| "nothing from a file".to_owned(), |path| path.display().to_string());
    let found = format!("{file}, {others} from the environment; drainhook config shows all");
    loaded.warnings().into_iter().fold(Part::ok("configuration", found), Part::warning)
}

/// The journal's folder: whether it can be written, and whose journal is in it.
pub async fn journal(config: &Config, instance_id: &str) -> Part {
    let folder = config.journal.dir.clone();
    let path = folder.display().to_string();
    // A disk that hangs holds up a thread of its own, not the other checks.
    let looking = tokio::task::spawn_blocking(move || (probe(&folder), JournalFile::peek(&folder)));
    let (part, found) = match tokio::time::timeout(DISK_LIMIT, looking).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(panic)) => return Part::ok("journal", path).failed(panic.to_string()),
        Err(_) => {
            return Part::ok("journal", format!("{path}: no answer within {DISK_LIMIT:?}"))
                .failed("the disk hangs: a restart in mid-drain would start the drain anew");
        }
    };
    match found {
        Ok(Some(journal)) => whose(part, &journal, instance_id),
        Ok(None) => part,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            part.warning(format!("the journal in it cannot be used and will be set aside: {error}"))
        }
        // A folder that cannot be written has said enough.
        Err(_) if part.state == State::Failed => part,
        Err(error) => part.failed(format!("the journal in it cannot be read: {error}; {AS_WHOM}")),
    }
}

fn whose(part: Part, journal: &Journal, instance_id: &str) -> Part {
    if !instance_id.is_empty() && journal.instance_id != instance_id {
        return part.warning(format!(
            "the journal in it is of another instance, {}, and will be ignored: was it left in an image?",
            journal.instance_id
        ));
    }
    match &journal.drain {
        Some(drain) if drain.phase.ended().is_none() => {
            let found = format!("{}; a drain is under way since {}", part.found, drain.started);
            Part { found, ..part }
        }
        Some(_) | None => part,
    }
}

fn probe(folder: &Path) -> Part {
    let name = folder.display();
    if let Some(above) = missing(folder) {
        let part = Part::ok("journal", format!("{name} is not there yet: the daemon makes it"));
        return match rustix::fs::access(&above, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => part,
            Err(error) => part.warning(format!(
                "{}: {error}; create it before the daemon starts, as systemd does (StateDirectory)",
                above.display()
            )),
        };
    }
    if let Err(refused) = journal::examine(folder) {
        return Part::ok("journal", format!("{name} is not used")).failed(format!(
            "without a journal a restart in mid-drain starts the drain anew: {refused}; {AS_WHOM}"
        ));
    }
    match write(folder) {
        Ok(free) if free < SPACE_MIN => Part::ok("journal", format!("{name} is writable"))
            .warning(format!("only {} KiB are free: make room, or set journal.dir", free / 1024)),
        Ok(_) => Part::ok("journal", format!("{name} is writable")),
        Err(error) => Part::ok("journal", format!("writing to {name}: {error}")).failed(format!(
            "without a journal a restart in mid-drain starts the drain anew; set journal.dir, or {AS_WHOM}"
        )),
    }
}

const AS_WHOM: &str = "if the daemon runs as another user, run this as that user";

/// The nearest folder above that exists, where this one does not.
fn missing(folder: &Path) -> Option<PathBuf> {
    if folder.symlink_metadata().is_ok() {
        return None;
    }
    folder.ancestors().find(|above| above.exists()).map(Path::to_owned)
}

/// Writes as much as a journal, takes it away again, and says how much space is left.
fn write(folder: &Path) -> io::Result<u64> {
    let mut file = tempfile::Builder::new().prefix(".check-").tempfile_in(folder)?;
    file.write_all(&[b' '; PROBE_LEN])?;
    file.as_file().sync_all()?;
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// The daemon, by its control socket.
pub async fn daemon(config: &Config) -> Part {
    match client::status(&config.control.socket).await {
        Ok(status) => {
            let part = Part::ok("daemon", format!("running: {}", headline(&status)));
            match status.last_error {
                Some(error) => part.warning(format!("its last error, at {}: {}", error.at, error.what)),
                None => part,
            }
        }
        Err(error @ AskError::Denied(_)) => {
            Part::skipped("daemon", "it cannot be asked").warning(error.to_string())
        }
        // No drain would happen.
        Err(error @ (AskError::NoSocket(_) | AskError::NotListening(_))) => {
            Part::ok("daemon", "not running").failed(error.to_string())
        }
        Err(AskError::Refused(why)) => Part::ok("daemon", "running, but not ready").failed(why),
        Err(error @ (AskError::Broken(..) | AskError::Malformed(..))) => {
            Part::ok("daemon", "no status").failed(error.to_string())
        }
    }
}

/// Each agent: what it says of itself. It is never told anything.
pub async fn agents(config: &Config) -> Vec<Part> {
    let mut looks = tokio::task::JoinSet::new();
    for (place, agent) in config.agents.iter().cloned().enumerate() {
        looks.spawn(async move { (place, look_at(agent).await) });
    }
    let mut parts = looks.join_all().await;
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

async fn look_at(agent: config::Agent) -> Part {
    let name = agent.name.clone();
    if agent.drain_blocks {
        return Part::skipped(
            "agent",
            format!("{name}: drain_blocks is set, so it has no status to ask for"),
        );
    }
    if agent.method == Method::Get && agent.status_path == agent.drain_path {
        return Part::skipped("agent", format!("{name}: not asked, since GET would drain it"));
    }
    let client = match Agent::new(settings::endpoint(&agent)) {
        Ok(client) => client,
        Err(error) => return Part::ok("agent", name).failed(error.to_string()),
    };
    let part = judge(&name, client.look(AGENT_LIMIT).await);
    match client.ignored() {
        Some(what) => part.warning(format!("ignored {what}: docs/agent-protocol.md says what is expected")),
        None => part,
    }
}

fn judge(name: &str, answer: AgentAnswer) -> Part {
    match answer {
        AgentAnswer::Status { status, .. } => {
            let (word, idle) = match status.state {
                AgentState::Serving => ("serving", false),
                AgentState::Draining => ("draining", true),
                AgentState::Drained => ("drained", true),
            };
            let work = status.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
            let part = Part::ok("agent", format!("{name}: {word}{work}"));
            if idle {
                part.warning("it takes no work, as it should in a drain; otherwise DELETE at agent.drain_path returns it to service")
            } else {
                part
            }
        }
        AgentAnswer::Unreachable { why, gone: true } => Part::ok("agent", why)
            .failed("start the agent, or set agent.url or agent.unix to where it listens"),
        AgentAnswer::Unreachable { why, gone: false } => {
            Part::ok("agent", why).failed("no connection can be made to the agent")
        }
        AgentAnswer::Unsupported(why) => Part::ok("agent", why).failed(
            "it has no drain there: docs/agent-protocol.md says what is asked of it, agent.drain_path and \
             agent.status_path where",
        ),
        AgentAnswer::Busy(why) => {
            Part::ok("agent", why).failed("the agent accepts connections, but does not say how it stands")
        }
        AgentAnswer::Malformed(why) => {
            Part::ok("agent", why).failed("docs/agent-protocol.md says what is expected")
        }
        AgentAnswer::CannotDrain(why) => Part::ok("agent", why).failed("it says that it cannot drain"),
        AgentAnswer::Accepted(_) | AgentAnswer::Returned => Part::ok("agent", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(probe(folder.path()).state, State::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0, "nothing is left");
        let absent = folder.path().join("a/b");
        assert_eq!(probe(&absent).state, State::Ok);
        assert!(!absent.exists(), "the daemon makes it, not this");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert_eq!(probe(&file).state, State::Failed);
    }
}
