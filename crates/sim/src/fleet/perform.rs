//! Effects, performed against the world; and what goes wrong with them.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{ReceivedMessage, World};
use machine::effect::{AgentRequest, Effect, EffectId};
use machine::event::{AgentAnswer, AgentState, CallError, CallErrorKind};
use machine::{Event, Time};

use super::{Fleet, Step, network};

/// As the shell limits them.
const CALL_LIMIT: Duration = Duration::from_secs(10);
const AGENT_LIMIT: Duration = Duration::from_secs(10);
const STATUS_LIMIT: Duration = Duration::from_secs(30);

/// How long an agent holds a status request: `Prefer: wait=20`.
const STATUS_HELD: Duration = Duration::from_secs(20);

/// A ReceiveMessage that waits.
#[derive(Debug)]
pub(super) struct Receive {
    host: usize,
    life: u32,
    id: EffectId,
    most: usize,
    pub until: Time,
}

impl Fleet {
    /// How long an effect takes to reach whoever performs it.
    pub(super) fn way_to(&mut self, effect: &Effect) -> Duration {
        match effect {
            Effect::WriteJournal { .. } if self.strikes(Fault::JournalSlow) => self.delay(200, 5_000),
            Effect::WriteJournal { .. } => self.delay(2, 30),
            Effect::AskAgent { .. } => self.delay(1, 5),
            Effect::Heartbeat { .. }
            | Effect::Complete { .. }
            | Effect::DescribeInstance { .. }
            | Effect::DescribeHooks { .. }
            | Effect::ReceiveMessages { .. }
            | Effect::SetVisibility { .. }
            | Effect::DeleteMessage { .. } => self.delay(20, 120),
        }
    }

    /// Performs an effect, unless the daemon is killed right before it; or right after it, and nobody hears.
    pub(super) fn request(&mut self, host: usize, effect: Effect) {
        if self.strikes(Fault::DaemonCrash) {
            if self.rng.bool() {
                self.perform(host, effect);
            }
            return self.kill(host);
        }
        match self.perform(host, effect) {
            Some((Duration::ZERO, event)) => self.feed(host, event),
            Some((delay, event)) => self.answer(host, delay, event),
            None => {}
        }
    }

    fn answer(&mut self, host: usize, delay: Duration, event: Event) {
        let life = self.hosts[host].life;
        self.after(delay, Step::Answer { host, life, event: Box::new(event) });
    }

    /// The result of an effect, and how long it takes to come back. `None` where it comes later, or never.
    fn perform(&mut self, host: usize, effect: Effect) -> Option<(Duration, Event)> {
        let (delay, event) = match effect {
            Effect::WriteJournal { id, .. } if self.strikes(Fault::JournalRefused) => {
                self.hosts[host].disk_is_stale = true;
                (Duration::ZERO, Event::JournalFailed { id, why: "the disk refuses it".to_owned() })
            }
            Effect::WriteJournal { id, journal } => {
                self.hosts[host].disk = Some(journal);
                self.hosts[host].disk_is_stale = false;
                (Duration::ZERO, Event::JournalWritten { id })
            }
            Effect::AskAgent { id, request, .. } => return self.ask_agent(host, id, &request),
            Effect::Heartbeat { id, action, limit } => {
                let call = |world: &mut World, now, by: &str| network::heartbeat(world, now, by, &action);
                let (delay, result) = self.call(host, limit, call);
                (delay, Event::HeartbeatAnswered { id, result })
            }
            Effect::Complete { id, action, result } => {
                let call =
                    |world: &mut World, now, by: &str| network::complete(world, now, by, &action, result);
                let (delay, result) = self.call(host, CALL_LIMIT, call);
                (delay, Event::CompletionAnswered { id, result })
            }
            Effect::DescribeInstance { id } => {
                let (delay, result) = self.call(host, CALL_LIMIT, network::describe_instance);
                (delay, Event::InstanceDescribed { id, result })
            }
            Effect::DescribeHooks { id, group } => {
                let call = |world: &mut World, now, _: &str| network::describe_hooks(world, now, &group);
                let (delay, result) = self.call(host, CALL_LIMIT, call);
                (delay, Event::HooksDescribed { id, result })
            }
            Effect::ReceiveMessages { id, wait, most } => return self.receive(host, id, wait, most),
            Effect::SetVisibility { id, entries } => {
                let queue = self.queue.clone();
                let call = |world: &mut World, now, _: &str| {
                    for (receipt, hidden) in &entries {
                        // An entry's failure is its own: the message comes back by itself.
                        let _ = world.change_visibility(now, &queue, receipt, *hidden);
                    }
                    Ok(())
                };
                let (delay, result) = self.call(host, CALL_LIMIT, call);
                (delay, Event::VisibilitySet { id, result })
            }
            Effect::DeleteMessage { id, receipt } => {
                let queue = self.queue.clone();
                let call = |world: &mut World, now, _: &str| {
                    let deleted = world.delete_message(now, &queue, &receipt);
                    deleted.map_err(|error| network::call_error(&error))
                };
                let (delay, result) = self.call(host, CALL_LIMIT, call);
                (delay, Event::MessageDeleted { id, result })
            }
        };
        Some((delay, event))
    }

