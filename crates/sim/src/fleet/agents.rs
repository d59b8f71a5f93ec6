//! What agents answer, and how.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{AgentMode, LifecycleState};
use formats::agent;
use machine::effect::{AgentRequest, DrainOrder, EffectId};
use machine::event::{AgentAnswer, AgentState, AgentStatus};
use machine::settings::AgentSettings;
use machine::{Event, Time};

use super::plan::{DRAIN_TIMEOUT, GRACE};
use super::{Fleet, Step, network};

/// The time limit of requests, as in `src/daemon/perform.rs`.
pub(super) const AGENT_LIMIT: Duration = Duration::from_secs(10);
const STATUS_LIMIT: Duration = Duration::from_secs(30);

/// How long an agent holds a status request, given `Prefer: wait=20`.
const STATUS_HELD: Duration = Duration::from_secs(20);

/// A mute agent holds it until just before the daemon's limit.
const STATUS_HELD_LONG: Duration = Duration::from_secs(29);

/// The share of blocking agents' answers, and of processes' exits, that come early, with work in flight.
const EARLY: f64 = 0.3;

/// A process that drains runs until the daemon stops it.
const RUNS_MAX: Duration = Duration::from_secs(48 * 3600);

/// The share of crashed agents that are restarted.
pub(super) const COMES_BACK: f64 = 0.9;

/// How the agents of a run answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Manner {
    pub request: Request,
    /// Their documents have meaningless optional fields.
    pub odd: bool,
}

/// How they answer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Request {
    /// With documents. They hold a status request until something changes.
    #[default]
    Documents,
    /// They accept a drain request without a document. They hold a status request for long, or not at all.
    Mute { holds: bool },
    /// They answer a drain request once they have drained. Some answer early.
    Blocks,
    /// They are drained by a process that exits with 0 once they have drained. Some exit early, with another status.
    Runs,
    /// They are units. A signal tells a process to drain, and it exits once it has drained.
    Signaled,
    /// They say only how much is in flight, and have drained once that has been 0 for a while. They are told by a request, or by
    /// a process that exits with 0 once they are told.
    Counts { runs: bool },
}

/// An instance's agent other than the world's. Its state follows from the time alone.
#[derive(Debug)]
pub(super) struct Other {
    /// How long its drain takes.
    pub(super) work: Duration,
    /// When it will have drained, or when it did. `None` while it serves.
    pub(super) drained: Option<Time>,
    /// When its process is back.
    pub(super) down_until: Option<Time>,
    /// The number of its process, or of its last one, if it is a unit.
    pub(super) process: u32,
}

impl Other {
    pub fn new(work: Duration) -> Self {
        Other { work, drained: None, down_until: None, process: 1 }
    }

    fn status(&self, now: Time) -> AgentStatus {
        let state = match self.drained {
            None => AgentState::Serving,
            Some(at) if at > now => AgentState::Draining,
            Some(_) => AgentState::Drained,
        };
        let in_flight = u64::from(state != AgentState::Drained);
        AgentStatus { state, in_flight: Some(in_flight), gauges: Default::default(), detail: None }
    }

    fn ask(&mut self, now: Time, request: &AgentRequest) -> AgentAnswer {
        if self.down_until.is_some_and(|until| until > now) {
            return AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true };
        }
        match request {
            AgentRequest::Drain(_) => {
                self.drained.get_or_insert(now + self.work);
                AgentAnswer::Accepted(Some(self.status(now)))
            }
            AgentRequest::Status | AgentRequest::Watch(_) => {
                let status = self.status(now);
                AgentAnswer::Status { waited: status.state != AgentState::Serving, status }
            }
            AgentRequest::Tell(_) => AgentAnswer::Busy("it is no unit".to_owned()),
            AgentRequest::Return => {
                self.drained = None;
                AgentAnswer::Returned
            }
        }
    }
}

/// A request that an agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    life: u32,
    id: EffectId,
    agent: usize,
    blocks: bool,
}

