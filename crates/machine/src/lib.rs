//! The drain, as a pure state machine.
//!
//! Events go in through [`Machine::handle`], which returns an [`Output`]. [`Machine::next_wake`] says when to call it next.
//! The machine does no I/O, reads no clock and knows no AWS type, so tests, the simulator and the daemon run the same code.
//!
//! # How it decides
//!
//! An event only changes what is known. Then `decide` goes through everything known, in a fixed order, and emits whatever is
//! due and not under way. The decision does not depend on which event came in, so a stale result, an early timer and a
//! restart in the middle of a drain need no code of their own.
//!
//! # Layout
//!
//! - [`event`], [`effect`], [`message`], [`report`], [`settings`], [`journal`], [`operator`], [`status`]: the types that
//!   the machine exchanges with the rest of the program.
//! - `imds`, `notice`: notices that the instance is going, and their withdrawal.
//! - [`drain`]: one drain, from the first notice to its end; [`action`]: its lifecycle action.
//! - [`after`]: what runs once the agents have an outcome, before the action is completed.
//! - `agent`: which requests an agent gets and when, with `agent/life` (its state, as one enum), `agent/order` (numbered
//!   orders to drain), `agent/telling` (processes that may be told only once), `agent/force` (its force step),
//!   `agent/answers` (what its answers mean) and `agent/reports` (reports about it, rate-limited); `progress`: an agent's
//!   progress, for people; [`process`]: one process of an agent.
//! - [`launch`]: completes the launching hook once the agents are ready; [`protection`]: protects the instance from scale-in while
//!   they are busy; `round`: the questions of both to the agents.
//! - [`targets`]: deregisters the instance from target groups, and registers it again.
//! - [`hook`], `heartbeat`, `standing`, `backoff`: the choice of the hook, timing, and lifecycle states.
//! - `course`: starts, advances and ends drains; `recovery`: continues from the journal after a restart.
//! - `queue`, `route`: when to poll the queue, and what to do with each message; `news`: which messages become notices.
//! - `watch`: watches an instance that stays after its action is over.
//! - `turn`, `timer`, `time`: the mechanics of one call of `handle`; `told`: reports that are made once; `defect`: assertions.
//! - `tests`: a bench with a virtual clock, tests by subject, and a property test with its checker.

pub mod action;
pub mod after;
mod agent;
mod backoff;
mod course;
mod defect;
pub mod drain;
pub mod effect;
pub mod event;
mod heartbeat;
pub mod hook;
mod imds;
pub mod journal;
pub mod launch;
pub mod message;
mod news;
pub mod notice;
pub mod operator;
pub mod process;
mod progress;
pub mod protection;
mod queue;
mod recovery;
pub mod report;
mod round;
mod route;
pub mod settings;
mod standing;
pub mod status;
pub mod targets;
mod time;
pub mod timer;
mod told;
mod turn;
mod watch;

pub use effect::Effect;
pub use event::Event;
pub use time::{Correction, Time};

use std::sync::Arc;
use std::time::Duration;

use action::Over;
use agent::AgentTrack;
use drain::Drain;
use imds::ImdsTrack;
use journal::{Journal, JournalTrack, Outcome, Revision};
use launch::LaunchTrack;
use notice::{Notices, Reason};
use protection::ProtectionTrack;
use queue::QueueTrack;
use report::{Call, Report};
use settings::Settings;
use status::LastDrain;
use targets::TargetTrack;
use timer::Timer;
use turn::Turn;
use watch::Seen;

/// IMDS is polled every few seconds, so a gap this long between events means that the process was suspended. Held notices
/// then wait for IMDS again.
const STANDSTILL: Duration = Duration::from_secs(30);

/// The result of one event.
#[derive(Debug, Default)]
pub struct Output {
    /// What to do, in order.
    pub effects: Vec<Effect>,
    /// Reports for people, in order. They hold whether or not the effects have been performed yet.
    pub reports: Vec<Report>,
    /// The answer to the operator. Present after [`Event::Operator`], and only then.
    pub answer: Option<operator::Answer>,
}

