//! Reads the status of an agent elsewhere than in the agent's own status document. What cannot be read is never 0.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::command::Counter;
use super::{STATUS_LIMIT, http, processes};
use formats::probe;
use machine::effect::AgentRequest;
use machine::event::{AgentAnswer, AgentState, AgentStatus};

/// Time limit for one reading, in real time.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The longest JSON document that is read, in bytes. It takes ten times its length in memory.
const DOCUMENT_MAX: usize = 1024 * 1024;

/// The longest page of metrics that is read, in bytes.
const METRICS_MAX: usize = 4 * 1024 * 1024;

/// Where the system lists its processes.
const PROC: &str = "/proc";

/// Where the status of an agent is read.
#[derive(Debug)]
pub enum Probe {
    /// Its document is elsewhere.
    Document(Box<http::Agent>),
    /// A page has the number in flight.
    Page {
        /// The client of the page, at its status path.
        client: Box<http::Agent>,
        /// How the page has the number.
        format: Format,
        /// Whether the agent itself serves it. Only then does a refused connection say something about the agent.
        is_agent: bool,
    },
    /// So many processes with this name are in flight.
    Processes(String),
    /// A command prints the number in flight.
    Command(Counter),
}

/// How a page has a number.
#[derive(Debug)]
pub enum Format {
    /// In a JSON document.
    Json {
        /// Where, as in RFC 6901.
        pointer: String,
    },
    /// As series of a metric, in Prometheus's text format.
    Prometheus {
        /// The metric's name.
        name: String,
        /// The labels of the series that are added up.
        labels: BTreeMap<String, String>,
    },
}

impl Probe {
    /// Reads the status of an agent that was told to drain. It never fails. `instance_id` is empty outside an instance.
    pub async fn ask(&self, instance_id: &str) -> AgentAnswer {
        match self {
            Probe::Document(client) => {
                of_another(client.ask(&AgentRequest::Status, instance_id, STATUS_LIMIT).await)
            }
            Probe::Page { .. } | Probe::Processes(_) | Probe::Command(_) => {
                self.look(instance_id, LIMIT).await
            }
        }
    }

    /// Reads the status at once, for `drainhook check`.
    pub async fn look(&self, instance_id: &str, limit: Duration) -> AgentAnswer {
        let number = match self {
            Probe::Document(client) => return of_another(client.look(instance_id, limit).await),
            Probe::Page { client, format, is_agent } => match format.read(client, instance_id, limit).await {
                Err(answer) if !is_agent => Err(of_another(answer)),
                number => number,
            },
            Probe::Processes(name) => count_processes(name, limit).await.map_err(AgentAnswer::Busy),
            Probe::Command(counter) => counter.count(instance_id, limit).await.map_err(AgentAnswer::Busy),
        };
        match number {
            Ok(number) => AgentAnswer::Status { status: draining(number), waited: false },
            Err(answer) => answer,
        }
    }
}

impl Format {
    async fn read(
        &self,
        client: &http::Agent,
        instance_id: &str,
        limit: Duration,
    ) -> Result<u64, AgentAnswer> {
        let (accept, max) = match self {
            Format::Json { .. } => ("application/json", DOCUMENT_MAX),
            Format::Prometheus { .. } => {
                ("text/plain;version=0.0.4, text/plain;q=0.5, */*;q=0.1", METRICS_MAX)
            }
        };
        let page = client.page((accept, max), instance_id, limit).await?;
        let number = match self {
            Format::Json { pointer } => probe::at_pointer(&page.body, pointer),
            Format::Prometheus { name, labels } => probe::metric(&page.body, name, labels),
        };
        number.map_err(|why| AgentAnswer::Malformed(format!("{page}, which {why}")))
    }
}

/// Counts processes. Reading thousands of them takes too long for the daemon's one thread.
async fn count_processes(name: &str, limit: Duration) -> Result<u64, String> {
    let name = name.to_owned();
    let counting = tokio::task::spawn_blocking(move || processes::count(Path::new(PROC), &name));
    match tokio::time::timeout(limit, counting).await {
        Ok(Ok(count)) => count,
        Ok(Err(error)) => Err(format!("cannot count processes: {error}")),
        Err(_) => Err(format!("cannot count processes within {limit:?}")),
    }
}

/// The status of an agent that says only how much is in flight. It was told to drain before it was asked.
fn draining(in_flight: u64) -> AgentStatus {
    AgentStatus {
        state: AgentState::Draining,
        in_flight: Some(in_flight),
        gauges: BTreeMap::new(),
        detail: None,
    }
}

/// An answer of a server that is not the agent. That it cannot be reached says nothing about the agent.
fn of_another(answer: AgentAnswer) -> AgentAnswer {
    match answer {
        AgentAnswer::Unreachable { why, gone: _ }
        | AgentAnswer::Unsupported(why)
        | AgentAnswer::CannotDrain(why) => AgentAnswer::Busy(why),
        AgentAnswer::Accepted(_)
        | AgentAnswer::Status { .. }
        | AgentAnswer::Seen { .. }
        | AgentAnswer::Returned
        | AgentAnswer::Busy(_)
        | AgentAnswer::Malformed(_) => answer,
    }
}