impl Fleet {
    pub(super) fn ask_agent(
        &mut self,
        host: usize,
        id: EffectId,
        agent: usize,
        request: &AgentRequest,
    ) -> Option<(Duration, Event)> {
        let answered = |answer| Event::AgentAnswered { id, answer };
        // The daemon ignores the answer to an earlier request.
        self.hosts[host].held.retain(|held| held.agent != agent);
        if self.manner.request == Request::Signaled {
            return self.ask_unit(host, id, agent, request);
        }
        if self.now < self.hosts[host].agent_hangs_until {
            let limit = if *request == AgentRequest::Status { STATUS_LIMIT } else { AGENT_LIMIT };
            return Some((limit, answered(AgentAnswer::Busy("no answer in time".to_owned()))));
        }
        let mut answer = self.answer_of(host, agent, request)?;
        if let (AgentRequest::Drain(_), Some(drained)) =
            (request, self.other(host, agent).and_then(|other| other.drained))
        {
            self.judge.busy(host, drained.max(self.now));
        }
        let manner = self.manner.request;
        if let Request::Counts { runs } = manner {
            let answer = self.counted(answer, request, runs);
            return Some((self.delay(1, 5), answered(answer)));
        }
        match &mut answer {
            AgentAnswer::Accepted(Some(status)) if manner == Request::Blocks => {
                if status.state == AgentState::Drained {
                    answer = AgentAnswer::Accepted(None);
                } else if self.rng.f64() >= EARLY {
                    self.hold(host, id, agent, request);
                    return None;
                }
            }
            AgentAnswer::Accepted(Some(status)) if manner == Request::Runs => {
                if status.state == AgentState::Drained {
                    answer = AgentAnswer::Accepted(None);
                } else if self.rng.f64() >= EARLY {
                    self.hold(host, id, agent, request);
                    return None;
                } else if self.rng.bool() {
                    answer = AgentAnswer::Busy("exited with status 75".to_owned());
                } else {
                    answer = exited_with_1();
                }
            }
            AgentAnswer::Unreachable { .. } if manner == Request::Runs => answer = exited_with_1(),
            AgentAnswer::Accepted(status) if matches!(manner, Request::Mute { .. }) => *status = None,
            AgentAnswer::Status { waited, .. } if manner == (Request::Mute { holds: false }) => {
                *waited = false
            }
            AgentAnswer::Status { status, .. } => {
                if self.strikes(Fault::AgentLie) {
                    let lies = if status.state == AgentState::Drained {
                        (AgentState::Draining, 1)
                    } else {
                        (status.state, 0)
                    };
                    (status.state, status.in_flight) = (lies.0, Some(lies.1));
                } else if status.state == AgentState::Draining {
                    self.hold(host, id, agent, request);
                    return None;
                }
            }
            _ => {}
        }
        let answer = self.as_written(answer);
        Some((self.delay(1, 5), answered(answer)))
    }

    /// The answer as its document would be read, if the agents' documents are odd.
    fn as_written(&mut self, answer: AgentAnswer) -> AgentAnswer {
        if !self.manner.odd {
            return answer;
        }
        let draw = self.rng.u8(..);
        let reread = |status: AgentStatus| {
            agent::read(odd_document(&status, draw).as_bytes()).map(|document| document.status)
        };
        match answer {
            AgentAnswer::Accepted(Some(status)) => match reread(status) {
                Ok(status) => AgentAnswer::Accepted(Some(status)),
                Err(why) => AgentAnswer::Malformed(why),
            },
            AgentAnswer::Status { status, waited } => match reread(status) {
                Ok(status) => AgentAnswer::Status { status, waited },
                Err(why) => AgentAnswer::Malformed(why),
            },
            other => other,
        }
    }

    fn other(&self, host: usize, agent: usize) -> Option<&Other> {
        self.hosts[host].others.get(agent.checked_sub(1)?)
    }

