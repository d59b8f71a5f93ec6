//! The drain, as a pure machine.
//!
//! One door in, [`Machine::handle`], and one out, the [`Output`] that it returns; [`Machine::next_wake`] says when it
//! wants to be asked again. It does no I/O, reads no clock and knows no AWS type, so that a test, the simulator and
//! the daemon run the very same code.
//!
//! # How it decides
//!
//! An event only changes what is known. Then `decide` looks at all that is known, in a fixed order, and emits what
//! is due and not under way. Nothing depends on which event woke it: that is why a stale result, an early timer and a
//! restart in mid-drain need no code of their own.
//!
//! # Layout
//!
//! - [`event`], [`effect`], [`message`], [`report`], [`settings`], [`journal`]: the vocabulary.
//! - `imds`, `notice`: what says that the instance is going, and what takes it back.
//! - `drain`: one drain, from the first notice to its end; `agent`: its agents; `operator`: what people ask for.
//! - `action`: the drain's lifecycle action: what is done about it, with `action/lookup` (its names), `action/calls`
//!   (heartbeats and completions answered) and `action/why` (what `No active Lifecycle Action found` meant); `hook`,
//!   `heartbeat` and `verdict` are the arithmetic under it.
//! - `queue`, `route`: when the queue is asked, and what becomes of each message; `news`: which of them are notices.
//! - `watch`: the instance that stays after its action is over.
//! - `turn`, `backoff`, `timer`, `time`: how it goes about it; `status`: what it is doing now.
//! - `tests`: a bench with a virtual clock, tests by subject, and a property test with its checker.

mod action;
mod agent;
mod backoff;
mod drain;
pub mod effect;
pub mod event;
mod heartbeat;
pub mod hook;
mod imds;
pub mod journal;
pub mod message;
mod news;
pub mod notice;
pub mod operator;
mod queue;
pub mod report;
mod route;
pub mod settings;
pub mod status;
mod time;
pub mod timer;
mod told;
mod turn;
mod verdict;
mod watch;

pub use effect::Effect;
pub use event::Event;
pub use time::Time;

use std::sync::Arc;

use action::Over;
use agent::{AgentTrack, Want};
use drain::Drain;
use imds::ImdsTrack;
use journal::{Journal, JournalTrack, Outcome};
use notice::{Category, Notices, Reason};
use queue::QueueTrack;
use report::{Call, Report};
use settings::Settings;
use timer::Timer;
use turn::Turn;
use watch::Seen;

/// What one event has come to.
#[derive(Debug, Default)]
pub struct Output {
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
    /// What people are told, in this order. Reports are true whether or not an effect has been performed yet.
    pub reports: Vec<Report>,
    /// What the operator who asked is told: always there after [`Event::Operator`], and only then.
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
    agents: Vec<AgentTrack>,
    drain: Option<Drain>,
    queue: QueueTrack,
    journal: JournalTrack,
    /// The revision of the journal that must be out before the agents are told to serve again.
    returned: u64,
    /// Tokens of actions that are over, oldest first.
    finished: Vec<String>,
}

impl Machine {
    /// A machine that knows nothing yet; its first event must be [`Event::Started`].
    pub fn new(settings: impl Into<Arc<Settings>>, now: Time) -> Self {
        let settings = settings.into();
        let agents = settings.agents.iter().cloned().enumerate();
        Machine {
            turn: Turn::new(&settings.instance_id),
            imds: ImdsTrack::new(now),
            notices: Notices::default(),
            served: false,
            agents: agents.map(|(place, agent)| AgentTrack::new(place, agent)).collect(),
            drain: None,
            queue: QueueTrack::default(),
            journal: JournalTrack::default(),
            returned: 0,
            finished: Vec::new(),
            settings,
        }
    }

    /// Takes an event in, and says what to do.
    pub fn handle(&mut self, now: Time, event: Event) -> Output {
        // A clock that goes back would make what is due undue; it stands still instead.
        let now = now.max(self.turn.now);
        self.turn.begin(now);
        self.absorb(event);
        self.decide();
        self.turn.finish()
    }

    /// When to hand in [`Event::Timer`], and why then. Valid until the next event.
    pub fn next_wake(&self) -> Option<(Time, Timer)> {
        self.turn.wake()
    }

