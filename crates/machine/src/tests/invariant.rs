//! The invariants (design, §7), checked from outside by the machine's inputs and outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::Output;
use super::super::after::AfterStage;
use super::super::drain::Phase;
use super::super::effect::{AgentRequest, CompletionResult, Effect, EffectId};
use super::super::event::*;
use super::super::journal::{ActionRecord, Journal, Outcome};
use super::super::message::Body;
use super::super::notice::{Due, Notice, NoticeState, Notices, Reason};
use super::super::operator::Command;
use super::super::process::{Process, Sight};
use super::super::protection::Protection;
use super::super::report::Report;
use super::super::{Machine, Time};
use super::bench::is_of;

/// The most effects of one event: one per agent, call and message, and their reports.
const EFFECTS_MAX: usize = 40;

/// The launching hook of a run that has one.
pub const LAUNCH_HOOK: &str = "warm-up";

/// How long before an interruption the agents must be done.
const INTERRUPTION_MARGIN: Duration = Duration::from_secs(10);

/// What sets an agent's deadline, by the journal: its own time, the notices, the action, and an operator's `finish`.
type Setters = (Option<Time>, Notices, ActionRecord, Phase);

#[derive(Default)]
pub struct Checker {
    /// The last journal with a result, written or failed.
    pub answered: Option<Journal>,
    /// The last journal that was written.
    pub disk: Option<Journal>,
    refused_since: bool,
    /// The agents that answer the drain request only when they have drained.
    pub blocking: BTreeSet<usize>,
    /// Whether each agent last reported that it has drained.
    pub drained: BTreeMap<usize, bool>,
    /// The last deadline that each agent was told, and what set it.
    deadlines: BTreeMap<usize, (Time, Setters)>,
    /// The last completion sent for the drain under way, and whether one succeeded.
    completion: Option<EffectId>,
    completed: bool,
    /// Receipts of our own messages, and those whose action is known to be over. A hook runs one action for an instance at a
    /// time.
    own: BTreeSet<String>,
    over: BTreeSet<String>,
    ended_at: Option<Time>,
    /// The processes that were told, or may have been.
    told: BTreeSet<Process>,
    /// The agents that were forced in this drain.
    forced: BTreeSet<usize>,
    /// Whether a drain is under way, by the machine.
    draining: bool,
    /// How many answers in a row said that an agent is ready, and how many a launch needs.
    ready: usize,
    pub ready_min: usize,
}

impl Checker {
    /// Checks the machine's answer to `event`, which is `effects`. `open` has the earlier effects without a result.
    pub fn check(&mut self, machine: &Machine, now: Time, event: &Event, output: &Output, open: &[Effect]) {
        let Output { effects, reports, answer } = output;
        assert!(effects.len() <= EFFECTS_MAX, "{effects:#?}");
        assert!(reports.len() <= EFFECTS_MAX, "{reports:#?}");
        assert_eq!(answer.is_some(), matches!(event, Event::Operator { .. }), "{answer:?}");
        if let Some((at, timer)) = machine.next_wake() {
            assert!(at > now, "{timer:?} wants to be woken in the past");
        }
        for report in reports {
            self.take_report(now, report);
        }
        let canceled = |effect: &Effect| match effect {
            Effect::CancelRequest { id } | Effect::StopStep { id } => Some(*id),
            _ => None,
        };
        let canceled: Vec<EffectId> = effects.iter().filter_map(canceled).collect();
        self.draining = machine.is_draining();
        for effect in effects {
            self.check_effect(now, effect, open, &canceled);
        }
        self.check_given_back(event, effects);
    }

    /// An agent's earlier request has been answered, or is canceled in the same turn.
    fn check_alone(&self, place: usize, open: &[Effect], canceled: &[EffectId]) {
        let still = open.iter().any(|open| match open {
            Effect::AskAgent { id, agent, .. } => *agent == place && !canceled.contains(id),
            _ => false,
        });
        assert!(!still, "two requests to agent {place}");
    }

