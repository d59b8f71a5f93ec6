//! Performs effects against the world, with the faults that affect them.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::{ReceivedMessage, World};
use machine::effect::{Effect, EffectId};
use machine::event::CallError;
use machine::{Event, Time};

use super::calls::Kind;
use super::{Fleet, Step, network};

/// The time limit of calls, as in `src/daemon/perform.rs`.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);
/// A ReceiveMessage that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receive {
    host: usize,
    life: u32,
    id: EffectId,
    take: Take,
    pub until: Time,
}

/// What a ReceiveMessage asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take {
    /// `MaxNumberOfMessages`
    pub most: usize,
    /// Whether the messages stay visible.
    pub peek: bool,
}

impl Fleet {
    /// How long an effect takes to reach AWS, the agent or the disk.
    pub(super) fn way_to(&mut self, effect: &Effect) -> Duration {
        match effect {
            Effect::WriteJournal { .. } if self.strikes(Fault::JournalSlow) => self.delay(200, 5_000),
            Effect::WriteJournal { .. } => self.delay(2, 30),
            Effect::AskReady { .. } | Effect::AskBusy { .. } => self.launch_delay(),
            Effect::AskAgent { .. } | Effect::ForceAgent { .. } | Effect::RunStep { .. } => self.delay(1, 5),
            Effect::Heartbeat { .. }
            | Effect::Complete { .. }
            | Effect::DescribeInstance { .. }
            | Effect::DescribeHooks { .. }
            | Effect::Protect { .. }
            | Effect::ReceiveMessages { .. }
            | Effect::SetVisibility { .. }
            | Effect::DeleteMessage { .. } => self.delay(20, 120),
            // `call_elb` draws the whole delay.
            Effect::DescribeTarget { .. }
            | Effect::DeregisterTarget { .. }
            | Effect::RegisterTarget { .. } => Duration::from_millis(20),
            Effect::CancelRequest { .. } | Effect::StopStep { .. } => Duration::ZERO,
        }
    }

    /// Performs an effect. A fault may kill the daemon right before it, or right after it so that the result is lost.
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

    pub(super) fn answer(&mut self, host: usize, delay: Duration, event: Event) {
        let life = self.hosts[host].life;
        self.after(delay, Step::Answer { host, life, event: Box::new(event) });
    }

    /// The result of an effect, and how long it takes to arrive. `None` if it comes later or never.
    fn perform(&mut self, host: usize, effect: Effect) -> Option<(Duration, Event)> {
        let (delay, event) = match effect {
            Effect::WriteJournal { id, journal }
                if self.hosts[host].disk_refuses || self.strikes(Fault::JournalRefused) =>
            {
                self.hosts[host].unwritten = Some(journal);
                (Duration::ZERO, Event::JournalFailed { id, why: "the disk refused the write".to_owned() })
            }
            Effect::WriteJournal { id, journal } => {
                self.hosts[host].disk = Some(journal);
                self.hosts[host].unwritten = None;
                (Duration::ZERO, Event::JournalWritten { id })
            }
            // A canceled request may or may not have left already.
            Effect::AskAgent { id, .. } if self.hosts[host].canceled.contains(&id) && self.rng.bool() => {
                return None;
            }
            Effect::AskReady { id, .. } => self.ask_ready(host, id),
            Effect::AskBusy { id, agent } => self.ask_busy(host, id, agent),
            Effect::Protect { id, group, protect } => self.protect(host, id, &group, protect),
            Effect::DescribeTarget { .. }
            | Effect::DeregisterTarget { .. }
            | Effect::RegisterTarget { .. } => {
                return self.call_elb(host, &effect);
            }
            Effect::AskAgent { id, agent, request } => return self.ask_agent(host, id, agent, &request),
            Effect::RunStep { id, .. } | Effect::ForceAgent { id, .. }
                if self.hosts[host].canceled.contains(&id) =>
            {
                return None;
            }
            Effect::ForceAgent { id, agent, order } => {
                return self.force_agent(host, id, agent, order.deadline);
            }
            Effect::RunStep { id, deadline, .. } => return self.run_step(host, id, deadline),
            Effect::CancelRequest { id } | Effect::StopStep { id } => {
                self.cancel(host, id);
                return None;
            }
            Effect::Heartbeat { id, action, limit } => {
                let call = |world: &mut World, now, by: &str| network::heartbeat(world, now, by, &action);
                let (delay, result) = self.call(host, Kind::Heartbeat, limit, call);
                (delay, Event::HeartbeatAnswered { id, result })
            }
            Effect::Complete { id, action, result } => {
                let call =
                    |world: &mut World, now, by: &str| network::complete(world, now, by, &action, result);
                let (delay, result) = self.call(host, Kind::Completion, CALL_LIMIT, call);
                (delay, Event::CompletionAnswered { id, result })
            }
            Effect::DescribeInstance { id } => {
                let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, network::describe_instance);
                (delay, Event::InstanceDescribed { id, result })
            }
            Effect::DescribeHooks { id, group } => {
                let call = |world: &mut World, now, _: &str| network::describe_hooks(world, now, &group);
                let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, call);
                (delay, Event::HooksDescribed { id, result })
            }
            Effect::ReceiveMessages { id, wait, most, peek } => {
                return self.receive(host, id, wait, Take { most, peek });
            }
            Effect::SetVisibility { id, entries } => {
                let queue = self.queue.clone();
                let call = |world: &mut World, now, _: &str| {
                    for (receipt, hidden) in &entries {
                        // If one entry fails, its message becomes visible again by itself.
                        let _ = world.change_visibility(now, &queue, receipt, *hidden);
                    }
                    Ok(())
                };
                let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, call);
                (delay, Event::VisibilitySet { id, result })
            }
            Effect::DeleteMessage { id, receipt } => {
                let queue = self.queue.clone();
                let call = |world: &mut World, now, _: &str| {
                    let deleted = world.delete_message(now, &queue, &receipt);
                    deleted.map_err(|error| network::call_error(&error))
                };
                let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, call);
                (delay, Event::MessageDeleted { id, result })
            }
        };
        Some((delay, event))
    }

    fn receive(
        &mut self,
        host: usize,
        id: EffectId,
        wait: Duration,
        take: Take,
    ) -> Option<(Duration, Event)> {
        let queue = self.queue.clone();
        let call = |world: &mut World, now, by: &str| network::receive(world, now, by, &queue, take);
        let (delay, result) = self.call(host, Kind::Other, CALL_LIMIT, call);
        let empty = result.as_ref().is_ok_and(Vec::is_empty);
        if empty && !wait.is_zero() {
            let (life, until) = (self.hosts[host].life, self.now + wait);
            self.receives.push_back(Receive { host, life, id, take, until });
            return None;
        }
        Some((delay, self.received(id, result)))
    }

    fn received(&mut self, id: EffectId, result: Result<Vec<ReceivedMessage>, CallError>) -> Event {
        let read = |messages: Vec<_>| messages.into_iter().map(|one| self.bodies.read(one)).collect();
        Event::MessagesReceived { id, result: result.map(read) }
    }

    /// Answers the receives that wait. The one that has waited longest gets the messages. Each has a time limit.
    pub(super) fn serve_receives(&mut self) {
        while let Some(first) = self.receives.front() {
            let Receive { host, life, id, take, until } = *first;
            if self.hosts[host].life != life {
                self.receives.pop_front();
                continue;
            }
            let queue = self.queue.clone();
            let result = network::receive(&mut self.world, self.now, &self.hosts[host].id, &queue, take);
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
}