    /// Whether a drain is under way: from the first notice to its end.
    pub fn is_draining(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.ended.is_none())
    }

    /// Whether nothing is to be done, and nothing but news is waited for.
    pub fn is_idle(&self) -> bool {
        self.drain.is_none() && self.turn.wake().is_none()
    }

    /// Whether a write of the journal is under way.
    pub fn is_writing(&self) -> bool {
        self.journal.is_writing()
    }

    fn absorb(&mut self, event: Event) {
        match event {
            Event::Started { journal } => self.recover(journal),
            Event::Timer(_) => {}
            Event::Imds(reading) => {
                let before = (self.served, self.notices.clone());
                let queue = self.settings.queue;
                self.imds.on_reading(&mut self.turn, &mut self.notices, &mut self.served, queue, reading);
                if before != (self.served, self.notices.clone()) {
                    self.journal.touch();
                }
            }
            Event::Operator { by, command } => self.on_operator(&by, command),
            Event::JournalWritten { id } => {
                self.journal.written(id);
            }
            Event::JournalFailed { id, why } => {
                if let Some(first) = self.journal.failed(id, self.turn.now) {
                    self.turn.report(Report::JournalFailed { why, first });
                }
            }
            Event::AgentAnswered { id, answer } => {
                // Each id is one agent's; to the others the answer is stale.
                let mut answer = Some(answer);
                for agent in &mut self.agents {
                    if agent.awaits(id)
                        && let Some(answer) = answer.take()
                        && agent.answered(&mut self.turn, id, answer)
                    {
                        self.journal.touch();
                    }
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
            Event::HooksDescribed { id, result } => {
                let Some(drain) = &mut self.drain else { return };
                let hook = drain.message_hook.clone();
                if drain.action.on_hooks(&mut self.turn, &self.settings, id, result, hook.as_deref()) {
                    self.journal.touch();
                    self.disown_messages();
                }
            }
            Event::MessagesReceived { id, result } => {
                let messages = self.queue.on_received(&mut self.turn, id, result);
                self.route(messages);
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

    fn recover(&mut self, journal: Option<Box<Journal>>) {
        let Some(journal) = journal else { return };
        let Journal { version: _, instance_id: _, boot_id, served, agents, notices, drain, finished } =
            *journal;
        let now = self.turn.now;
        let rebooted =
            boot_id.is_some() && self.settings.boot_id.is_some() && boot_id != self.settings.boot_id;
        self.served = served;
        self.notices = notices;
        self.finished = finished;
        for record in agents {
            if let Some(agent) = self.agents.iter_mut().find(|agent| agent.record.name == record.name) {
                agent.recover(record, now, rebooted);
            }
        }
        let Some(record) = drain else { return };
        let drain = Drain::recover(record, &self.notices, now);
        if drain.told.is_some() {
            // An agent that is new in the configuration has its whole time from now on.
            let new = self.agents.iter_mut().filter(|agent| agent.record.soft_deadline.is_none());
            new.for_each(|agent| agent.begin(now));
        }
        match drain.ended {
            Some(_) => drain.receipts.iter().for_each(|receipt| self.queue.delete(receipt.clone(), 0)),
            None => {
                drain.receipts.iter().for_each(|receipt| self.queue.hide(receipt.clone(), 0));
                self.turn.report(Report::DrainRecovered { started: drain.started });
            }
        }
        self.drain = Some(drain);
    }

    fn on_heartbeat(&mut self, id: effect::EffectId, result: Result<(), event::CallError>) {
        let Some(drain) = &mut self.drain else { return };
        let hook = drain.action.record.hook.as_ref();
        if let (Some(watch), Some(hook)) = (&mut drain.watch, hook)
            && let Some(seen) = watch.on_heartbeat(id, hook.heartbeat_timeout, &result)
        {
            return self.on_seen(seen);
        }
        if drain.action.on_heartbeat(&mut self.turn, id, result) {
            self.journal.touch();
        }
    }

    fn on_instance(
        &mut self,
        id: effect::EffectId,
        result: Result<Option<event::DescribedInstance>, event::CallError>,
    ) {
        let Some(drain) = &mut self.drain else { return };
        let deaf = self.imds.is_deaf();
        if let Some(seen) =
            drain.watch.as_mut().and_then(|w| w.on_instance(&mut self.turn, id, &result, deaf))
        {
            return self.on_seen(seen);
        }
        // Auto Scaling and IMDS agree that it serves: what comes after that is a new notice.
        let serves = self.imds.is_back(&self.notices)
            && matches!(&result, Ok(Some(instance)) if instance.lifecycle_state == "InService");
        let over = drain.action.on_instance(&mut self.turn, id, result);
        self.journal.touch();
        self.on_over(over);
        if serves && !self.is_draining() {
            self.on_seen(Seen::InService);
        }
    }

    fn on_seen(&mut self, seen: Seen) {
        match seen {
            Seen::InService => {
                self.notices.list(&mut self.turn, Category::TargetState, Vec::new());
                self.notices.withdraw_action(&mut self.turn);
            }
            Seen::NewAction { since, beat } => self.begin_released(since, beat),
        }
    }

    /// Looks at all that is known, and does what is due.
    fn decide(&mut self) {
        self.imds.decide(&mut self.turn, self.settings.queue);
        self.withdraw_target();
        if self.notices.expire(&mut self.turn) {
            self.journal.touch();
        }
        let in_force = self.notices.in_force(&self.settings, &mut self.turn);
        self.begin_or_leave(&in_force);
        let reason = in_force.first().copied();
        self.drive_action(&in_force);
        self.direct_agents(reason);
        let wanted = self.wants_queue();
        let deadline = self.message_deadline();
        self.queue.decide(&mut self.turn, &self.journal, wanted, deadline);
        let Machine { settings, notices, served, agents, drain, journal, finished, turn, .. } = self;
        journal.decide(turn, || Journal {
            version: journal::VERSION,
            instance_id: settings.instance_id.clone(),
            boot_id: settings.boot_id.clone(),
            served: *served,
            agents: agents.iter().map(|agent| agent.record.clone()).collect(),
            notices: notices.clone(),
            drain: drain.as_ref().map(Drain::record),
            finished: finished.clone(),
        });
    }

    /// Takes back what IMDS had said, once it has said otherwise for long enough; while an action waits, it is the
    /// action that counts.
    fn withdraw_target(&mut self) {
        if !self.imds.is_back(&self.notices) {
            return;
        }
        let waits = self.drain.as_ref().is_some_and(Drain::awaits_completion);
        if waits {
            return;
        }
        self.imds.settle();
        self.notices.list(&mut self.turn, Category::TargetState, Vec::new());
        if self.drain.as_ref().is_some_and(|drain| drain.ended.is_some()) {
            self.notices.withdraw_action(&mut self.turn);
        }
    }

    /// Tells the agents to drain, to serve again, or nothing.
    fn direct_agents(&mut self, reason: Option<Reason>) {
        let Machine { agents, drain, journal, returned, turn, .. } = self;
        let Some(drain) = drain else {
            if journal.is_released(*returned) {
                agents.iter_mut().for_each(|agent| agent.decide(turn, Want::Return));
            }
            return;
        };
        let recorded = journal.is_released(drain.recorded);
        for agent in agents {
            let order = drain.order(agent, reason);
            agent.decide(turn, order.filter(|_| recorded).map_or(Want::Nothing, Want::Drain));
        }
    }

    /// The queue is asked when it may know more: hook and Wait are not known, or nothing else can be heard.
    fn wants_queue(&self) -> bool {
        let unlocated =
            self.drain.as_ref().is_some_and(|drain| drain.ended.is_none() && !drain.action.is_located());
        let located = self.is_draining() && !unlocated;
        let expects = self.notices.expects_action();
        self.settings.queue && ((self.imds.is_deaf() && !located) || (expects && unlocated))
    }

    /// Until when our own message need not be seen.
    fn message_deadline(&self) -> Option<Time> {
        let hard = self.drain.as_ref().and_then(|drain| drain.hard_deadline);
        let deadline = drain::latest_deadline(&self.agents, hard);
        deadline.or_else(|| Some(self.turn.now + self.settings.drain_timeout()))
    }

    fn on_over(&mut self, over: Option<Over>) {
        // What was asked before the drain ended may be answered after: it ends once.
        if !self.is_draining() {
            return;
        }
        match over {
            None => {}
            Some(Over::Completed(outcome, result)) => self.end(outcome, Some(result)),
            Some(Over::Overtaken) => self.end(Outcome::Overtaken, None),
            Some(Over::Stale) => self.forget_stale_action(),
        }
    }
}

#[cfg(test)]
mod tests;
