//! The agent of an instance: the process that does the work and must not be cut off.

use std::time::Duration;

use serde_json::{Value, json};

use machine::Time;

use super::{Happening, Wake, World};

const REASONS: [&str; 11] = [
    "autoscaling_termination",
    "warm_pool",
    "root_volume_replacement",
    "spot_interruption",
    "capacity_interruption",
    "capacity_block_end",
    "rebalance_recommendation",
    "scheduled_maintenance",
    "standby",
    "detachment",
    "operator",
];

/// The work of an agent. In service it always holds `items` items. They start at even intervals, and each takes `duration`.
/// A drain therefore finishes one item after another, and the last one after `duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// How many items it holds at a time.
    pub items: u32,
    /// How long each takes.
    pub duration: Duration,
    /// How many of them never finish.
    pub stuck: u32,
}

impl Default for Work {
    fn default() -> Self {
        Work { items: 3, duration: Duration::from_secs(60), stuck: 0 }
    }
}

impl Work {
    fn interval(&self) -> Duration {
        self.duration / self.items.max(1)
    }
}

/// Agents in service that have work at times: all their items for `busy`, then none for `idle`, and so on. Each instance is at
/// another point of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// How long there is work.
    pub busy: Duration,
    /// How long there is none.
    pub idle: Duration,
}

impl Rhythm {
    /// There is never any work.
    const IDLE: Rhythm = Rhythm { busy: Duration::ZERO, idle: Duration::from_secs(1) };

    fn period_ms(self) -> u64 {
        ((self.busy + self.idle).as_millis() as u64).max(1)
    }

    /// Where in a period an instance is.
    fn place_ms(self, ordinal: u64, now: Time) -> u64 {
        // Fibonacci hashing spreads the instances evenly.
        let fraction = ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let phase = (fraction * self.period_ms()) >> 32;
        now.unix_ms().wrapping_add(phase) % self.period_ms()
    }

    fn is_busy(self, ordinal: u64, now: Time) -> bool {
        u128::from(self.place_ms(ordinal, now)) < self.busy.as_millis()
    }

    /// For how many milliseconds there was work between two times.
    fn worked_ms(self, ordinal: u64, from: Time, to: Time) -> u64 {
        let busy_ms = self.busy.as_millis() as u64;
        let start = self.place_ms(ordinal, from);
        let until = |place: u64| place / self.period_ms() * busy_ms + (place % self.period_ms()).min(busy_ms);
        until(start + to.since(from).as_millis() as u64) - until(start)
    }
}

/// `state` in the agent's status document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// Takes work.
    Serving,
    /// Takes no work and still holds some.
    Draining,
    /// Takes no work and holds none.
    Drained,
}

impl AgentState {
    /// As the agent protocol spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentState::Serving => "serving",
            AgentState::Draining => "draining",
            AgentState::Drained => "drained",
        }
    }
}

/// Whether the agent answers. Its work goes on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentMode {
    /// It answers.
    Answers,
    /// Answers every request with this status.
    Fails(u16),
    /// Refuses connections.
    Refuses,
    /// Never answers.
    Hangs,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) work: Work,
    /// When it has work while it serves, and the place of its instance in the order of launch. `None`: always.
    pub(super) rhythm: Option<(Rhythm, u64)>,
    /// The number of its process, or of its last one.
    pub(super) process: u32,
    pub(super) mode: AgentMode,
    pub(super) state: AgentState,
    pub(super) serving_since: Time,
    pub(super) finished: u64,
    pub(super) in_flight: u32,
    pub(super) lost: u32,
    /// The number of the drain. Steps that an earlier drain scheduled are ignored.
    pub(super) drain: u32,
    pub(super) deadline: Option<Time>,
    pub(super) reason: Option<String>,
}

