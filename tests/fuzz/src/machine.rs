//! The machine that gets the values that were read, without the rest of a daemon.

use std::time::Duration;

use machine::effect::{CompletionResult, EffectId};
use machine::event::{ImdsReading, TargetHealth, TargetState};
use machine::journal::Journal;
use machine::settings::{AgentSettings, DrainAt, OnExit, Protocol, Settings, StepSettings, TargetSettings};
use machine::targets::TargetName;
use machine::{Effect, Event, Machine, Time};

/// The machine's instance.
pub const INSTANCE: &str = "i-0123456789abcdef0";

/// How often the machine is woken after its events.
const WAKES_MAX: usize = 32;

/// A machine whose journal is always written. It gets no events other than those of the caller.
pub struct Host {
    machine: Machine,
    now: Time,
    receiving: Option<EffectId>,
    asking: Option<EffectId>,
}

impl Host {
    /// A machine that starts with a journal, or without one.
    pub fn started(journal: Option<Journal>) -> Self {
        let now = Time::from_unix_ms(1_764_000_000_000);
        let mut host = Host { machine: Machine::new(settings(), now), now, receiving: None, asking: None };
        host.hear(Event::Started { journal: journal.map(Box::new) });
        host
    }

    /// A machine whose instance is being terminated.
    pub fn draining() -> Self {
        let mut host = Host::started(None);
        host.hear(Event::Imds(ImdsReading::TargetState(Some(TargetState::Terminated))));
        host
    }

    /// The receive that waits for messages.
    pub fn receiving(&mut self) -> Option<EffectId> {
        self.receiving.take()
    }

    /// The request that waits for the agent's answer.
    pub fn asking(&mut self) -> Option<EffectId> {
        self.asking.take()
    }

    /// Handles an event, and confirms journal writes.
    pub fn hear(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.machine.handle(self.now, event).effects {
                match effect {
                    Effect::WriteJournal { id, .. } => events.push(Event::JournalWritten { id }),
                    Effect::ReceiveMessages { id, .. } => self.receiving = Some(id),
                    Effect::AskAgent { id, .. } => self.asking = Some(id),
                    Effect::ForceAgent { id, .. } | Effect::RunStep { id, .. } => {
                        events.push(Event::StepEnded { id, result: Ok(()) })
                    }
                    Effect::AskReady { id, .. } => events.push(Event::ReadyAnswered { id, result: Ok(()) }),
                    Effect::AskBusy { id, .. } => events.push(Event::BusyAnswered { id, result: Ok(1) }),
                    Effect::Protect { id, .. } => {
                        events.push(Event::ProtectionAnswered { id, result: Ok(()) })
                    }
                    Effect::DescribeTarget { id, .. } => {
                        events.push(Event::TargetDescribed { id, result: Ok(TargetHealth::Registered) })
                    }
                    Effect::DeregisterTarget { id, .. } => {
                        events.push(Event::TargetDeregistered { id, result: Ok(()) })
                    }
                    Effect::RegisterTarget { id, .. } => {
                        events.push(Event::TargetRegistered { id, result: Ok(()) })
                    }
                    Effect::CancelRequest { .. }
                    | Effect::StopStep { .. }
                    | Effect::Heartbeat { .. }
                    | Effect::Complete { .. }
                    | Effect::DescribeInstance { .. }
                    | Effect::DescribeHooks { .. }
                    | Effect::SetVisibility { .. }
                    | Effect::DeleteMessage { .. } => {}
                }
            }
            let _ = self.machine.status();
        }
    }

    /// Wakes the machine at its timers, at most `WAKES_MAX` times.
    pub fn live_on(&mut self) {
        for _ in 0..WAKES_MAX {
            let Some((at, timer)) = self.machine.next_wake() else { return };
            self.now = self.now.max(at);
            self.hear(Event::Timer(timer));
        }
    }
}

fn settings() -> Settings {
    let agent = AgentSettings {
        name: "worker".to_owned(),
        drain_timeout: Duration::from_secs(3600),
        unreachable_grace: Duration::from_secs(60),
        order: 1,
        on_exit: OnExit::Failed,
        poll: Duration::from_secs(1),
        protocol: Protocol::Polled,
        zero_for: None,
        force: None,
    };
    let target = TargetName { group: "web".to_owned(), id: INSTANCE.to_owned(), port: None };
    Settings {
        instance_id: INSTANCE.to_owned(),
        boot_id: Some("boot".to_owned()),
        booted_at: None,
        group: Some("workers".to_owned()),
        agents: vec![agent],
        after: vec![StepSettings { name: "flush".to_owned(), timeout: Duration::from_secs(30) }],
        targets: vec![TargetSettings { name: "web".to_owned(), target, timeout: Duration::from_secs(300) }],
        queue: true,
        queue_name: None,
        listen: machine::settings::Listen::Always,
        capacity_reservation: Some("cr-0123456789abcdef0".to_owned()),
        hook: Some("drain".to_owned()),
        heartbeat_timeout: None,
        drain_at: DrainAt::Notice,
        on_drained: CompletionResult::Continue,
        on_deadline: CompletionResult::Continue,
        on_failed: CompletionResult::Continue,
        on_rebalance: machine::settings::OnNotice::Drain,
        on_standby: machine::settings::OnNotice::Drain,
        on_detachment: machine::settings::OnNotice::Drain,
        launch: None,
        protection: Some(machine::settings::ProtectionSettings {
            busy_for: Duration::from_secs(30),
            idle_for: Duration::from_secs(300),
            longest: Duration::from_secs(3000),
        }),
    }
}
