//! Operators' commands, and answers that say what really happens.

use super::super::effect::CompletionResult;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::settings::{DrainAt, Settings};
use super::super::status::State;
use super::bench::*;

fn ask(bench: &mut Bench, command: Command) -> String {
    bench.operator(command);
    match bench.answers.last().expect("each command is answered") {
        Ok(done) => done.to_string(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn drain_again() {
    let mut bench = Bench::new(settings());
    assert_eq!(ask(&mut bench, Command::Drain), "drain started");
    assert_eq!(ask(&mut bench, Command::Drain), "a drain is already under way");
    bench.drained();
    assert!(ask(&mut bench, Command::Drain).starts_with("already drained"));
    assert_eq!(bench.drains_started(), 1);
}

#[test]
fn drain_again_after_a_failure() {
    let mut bench = Bench::new(settings());
    bench.operator(Command::Drain);
    bench.run_agent(61, AgentAnswer::Unreachable { why: "refused".to_owned(), gone: true });
    assert_eq!(bench.ended(), Some(Outcome::Failed));
    assert_eq!(ask(&mut bench, Command::Drain), "drain started");
    assert_eq!(bench.drains_started(), 2);
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn extension_before_the_agents_are_told() {
    let mut bench = Bench::terminating(Settings { drain_at: DrainAt::Wait, ..settings() });
    assert!(ask(&mut bench, Command::Extend(secs(60))).contains("nothing to extend yet"));
}

#[test]
fn extension_and_what_bounds_it() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    assert!(ask(&mut bench, Command::Extend(secs(60))).contains("or earlier"));
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    let before = bench.orders(0)[0].deadline;
    let answer = ask(&mut bench, Command::Extend(secs(60)));
    assert_eq!(answer, format!("deadline is now {}", before + secs(60)));
    assert!(ask(&mut bench, Command::Extend(secs(100_000))).contains("; AWS sets it"));
}

#[test]
fn finish_before_wait() {
    let mut bench = Bench::terminating(Settings { drain_at: DrainAt::Wait, ..settings() });
    let answer = ask(&mut bench, Command::Finish(CompletionResult::Abandon));
    assert!(answer.contains("with ABANDON as soon as it reaches Terminating:Wait"), "{answer}");
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.state = Some("Terminating:Wait");
    let sent = bench.now;
    let body = super::super::message::Body::Lifecycle(lifecycle("token-1", sent));
    bench.receive(vec![message("r1", body)]);
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
}

#[test]
fn finish_without_an_action() {
    let mut bench = Bench::new(settings());
    bench.operator(Command::Drain);
    let answer = ask(&mut bench, Command::Finish(CompletionResult::Continue));
    assert!(answer.contains("there is no lifecycle action to complete"), "{answer}");
    assert_eq!(bench.ended(), Some(Outcome::Finished));

    let mut bench = Bench::terminating(Settings { hook: Some("other".to_owned()), ..settings() });
    bench.reports(0, AgentState::Draining, 1);
    // The configured hook is read when a heartbeat is due soon.
    bench.run(10);
    let answer = ask(&mut bench, Command::Finish(CompletionResult::Continue));
    assert!(answer.contains("no such terminating hook"), "{answer}");
}

#[test]
fn status_of_a_stuck_drain() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 3);
    let status = bench.machine.status();
    assert_eq!((status.state, status.last_error), (State::Draining, None));
    let next = status.next_heartbeat.expect("the action must be kept alive");
    bench.run(1);
    bench.says(0, AgentAnswer::Busy("GET /drain: answered 503".to_owned()));
    let error = bench.machine.status().last_error.expect("something went wrong");
    assert_eq!((error.at, error.what.as_str()), (bench.now, "agent worker: GET /drain: answered 503"));
    let beats = |bench: &Bench| bench.times(is_heartbeat);
    while beats(&bench).is_empty() {
        bench.wake();
    }
    assert_eq!(beats(&bench), [next]);
    bench.drained();
    assert_eq!(bench.machine.status().next_heartbeat, None, "now it is completed");
}