/// What an observer sees of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// The number of its process, or of its last one. Each start adds one.
    pub process: u32,
    /// Its state.
    pub state: AgentState,
    /// Whether the agent answers.
    pub mode: AgentMode,
    /// The items that it holds.
    pub in_flight: u32,
    /// The items that it has finished.
    pub finished: u64,
    /// The items that were lost with its processes.
    pub lost: u32,
    /// `reason` of the drain under way.
    pub reason: Option<String>,
    /// `deadline` of the drain under way.
    pub deadline: Option<Time>,
}

/// An answer of the agent protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

impl Agent {
    pub(super) fn serving(work: Work, now: Time) -> Self {
        Agent {
            process: 1,
            mode: AgentMode::Answers,
            state: AgentState::Serving,
            serving_since: now,
            finished: 0,
            in_flight: work.items,
            lost: 0,
            drain: 0,
            deadline: None,
            reason: None,
            rhythm: None,
            work,
        }
    }

    /// The instance is gone, and the agent's items with it.
    pub(super) fn killed(&mut self, now: Time) -> u32 {
        let lost = self.items(now);
        self.finished = self.finished_by(now);
        self.serving_since = now;
        self.mode = AgentMode::Refuses;
        self.in_flight = 0;
        self.lost += lost;
        lost
    }

    pub(super) fn view(&self, now: Time) -> AgentView {
        AgentView {
            process: self.process,
            state: self.state,
            mode: self.mode,
            in_flight: self.items(now),
            finished: self.finished_by(now),
            lost: self.lost,
            reason: self.reason.clone(),
            deadline: self.deadline,
        }
    }

    /// The items that it holds.
    pub(super) fn items(&self, now: Time) -> u32 {
        let rests = self.rhythm.is_some_and(|(rhythm, ordinal)| !rhythm.is_busy(ordinal, now));
        if self.state == AgentState::Serving && rests { 0 } else { self.in_flight }
    }

    /// While the agent serves, its work follows from the time alone. An idle world therefore has nothing to do.
    pub(super) fn finished_by(&self, now: Time) -> u64 {
        let moving = self.work.items.saturating_sub(self.work.stuck);
        if self.state != AgentState::Serving || self.work.duration.is_zero() || self.in_flight == 0 {
            return self.finished;
        }
        let since = self.serving_since;
        let served_ms = match self.rhythm {
            Some((rhythm, ordinal)) => rhythm.worked_ms(ordinal, since, now),
            None => now.since(since).as_millis() as u64,
        };
        self.finished + served_ms * u64::from(moving) / (self.work.duration.as_millis() as u64).max(1)
    }

    fn status(&self, now: Time) -> Value {
        json!({
            "state": self.state.as_str(),
            "in_flight": self.items(now),
            "gauges": { "items_finished": self.finished_by(now) },
        })
    }
}