    fn answer_of(&mut self, host: usize, agent: usize, request: &AgentRequest) -> Option<AgentAnswer> {
        if self.manner.request == Request::Signaled {
            return Some(self.answer_of_unit(host, agent, request));
        }
        let now = self.now;
        if let Some(other) = agent.checked_sub(1).and_then(|place| self.hosts[host].others.get_mut(place)) {
            return Some(other.ask(now, request));
        }
        let answer = network::ask_agent(&mut self.world, now, &self.hosts[host].id, request);
        self.digest(Some(host));
        answer
    }

    pub(super) fn hold(&mut self, host: usize, id: EffectId, agent: usize, request: &AgentRequest) {
        let life = self.hosts[host].life;
        let blocks = matches!(request, AgentRequest::Drain(_));
        let longest = match (request, self.manner.request) {
            (AgentRequest::Drain(_), Request::Runs) => self.now + RUNS_MAX,
            // The daemon's own limit.
            (AgentRequest::Drain(DrainOrder { deadline, .. }), _) => self.hosts[host].when(*deadline),
            (_, Request::Mute { .. }) => self.now + STATUS_HELD_LONG,
            (
                _,
                Request::Documents
                | Request::Blocks
                | Request::Runs
                | Request::Signaled
                | Request::Counts { .. },
            ) => self.now + STATUS_HELD,
        };
        self.hosts[host].held.push(Held { life, id, agent, blocks });
        let news = self.other(host, agent).and_then(|other| other.drained);
        let at = longest.min(news.unwrap_or(longest)).max(self.now);
        self.at(at, Step::HeldOver { host, life, id });
    }

    /// Cancels a request to an agent. The agent may have received it. Its answer is dropped.
    pub(super) fn cancel(&mut self, host: usize, id: EffectId) {
        let host = &mut self.hosts[host];
        host.canceled.push(id);
        host.held.retain(|held| held.id != id);
    }

    /// The agent has held a request for the maximum time.
    pub(super) fn held_over(&mut self, host: usize, life: u32, id: EffectId) {
        let found = self.hosts[host].held.iter().position(|held| held.life == life && held.id == id);
        if let Some(place) = found {
            let held = self.hosts[host].held.swap_remove(place);
            self.release_one(host, held);
        }
    }

    /// An agent answers the request that it holds, because it has drained. If its process has ended, the connection breaks.
    pub(super) fn release_held(&mut self, host: usize, agent: usize) {
        if let Some(place) = self.hosts[host].held.iter().position(|held| held.agent == agent) {
            let held = self.hosts[host].held.swap_remove(place);
            self.release_one(host, held);
        }
    }

    fn release_one(&mut self, host: usize, held: Held) {
        if self.hosts[host].life != held.life {
            return;
        }
        let answer = self.answer_of(host, held.agent, &AgentRequest::Status);
        let answer = match answer {
            Some(AgentAnswer::Unreachable { .. }) if held.blocks || held.agent > 0 => {
                AgentAnswer::Busy("the connection broke".to_owned())
            }
            None => AgentAnswer::Busy("the connection broke".to_owned()),
            Some(AgentAnswer::Status { status, .. }) if held.blocks => match status.state {
                AgentState::Drained => AgentAnswer::Accepted(None),
                AgentState::Draining | AgentState::Serving => {
                    AgentAnswer::Busy("no answer in time".to_owned())
                }
            },
            Some(AgentAnswer::Seen { sight, in_flight, .. }) => {
                AgentAnswer::Seen { sight, in_flight, waited: true }
            }
            Some(answer) => self.as_written(answer),
        };
        let delay = self.delay(1, 5);
        self.answer(host, delay, Event::AgentAnswered { id: held.id, answer });
    }

    /// One of the instance's agents crashes.
    pub(super) fn crash_agent(&mut self, host: usize) {
        let others = self.hosts[host].others.len();
        let place = if others == 0 { 0 } else { self.rng.usize(..=others) };
        if self.manner.request == Request::Signaled {
            return self.crash_unit(host, place);
        }
        if place > 0 {
            let pause = self.delay(1_000, 15_000);
            return self.crash_other(host, place - 1, pause);
        }
        self.exit_agent(host);
        // A mute agent stays away long enough for the daemon to notice, and returns before the grace period ends.
        let mute = matches!(self.manner.request, Request::Mute { .. });
        let pause = if mute { self.delay(8_000, 25_000) } else { self.delay(1_000, 15_000) };
        if self.rng.f64() < COMES_BACK {
            self.after(pause, Step::AgentStart { host });
        }
    }