/// The drain machine of one instance.
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    turn: Turn,
    imds: ImdsTrack,
    notices: Notices,
    served: bool,
    /// The instance's group, as last known. `None` after a detachment, because the instance may be attached to another group.
    group: Option<String>,
    agents: Vec<AgentTrack>,
    targets: Vec<TargetTrack>,
    drain: Option<Drain>,
    launch: LaunchTrack,
    protection: ProtectionTrack,
    /// The most pressing reason that was in force last.
    reason: Option<Reason>,
    /// The last drain that ended.
    last_drain: Option<LastDrain>,
    queue: QueueTrack,
    journal: JournalTrack,
    /// The journal revision that must be released before the agents are told to serve again.
    returned: Revision,
    /// Tokens of actions that are over, oldest first.
    finished: Vec<String>,
    /// Tokens of messages whose hook the group does not have, oldest first. They start no further drain.
    disowned: Vec<String>,
}

impl Machine {
    /// A machine that knows nothing yet. Its first event must be [`Event::Started`].
    pub fn new(settings: impl Into<Arc<Settings>>, now: Time) -> Self {
        let settings = settings.into();
        let agents = settings.agents.iter().cloned().enumerate();
        let targets = settings.targets.iter().cloned().enumerate();
        Machine {
            turn: Turn::new(&settings.instance_id),
            imds: ImdsTrack::new(now),
            notices: Notices::default(),
            served: false,
            group: settings.group.clone(),
            agents: agents.map(|(place, agent)| AgentTrack::new(place, agent)).collect(),
            targets: targets.map(|(place, target)| TargetTrack::new(place, target)).collect(),
            drain: None,
            launch: LaunchTrack::default(),
            protection: ProtectionTrack::default(),
            reason: None,
            last_drain: None,
            queue: QueueTrack::default(),
            journal: JournalTrack::default(),
            returned: Revision::default(),
            finished: Vec::new(),
            disowned: Vec::new(),
            settings,
        }
    }

    /// Takes an event and returns what to do.
    pub fn handle(&mut self, now: Time, event: Event) -> Output {
        // Time never goes back: what was due must stay due.
        let now = now.max(self.turn.now);
        if now.since(self.turn.now) > STANDSTILL {
            self.notices.hold_anew(now);
            self.protection.forget_work();
        }
        if self.notices.believe(now) {
            self.journal.touch();
        }
        self.turn.begin(now);
        self.absorb(event);
        self.decide();
        self.turn.finish()
    }

    /// When to pass in [`Event::Timer`], and why. Valid until the next event.
    pub fn next_wake(&self) -> Option<(Time, Timer)> {
        self.turn.wake()
    }

    /// Whether a drain is under way, from its first notice to its end.
    pub fn is_draining(&self) -> bool {
        self.drain.as_ref().is_some_and(Drain::is_under_way)
    }

    /// Whether there is no drain, no timer and no target state to withdraw, so that only news can make the machine act.
    pub fn is_idle(&self) -> bool {
        self.drain.is_none() && self.turn.wake().is_none() && !self.notices.has_target()
    }

    /// Whether a write of the journal is under way.
    pub fn is_writing(&self) -> bool {
        self.journal.is_writing()
    }

