//! A machine on a test bench, with a clock that the test sets and a record of all outputs.

use std::time::Duration;

pub use super::super::Output;
use super::super::effect::{AgentRequest, CompletionResult, DrainOrder, Effect, EffectId};
use super::super::event::*;
use super::super::journal::{Journal, Outcome};
use super::super::message::*;
pub use super::super::operator::Command;
use super::super::operator::{Answer, Operator};
pub use super::super::report::Report;
use super::super::settings::*;
use super::super::{Machine, Time};
pub use super::sent::*;

pub const INSTANCE: &str = "i-0123456789abcdef0";
pub const START: Time = Time::from_unix_ms(1_764_000_000_000);

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn agent(name: &str) -> AgentSettings {
    AgentSettings {
        name: name.to_owned(),
        drain_timeout: secs(3600),
        unreachable_grace: secs(60),
        order: 1,
        on_exit: OnExit::Failed,
        poll: secs(1),
        protocol: Protocol::Polled,
        zero_for: None,
        force: None,
    }
}

pub fn after_step(name: &str, timeout_s: u64) -> StepSettings {
    StepSettings { name: name.to_owned(), timeout: secs(timeout_s) }
}

pub fn settings() -> Settings {
    Settings {
        instance_id: INSTANCE.to_owned(),
        boot_id: Some("first".to_owned()),
        booted_at: None,
        group: Some("workers".to_owned()),
        agents: vec![agent("worker")],
        after: Vec::new(),
        targets: Vec::new(),
        queue: true,
        queue_name: None,
        listen: Listen::AtNotice,
        capacity_reservation: None,
        hook: None,
        heartbeat_timeout: None,
        drain_at: DrainAt::Notice,
        on_drained: CompletionResult::Continue,
        on_deadline: CompletionResult::Continue,
        on_failed: CompletionResult::Continue,
        on_rebalance: OnNotice::Drain,
        on_standby: OnNotice::Drain,
        on_detachment: OnNotice::Drain,
        launch: None,
        protection: None,
    }
}

pub fn hook(name: &str, timeout_s: u64) -> Hook {
    Hook {
        name: name.to_owned(),
        terminating: true,
        heartbeat_timeout: secs(timeout_s),
        global_timeout: secs(timeout_s * 100),
        default_result: CompletionResult::Abandon,
        notification_target: None,
    }
}

pub fn error(kind: CallErrorKind) -> CallError {
    CallError { kind, message: format!("{kind:?}") }
}

pub fn status(state: AgentState, in_flight: u64) -> AgentStatus {
    AgentStatus { state, in_flight: Some(in_flight), gauges: Default::default(), detail: None }
}

/// Whether this is the effect that can be canceled by this id.
pub fn is_of(effect: &Effect, canceled: EffectId) -> bool {
    matches!(effect, Effect::AskAgent { id, .. } | Effect::RunStep { id, .. } | Effect::ForceAgent { id, .. }
             if *id == canceled)
}

/// How journal writes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Writes,
    Refuses,
    Hangs,
}

pub struct Bench {
    pub machine: Machine,
    pub now: Time,
    pub disk: Disk,
    /// The last journal that was written.
    pub journal: Option<Journal>,
    /// The result of DescribeLifecycleHooks; `None`: no answer.
    pub hooks: Option<Result<Vec<Hook>, CallError>>,
    /// The lifecycle state from DescribeAutoScalingInstances; `None`: no answer.
    pub state: Option<&'static str>,
    /// The group from DescribeAutoScalingInstances.
    pub group: &'static str,
    /// All effects.
    pub log: Vec<(Time, Effect)>,
    /// All reports.
    pub reports: Vec<Report>,
    /// All answers to operators.
    pub answers: Vec<Answer>,
    /// The effects that have no result yet.
    pub open: Vec<Effect>,
    /// The canceled requests to agents.
    pub canceled: Vec<EffectId>,
    pub settings: Settings,
}

impl Bench {
    pub fn new(settings: Settings) -> Self {
        let mut bench = Bench {
            machine: Machine::new(settings.clone(), START),
            now: START,
            disk: Disk::Writes,
            journal: None,
            hooks: Some(Ok(vec![hook("drain", 300)])),
            state: Some("Terminating"),
            group: "workers",
            log: Vec::new(),
            reports: Vec::new(),
            answers: Vec::new(),
            open: Vec::new(),
            canceled: Vec::new(),
            settings,
        };
        bench.event(Event::Started { journal: None });
        bench
    }

    /// An instance in service that the group has just decided to terminate.
    pub fn terminating(settings: Settings) -> Self {
        let mut bench = Bench::new(settings);
        bench.target(TargetState::InService);
        bench.run(1);
        bench.target(TargetState::Terminated);
        bench
    }

    /// As `terminating`, with the action in Wait and its message received.
    pub fn waiting(settings: Settings) -> Self {
        let mut bench = Bench::terminating(settings);
        bench.state = Some("Terminating:Wait");
        let sent = bench.now;
        bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
        bench
    }

