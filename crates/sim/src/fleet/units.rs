//! Agents that are systemd units and are told to drain by a signal, as `src/agent/unit.rs` reaches them.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{AgentMode, AgentState, LifecycleState};
use machine::effect::{AgentRequest, EffectId};
use machine::event::AgentAnswer;
use machine::journal::Journal;
use machine::process::{Process, Sight};
use machine::{Event, Time};

use super::agents::{AGENT_LIMIT, COMES_BACK, Other, Request};
use super::{Fleet, Step};

/// The share of units that are still being stopped for a while after their process has exited.
const LEAVES: f64 = 0.3;

/// The share of signals that cannot be sent.
const REFUSED: f64 = 0.05;

/// What systemd knows of an agent's unit besides the process that runs.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// How its last process ended.
    ended: Ended,
    /// Until when it is being stopped after that.
    leaves_until: Time,
}

/// How a unit's last process ended. Counts only while no process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ended {
    /// It exited, or its restart was canceled.
    #[default]
    Stopped,
    /// It crashed, and systemd starts it again.
    Restarts,
    /// It crashed for good.
    Failed { seen: bool },
}

/// What a unit does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Runs(Process),
    Leaves,
    Restarts,
    Failed,
    Inactive,
}

impl Other {
    /// The process that runs, as a unit.
    fn runs(&mut self, now: Time) -> Option<u32> {
        if self.down_until.is_some_and(|until| until <= now) {
            self.start();
        }
        let exited = self.drained.is_some_and(|at| at <= now);
        (self.down_until.is_none() && !exited).then_some(self.process)
    }

    fn start(&mut self) {
        (self.down_until, self.drained) = (None, None);
        self.process += 1;
    }

    /// Its process gets a signal. Returns when it exits. A second signal ends it at once.
    fn signaled(&mut self, now: Time) -> Time {
        let exits = self.drained.map_or(now + self.work, |_| now);
        self.drained = Some(exits);
        exits
    }
}

impl Fleet {
    /// One request to an agent that is a unit.
    pub(super) fn ask_unit(
        &mut self,
        host: usize,
        id: EffectId,
        agent: usize,
        request: &AgentRequest,
    ) -> Option<(Duration, Event)> {
        let answered = |answer| Event::AgentAnswered { id, answer };
        if self.now < self.hosts[host].agent_hangs_until {
            return Some((AGENT_LIMIT, answered(unanswered(request))));
        }
        let answer = self.answer_of_unit(host, agent, request);
        if let AgentRequest::Watch(process) = request
            && answer == seen(Sight::Runs(*process))
        {
            self.hold(host, id, agent, request);
            return None;
        }
        Some((self.delay(1, 5), answered(answer)))
    }

    pub(super) fn answer_of_unit(
        &mut self,
        host: usize,
        agent: usize,
        request: &AgentRequest,
    ) -> AgentAnswer {
        match (request, self.unit(host, agent)) {
            (AgentRequest::Status | AgentRequest::Watch(_), now) => self.look(host, agent, now),
            // A signal may be refused for another reason than its process.
            (AgentRequest::Tell(_), _) if self.refuses() => {
                AgentAnswer::Busy("the signal could not be sent".to_owned())
            }
            (AgentRequest::Tell(process), Now::Runs(runs)) if runs == *process => {
                self.signal(host, agent, runs);
                AgentAnswer::Accepted(None)
            }
            (AgentRequest::Tell(_), _) => AgentAnswer::Busy("its process has changed".to_owned()),
            (AgentRequest::Return, Now::Runs(_)) => AgentAnswer::Returned,
            (AgentRequest::Return, _) => {
                self.start_unit(host, agent);
                AgentAnswer::Returned
            }
            (AgentRequest::Drain(_), _) => AgentAnswer::Busy("it is drained in another way".to_owned()),
        }
    }

    fn unit(&mut self, host: usize, agent: usize) -> Now {
        let now = self.now;
        let this = &mut self.hosts[host];
        let runs = match agent.checked_sub(1) {
            Some(place) => this.others[place].runs(now),
            None => {
                let agent = self.world.agent(&this.id).filter(|agent| agent.mode == AgentMode::Answers);
                agent.map(|agent| agent.process)
            }
        };
        let unit = &this.units[agent];
        match (runs, unit.ended) {
            (Some(process), _) => Now::Runs(Process(process.into())),
            (None, Ended::Stopped) if unit.leaves_until > now => Now::Leaves,
            (None, Ended::Stopped) => Now::Inactive,
            (None, Ended::Restarts) => Now::Restarts,
            (None, Ended::Failed { .. }) => Now::Failed,
        }
    }

    /// Says what the unit does. If it waits for its restart, stops it.
    fn look(&mut self, host: usize, agent: usize, now: Now) -> AgentAnswer {
        match now {
            Now::Runs(process) => seen(Sight::Runs(process)),
            Now::Leaves => seen(Sight::Leaves),
            Now::Restarts => {
                self.hosts[host].units[agent].ended = Ended::Stopped;
                if let Some(place) = agent.checked_sub(1) {
                    let other = &mut self.hosts[host].others[place];
                    (other.down_until, other.drained) = (None, Some(self.now));
                }
                seen(Sight::Leaves)
            }
            Now::Failed => {
                self.hosts[host].units[agent].ended = Ended::Failed { seen: true };
                AgentAnswer::CannotDrain("its process has crashed".to_owned())
            }
            Now::Inactive => seen(Sight::Gone),
        }
    }