    /// One call to AWS, and how long its result takes.
    fn call<T>(
        &mut self,
        host: usize,
        limit: Duration,
        call: impl FnOnce(&mut World, Time, &str) -> Result<T, CallError>,
    ) -> (Duration, Result<T, CallError>) {
        let limit = limit.clamp(Duration::from_secs(1), CALL_LIMIT);
        if self.strikes(Fault::CallUnsent) {
            self.judge.lost(host, self.now);
            return (self.delay(1, 2_000), Err(failed(CallErrorKind::Unsent)));
        }
        let lost = self.strikes(Fault::CallUnanswered);
        if lost && self.rng.bool() {
            self.judge.lost(host, self.now + limit);
            return (limit, Err(failed(CallErrorKind::Unanswered)));
        }
        let result = call(&mut self.world, self.now, &self.hosts[host].id);
        self.digest(Some(host));
        if lost {
            self.judge.lost(host, self.now + limit);
            return (limit, Err(failed(CallErrorKind::Unanswered)));
        }
        (self.delay(20, 120), result)
    }

    fn receive(
        &mut self,
        host: usize,
        id: EffectId,
        wait: Duration,
        most: usize,
    ) -> Option<(Duration, Event)> {
        let queue = self.queue.clone();
        let call = |world: &mut World, now, by: &str| network::receive(world, now, by, &queue, most);
        let (delay, result) = self.call(host, CALL_LIMIT, call);
        let empty = result.as_ref().is_ok_and(Vec::is_empty);
        if empty && !wait.is_zero() {
            let (life, until) = (self.hosts[host].life, self.now + wait);
            self.receives.push_back(Receive { host, life, id, most, until });
            return None;
        }
        Some((delay, self.received(id, result)))
    }

    fn received(&mut self, id: EffectId, result: Result<Vec<ReceivedMessage>, CallError>) -> Event {
        let read = |messages: Vec<_>| messages.into_iter().map(|one| self.bodies.read(one)).collect();
        Event::MessagesReceived { id, result: result.map(read) }
    }

    /// Answers the receives that wait: whoever has waited longest has the messages, and nobody waits for ever.
    pub(super) fn serve_receives(&mut self) {
        while let Some(first) = self.receives.front() {
            let (host, life, id, most, until) = (first.host, first.life, first.id, first.most, first.until);
            if self.hosts[host].life != life {
                self.receives.pop_front();
                continue;
            }
            let queue = self.queue.clone();
            let result = network::receive(&mut self.world, self.now, &self.hosts[host].id, &queue, most);
            if result.as_ref().is_ok_and(Vec::is_empty) && until > self.now {
                return;
            }
            self.digest(Some(host));
            self.receives.pop_front();
            let delay = self.delay(20, 120);
            let event = self.received(id, result);
            self.answer(host, delay, event);
        }
    }

    fn ask_agent(&mut self, host: usize, id: EffectId, request: &AgentRequest) -> Option<(Duration, Event)> {
        let answered = |answer| Event::AgentAnswered { id, answer };
        if self.now < self.hosts[host].agent_hangs_until {
            let limit = if *request == AgentRequest::Status { STATUS_LIMIT } else { AGENT_LIMIT };
            return Some((limit, answered(AgentAnswer::Busy("no answer in time".to_owned()))));
        }
        let answer = network::ask_agent(&mut self.world, self.now, &self.hosts[host].id, request);
        self.digest(Some(host));
        let mut answer = answer?;
        if let AgentAnswer::Status { status, .. } = &mut answer {
            if self.strikes(Fault::AgentLie) {
                let lies = if status.state == AgentState::Drained {
                    (AgentState::Draining, 1)
                } else {
                    (status.state, 0)
                };
                (status.state, status.in_flight) = (lies.0, Some(lies.1));
            } else if status.state == AgentState::Draining {
                let life = self.hosts[host].life;
                self.hosts[host].held = Some((life, id));
                self.after(STATUS_HELD, Step::StatusOver { host, life, id });
                return None;
            }
        }
        Some((self.delay(1, 5), answered(answer)))
    }

    /// The agent has held a question for as long as it may.
    pub(super) fn status_over(&mut self, host: usize, life: u32, id: EffectId) {
        if self.hosts[host].held == Some((life, id)) {
            self.release_status(host);
        }
    }

    /// The agent answers the question that it holds, since it has drained, or since its time is up. Where its process
    /// has ended, the connection breaks.
    pub(super) fn release_status(&mut self, host: usize) {
        let Some((life, id)) = self.hosts[host].held.take() else { return };
        if self.hosts[host].life != life {
            return;
        }
        let request = AgentRequest::Status;
        let answer = network::ask_agent(&mut self.world, self.now, &self.hosts[host].id, &request);
        let answer = answer.unwrap_or_else(|| AgentAnswer::Busy("the connection broke".to_owned()));
        let delay = self.delay(1, 5);
        self.answer(host, delay, Event::AgentAnswered { id, answer });
    }
}

fn failed(kind: CallErrorKind) -> CallError {
    CallError { kind, message: format!("{kind:?}") }
}
