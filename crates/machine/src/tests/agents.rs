//! Agents: what they may answer, and what follows.

use super::super::effect::AgentRequest;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::report::Report;
use super::super::settings::{AgentSettings, OnExit, Settings};
use super::bench::*;

fn refused() -> AgentAnswer {
    AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true }
}

/// No connection can be made, and that says nothing of the agent's process.
fn no_route() -> AgentAnswer {
    AgentAnswer::Unreachable { why: "no route to host".to_owned(), gone: false }
}

fn one(agent: AgentSettings) -> Settings {
    Settings { agents: vec![agent], ..settings() }
}

#[test]
fn several_agents() {
    let mut bench = Bench::waiting(Settings { agents: vec![agent("a"), agent("b")], ..settings() });
    bench.drained();
    assert!(bench.completing().is_none(), "b still works");
    bench.reports(1, AgentState::Drained, 0);
    assert!(bench.completing().is_some());
}

#[test]
fn worst_outcome() {
    let mut bench = Bench::waiting(Settings { agents: vec![agent("a"), agent("b")], ..settings() });
    bench.drained();
    bench.says(1, AgentAnswer::CannotDrain("no".to_owned()));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

#[test]
fn serving_in_mid_drain() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 2);
    bench.run(1);
    bench.reports(0, AgentState::Serving, 0);
    bench.run(1);
    assert_eq!(bench.orders(0).len(), 2);
    assert!(bench.completing().is_none(), "nothing in flight is not drained");
}

/// One that accepts the drain and changes nothing is named, once: a restarted one is only told again.
#[test]
fn serving_all_along() {
    let named = |bench: &Bench| {
        bench.reported(|report| match report {
            Report::AgentTrouble { why, first: true, .. } => why.contains("serving"),
            _ => false,
        })
    };
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Serving, 2);
    assert_eq!(named(&bench), 0);
    bench.run_agent(30, AgentAnswer::Accepted(Some(status(AgentState::Serving, 2))));
    assert_eq!(named(&bench), 1);
    assert!(bench.orders(0).len() > 10, "it is told again and again");
    bench.run_agent(1, AgentAnswer::Accepted(Some(status(AgentState::Draining, 2))));
    bench.run(1);
    bench.reports(0, AgentState::Serving, 0);
    assert_eq!(named(&bench), 1);
}

#[test]
fn grace() {
    for answer in [refused(), AgentAnswer::Unsupported("404".to_owned())] {
        let mut bench = Bench::waiting(settings());
        bench.run_agent(59, answer.clone());
        assert!(bench.completing().is_none());
        bench.run_agent(8, answer);
        bench.complete(Ok(()));
        assert_eq!(bench.ended(), Some(Outcome::Failed));
    }
}

#[test]
fn grace_interrupted() {
    let mut bench = Bench::waiting(settings());
    bench.run_agent(50, refused());
    bench.run_agent(10, AgentAnswer::Busy("503".to_owned()));
    bench.run_agent(50, refused());
    assert!(bench.completing().is_none(), "it must be continuous");
}

#[test]
fn exit_after_draining() {
    for (on_exit, outcome) in [(OnExit::Drained, Outcome::Drained), (OnExit::Failed, Outcome::Failed)] {
        let mut bench = Bench::waiting(one(AgentSettings { on_exit, ..agent("worker") }));
        bench.reports(0, AgentState::Draining, 1);
        bench.run(1);
        bench.says(0, refused());
        assert_eq!(bench.completing().is_some(), on_exit == OnExit::Drained, "at once, or after the grace");
        bench.run_agent(70, refused());
        bench.complete(Ok(()));
        assert_eq!(bench.ended(), Some(outcome));
    }
}

#[test]
fn exit_before_draining() {
    let mut bench = Bench::waiting(one(AgentSettings { on_exit: OnExit::Drained, ..agent("worker") }));
    bench.says(0, refused());
    assert!(bench.completing().is_none(), "draining was never seen");
}

#[test]
fn exit_after_a_restart() {
    let mut bench = Bench::waiting(one(AgentSettings { on_exit: OnExit::Drained, ..agent("worker") }));
    bench.reports(0, AgentState::Draining, 1);
    bench.run(1);
    bench.reports(0, AgentState::Serving, 3);
    bench.run(1);
    bench.says(0, refused());
    assert!(bench.completing().is_none(), "the new process was never seen draining");
}