    fn check_effect(&mut self, now: Time, effect: &Effect, open: &[Effect], canceled: &[EffectId]) {
        let running = self.answered.as_ref().and_then(|journal| journal.drain.as_ref());
        let running = running.filter(|drain| drain.phase.ended().is_none());
        let intention = running.and_then(|drain| drain.action.completion.intention());
        match effect {
            Effect::AskBusy { .. } => assert!(!self.draining, "asks whether a draining agent is busy"),
            Effect::Protect { protect, .. } => {
                assert!(!protect || !self.draining, "protects an instance that drains");
                let calls = |open: &Effect| matches!(open, Effect::Protect { .. });
                assert!(!open.iter().any(calls), "two calls at once");
                // A restarted daemon must not believe that AWS has less, or more.
                let known = self.answered.as_ref().map(|journal| journal.protection).unwrap_or_default();
                let certain = matches!(known, Protection::Protected { .. } | Protection::Lifted { .. });
                assert!(!certain, "changes the protection while the journal has {known:?}");
                assert!(!protect || matches!(known, Protection::Setting { .. }), "protects unsaid");
            }
            Effect::AskReady { .. } => assert!(!self.draining, "asks whether a draining agent is ready"),
            Effect::Heartbeat { action, .. } | Effect::Complete { action, .. }
                if action.hook == LAUNCH_HOOK =>
            {
                assert!(!self.draining, "a call for a launch during a drain");
                let ready = !matches!(effect, Effect::Complete { result: CompletionResult::Continue, .. });
                assert!(ready || self.ready >= self.ready_min, "launched after {} answers", self.ready);
                let twice = |open: &Effect| std::mem::discriminant(open) == std::mem::discriminant(effect);
                assert!(!open.iter().any(twice), "two calls at once");
            }
            Effect::Heartbeat { .. } => {
                assert!(
                    !open.iter().any(|effect| matches!(effect, Effect::Heartbeat { .. })),
                    "two heartbeats"
                );
                assert!(intention.is_none(), "a heartbeat after the intention to complete");
            }
            Effect::Complete { id, result, .. } => {
                self.completion = Some(*id);
                assert!(
                    !open.iter().any(|effect| matches!(effect, Effect::Complete { .. })),
                    "two completions"
                );
                assert!(!self.completed, "a completion after one that succeeded");
                let intention = intention.expect("a completion before the intention was journaled");
                assert_eq!(intention.result, *result);
                let drained = self.drained.values().all(|drained| *drained);
                assert!(intention.outcome != Outcome::Drained || drained, "completed with work in flight");
                assert!(
                    intention.outcome != Outcome::Drained || self.forced.is_empty(),
                    "ended its own work"
                );
            }
            Effect::ReceiveMessages { .. } => {
                let receiving = |effect: &Effect| matches!(effect, Effect::ReceiveMessages { .. });
                assert!(!open.iter().any(receiving), "two receives");
            }
            Effect::DeleteMessage { receipt, .. } => self.check_deletion(receipt),
            Effect::AskAgent { agent, request: AgentRequest::Drain(order), .. } => {
                self.check_alone(*agent, open, canceled);
                let journal =
                    self.answered.as_ref().expect("an agent was told before anything was journaled");
                let drain =
                    journal.drain.as_ref().expect("an agent was told of a drain that is not journaled");
                let own = journal.agents[*agent].stage.deadline();
                assert!(
                    own.is_some_and(|own| order.deadline <= own),
                    "an agent was told more than its own time"
                );
                let mut noticed =
                    journal.notices.rows().iter().filter_map(|row| leaves(row, drain.started, now));
                // After the end nothing moves the deadline anymore.
                let fits = drain.phase.ended().is_some() || noticed.all(|at| order.deadline <= at);
                assert!(fits, "an agent was told more time than a notice leaves");
                // It moves later only if its cause is gone or has changed.
                let setters = (own, journal.notices.clone(), drain.action.clone(), drain.phase.clone());
                let before = self.deadlines.insert(*agent, (order.deadline, setters.clone()));
                let later = before.is_some_and(|(before, by)| before < order.deadline && by == setters);
                assert!(!later, "the deadline moved later although nothing changed");
            }
            Effect::AskAgent { agent, request: AgentRequest::Tell(process), .. } => {
                self.check_alone(*agent, open, canceled);
                let recorded = self.answered.as_ref().and_then(|journal| journal.agents[*agent].told);
                assert_eq!(recorded, Some(*process), "a process was told before the journal says so");
                assert!(self.told.insert(*process), "{process} was told twice");
            }
            Effect::AskAgent { agent, .. } => self.check_alone(*agent, open, canceled),
            Effect::CancelRequest { id } => {
                let waits =
                    open.iter().any(|open| matches!(open, Effect::AskAgent { id: of, .. } if of == id));
                assert!(waits, "{id:?} is canceled and is not under way");
            }
            Effect::ForceAgent { agent, order, .. } => {
                assert!(order.deadline > now, "an agent is forced without time");
                assert!(intention.is_none(), "an agent is forced after the intention to complete");
                let journal =
                    self.answered.as_ref().expect("an agent is forced before anything was journaled");
                assert!(journal.agents[*agent].forced, "an agent is forced before the journal says so");
                assert!(self.forced.insert(*agent), "agent {agent} is forced twice");
            }
            Effect::RunStep { step, deadline, .. } => {
                let runs =
                    |effect: &Effect| matches!(effect, Effect::RunStep { id, .. } if !canceled.contains(id));
                assert!(!open.iter().any(runs), "two steps");
                assert!(*deadline > now, "a step without time");
                assert!(intention.is_none(), "a step after the intention to complete");
                self.check_step(now, *step);
            }
            Effect::StopStep { id } => {
                let runs = open.iter().any(|open| is_of(open, *id));
                assert!(runs, "{id:?} is stopped and does not run");
            }
            Effect::DescribeTarget { target, .. }
            | Effect::DeregisterTarget { target, .. }
            | Effect::RegisterTarget { target, .. } => self.check_target(effect, *target, open),
            Effect::WriteJournal { .. }
            | Effect::DescribeInstance { .. }
            | Effect::DescribeHooks { .. }
            | Effect::SetVisibility { .. } => {}
        }
    }

