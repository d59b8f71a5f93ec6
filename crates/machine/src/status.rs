//! The machine's current state, for `drainhook status` and the service manager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Machine;
use super::agent::AgentTrack;
use super::drain::Phase;
use super::effect::CompletionResult;
use super::journal::{Ended, Outcome};
use super::notice::Reason;
use super::protection::Protection;
use super::targets::TargetTrack;
use super::time::Time;

/// A snapshot of the machine's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This instance.
    pub instance_id: String,
    /// The drain's id in the log. A restart does not change it.
    pub drain_id: Option<String>,
    /// The state.
    pub state: State,
    /// The most pressing notice in force.
    pub reason: Option<Reason>,
    /// When the drain started.
    pub started: Option<Time>,
    /// The latest deadline of any agent that was told to drain.
    pub deadline: Option<Time>,
    /// The sum of all agents' work in flight; `None` until an agent has reported it.
    pub in_flight: Option<u64>,
    /// The agents.
    pub agents: Vec<AgentLine>,
    /// The after step that runs.
    pub step: Option<StepLine>,
    /// The target groups that the instance leaves or comes back to.
    #[serde(default)]
    pub targets: Vec<TargetLine>,
    /// The group.
    pub group: Option<String>,
    /// The hook to complete.
    pub hook: Option<String>,
    /// Why no hook can be completed.
    pub hook_problem: Option<String>,
    /// The earliest time at which the action can have reached Wait; `None` until it is known to be in Wait.
    pub wait_since: Option<Time>,
    /// When it expires without another heartbeat.
    pub expires: Option<Time>,
    /// Heartbeats that succeeded.
    pub heartbeats: u32,
    /// When the next heartbeat is due. Before Wait is known, it probes for Wait.
    pub next_heartbeat: Option<Time>,
    /// How the drain ended.
    pub outcome: Option<Outcome>,
    /// The result that drainhook completed the action with, if it did.
    pub result: Option<CompletionResult>,
    /// How the metadata service answers.
    pub imds: ImdsAnswers,
    /// When it last answered for anything since the daemon started.
    pub imds_answered: Option<Time>,
    /// The last error since the daemon started.
    pub last_error: Option<LastError>,
    /// The daemon's version.
    pub version: String,
    /// The queue, if one is configured.
    pub queue: Option<QueueLine>,
    /// The launch under way.
    #[serde(default)]
    pub launch: Option<LaunchLine>,
    /// The protection from scale-in, if it is configured.
    #[serde(default)]
    pub protection: Option<ProtectionLine>,
    /// The last drain that ended since the daemon last read its journal, or the ended drain in that journal.
    pub last_drain: Option<LastDrain>,
}

/// How the metadata service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImdsAnswers {
    /// It answers, or failed only for a moment.
    Heard,
    /// It has not answered for a minute, so the queue is the first source.
    Silent,
    /// It answers but lacks the target state, so the queue is the first source.
    NoTargetState,
}

/// The queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLine {
    /// Whether the daemon polls it now.
    pub polled: bool,
    /// When a receive last succeeded since the daemon started.
    pub answered: Option<Time>,
}

/// A drain that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrain {
    /// Its id in the log.
    pub id: String,
    /// When it started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// The most pressing reason that was in force last.
    pub reason: Option<Reason>,
    /// How it ended.
    pub outcome: Outcome,
    /// The result that drainhook completed the action with, if it did.
    pub result: Option<CompletionResult>,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Time,
    /// What was tried, what came back, what to do.
    pub what: String,
}

/// The states that `drainhook status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No notice.
    Serving,
    /// There is a notice, but the agents are not told before Wait.
    Noticed,
    /// The agents are draining.
    Draining,
    /// The agents have an outcome, and the after steps run.
    #[serde(rename = "after_steps")]
    AfterSteps,
    /// The drain's outcome is decided, and the action is being completed.
    Completing,
    /// The drain has ended, and its notices are still in force.
    Ended,
    /// The instance stays, and the agents are being told to serve again.
    Returning,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentLine {
    /// Its name.
    pub name: String,
    /// Its state, in a word or two.
    pub state: String,
    /// Its work in flight, as last reported.
    pub in_flight: Option<u64>,
    /// Its deadline.
    pub deadline: Option<Time>,
    /// `detail` from its status document.
    pub detail: Option<String>,
    /// Its gauges.
    pub gauges: BTreeMap<String, f64>,
}

/// An after step that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// Its place in the configuration, from 1.
    pub number: usize,
    /// How many steps there are.
    pub of: usize,
    /// Its name.
    pub name: String,
    /// When it is stopped.
    pub deadline: Time,
}

/// A target group that the instance leaves, or comes back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLine {
    /// The target group's name.
    pub name: String,
    /// The state of the instance's target, in a few words.
    pub state: String,
    /// When the drain no longer waits for the load balancer; `None` if it does not wait.
    pub until: Option<Time>,
}

/// A launch under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchLine {
    /// The launching hook.
    pub hook: String,
    /// When the launch began.
    pub since: Time,
    /// When it is abandoned unless the agents are ready.
    pub until: Time,
    /// The result with which the action is being completed; `None` while the agents are asked.
    pub result: Option<CompletionResult>,
    /// What the last agent that was not ready answered; `None` if all were ready, or none has answered.
    pub not_ready: Option<String>,
}

/// The protection from scale-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectionLine {
    /// What AWS has.
    pub standing: Protection,
    /// Whether the agents have work in flight; `None` while they are not asked, or cannot all be read.
    pub busy: Option<bool>,
    /// Since when they have had work, or none.
    pub since: Option<Time>,
}

impl Machine {
    /// The id of the drain under way, or of the last one while its notices are in force. A restart does not change it.
    pub fn drain_id(&self) -> Option<String> {
        let started = self.drain.as_ref()?.started;
        Some(format!("{}-{}", self.settings.instance_id, started.unix_ms()))
    }

    /// The machine's current state.
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
            step: drain.and_then(|drain| drain.after.line(&self.settings.after)),
            targets: self.targets.iter().filter_map(TargetTrack::line).collect(),
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
            imds: self.imds.standing(),
            imds_answered: self.imds.answered_at(),
            last_error: self.turn.last_error.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queue: self.settings.queue.then(|| QueueLine {
                polled: self.queue_need().is_some(),
                answered: self.queue.answered_at(),
            }),
            launch: self.settings.launch.as_ref().and_then(|settings| self.launch.line(settings)),
            protection: self.settings.protection.as_ref().map(|_| self.protection.line()),
            last_drain: self.last_drain.clone(),
        }
    }

    /// The drain, if it has ended.
    pub(super) fn ended_drain(&self) -> Option<LastDrain> {
        let drain = self.drain.as_ref()?;
        let Ended { at, outcome, result } = drain.ended()?;
        Some(LastDrain {
            id: self.drain_id()?,
            started: drain.started,
            ended: at,
            reason: self.reason,
            outcome,
            result,
        })
    }

    fn state(&self) -> State {
        match &self.drain {
            None if self.agents.iter().any(AgentTrack::may_be_draining) => State::Returning,
            None if self.targets.iter().any(TargetTrack::is_returning) => State::Returning,
            None => State::Serving,
            Some(drain) if !drain.is_under_way() => State::Ended,
            Some(drain) if drain.action.intention().is_some() => State::Completing,
            Some(drain) if drain.after.is_under_way() => State::AfterSteps,
            Some(drain) if drain.phase == Phase::Noticed => State::Noticed,
            Some(_) => State::Draining,
        }
    }
}
