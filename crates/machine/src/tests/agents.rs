//! Agents' answers and their consequences.

use super::super::effect::AgentRequest;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::SpotAction;
use super::super::report::Report;
use super::super::settings::{AgentSettings, OnExit, Protocol, Settings};
use super::bench::*;

fn refused() -> AgentAnswer {
    AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true }
}

/// No connection can be made, which says nothing about the agent's process.
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
    assert!(bench.completing().is_none(), "b is still draining");
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
fn serving_during_a_drain() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 2);
    bench.run(1);
    bench.reports(0, AgentState::Serving, 0);
    bench.run(1);
    assert_eq!(bench.orders(0).len(), 2);
    assert!(bench.completing().is_none(), "`serving` with nothing in flight is not drained");
}

/// An agent accepts the drain and keeps serving. That is reported once. A restarted agent is only told again.
#[test]
fn agent_keeps_serving() {
    let named = |bench: &Bench| {
        bench.reported(|report| match report {
            Report::AgentTrouble { why, news: true, .. } => why.contains("serving"),
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
    assert!(bench.completing().is_none(), "the agent must be unreachable for the whole grace");
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
    let blocks = one(AgentSettings { protocol: Protocol::Blocking, ..agent("worker") });
    let mut bench = Bench::waiting(blocks);
    bench.run(600);
    assert_eq!(bench.orders(0).len(), 1);
    bench.says(0, AgentAnswer::Accepted(None));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    let asked = bench.count(|effect| matches!(effect, super::super::Effect::AskAgent { .. }));
    assert_eq!(asked, 1, "it has no status to request");
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
    assert!(bench.now.since(start) >= secs(8), "it only claims to hold its answers");
}

#[test]
fn long_poll_canceled_for_new_orders() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    assert_eq!(bench.asks(0), Some(&AgentRequest::Status));
    bench.operator(Command::Extend(secs(60)));
    assert_eq!(bench.orders(0).len(), 2, "new orders do not wait for the held answer");
    let held = *bench.canceled.last().expect("the status request");
    let answer = AgentAnswer::Status { status: status(AgentState::Drained, 0), waited: true };
    bench.event(Event::AgentAnswered { id: held, answer });
    assert!(bench.completing().is_none(), "its answer is stale");
}

/// An agent accepts the order but has no status, so its state is never known. It is not asked without a pause, and does not
/// fill the log.
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
        let loud = |report: &Report| matches!(report, Report::AgentTrouble { news: true, .. });
        assert_eq!(bench.reported(loud), 1);
        assert!(bench.completing().is_none(), "it may still have work in flight");
    }
}

/// An agent exits when it has drained. While it works, its socket loses its permissions: no connection can be made, but the
/// agent has not exited. It counts as exited only once the connection is refused.
#[test]
fn permission_denied_is_not_an_exit() {
    let exits = AgentSettings { on_exit: OnExit::Drained, ..agent("worker") };
    let mut bench = Bench::waiting(one(exits));
    bench.reports(0, AgentState::Draining, 3);
    bench.run_agent(30, no_route());
    assert!(bench.completing().is_none(), "it has not said that it has drained, and has not exited");
    bench.run_agent(10, refused());
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// An agent's host name stops resolving during a drain. After `unreachable_grace` the agent has failed, as with a refused
/// connection.
#[test]
fn no_route_fails_after_the_grace() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 3);
    bench.run_agent(70, no_route());
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

