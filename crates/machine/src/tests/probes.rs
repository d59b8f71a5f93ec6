//! Agents that report only how much is in flight.

use super::super::effect::{AgentRequest, Effect};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::process::{Process, Sight};
use super::super::settings::{AgentSettings, Protocol, Settings};
use super::bench::*;

/// An agent that must report 0 for ten seconds.
fn counting(protocol: Protocol) -> Settings {
    let agent = AgentSettings { protocol, zero_for: Some(secs(10)), ..agent("worker") };
    Settings { agents: vec![agent], ..settings() }
}

/// The agent is told, and takes the order without a word about its work.
fn told(protocol: Protocol) -> Bench {
    let mut bench = Bench::waiting(counting(protocol));
    bench.says(0, AgentAnswer::Accepted(None));
    bench
}

fn reading(in_flight: u64) -> AgentAnswer {
    AgentAnswer::Status { status: status(AgentState::Draining, in_flight), waited: false }
}

/// The agent says 0 for nine seconds, which may be a pause between two tasks, and then for ten.
#[test]
fn zero_for_long_enough() {
    let mut bench = told(Protocol::Polled);
    bench.run_agent(3, reading(2));
    bench.run_agent(9, reading(0));
    assert!(bench.completing().is_none());
    bench.run_agent(1, reading(1));
    bench.run_agent(10, reading(0));
    assert!(bench.completing().is_none(), "the ten seconds began anew");
    bench.run_agent(1, reading(0));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A reading fails in between. Nothing is known of the work at that time.
#[test]
fn failed_readings_are_not_zero() {
    for failure in [AgentAnswer::Busy("500".to_owned()), AgentAnswer::Malformed("no such metric".to_owned())]
    {
        let mut bench = told(Protocol::Polled);
        bench.run_agent(9, reading(0));
        bench.run_agent(1, failure.clone());
        bench.run_agent(10, reading(0));
        assert!(bench.completing().is_none(), "{failure:?}");
        bench.run_agent(2, reading(0));
        assert!(bench.completing().is_some(), "{failure:?}");
    }
    let mut bench = told(Protocol::Polled);
    bench.run_agent(600, AgentAnswer::Malformed("no such metric".to_owned()));
    assert!(bench.completing().is_none(), "the agent may be at work");
}

/// The first reading is 0. The next one takes ten seconds to arrive. Both may have been taken within a moment.
#[test]
fn a_slow_reading_is_one_reading() {
    let mut bench = told(Protocol::Polled);
    bench.says(0, reading(0));
    bench.run(1);
    assert!(bench.asks(0).is_some());
    bench.run(15);
    bench.says(0, reading(0));
    assert!(bench.completing().is_none());
    bench.run_agent(2, reading(0));
    assert!(bench.completing().is_some(), "it was asked for ten seconds after the first");
}

/// Before Wait begins, the drained agent has work again, from a task that was retried. The completion is withdrawn.
#[test]
fn work_after_zero() {
    let mut bench = Bench::terminating(counting(Protocol::Polled));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(12, reading(0));
    assert_eq!(bench.machine.status().agents[0].state, "drained");
    bench.says(0, reading(1));
    assert_eq!(bench.machine.status().agents[0].state, "draining");
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run_agent(60, reading(1));
    assert!(bench.completing().is_none());
    bench.run_agent(12, reading(0));
    assert!(bench.completing().is_some());
}

/// The daemon is restarted after nine seconds of 0. It tells the agent again, and the ten seconds begin anew.
#[test]
fn a_restart_begins_anew() {
    let mut bench = told(Protocol::Polled);
    bench.run_agent(9, reading(0));
    bench.crash();
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(9, reading(0));
    assert!(bench.completing().is_none());
    bench.run_agent(3, reading(0));
    assert!(bench.completing().is_some());
}

/// A process tells the agent to drain, and exits. It is not run again, and its agent has not drained.
#[test]
fn a_process_that_only_tells() {
    let mut bench = told(Protocol::Running);
    bench.run_agent(20, reading(3));
    assert!(bench.completing().is_none());
    assert_eq!(bench.orders(0).len(), 1);
    bench.run_agent(12, reading(0));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.orders(0).len(), 1);
}

/// A process takes no more work after a signal, but does not exit. It is told once, and has drained when nothing is in flight.
#[test]
fn a_process_that_does_not_exit() {
    let seen = |process, in_flight| AgentAnswer::Seen {
        sight: Sight::Runs(Process(process)),
        in_flight,
        waited: false,
    };
    let mut bench = Bench::waiting(counting(Protocol::Once));
    bench.says(0, seen(1, None));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(5, seen(1, Some(2)));
    bench.run_agent(9, seen(1, Some(0)));
    bench.run_agent(1, AgentAnswer::Busy("the probe failed".to_owned()));
    bench.run_agent(9, seen(1, Some(0)));
    assert!(bench.completing().is_none(), "the ten seconds began anew");
    bench.run_agent(4, seen(1, Some(0)));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    let told = |effect: &Effect| matches!(effect, Effect::AskAgent { request: AgentRequest::Tell(_), .. });
    assert_eq!(bench.count(told), 1);
}

/// A unit comes back with another process while its number is 0. That process was not told, so it may take work.
#[test]
fn another_process_is_not_idle() {
    let seen = |process, in_flight| AgentAnswer::Seen {
        sight: Sight::Runs(Process(process)),
        in_flight,
        waited: false,
    };
    let mut bench = Bench::waiting(counting(Protocol::Once));
    bench.says(0, seen(1, None));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(9, seen(1, Some(0)));
    bench.says(0, seen(2, None));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Tell(Process(2))));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(10, seen(2, Some(0)));
    assert!(bench.completing().is_none());
    bench.run_agent(2, seen(2, Some(0)));
    assert!(bench.completing().is_some());
}

/// Without `zero_for`, a number is only reported.
#[test]
fn zero_without_a_time() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run_agent(600, reading(0));
    assert!(bench.completing().is_none());
}