    /// Records what an event says. Decides nothing.
    fn absorb(&mut self, event: Event) {
        if self.launch_absorbs(&event) || self.protection_absorbs(&event) || self.targets_absorb(&event) {
            return;
        }
        match event {
            Event::Started { journal } => recovery::recover(self, journal),
            Event::Timer(_)
            | Event::ReadyAnswered { .. }
            | Event::BusyAnswered { .. }
            | Event::ProtectionAnswered { .. }
            | Event::TargetDescribed { .. }
            | Event::TargetDeregistered { .. }
            | Event::TargetRegistered { .. } => {}
            Event::Imds(reading) => {
                if let event::ImdsReading::TargetState(Some(state)) = &reading {
                    self.protection.on_target(state);
                    if self.launch.on_target(&mut self.turn, &self.settings, state) {
                        self.journal.touch();
                    }
                }
                let before = (self.served, self.notices.clone());
                let Machine { settings, turn, imds, notices, served, .. } = self;
                imds.on_reading(turn, notices, served, settings, reading);
                if (before.0, &before.1) != (self.served, &self.notices) {
                    self.journal.touch();
                }
            }
            Event::Operator { by, command } => {
                let answer = command.carry_out(self, by);
                self.turn.answer(answer);
            }
            Event::JournalWritten { id } => drop(self.journal.written(id)),
            Event::JournalFailed { id, why } => {
                if let Some(first) = self.journal.failed(id, self.turn.now) {
                    self.turn.report(Report::JournalFailed { why, first });
                }
            }
            Event::AgentAnswered { id, answer } => self.on_agent(id, answer),
            Event::StepEnded { id, result } => {
                let mut agents = self.agents.iter_mut();
                let forced = agents.any(|agent| agent.force_ended(&mut self.turn, id, &result));
                if let Some(drain) = self.drain.as_mut().filter(|_| !forced) {
                    drain.after.ended(&mut self.turn, &mut self.journal, &self.settings.after, (id, result));
                }
            }
            Event::HeartbeatAnswered { id, result } => {
                self.turn.answered(id);
                self.on_heartbeat(id, result);
            }
            Event::CompletionAnswered { id, result } => {
                self.turn.answered(id);
                let Some(drain) = &mut self.drain else { return };
                let over = drain.action.on_completion(&mut self.turn, &mut self.journal, id, result);
                self.on_over(over);
            }
            Event::InstanceDescribed { id, result } => self.on_instance(id, result),
            Event::HooksDescribed { id, result } => self.on_hooks(id, result),
            Event::MessagesReceived { id, result } => {
                let messages = self.queue.on_received(&mut self.turn, id, result);
                route::route(self, messages);
            }
            Event::VisibilitySet { id: _, result } => {
                if let Err(error) = result {
                    self.turn.call_failed(Call::SetVisibility, error, false);
                }
            }
            Event::MessageDeleted { id, result } => {
                if let Some(receipt) = self.queue.on_deleted(&mut self.turn, id, result)
                    && let Some(drain) = &mut self.drain
                {
                    drain.receipts.retain(|kept| *kept != receipt);
                    self.journal.touch();
                }
            }
        }
    }

    fn on_agent(&mut self, id: effect::EffectId, answer: event::AgentAnswer) {
        // At most one agent awaits this id. If none does, the answer is stale.
        let Some(agent) = self.agents.iter_mut().find(|agent| agent.awaits(id)) else { return };
        if agent.answered(&mut self.turn, id, answer) {
            agent.journaled(self.journal.touch());
        }
    }

    fn on_heartbeat(&mut self, id: effect::EffectId, result: Result<(), event::CallError>) {
        let Some(drain) = &mut self.drain else { return };
        if let (Some(watch), Some(hook)) = (&mut drain.watch, drain.action.hook())
            && watch.awaits_heartbeat(id)
        {
            let seen = watch.on_heartbeat(&mut self.turn, id, hook.heartbeat_timeout, result);
            return course::on_seen(self, seen);
        }
        if drain.action.on_heartbeat(&mut self.turn, id, result) {
            self.journal.touch();
        }
    }

    fn on_hooks(&mut self, id: effect::EffectId, result: Result<Vec<event::Hook>, event::CallError>) {
        let Some(drain) = &mut self.drain else { return };
        let named = drain.message.as_ref().map(|message| message.hook.as_str());
        if drain.action.on_hooks(&mut self.turn, &self.settings, id, result, named) {
            self.journal.touch();
            route::disown_messages(self);
        }
    }