    /// The journal says that the steps before it are over, and that every agent has an outcome.
    fn check_step(&self, now: Time, step: usize) {
        let journal = self.answered.as_ref().expect("a step before anything was journaled");
        let drain = journal.drain.as_ref().expect("a step of a drain that is not journaled");
        let AfterStage::Next { step: written, outcome } = drain.after else {
            panic!("a step, but the journal has {:?}", drain.after);
        };
        assert_eq!(step, written, "a step out of turn");
        let deadlines = journal.agents.iter().filter_map(|agent| agent.stage.deadline());
        let has_time = deadlines.chain(drain.bound).all(|deadline| deadline > now);
        let drained = self.drained.values().all(|drained| *drained);
        assert!(drained || outcome != Outcome::Drained || !has_time, "a step with work in flight");
    }

    /// One call about a target at a time. The journal says first that it is deregistered, and why it is registered.
    fn check_target(&mut self, effect: &Effect, target: usize, open: &[Effect]) {
        let is_about = |open: &Effect| {
            matches!(open, Effect::DescribeTarget { target: of, .. }
                | Effect::DeregisterTarget { target: of, .. }
                | Effect::RegisterTarget { target: of, .. } if *of == target)
        };
        assert!(!open.iter().any(is_about), "two calls about target {target}");
        let journal = self.answered.as_ref();
        let taken_out = journal.is_some_and(|journal| journal.targets[target].taken_out);
        match effect {
            Effect::DeregisterTarget { .. } => {
                assert!(self.draining, "deregisters without a drain");
                assert!(taken_out, "deregisters before the journal says so");
            }
            Effect::RegisterTarget { .. } => assert!(taken_out, "registers what it did not deregister"),
            _ => assert!(self.draining, "looks at a target without a drain"),
        }
    }

    fn take_report(&mut self, now: Time, report: &Report) {
        match report {
            Report::DrainEnded { .. } => {
                self.ended_at = Some(now);
                self.over.append(&mut self.own);
            }
            Report::StaleMessage => self.over.append(&mut self.own),
            Report::DrainStarted { .. } => {
                // An answer that is still on its way is about an earlier action.
                self.completion = None;
                self.completed = false;
                self.deadlines.clear();
                self.forced.clear();
            }
            _ => {}
        }
    }

    /// A receipt's name shows whose message it is: `other-…`, `spent-…`, `own-<token>-…`.
    fn check_deletion(&self, receipt: &str) {
        assert!(!receipt.starts_with("other"), "{receipt} was not ours to delete");
        let Some(token) = receipt.strip_prefix("own-").and_then(|rest| rest.split('/').next()) else {
            return;
        };
        let journal = self.answered.as_ref().expect("a message was deleted before anything was journaled");
        let over = journal.finished.iter().any(|finished| finished == token);
        let over = over || self.over.contains(receipt);
        let ended = journal.drain.as_ref().is_some_and(|drain| drain.phase.ended().is_some());
        assert!(over || ended, "{receipt} was deleted before its action was over");
    }

    fn check_given_back(&self, event: &Event, effects: &[Effect]) {
        let Event::MessagesReceived { result: Ok(messages), .. } = event else { return };
        for message in messages.iter().filter(|message| message.receipt.starts_with("other")) {
            let given = effects.iter().any(|effect| match effect {
                Effect::SetVisibility { entries, .. } => entries
                    .iter()
                    .any(|(receipt, hidden)| *receipt == message.receipt && hidden.as_secs() <= 5),
                _ => false,
            });
            assert!(given, "{} was not returned", message.receipt);
        }
    }