    /// Kills the daemon and starts it again.
    pub fn crash(&mut self) {
        self.machine = Machine::new(self.settings.clone(), self.now);
        self.open.clear();
        let journal = self.journal.clone().map(Box::new);
        self.event(Event::Started { journal });
    }

    pub fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Output { effects, reports, answer } = self.machine.handle(self.now, event);
            self.reports.extend(reports);
            self.answers.extend(answer);
            for effect in effects {
                self.log.push((self.now, effect.clone()));
                if let Effect::CancelRequest { id } | Effect::StopStep { id } = effect {
                    self.canceled.push(id);
                    self.open.retain(|open| !is_of(open, id));
                    continue;
                }
                match self.answer(&effect) {
                    Some(answer) => events.push(answer),
                    None => self.open.push(effect),
                }
            }
            if let Some((at, timer)) = self.machine.next_wake() {
                assert!(at > self.now, "{timer:?} wants to be woken in the past");
            }
        }
    }

    fn answer(&mut self, effect: &Effect) -> Option<Event> {
        match effect {
            Effect::WriteJournal { id, journal } => match self.disk {
                Disk::Writes => {
                    self.journal = Some((**journal).clone());
                    Some(Event::JournalWritten { id: *id })
                }
                Disk::Refuses => Some(Event::JournalFailed { id: *id, why: "disk full".to_owned() }),
                Disk::Hangs => None,
            },
            Effect::DescribeHooks { id, .. } => {
                self.hooks.clone().map(|result| Event::HooksDescribed { id: *id, result })
            }
            Effect::DescribeInstance { id } => self.state.map(|state| {
                let instance =
                    DescribedInstance { group: self.group.to_owned(), lifecycle_state: state.to_owned() };
                Event::InstanceDescribed { id: *id, result: Ok(Some(instance)) }
            }),
            // The test answers it.
            _ => None,
        }
    }

    /// Lets time pass and fires the machine's timers.
    pub fn run(&mut self, seconds: u64) {
        let end = self.now + secs(seconds);
        while let Some((at, timer)) = self.machine.next_wake().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.event(Event::Timer(timer));
        }
        self.now = end;
    }

    /// Lets time pass until the machine's next timer.
    pub fn wake(&mut self) {
        let (at, timer) = self.machine.next_wake().unwrap();
        self.now = at;
        self.event(Event::Timer(timer));
    }

    /// Lets time pass, with agents that answer every request with `answer`.
    pub fn run_agent(&mut self, seconds: u64, answer: AgentAnswer) {
        for _ in 0..seconds {
            if self.asks(0).is_some() {
                self.says(0, answer.clone());
            }
            self.run(1);
        }
    }

    /// IMDS lists this maintenance and nothing else.
    pub fn maintenance(&mut self, at: Option<Time>) {
        let listed = at.map(|at| MaintenanceNotice {
            event_id: "instance-event-1".to_owned(),
            code: "instance-stop".to_owned(),
            not_before: Some(at),
        });
        self.event(Event::Imds(ImdsReading::Maintenance(listed.into_iter().collect())));
    }

    /// Lets time pass, with IMDS giving this answer about spot interruptions every 5 s.
    pub fn run_spot(&mut self, seconds: u64, spot: Option<SpotNotice>) {
        for _ in 0..seconds / 5 {
            self.run(5);
            self.event(Event::Imds(ImdsReading::Spot(spot)));
        }
    }

    pub fn target(&mut self, state: TargetState) {
        self.event(Event::Imds(ImdsReading::TargetState(Some(state))));
    }

    pub fn operator(&mut self, command: Command) {
        let by = Operator { uid: 0, name: Some("root".to_owned()) };
        self.event(Event::Operator { by, command });
    }

    fn take(&mut self, wanted: impl Fn(&Effect) -> Option<EffectId>) -> EffectId {
        let (place, id) = self
            .open
            .iter()
            .enumerate()
            .rev()
            .find_map(|(place, effect)| wanted(effect).map(|id| (place, id)))
            .unwrap_or_else(|| panic!("no such effect is open: {:#?}", self.open));
        self.open.remove(place);
        id
    }

    /// Ends the receive under way with these messages.
    pub fn receive(&mut self, messages: Vec<Message>) {
        self.receive_result(Ok(messages));
    }

    pub fn receive_result(&mut self, result: Result<Vec<Message>, CallError>) {
        let id = self.take(|effect| match effect {
            Effect::ReceiveMessages { id, .. } => Some(*id),
            _ => None,
        });
        self.event(Event::MessagesReceived { id, result });
    }

    pub fn is_receiving(&self) -> bool {
        self.open.iter().any(|effect| matches!(effect, Effect::ReceiveMessages { .. }))
    }

    /// The request to the agent that is under way.
    pub fn asks(&self, place: usize) -> Option<&AgentRequest> {
        self.open.iter().rev().find_map(|effect| match effect {
            Effect::AskAgent { agent, request, .. } if *agent == place => Some(request),
            _ => None,
        })
    }

    /// The agent answers. A status given to a drain request becomes its acceptance, and the other way round.
    pub fn says(&mut self, place: usize, answer: AgentAnswer) {
        let answer = match (self.asks(place), answer) {
            (Some(AgentRequest::Drain(_)), AgentAnswer::Status { status, .. }) => {
                AgentAnswer::Accepted(Some(status))
            }
            (Some(AgentRequest::Status), AgentAnswer::Accepted(status)) => {
                let draining = AgentStatus { in_flight: None, ..self::status(AgentState::Draining, 0) };
                AgentAnswer::Status { status: status.unwrap_or(draining), waited: false }
            }
            (_, answer) => answer,
        };
        let id = self.take(|effect| match effect {
            Effect::AskAgent { id, agent, .. } if *agent == place => Some(*id),
            _ => None,
        });
        self.event(Event::AgentAnswered { id, answer });
    }

    /// The agent accepts its order or is asked for its status, and reports this.
    pub fn reports(&mut self, place: usize, state: AgentState, in_flight: u64) {
        if matches!(self.asks(place), Some(AgentRequest::Drain(_))) {
            self.says(place, AgentAnswer::Accepted(None));
        }
        self.says(place, AgentAnswer::Status { status: status(state, in_flight), waited: false });
    }

    pub fn drained(&mut self) {
        self.reports(0, AgentState::Drained, 0);
    }

    pub fn beat(&mut self, result: Result<(), CallErrorKind>) {
        let id = self.take(|effect| match effect {
            Effect::Heartbeat { id, .. } => Some(*id),
            _ => None,
        });
        self.event(Event::HeartbeatAnswered { id, result: result.map_err(error) });
    }

    pub fn complete(&mut self, result: Result<(), CallErrorKind>) {
        let id = self.take(|effect| match effect {
            Effect::Complete { id, .. } => Some(*id),
            _ => None,
        });
        self.event(Event::CompletionAnswered { id, result: result.map_err(error) });
    }

    /// Answers a DescribeAutoScalingInstances call late.
    pub fn described(&mut self) {
        let place = self.open.iter().position(is_describe).unwrap();
        let answer = self.answer(&self.open[place].clone()).unwrap();
        self.open.remove(place);
        self.event(answer);
    }

    pub fn is_beating(&self) -> bool {
        self.open.iter().any(|effect| matches!(effect, Effect::Heartbeat { .. }))
    }

    /// The write under way reaches the disk, and so do all later ones.
    pub fn journal_written(&mut self) {
        let id = self.take(|effect| match effect {
            Effect::WriteJournal { id, .. } => Some(*id),
            _ => None,
        });
        self.disk = Disk::Writes;
        let written = self.log.iter().rev().find_map(|(_, effect)| match effect {
            Effect::WriteJournal { id: of, journal } if *of == id => Some((**journal).clone()),
            _ => None,
        });
        self.journal = written;
        self.event(Event::JournalWritten { id });
    }

    /// The result of the completion under way.
    pub fn completing(&self) -> Option<CompletionResult> {
        self.open.iter().find_map(|effect| match effect {
            Effect::Complete { result, .. } => Some(*result),
            _ => None,
        })
    }

    /// The order in each drain request sent to this agent.
    pub fn orders(&self, place: usize) -> Vec<DrainOrder> {
        let orders = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::AskAgent { agent, request: AgentRequest::Drain(order), .. } if *agent == place => {
                Some(*order)
            }
            _ => None,
        });
        orders.collect()
    }

    pub fn times(&self, wanted: impl Fn(&Effect) -> bool) -> Vec<Time> {
        self.log.iter().filter(|(_, effect)| wanted(effect)).map(|(at, _)| *at).collect()
    }

    pub fn count(&self, wanted: impl Fn(&Effect) -> bool) -> usize {
        self.times(wanted).len()
    }

    pub fn deleted(&self) -> Vec<String> {
        let deleted = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::DeleteMessage { receipt, .. } => Some(receipt.clone()),
            _ => None,
        });
        deleted.collect()
    }

    /// The receipts and seconds of every visibility timeout that was set.
    pub fn hidden(&self) -> Vec<(String, u64)> {
        let hidden = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::SetVisibility { entries, .. } => Some(entries.clone()),
            _ => None,
        });
        hidden.flatten().map(|(receipt, hidden)| (receipt, hidden.as_secs())).collect()
    }

    /// How the last drain ended.
    pub fn ended(&self) -> Option<Outcome> {
        self.reports.iter().rev().find_map(Report::outcome)
    }

    pub fn reported(&self, what: impl Fn(&Report) -> bool) -> usize {
        self.reports.iter().filter(|report| what(report)).count()
    }

    pub fn drains_started(&self) -> usize {
        self.reported(|report| matches!(report, Report::DrainStarted { .. }))
    }
}

pub fn is_heartbeat(effect: &Effect) -> bool {
    matches!(effect, Effect::Heartbeat { .. })
}

pub fn is_complete(effect: &Effect) -> bool {
    matches!(effect, Effect::Complete { .. })
}

pub fn is_describe(effect: &Effect) -> bool {
    matches!(effect, Effect::DescribeInstance { .. } | Effect::DescribeHooks { .. })
}