    fn refuses(&mut self) -> bool {
        let now = self.now;
        self.plan.faults.rate(Fault::AgentSignaled, now) > 0.0 && self.rng.f64() < REFUSED
    }

    fn signal(&mut self, host: usize, agent: usize, process: Process) {
        let now = self.now;
        self.judge.signaled(host, now, agent, process);
        self.hosts[host].units[agent].ended = Ended::Stopped;
        match agent.checked_sub(1) {
            Some(place) => {
                let exits = self.hosts[host].others[place].signaled(now);
                self.judge.busy(host, exits);
                self.leaves(host, agent, exits);
            }
            None => {
                let id = self.hosts[host].id.clone();
                self.world.signal_agent(now, &id);
                self.digest(Some(host));
            }
        }
    }

    /// Starts a process, unless the instance is gone.
    fn start_unit(&mut self, host: usize, agent: usize) {
        self.hosts[host].units[agent].ended = Ended::Restarts;
        match agent.checked_sub(1) {
            Some(place) => self.hosts[host].others[place].start(),
            None => self.start_agent(host),
        }
    }

    /// Whether systemd starts the process of the world's agent now, as was planned.
    pub(super) fn may_start(&mut self, host: usize) -> bool {
        self.manner.request != Request::Signaled || self.unit(host, 0) == Now::Restarts
    }

    /// The process of the world's agent has exited.
    pub(super) fn unit_exited(&mut self, host: usize, at: Time) {
        if self.manner.request == Request::Signaled {
            self.leaves(host, 0, at);
        }
    }

    fn leaves(&mut self, host: usize, agent: usize, exits: Time) {
        let takes = if self.rng.f64() < LEAVES { self.delay(100, 3_000) } else { Duration::ZERO };
        self.hosts[host].units[agent].leaves_until = exits + takes;
    }

    /// The process of a unit crashes.
    pub(super) fn crash_unit(&mut self, host: usize, agent: usize) {
        if !matches!(self.unit(host, agent), Now::Runs(_)) {
            return;
        }
        let pause = self.delay(1_000, 15_000);
        let comes_back = agent > 0 || self.rng.f64() < COMES_BACK;
        let ended = if comes_back { Ended::Restarts } else { Ended::Failed { seen: false } };
        self.hosts[host].units[agent].ended = ended;
        match agent.checked_sub(1) {
            Some(place) => self.crash_other(host, place, pause),
            None => {
                self.exit_agent(host);
                if comes_back {
                    self.after(pause, Step::AgentStart { host });
                }
            }
        }
    }

    /// The instance boots, and starts every unit.
    pub(super) fn boot_units(&mut self, host: usize) {
        self.hosts[host].units.iter_mut().for_each(|unit| unit.ended = Ended::Restarts);
    }

    /// The daemon starts with this journal. If its last life crashed right before a signal, the journal names a process that
    /// was not told and never will be.
    pub(super) fn note_untold(&mut self, host: usize, journal: Option<&Journal>) {
        if self.manner.request != Request::Signaled {
            return;
        }
        let named: Vec<_> =
            journal.iter().flat_map(|journal| &journal.agents).map(|agent| agent.told).collect();
        let untold = (0..named.len()).any(|agent| match self.unit(host, agent) {
            Now::Runs(process) => named[agent] == Some(process) && !self.is_told(host, agent),
            Now::Leaves | Now::Restarts | Now::Failed | Now::Inactive => false,
        });
        self.judge.untold(host, untold);
    }

    /// Whether the process that runs got a signal.
    fn is_told(&self, host: usize, agent: usize) -> bool {
        match agent.checked_sub(1) {
            Some(place) => self.hosts[host].others[place].drained.is_some(),
            None => {
                let agent = self.world.agent(&self.hosts[host].id);
                agent.is_some_and(|agent| agent.state != AgentState::Serving)
            }
        }
    }

    /// Checks that at the end every unit of an instance in service runs, except those that crashed for good and that the
    /// daemon never looked at.
    pub(super) fn check_units(&mut self, host: usize) {
        let instance = self.world.instance(&self.hosts[host].id);
        let serves = instance.is_some_and(|instance| instance.state == LifecycleState::InService);
        if self.manner.request != Request::Signaled || !serves || !self.hosts[host].may_complain() {
            return;
        }
        for agent in 0..self.hosts[host].units.len() {
            let seen = self.hosts[host].units[agent].ended == Ended::Failed { seen: true };
            let stopped = match self.unit(host, agent) {
                Now::Runs(_) | Now::Restarts => false,
                Now::Failed => seen,
                Now::Leaves | Now::Inactive => true,
            };
            if stopped {
                let now = self.now;
                self.judge.complains(host, now, "ended in service with an agent that was not started again");
            }
        }
    }
}

fn seen(sight: Sight) -> AgentAnswer {
    AgentAnswer::Seen { sight, in_flight: None, waited: false }
}

/// systemd does not answer. Nothing was sent.
fn unanswered(request: &AgentRequest) -> AgentAnswer {
    let why = "no answer in time".to_owned();
    match request {
        AgentRequest::Return => AgentAnswer::Busy(why),
        AgentRequest::Drain(_) | AgentRequest::Tell(_) | AgentRequest::Status | AgentRequest::Watch(_) => {
            AgentAnswer::Unreachable { why, gone: false }
        }
    }
}