    fn on_instance(
        &mut self,
        id: effect::EffectId,
        result: Result<Option<event::DescribedInstance>, event::CallError>,
    ) {
        if let Ok(Some(instance)) = &result {
            self.group = Some(instance.group.clone());
        }
        let Some(drain) = &mut self.drain else { return };
        let deaf = self.imds.is_deaf();
        if let Some(watch) = &mut drain.watch
            && watch.awaits_description(id)
        {
            let seen = watch.on_instance(&mut self.turn, id, drain.action.group(), &result, deaf);
            if watch.is_retained()
                && let Ok(Some(instance)) = &result
            {
                drain.action.found_in_group(&instance.group);
                self.journal.touch();
            }
            return course::on_seen(self, seen);
        }
        let serves = matches!(&result, Ok(Some(instance)) if instance.lifecycle_state == "InService");
        let over = drain.action.on_instance(&mut self.turn, id, result);
        self.journal.touch();
        // Auto Scaling says InService, and IMDS agrees or, if the action is over, does not contradict it. Anything later is a
        // new notice.
        let past = over.is_some() && !self.notices.has_target();
        let serves = serves && (past || self.imds.is_back(&self.notices));
        self.on_over(over);
        // While an action is in Wait, the results of its own calls show whether it is over.
        if serves && !self.drain.as_ref().is_some_and(Drain::awaits_completion) {
            course::on_seen(self, Some(Seen::InService));
        }
    }

    fn on_over(&mut self, over: Option<Over>) {
        // A call made before the drain ended may be answered after. A drain ends only once.
        if !self.is_draining() {
            return;
        }
        match over {
            None => {}
            Some(Over::Completed(outcome, result)) => course::end(self, outcome, Some(result)),
            Some(Over::Overtaken) => course::end(self, Outcome::Overtaken, None),
            Some(Over::Stale) => course::forget_stale_action(self),
        }
    }

    /// Goes through everything known and does what is due.
    fn decide(&mut self) {
        // First, whether IMDS answers: it decides whether the table of notices is complete.
        self.imds.decide(&mut self.turn, self.settings.queue);
        // Then the notices in force, and with them whether there is a drain.
        course::withdraw_target(self);
        if self.notices.expire(&mut self.turn) {
            self.journal.touch();
        }
        if self.notices.has_detachment() {
            self.group = None;
        }
        let in_force = self.notices.in_force(&self.settings, &mut self.turn);
        self.reason = in_force.first().copied().or(self.reason);
        course::begin_or_leave(self, &in_force);
        // The drain before the agents, because its decisions are what they are told.
        course::drive(self, &in_force);
        course::direct_agents(self, in_force.first().copied());
        self.direct_targets();
        // The launch after the agents, because it waits until none of them is draining.
        self.direct_launch();
        // The protection after both, because it is lifted or left alone while there is a drain or a launch.
        self.direct_protection(&in_force);
        // The queue after the action, because the action may have learned what a receive would tell.
        self.direct_queue();
        // The journal last, so that it has all of these decisions.
        self.write_journal();
    }

    fn write_journal(&mut self) {
        self.journal.decide(&mut self.turn, || Journal {
            version: journal::VERSION,
            instance_id: self.settings.instance_id.clone(),
            boot_id: self.settings.boot_id.clone(),
            booted_at: self.settings.booted_at,
            served: self.served,
            agents: self.agents.iter().map(AgentTrack::record).collect(),
            targets: self.targets.iter().map(TargetTrack::record).collect(),
            notices: self.notices.clone(),
            drain: self.drain.as_ref().map(Drain::record),
            launch: self.launch.stage(&self.settings),
            pooled: self.settings.launch.is_some() && self.launch.pooled,
            protection: self.protection.standing(),
            finished: self.finished.clone(),
        });
    }
}

#[cfg(test)]
mod tests;