    /// The instance boots. Every agent must be restarted.
    pub(super) fn crash_others(&mut self, host: usize, pause: Duration) {
        for place in 0..self.hosts[host].others.len() {
            self.crash_other(host, place, pause);
        }
    }

    pub(super) fn crash_other(&mut self, host: usize, place: usize, pause: Duration) {
        let back = self.now + pause;
        let other = &mut self.hosts[host].others[place];
        other.drained = None;
        other.down_until = Some(back);
        let work = other.work;
        // A number does not say that the process is a new one, which must be told to drain. It may work until its deadline.
        let counts = matches!(self.manner.request, Request::Counts { .. });
        let idle = if counts { self.now + DRAIN_TIMEOUT } else { back + GRACE + work };
        self.judge.busy(host, idle);
        let held = self.hosts[host].held.iter().position(|held| held.agent == place + 1);
        if let Some(held) = held {
            let held = self.hosts[host].held.swap_remove(held);
            self.release_one(host, held);
        }
    }

    /// Checks that at the end either all agents of an instance serve or none does. In the warm pool, one that crashed after the
    /// drain serves again.
    pub(super) fn check_others(&mut self, host: usize) {
        let Some(view) = self.world.instance(&self.hosts[host].id) else { return };
        if view.state == LifecycleState::WarmedRunning {
            return;
        }
        let agent = view.agent;
        let serves = agent.state == crate::world::AgentState::Serving && agent.mode == AgentMode::Answers;
        let drains = self.hosts[host].others.iter().any(|other| other.drained.is_some());
        if serves && drains && !self.hosts[host].gone && self.hosts[host].may_complain() {
            let now = self.now;
            self.judge.complains(host, now, "ended with one agent that serves and another that does not");
        }
    }
}

pub(super) fn exited_with_1() -> AgentAnswer {
    AgentAnswer::Unreachable { why: "exited with status 1".to_owned(), gone: false }
}

/// A document with the state of `status` and meaningless optional fields.
fn odd_document(status: &AgentStatus, draw: u8) -> String {
    let state = match status.state {
        AgentState::Serving => "serving",
        AgentState::Draining => "draining",
        AgentState::Drained => "drained",
    };
    let odd = match draw % 8 {
        0 => r#""gauges":{"average_seconds":null}"#,
        1 => r#""gauges":[]"#,
        2 => r#""gauges":{"version":"1.2"}"#,
        3 => r#""detail":17"#,
        4 => r#""detail":null,"gauges":null"#,
        5 => r#""in_flight":"unknown""#,
        6 => r#""in_flight":-1"#,
        _ => r#""in_flight":null,"detail":{"a":1}"#,
    };
    format!(r#"{{"state":"{state}",{odd}}}"#)
}

/// Draws the order of agents, and times that are as long together as that of one agent.
pub(super) fn in_turn(agents: &mut [AgentSettings], rng: &mut fastrand::Rng) {
    let longest = DRAIN_TIMEOUT / u32::try_from(agents.len()).unwrap_or(u32::MAX);
    for agent in agents {
        agent.order = rng.u8(1..=3);
        agent.drain_timeout = longest.mul_f64(0.5 + rng.f64() / 2.0);
    }
}

/// The settings of the agents after the first.
pub(super) fn more_agents(first: &AgentSettings, rng: &mut fastrand::Rng) -> Vec<AgentSettings> {
    let count = rng.usize(1..=2);
    let more = |number| AgentSettings {
        name: format!("agent-{number}"),
        drain_timeout: Duration::from_secs(rng.u64(300..=900)),
        ..first.clone()
    };
    (2..2 + count).map(more).collect()
}