#[test]
fn exit_once_drained() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    bench.run(10);
    bench.says(0, refused());
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn retried_until_the_deadline() {
    for answer in [AgentAnswer::Busy("503".to_owned()), AgentAnswer::Malformed("a page".to_owned())] {
        let mut bench = Bench::waiting(one(AgentSettings { drain_timeout: secs(300), ..agent("worker") }));
        bench.run_agent(299, answer.clone());
        assert!(bench.completing().is_none());
        assert!((60..=150).contains(&bench.orders(0).len()), "{}", bench.orders(0).len());
        bench.run_agent(2, answer);
        bench.complete(Ok(()));
        assert_eq!(bench.ended(), Some(Outcome::Deadline));
    }
}

#[test]
fn blocking_agent() {
    let blocks = one(AgentSettings { blocks: true, ..agent("worker") });
    let mut bench = Bench::waiting(blocks);
    bench.run(600);
    assert_eq!(bench.orders(0).len(), 1);
    bench.says(0, AgentAnswer::Accepted(None));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    let asked = bench.count(|effect| matches!(effect, super::super::Effect::AskAgent { .. }));
    assert_eq!(asked, 1, "it has no status to ask for");
}

#[test]
fn status_in_the_answer() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Drained, 0))));
    assert!(bench.completing().is_some());
}

#[test]
fn poll_spacing() {
    for (waited, expected_ms) in [(true, 50), (false, 1000)] {
        let mut bench = Bench::waiting(settings());
        bench.says(0, AgentAnswer::Accepted(None));
        let answered = bench.now;
        let status = status(AgentState::Draining, 7);
        bench.says(0, AgentAnswer::Status { status, waited });
        while bench.asks(0).is_none() {
            bench.wake();
        }
        assert_eq!(bench.now.since(answered).as_millis(), expected_ms, "waited: {waited}");
    }
}

#[test]
fn held_answers_without_news() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    let asked = || AgentAnswer::Status { status: status(AgentState::Draining, 7), waited: true };
    let start = bench.now;
    for _ in 0..10 {
        while bench.asks(0).is_none() {
            bench.wake();
        }
        bench.says(0, asked());
    }
    assert!(bench.now.since(start) >= secs(8), "it only says that it holds its answers");
}

#[test]
fn long_poll_abandoned_for_new_orders() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Status));
    bench.operator(Command::Extend(secs(60)));
    assert_eq!(bench.orders(0).len(), 2, "new orders do not wait for the held answer");
    let held = bench.open.iter().find_map(|effect| match effect {
        super::super::Effect::AskAgent { id, request: AgentRequest::Status, .. } => Some(*id),
        _ => None,
    });
    let answer = AgentAnswer::Status { status: status(AgentState::Drained, 0), waited: true };
    bench.event(Event::AgentAnswered { id: held.unwrap(), answer });
    assert!(bench.completing().is_none(), "its answer is stale");
}

/// It takes the order and has no status: whether it is draining is never known. It is not asked without a pause, and
/// the log is not filled with it.
#[test]
fn accepted_and_then_not_found() {
    for acceptance in [None, Some(status(AgentState::Draining, 1))] {
        let mut bench = Bench::waiting(settings());
        let minute = bench.now + secs(60);
        while bench.now < minute {
            match bench.asks(0) {
                Some(AgentRequest::Drain(_)) => bench.says(0, AgentAnswer::Accepted(acceptance.clone())),
                Some(_) => bench.says(0, AgentAnswer::Unsupported("404".to_owned())),
                None => bench.wake(),
            }
        }
        assert!((10..25).contains(&bench.orders(0).len()), "{}", bench.orders(0).len());
        let loud = |report: &Report| matches!(report, Report::AgentTrouble { first: true, .. });
        assert_eq!(bench.reported(loud), 1);
        assert!(bench.completing().is_none(), "what it has accepted may still be in its hands");
    }
}

/// A draining agent exits when it has drained. Its socket loses its permissions while it works: no connection can be
/// made, and it has not exited. Only when the connection is refused has it.
#[test]
fn no_permission_is_no_exit() {
    let exits = AgentSettings { on_exit: OnExit::Drained, ..agent("worker") };
    let mut bench = Bench::waiting(one(exits));
    bench.reports(0, AgentState::Draining, 3);
    bench.run_agent(30, no_route());
    assert!(bench.completing().is_none(), "it has not said that it has drained, and has not exited");
    bench.run_agent(10, refused());
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// An agent's host name stops resolving in mid-drain: `unreachable_grace` bounds that as it does a refused connection.
#[test]
fn no_route_fails_after_the_grace() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 3);
    bench.run_agent(70, no_route());
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}