impl World {
    /// `POST /drain`. Strict, so that a daemon's malformed requests are noticed.
    pub fn agent_post(&mut self, now: Time, instance: &str, body: &[u8]) -> AgentAnswer {
        self.advance(now);
        let (reason, deadline) = match read_order(instance, body) {
            Ok(order) => order,
            Err(why) => return AgentAnswer { status: 400, body: json!({ "error": why }) },
        };
        let now = self.now;
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return unknown();
        };
        let begins = agent.state == AgentState::Serving;
        agent.finished = agent.finished_by(now);
        agent.reason = Some(reason.clone());
        agent.deadline = deadline;
        if begins {
            agent.in_flight = agent.items(now);
            agent.drain += 1;
            agent.state = AgentState::Draining;
        }
        let in_flight = agent.in_flight;
        self.log(Happening::AgentDrainRequested {
            instance: instance.to_owned(),
            reason,
            deadline,
            in_flight,
        });
        let before = self.agent_status(instance, 202);
        if begins {
            self.finish_next(instance);
        }
        // An agent that exits once it has drained answers first.
        if self.config.agent_exits { before } else { self.agent_status(instance, 202) }
    }

    /// `GET /drain`, without waiting.
    pub fn agent_get(&mut self, now: Time, instance: &str) -> AgentAnswer {
        self.advance(now);
        self.agent_status(instance, 200)
    }

    /// `DELETE /drain`: the agent returns to service and takes work again.
    pub fn agent_delete(&mut self, now: Time, instance: &str) -> AgentAnswer {
        self.advance(now);
        let now = self.now;
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return unknown();
        };
        if agent.state != AgentState::Serving {
            agent.state = AgentState::Serving;
            agent.serving_since = now;
            agent.in_flight = agent.work.items;
            agent.drain += 1;
            agent.reason = None;
            agent.deadline = None;
            self.log(Happening::AgentReturned { instance: instance.to_owned() });
        }
        self.agent_status(instance, 200)
    }

    /// Makes an agent misbehave, or restores it.
    pub fn set_agent_mode(&mut self, now: Time, instance: &str, mode: AgentMode) {
        self.advance(now);
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.agent.mode = mode;
        }
        self.version += 1;
        self.roster_version += 1;
    }

    /// From now on, agents in service have no work.
    pub fn rest_agents(&mut self, now: Time) {
        self.advance(now);
        self.config.rhythm = Some(Rhythm::IDLE);
        for instance in self.instances.values_mut() {
            let agent = &mut instance.agent;
            (agent.finished, agent.serving_since) = (agent.finished_by(now), now);
            agent.rhythm = Some((Rhythm::IDLE, instance.ordinal));
        }
        self.version += 1;
    }

    /// An item of the drain with that number is done.
    pub(super) fn work_done(&mut self, instance: &str, drain: u32) {
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return;
        };
        if agent.drain != drain || agent.state != AgentState::Draining || agent.in_flight == 0 {
            return;
        }
        agent.in_flight -= 1;
        agent.finished += 1;
        let in_flight = agent.in_flight;
        self.log(Happening::WorkFinished { instance: instance.to_owned(), in_flight });
        self.finish_next(instance);
    }

    /// Schedules the end of the next item, or ends the drain.
    pub(super) fn finish_next(&mut self, instance: &str) {
        let Some(agent) = self.instances.get_mut(instance).map(|instance| &mut instance.agent) else {
            return;
        };
        if agent.in_flight == 0 && self.config.agent_exits {
            self.exit_agent(self.now, instance);
        } else if agent.in_flight == 0 {
            agent.state = AgentState::Drained;
            self.log(Happening::AgentDrained { instance: instance.to_owned() });
        } else if agent.in_flight > agent.work.stuck {
            let wake = Wake::WorkDone { instance: instance.to_owned(), drain: agent.drain };
            let at = self.now + agent.work.interval();
            self.schedule(at, wake);
        }
    }

    fn agent_status(&self, instance: &str, status: u16) -> AgentAnswer {
        let agent = self.instances.get(instance).map(|instance| &instance.agent);
        agent.map_or_else(unknown, |agent| AgentAnswer { status, body: agent.status(self.now) })
    }
}

fn unknown() -> AgentAnswer {
    AgentAnswer { status: 404, body: json!({ "error": "no such instance" }) }
}

/// Reads `reason` and `deadline` of a drain request.
fn read_order(instance: &str, body: &[u8]) -> Result<(String, Option<Time>), String> {
    let order: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    let reason = order["reason"].as_str().filter(|reason| REASONS.contains(reason));
    let Some(reason) = reason else {
        return Err(format!("reason is {}; expected one of {}", order["reason"], REASONS.join(", ")));
    };
    let deadline = match &order["deadline"] {
        Value::Null => None,
        Value::String(text) => {
            Some(Time::from_rfc3339(text).ok_or_else(|| format!("deadline {text:?} is not RFC 3339"))?)
        }
        other => return Err(format!("deadline is {other}; expected an RFC 3339 timestamp or null")),
    };
    // Outside EC2 there is no instance to name.
    if !order["instance_id"].is_null() && order["instance_id"] != instance {
        return Err(format!("instance_id is {}; this agent runs on {instance}", order["instance_id"]));
    }
    if !order["notice"].is_null() && !order["notice"].is_string() {
        return Err(format!("notice is {}; expected a string", order["notice"]));
    }
    Ok((reason.to_owned(), deadline))
}
