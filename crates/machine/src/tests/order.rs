//! Agents with an order: when each is told to drain.

use super::super::event::*;
use super::super::journal::{AgentStage, Outcome};
use super::super::message::SpotAction;
use super::super::settings::{AgentSettings, Settings};
use super::super::time::Time;
use super::bench::*;

fn ordered(name: &str, order: u8, timeout_s: u64) -> AgentSettings {
    AgentSettings { order, drain_timeout: secs(timeout_s), ..agent(name) }
}

/// Two agents of order 1, one of order 2 and one of order 5.
fn in_three_turns() -> Settings {
    let agents = vec![
        ordered("web", 1, 60),
        ordered("worker", 2, 600),
        ordered("api", 1, 100),
        ordered("database", 5, 60),
    ];
    Settings { agents, ..settings() }
}

/// The agents that were told to drain.
fn told(bench: &Bench) -> Vec<usize> {
    (0..bench.settings.agents.len()).filter(|place| !bench.orders(*place).is_empty()).collect()
}

fn deadline(bench: &Bench, place: usize) -> Time {
    bench.orders(place).last().unwrap().deadline
}

/// Each is told once all with a lower order are done, whatever their place in the configuration. Each has its own time from then.
#[test]
fn lower_first() {
    let mut bench = Bench::waiting(in_three_turns());
    assert_eq!(told(&bench), [0, 2]);
    let status = bench.machine.status();
    assert_eq!(status.deadline, Some(deadline(&bench, 2)), "of those that were told");
    assert_eq!((status.agents[1].state.as_str(), status.agents[1].deadline), ("waiting", None));
    bench.reports(0, AgentState::Drained, 0);
    assert_eq!(told(&bench), [0, 2], "api has the same order and still drains");
    bench.run(20);
    bench.reports(2, AgentState::Drained, 0);
    assert_eq!(told(&bench), [0, 1, 2]);
    assert_eq!(deadline(&bench, 1), bench.now + secs(600));
    bench.reports(1, AgentState::Drained, 0);
    assert!(bench.completing().is_none());
    bench.reports(3, AgentState::Drained, 0);
    assert!(bench.completing().is_some());
    let turns: Vec<Option<u8>> = bench
        .reports
        .iter()
        .filter_map(|report| match report {
            Report::AgentsTold { order, .. } => Some(*order),
            _ => None,
        })
        .collect();
    assert_eq!(turns, [Some(1), Some(2), Some(5)]);
}

/// The first agent fails, and the time of the second is over. Either is an outcome, so the next one is told.
#[test]
fn any_outcome_counts() {
    let mut bench = Bench::waiting(in_three_turns());
    bench.says(0, AgentAnswer::CannotDrain("no".to_owned()));
    bench.reports(2, AgentState::Draining, 1);
    bench.run(99);
    assert_eq!(told(&bench), [0, 2]);
    bench.run(1);
    assert_eq!(told(&bench), [0, 1, 2]);
    bench.reports(1, AgentState::Drained, 0);
    bench.reports(3, AgentState::Drained, 0);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

/// The first agent is restarted and has work while the second drains. The second one stays told, and the drain waits for both.
#[test]
fn work_again() {
    let agents = vec![ordered("first", 1, 600), ordered("second", 2, 600)];
    let mut bench = Bench::waiting(Settings { agents, ..settings() });
    bench.drained();
    bench.run(10);
    bench.reports(0, AgentState::Draining, 1);
    bench.reports(1, AgentState::Drained, 0);
    assert!(bench.completing().is_none());
    bench.run(1);
    bench.drained();
    assert!(bench.completing().is_some());
    assert_eq!(bench.orders(1).len(), 1);
}

/// EC2 takes the instance while the first agent drains. No time is left for the others. They are told that, and the drain ends.
#[test]
fn no_time_for_the_last() {
    let mut bench = Bench::new(in_three_turns());
    bench.target(TargetState::InService);
    let at = bench.now + secs(40);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    bench.reports(0, AgentState::Draining, 1);
    bench.run(29);
    assert_eq!(told(&bench), [0, 2]);
    bench.run(1);
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
    assert_eq!(told(&bench), [0, 1, 2, 3]);
    assert!((0..4).all(|place| deadline(&bench, place) == at - secs(10)));
}

/// The instance stays. The agents that were told are returned, in no order, and the one that was not gets no request.
#[test]
fn returned() {
    let agents = vec![ordered("first", 1, 600), ordered("second", 2, 600), ordered("third", 3, 600)];
    let mut bench = Bench::new(Settings { agents, ..settings() });
    bench.operator(Command::Drain);
    bench.drained();
    bench.reports(1, AgentState::Draining, 1);
    bench.operator(Command::Cancel);
    bench.run(1);
    bench.says(0, AgentAnswer::Returned);
    bench.says(1, AgentAnswer::Returned);
    assert!(bench.asks(2).is_none());
    let stages = bench.journal.unwrap().agents;
    assert!(stages.iter().all(|agent| agent.stage == AgentStage::Serving), "{stages:?}");
}

/// A drain has ended when another notice comes. An agent that has drained waits for its turn again, and is returned like the
/// others if the notices go.
#[test]
fn another_drain() {
    let agents = vec![ordered("first", 1, 600), ordered("second", 2, 600)];
    let mut bench = Bench::new(Settings { agents, ..settings() });
    bench.target(TargetState::InService);
    bench.operator(Command::Drain);
    bench.drained();
    bench.reports(1, AgentState::Drained, 0);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    let at = bench.now + secs(300);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    bench.run(1);
    assert_eq!(bench.drains_started(), 2);
    assert_eq!((bench.orders(0).len(), bench.orders(1).len()), (2, 1), "the second waits for its turn");
    bench.reports(0, AgentState::Draining, 1);
    bench.operator(Command::Cancel);
    bench.event(Event::Imds(ImdsReading::Spot(None)));
    bench.run(5);
    assert!(bench.asks(0).is_some() && bench.asks(1).is_some(), "both may be draining");
}

/// A restarted daemon neither tells an agent before its turn nor forgets it.
#[test]
fn restarted() {
    let mut bench = Bench::waiting(in_three_turns());
    bench.reports(0, AgentState::Drained, 0);
    bench.crash();
    bench.run(1);
    assert_eq!(told(&bench), [0, 2]);
    bench.reports(0, AgentState::Drained, 0);
    bench.reports(2, AgentState::Drained, 0);
    assert_eq!(told(&bench), [0, 1, 2]);
    let before = deadline(&bench, 1);
    bench.run(100);
    bench.crash();
    assert_eq!(deadline(&bench, 1), before, "its time goes on");
}

/// More time is for those that were told. The next one still gets its own from its turn on.
#[test]
fn extended() {
    let agents = vec![ordered("first", 1, 600), ordered("second", 2, 600)];
    let mut bench = Bench::waiting(Settings { agents, ..settings() });
    bench.reports(0, AgentState::Draining, 1);
    let before = deadline(&bench, 0);
    bench.operator(Command::Extend(secs(60)));
    assert_eq!(deadline(&bench, 0), before + secs(60));
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Drained, 0))));
    assert_eq!(deadline(&bench, 1), bench.now + secs(600));
}

/// The longest of each order, one after the other. Maintenance starts a drain that much earlier.
#[test]
fn time_of_all() {
    assert_eq!(in_three_turns().drain_timeout(), secs(100 + 600 + 60));
}