/// A blocking agent is restarted during a drain, and takes the order again before its grace is over. It has not failed: it
/// answers once it has drained.
#[test]
fn blocking_agent_that_is_restarted() {
    let mut bench = Bench::waiting(blocking());
    bench.run(10);
    bench.says(0, AgentAnswer::Busy("the connection broke".to_owned()));
    bench.run_agent(30, refused());
    while bench.asks(0).is_none() {
        bench.wake();
    }
    bench.run(300);
    assert!(bench.completing().is_none(), "it has the order");
    bench.says(0, AgentAnswer::Accepted(None));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A process drains the agent. More time does not interrupt it. Less time does: it is stopped and runs again, so that it
/// learns its deadline.
#[test]
fn running_agent_and_its_deadline() {
    let mut bench = Bench::waiting(one(AgentSettings { protocol: Protocol::Running, ..agent("worker") }));
    bench.operator(Command::Extend(secs(600)));
    bench.run(3605);
    assert_eq!((bench.orders(0).len(), bench.canceled.len()), (1, 0), "it has more time, and goes on");
    let at = bench.now + secs(120);
    bench.run_spot(5, Some(SpotNotice { action: SpotAction::Terminate, at }));
    bench.run(2);
    assert_eq!(
        (bench.orders(0).len(), bench.canceled.len()),
        (2, 1),
        "it must be done before the interruption"
    );
    bench.says(0, AgentAnswer::Accepted(None));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A process that drains the agent is stopped at its deadline, and is not run again.
#[test]
fn running_agent_at_its_deadline() {
    let settings = AgentSettings { protocol: Protocol::Running, drain_timeout: secs(300), ..agent("worker") };
    let mut bench = Bench::waiting(one(settings));
    bench.run(310);
    assert_eq!((bench.orders(0).len(), bench.canceled.len()), (1, 1));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
    bench.run(60);
    assert_eq!(bench.orders(0).len(), 1);
}

fn blocking() -> Settings {
    one(AgentSettings { protocol: Protocol::Blocking, ..agent("worker") })
}

/// A blocking agent answers with a status that has three tasks in flight. It is told again, once per poll, until it says that
/// it has drained.
#[test]
fn blocking_agent_that_answers_early() {
    let mut bench = Bench::waiting(blocking());
    bench.run_agent(10, AgentAnswer::Accepted(Some(status(AgentState::Draining, 3))));
    assert!(bench.completing().is_none(), "it has work in flight");
    assert!((9..=12).contains(&bench.orders(0).len()), "{}", bench.orders(0).len());
    bench.run_agent(1, AgentAnswer::Accepted(Some(status(AgentState::Drained, 0))));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A blocking agent answers just as an operator gives it more time. Its request was canceled for a new one, so the answer
/// counts for neither. The answer to the new request counts.
#[test]
fn answer_to_a_canceled_request() {
    let mut bench = Bench::waiting(blocking());
    bench.run(1);
    bench.operator(Command::Extend(secs(60)));
    assert_eq!(bench.orders(0).len(), 2, "the agent is told the new deadline");
    let canceled = *bench.canceled.last().expect("the first request");
    bench.event(Event::AgentAnswered { id: canceled, answer: AgentAnswer::Accepted(None) });
    assert!(bench.completing().is_none(), "the answer is to another request");
    bench.says(0, AgentAnswer::Accepted(None));
    assert!(bench.completing().is_some());
}

/// A blocking agent is told to drain just as the notice is withdrawn. The order is canceled, but may still be on its way.
/// The agent is told to serve again a second later, so that the return arrives last.
#[test]
fn return_after_an_order_in_transit() {
    let mut bench = Bench::new(blocking());
    bench.operator(Command::Drain);
    bench.operator(Command::Cancel);
    assert_eq!(bench.canceled.len(), 1, "the order");
    assert_eq!(bench.asks(0), None, "the order may arrive after a request that is sent now");
    bench.run(1);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}

/// An agent has drained before Wait, and nothing listens for a while. Then it accepts the repeated order without a body and
/// holds its status. It may be a new process with new work, so it has not drained until it says so again.
#[test]
fn drained_agent_accepts_the_order_again() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(10);
    bench.says(0, refused());
    bench.run(10);
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.says(0, AgentAnswer::Accepted(None));
    bench.run(60);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Status));
    assert!(bench.completing().is_none(), "it has not said that it has drained");
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// The daemon is restarted between completions for a drained agent. The agent accepts the repeated order without a body, so
/// the journal's record of it no longer holds.
#[test]
fn agent_accepts_the_order_again_after_a_daemon_restart() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.crash();
    bench.says(0, AgentAnswer::Accepted(None));
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(60);
    assert!(bench.completing().is_none(), "it has not said that it has drained");
}

fn warnings(bench: &Bench) -> usize {
    bench.reported(|report| matches!(report, Report::AgentTrouble { news: true, .. }))
}