    /// Records an event before the machine gets it. `asked` is the effect whose result it is, if the machine still awaits
    /// it.
    pub fn observe(&mut self, event: &Event, asked: Option<&Effect>) {
        if let Event::MessagesReceived { result: Ok(messages), .. } = event {
            let own = messages.iter().map(|message| &message.receipt);
            self.own.extend(own.filter(|receipt| receipt.starts_with("own-")).cloned());
            for message in messages {
                if let Body::Lifecycle(lifecycle) = &*message.body
                    && lifecycle.sent <= self.ended_at
                {
                    self.over.insert(message.receipt.clone());
                }
            }
        }
        match (event, asked) {
            (Event::ReadyAnswered { result: Ok(()), .. }, Some(_)) => self.ready += 1,
            (Event::ReadyAnswered { result: Err(_), .. }, Some(_)) => self.ready = 0,
            (Event::JournalWritten { .. }, Some(Effect::WriteJournal { journal, .. })) => {
                self.answered = Some((**journal).clone());
                self.disk = self.answered.clone();
                self.refused_since = false;
            }
            (Event::JournalFailed { .. }, Some(Effect::WriteJournal { journal, .. })) => {
                self.answered = Some((**journal).clone());
                self.refused_since = true;
            }
            (Event::AgentAnswered { answer, .. }, Some(Effect::AskAgent { agent, request, .. })) => {
                if let AgentRequest::Tell(process) = request
                    && !matches!(answer, AgentAnswer::Accepted(_))
                {
                    self.told.remove(process);
                }
                let drained = match (request, answer) {
                    (AgentRequest::Drain(_), AgentAnswer::Accepted(Some(status))) => {
                        status.state == AgentState::Drained
                    }
                    (AgentRequest::Drain(_), AgentAnswer::Accepted(None)) => self.blocking.contains(agent),
                    (_, AgentAnswer::Status { status, .. }) => status.state == AgentState::Drained,
                    (_, AgentAnswer::Seen { sight, .. }) => *sight == Sight::Gone,
                    _ => return,
                };
                self.drained.insert(*agent, drained);
            }
            (Event::CompletionAnswered { id, result: Ok(()) }, Some(_)) => {
                self.completed |= self.completion == Some(*id);
            }
            (Event::Operator { command: Command::Extend(_), .. }, _) => self.deadlines.clear(),
            _ => {}
        }
    }

    /// The daemon was killed. Everything that it had not journaled is lost.
    pub fn crash(&mut self) {
        let agents = self.disk.iter().flat_map(|journal| journal.agents.iter().enumerate());
        self.forced = agents.filter(|(_, agent)| agent.forced).map(|(place, _)| place).collect();
        let drain = self.disk.as_ref().and_then(|journal| journal.drain.as_ref());
        self.completed =
            drain.is_some_and(|drain| drain.phase.ended().is_some_and(|ended| ended.result.is_some()));
        let lost = self.refused_since || drain.is_none_or(|drain| drain.phase.told().is_none());
        // The daemon forgets that heartbeats are denied, which bounds the drain by the action's expiry.
        let waits = drain.is_some_and(|drain| drain.action.wait.is_waiting());
        if lost || waits {
            self.deadlines.clear();
        }
        let intention = drain.and_then(|drain| drain.action.completion.intention());
        let steps = drain.is_some_and(|drain| {
            matches!(
                drain.after,
                AfterStage::Next { outcome: Outcome::Drained, .. }
                    | AfterStage::Over { outcome: Outcome::Drained }
            )
        });
        if steps || intention.is_some_and(|intention| intention.outcome == Outcome::Drained) {
            self.drained.values_mut().for_each(|drained| *drained = true);
        }
        self.answered = self.disk.clone();
        // Without a working disk, what was sent is forgotten.
        let recorded = self.disk.iter().flat_map(|journal| &journal.agents).filter_map(|agent| agent.told);
        let recorded: Vec<_> = recorded.collect();
        if lost {
            self.told.retain(|process| recorded.contains(process));
        }
    }
}

/// The deadline that a notice sets for a drain started at this time. A due time that had passed when the notice came or when
/// the drain started sets none.
fn leaves(row: &Notice, started: Time, now: Time) -> Option<Time> {
    let known = row.since.max(started);
    let is_held = matches!(row.state, NoticeState::Held { until } if until > now);
    let taken_back = matches!(row.reason, Reason::SpotInterruption | Reason::CapacityInterruption);
    match row.due {
        Due::At(at) if !is_held && at > known && taken_back => Some((at - INTERRUPTION_MARGIN).max(known)),
        Due::At(at) if !is_held && at > known => Some(at),
        Due::Begun if !is_held => Some(known),
        Due::At(_) | Due::Begun | Due::Unknown => None,
    }
}
