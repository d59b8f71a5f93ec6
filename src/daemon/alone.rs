//! `drainhook drain --agent`: drains an agent without the daemon and without AWS, with the same machine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::perform::Performer;
use super::settings;
use super::under_way::UnderWay;
use crate::agent::http::EndpointError;
use crate::agent::step::Steps;
use crate::aws::clients::KeptClients;
use crate::aws::imds::Identity;
use crate::clock::Clock;
use crate::config::Config;
use machine::journal::Outcome;
use machine::operator::{Command, Operator};
use machine::report::Report;
use machine::settings::Settings;
use machine::{Effect, Event, Machine};

/// Drains the configured agents and returns the outcome. Passes the machine's reports to `tell`.
pub async fn drain(config: &Config, mut tell: impl FnMut(&Report)) -> Result<Outcome, EndpointError> {
    let clock = Clock::start(config.simulation.clock);
    let identity =
        Identity { instance_id: config.instance.id.clone().unwrap_or_default(), group: None, doubt: None };
    let performer = Arc::new(Performer {
        instance_id: identity.instance_id.clone(),
        clock,
        agents: settings::agents(config)?,
        // It drains the agents and nothing else.
        steps: Arc::new(Steps::new([])),
        targets: Arc::new([]),
        queue_url: None,
        journal: None,
        aws: KeptClients::new(settings::aws(config)),
    });
    let configured = settings::machine(config, &identity);
    let (after, targets) = (Vec::new(), Vec::new());
    let settings = Settings { group: None, hook: None, queue: false, after, targets, ..configured };
    let mut machine = Machine::new(settings, clock.now());
    let mut under_way = UnderWay::default();
    let by = Operator { uid: rustix::process::getuid().as_raw(), name: None };
    let drain = Event::Operator { by, command: Command::Drain };
    let mut events = VecDeque::from([Event::Started { journal: None }, drain]);
    loop {
        while let Some(event) = events.pop_front() {
            let output = machine.handle(clock.now(), event);
            output.reports.iter().for_each(&mut tell);
            if let Some(outcome) = output.reports.iter().find_map(Report::outcome) {
                return Ok(outcome);
            }
            for effect in output.effects {
                match effect {
                    // There is no journal: after a crash, the operator starts the drain again.
                    Effect::WriteJournal { id, .. } => events.push_back(Event::JournalWritten { id }),
                    // There is no group, so there is no hook and no call to make.
                    Effect::DescribeInstance { id } => {
                        events.push_back(Event::InstanceDescribed { id, result: Ok(None) });
                    }
                    Effect::DescribeHooks { .. }
                    | Effect::Heartbeat { .. }
                    | Effect::Complete { .. }
                    | Effect::ReceiveMessages { .. }
                    | Effect::SetVisibility { .. }
                    | Effect::AskReady { .. }
                    | Effect::AskBusy { .. }
                    | Effect::Protect { .. }
                    | Effect::DescribeTarget { .. }
                    | Effect::DeregisterTarget { .. }
                    | Effect::RegisterTarget { .. }
                    | Effect::DeleteMessage { .. } => {}
                    Effect::AskAgent { .. }
                    | Effect::CancelRequest { .. }
                    | Effect::ForceAgent { .. }
                    | Effect::RunStep { .. }
                    | Effect::StopStep { .. } => {
                        under_way.start(effect, |effect| Arc::clone(&performer).perform(effect));
                    }
                }
            }
        }
        let due = machine.next_wake().map(|(at, timer)| (at.since(clock.now()), timer));
        let nap = due.map_or(Duration::MAX, |(due, _)| clock.real(due));
        tokio::select! {
            Some(event) = under_way.next() => events.push_back(event),
            () = tokio::time::sleep(nap) => events.extend(due.map(|(_, timer)| Event::Timer(timer))),
        }
    }
}