/// A connection is refused, then the agent answers 503 for minutes, then the connection is refused again. Each change is one
/// warning.
#[test]
fn each_new_cause_of_failure_is_a_warning() {
    let mut bench = Bench::waiting(settings());
    bench.run_agent(10, refused());
    assert_eq!(warnings(&bench), 1);
    bench.run_agent(120, AgentAnswer::Busy("503".to_owned()));
    assert_eq!(warnings(&bench), 2);
    bench.run_agent(10, refused());
    assert_eq!(warnings(&bench), 3);
}

/// The agent gives a good answer in between, so the same failure is news again.
#[test]
fn failure_after_a_good_answer_is_a_warning() {
    let mut bench = Bench::waiting(settings());
    bench.run_agent(10, AgentAnswer::Busy("503".to_owned()));
    bench.reports(0, AgentState::Draining, 1);
    bench.run_agent(10, AgentAnswer::Busy("503".to_owned()));
    assert_eq!(warnings(&bench), 2);
}

/// A hostile agent answers each request with a different text for an hour. The log gets a few warnings, then one per
/// minute.
#[test]
fn ever_changing_failures_are_rate_limited() {
    let mut bench = Bench::waiting(settings());
    for count in 0..3_000 {
        bench.run_agent(1, AgentAnswer::Busy(format!("503: {count}")));
    }
    assert!((40..=60).contains(&warnings(&bench)), "{}", warnings(&bench));
}

fn counts(bench: &Bench) -> Vec<(String, Option<u64>)> {
    let told = bench.reports.iter().filter_map(Report::progress);
    told.map(|(_, progress)| (progress.word().to_owned(), progress.in_flight)).collect()
}

/// An agent has news in every answer, ten times a second. Its state is reported at once, its count every five seconds. The
/// last count is reported too.
#[test]
fn progress_of_a_busy_agent() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    let start = bench.now;
    let mut left = 300;
    while left > 0 {
        while bench.asks(0).is_none() {
            bench.wake();
        }
        left -= 1;
        bench.now = bench.now + std::time::Duration::from_millis(100);
        let status = status(AgentState::Draining, left);
        bench.says(0, AgentAnswer::Status { status, waited: true });
    }
    let lines = bench.now.since(start).as_secs() / 5 + 2;
    assert!(counts(&bench).len() as u64 <= lines + 1, "{:?}", counts(&bench));
    assert_eq!(counts(&bench)[0].0, "draining");
    bench.run(5);
    assert_eq!(counts(&bench).last(), Some(&("draining".to_owned(), Some(0))), "the last count is reported");
    bench.drained();
    assert_eq!(counts(&bench).last(), Some(&("drained".to_owned(), Some(0))), "at once");
}

/// An agent alternates between `draining` and `drained` as fast as it can. The log gets a few lines, then one every 5 s.
#[test]
fn progress_of_a_flapping_agent() {
    let mut bench = Bench::terminating(settings());
    bench.says(0, AgentAnswer::Accepted(None));
    let start = bench.now;
    for round in 0..200 {
        while bench.asks(0).is_none() {
            bench.wake();
        }
        let state = if round % 2 == 0 { AgentState::Draining } else { AgentState::Drained };
        bench.says(0, AgentAnswer::Status { status: status(state, 1), waited: true });
    }
    let most = 10 + bench.now.since(start).as_secs() / 5;
    assert!(counts(&bench).len() as u64 <= most, "{} in {:?}", counts(&bench).len(), bench.now.since(start));
}

/// The deadline comes while a count is held back. The count is reported before the end of the drain.
#[test]
fn last_count_before_the_deadline() {
    let mut bench = Bench::new(one(AgentSettings { drain_timeout: secs(3), ..agent("worker") }));
    bench.operator(Command::Drain);
    bench.reports(0, AgentState::Draining, 3);
    bench.run(1);
    bench.reports(0, AgentState::Draining, 2);
    assert_eq!(counts(&bench).last(), Some(&("draining".to_owned(), Some(3))));
    bench.run(2);
    assert_eq!(bench.ended(), Some(Outcome::Deadline), "{:?}", bench.reports);
    assert_eq!(counts(&bench).last(), Some(&("draining".to_owned(), Some(2))));
}
