//! Operators' commands and the answers to them.

use super::super::effect::CompletionResult;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::notice::Reason;
use super::super::settings::{DrainAt, Settings};
use super::super::status::{LastDrain, QueueLine, State};
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
fn extension_and_its_limits() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    assert!(ask(&mut bench, Command::Extend(secs(60))).contains("or earlier"));
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    let before = bench.orders(0)[0].deadline;
    let answer = ask(&mut bench, Command::Extend(secs(60)));
    assert_eq!(answer, format!("deadline is now {}", before + secs(60)));
    assert!(ask(&mut bench, Command::Extend(secs(100_000))).contains("; AWS ends the drain then"));
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
    assert_eq!(bench.machine.status().next_heartbeat, None, "the action is being completed");
}

/// A cancel is refused for a drain that an operator did not start. The answer says who did.
#[test]
fn cancel_of_a_drain_that_no_operator_started() {
    let mut bench = Bench::new(settings());
    let nothing = "no drain is under way, so there is nothing to cancel";
    assert_eq!(ask(&mut bench, Command::Cancel), nothing);

    let mut bench = Bench::terminating(settings());
    let answer = ask(&mut bench, Command::Cancel);
    let instead = "cannot be canceled; use drainhook extend or drainhook finish";
    assert_eq!(answer, format!("this drain was started by Auto Scaling and {instead}"));
    bench.operator(Command::Drain);
    assert!(ask(&mut bench, Command::Cancel).starts_with("canceled, but the drain continues"));
    assert!(ask(&mut bench, Command::Cancel).contains("started by Auto Scaling"));
    ask(&mut bench, Command::Finish(CompletionResult::Continue));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Finished));
    assert_eq!(
        ask(&mut bench, Command::Cancel),
        "this drain was started by Auto Scaling and has ended, so it cannot be canceled"
    );

    let mut bench = Bench::new(settings());
    bench.maintenance(Some(bench.now + secs(60)));
    let answer = ask(&mut bench, Command::Cancel);
    assert_eq!(answer, format!("this drain was started by EC2's scheduled maintenance and {instead}"));
}

#[test]
fn extension_that_is_too_long() {
    let mut bench = Bench::waiting(settings());
    for (seconds, written) in [(360_000, "100h"), (172_860, "48h1m"), (172_801, "48h1s")] {
        let answer = ask(&mut bench, Command::Extend(secs(seconds)));
        assert_eq!(answer, format!("cannot extend by {written}: the most is 48h"));
    }
    assert_eq!(ask(&mut bench, Command::Extend(secs(0))), "cannot extend by 0s: it must be more than 0");
}

/// In service, the status shows when the sources last answered. After a drain, it shows how the drain ended.
#[test]
fn status_of_the_sources_and_the_last_drain() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    let answered = bench.now;
    bench.run(1);
    let status = bench.machine.status();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.imds_answered, Some(answered));
    assert_eq!(status.queue, Some(QueueLine { polled: false, answered: None }));
    assert_eq!(status.last_drain, None);

    bench.operator(Command::Drain);
    let (id, started) = (bench.machine.drain_id().expect("a drain"), bench.now);
    bench.operator(Command::Cancel);
    let status = bench.machine.status();
    assert_eq!(status.drain_id, None);
    let expected = LastDrain {
        id,
        started,
        ended: bench.now,
        reason: Some(Reason::Operator),
        outcome: Outcome::Withdrawn,
        result: None,
    };
    assert_eq!(status.last_drain, Some(expected));
}

#[test]
fn status_of_a_queue() {
    let bench = |queue| Bench::terminating(Settings { queue, ..settings() });
    assert_eq!(bench(false).machine.status().queue, None);
    let mut bench = bench(true);
    assert_eq!(bench.machine.status().queue, Some(QueueLine { polled: true, answered: None }));
    bench.receive(Vec::new());
    let answered = Some(bench.now);
    assert_eq!(bench.machine.status().queue, Some(QueueLine { polled: true, answered }));
}
