//! What the machine is doing now, for `drainhook status` and the service manager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::agent::AgentTrack;
use super::drain::Phase;
use super::effect::CompletionResult;
use super::journal::Outcome;
use super::notice::Reason;
use super::time::Time;

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This instance.
    pub instance_id: String,
    /// The drain's name in the log: the same after a restart.
    pub drain_id: Option<String>,
    /// Where things stand.
    pub state: State,
    /// The most pressing notice in force.
    pub reason: Option<Reason>,
    /// When the drain began.
    pub started: Option<Time>,
    /// The latest deadline of any agent.
    pub deadline: Option<Time>,
    /// Work in flight, summed; `None` while no agent has said.
    pub in_flight: Option<u64>,
    /// Each agent.
    pub agents: Vec<AgentLine>,
    /// The group.
    pub group: Option<String>,
    /// The hook to complete.
    pub hook: Option<String>,
    /// Why no hook can be completed.
    pub hook_problem: Option<String>,
    /// Since when the action waits.
    pub wait_since: Option<Time>,
    /// When it expires without another heartbeat.
    pub expires: Option<Time>,
    /// Heartbeats that succeeded.
    pub heartbeats: u32,
    /// When the next one is due; before Wait is known, it is the next try whether it has begun.
    pub next_heartbeat: Option<Time>,
    /// How the drain ended.
    pub outcome: Option<Outcome>,
    /// What was reported to Auto Scaling.
    pub result: Option<CompletionResult>,
    /// IMDS cannot be heard.
    pub imds_silent: bool,
    /// The last thing that went wrong since the daemon was started.
    pub last_error: Option<LastError>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Time,
    /// What was tried, what came back, what to do.
    pub what: String,
}

/// Where things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No notice.
    Serving,
    /// A notice, and the agents are not told yet: the load balancer drains.
    Noticed,
    /// The agents drain.
    Draining,
    /// The agents are done; the action is being completed.
    Completing,
    /// The drain has ended and its notices are in force.
    Ended,
    /// The instance stays, and agents have yet to hear of it.
    Returning,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentLine {
    /// Its name.
    pub name: String,
    /// Its state, in a word.
    pub state: String,
    /// Its work in flight, as last reported.
    pub in_flight: Option<u64>,
    /// Its deadline.
    pub deadline: Option<Time>,
    /// What it says of itself.
    pub detail: Option<String>,
    /// Its gauges.
    pub gauges: BTreeMap<String, f64>,
}

impl Machine {
    /// Names the drain under way, or the one that has ended while its notices are in force. It stays the same when the
    /// daemon is restarted.
    pub fn drain_id(&self) -> Option<String> {
        let started = self.drain.as_ref()?.started;
        Some(format!("{}-{}", self.settings.instance_id, started.unix_ms()))
    }

    /// What the machine is doing now.
    pub fn status(&mut self) -> Status {
        let in_force = self.notices.in_force(&self.settings, &mut self.turn);
        let drain = self.drain.as_ref();
        let action = drain.map(|drain| &drain.action);
        let bound = drain.and_then(|drain| drain.bound(&self.notices, self.turn.now));
        let told = drain.is_some_and(|drain| drain.phase != Phase::Noticed);
        let in_flight = self.agents.iter().filter_map(|agent| agent.in_flight());
        let ended = drain.and_then(|drain| drain.ended());
        Status {
            instance_id: self.settings.instance_id.clone(),
            drain_id: self.drain_id(),
            state: self.state(),
            reason: in_force.first().copied(),
            started: drain.map(|drain| drain.started),
            deadline: self.agents.iter().filter(|_| told).filter_map(|agent| agent.deadline(bound)).max(),
            in_flight: in_flight.reduce(u64::saturating_add),
            agents: self
                .agents
                .iter()
                .map(|agent| AgentLine {
                    name: agent.name().to_owned(),
                    state: agent.progress().word().to_owned(),
                    in_flight: agent.in_flight(),
                    deadline: agent.deadline(bound).filter(|_| told),
                    detail: agent.status().and_then(|status| status.detail.clone()),
                    gauges: agent.status().map(|status| status.gauges.clone()).unwrap_or_default(),
                })
                .collect(),
            group: action.and_then(|action| action.group().map(str::to_owned)).or_else(|| self.group.clone()),
            hook: action.and_then(|action| action.hook()).map(|hook| hook.name.clone()),
            hook_problem: action.and_then(|action| action.impossible().map(str::to_owned)),
            wait_since: action.and_then(|action| action.waits_since()),
            expires: action.and_then(|action| action.expires()),
            heartbeats: action.map_or(0, |action| action.heartbeats()),
            next_heartbeat: action
                .filter(|_| ended.is_none() && self.notices.expects_action())
                .and_then(|action| action.next_heartbeat()),
            outcome: ended.map(|ended| ended.outcome),
            result: ended.and_then(|ended| ended.result),
            imds_silent: self.imds.is_deaf(),
            last_error: self.turn.last_error.clone(),
        }
    }

    fn state(&self) -> State {
        match &self.drain {
            None if self.agents.iter().any(AgentTrack::may_be_draining) => State::Returning,
            None => State::Serving,
            Some(drain) if !drain.is_under_way() => State::Ended,
            Some(drain) if drain.action.intention().is_some() => State::Completing,
            Some(drain) if drain.phase == Phase::Noticed => State::Noticed,
            Some(_) => State::Draining,
        }
    }
}
