//! The launching hook, which is completed once the agents are ready.

use super::super::effect::{AgentRequest, CompletionResult, Effect, EffectId};
use super::super::event::*;
use super::super::message::InstanceNews;
use super::super::operator::Command;
use super::super::report::{LaunchEnd, LaunchNews, Report};
use super::super::settings::{LaunchSettings, Settings};
use super::bench::*;

pub const HOOK: &str = "warm-up";

/// An instance that must be ready three times in a row, within ten minutes.
pub fn launching() -> Settings {
    let launch = LaunchSettings { hook: HOOK.to_owned(), times: 3, timeout: secs(600) };
    Settings { launch: Some(launch), ..settings() }
}

/// Auto Scaling holds the instance in `Pending:Wait`. The group has both hooks.
pub fn booted(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.state = Some("Pending:Wait");
    bench.hooks = Some(Ok(vec![hook("drain", 300), Hook { terminating: false, ..hook(HOOK, 60) }]));
    bench
}

pub fn asked(bench: &Bench) -> Vec<EffectId> {
    let ids = bench.open.iter().filter_map(|effect| match effect {
        Effect::AskReady { id, .. } => Some(*id),
        _ => None,
    });
    ids.collect()
}

/// The agents answer the questions that are open.
pub fn answer(bench: &mut Bench, result: Result<(), &str>) {
    for id in asked(bench) {
        bench.open.retain(|effect| !matches!(effect, Effect::AskReady { id: open, .. } if *open == id));
        bench.event(Event::ReadyAnswered { id, result: result.map_err(str::to_owned) });
    }
}

/// Lets time pass, with agents that give this answer.
pub fn run(bench: &mut Bench, seconds: u64, result: Result<(), &str>) {
    for _ in 0..seconds {
        answer(bench, result);
        bench.run(1);
    }
}

/// The results that launches ended with. `None`: there was no action.
pub fn ended(bench: &Bench) -> Vec<Option<CompletionResult>> {
    let ends = bench.reports.iter().filter_map(|report| match report {
        Report::Launch(LaunchNews::Ended { how: LaunchEnd::Completed(result), .. }) => Some(Some(*result)),
        Report::Launch(LaunchNews::Ended { .. }) => Some(None),
        _ => None,
    });
    ends.collect()
}

/// The agents are ready at once: one call.
#[test]
fn quick() {
    let mut bench = booted(launching());
    run(&mut bench, 2, Ok(()));
    assert_eq!(bench.completing(), None, "only twice");
    answer(&mut bench, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
    bench.run(3600);
    assert_eq!(bench.count(is_complete), 1);
    assert_eq!(bench.count(is_heartbeat) + bench.count(is_describe), 0);
    assert!(bench.machine.is_idle(), "nothing is left to do");
}

/// One answer that it is not ready starts the count anew.
#[test]
fn in_a_row() {
    let mut bench = booted(launching());
    run(&mut bench, 2, Ok(()));
    run(&mut bench, 1, Err("503"));
    run(&mut bench, 2, Ok(()));
    assert_eq!(bench.completing(), None);
    answer(&mut bench, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// All agents must be ready in the same round.
#[test]
fn several_agents() {
    let agents = vec![agent("worker"), agent("cache")];
    let mut bench = booted(Settings { agents, ..launching() });
    for _ in 0..10 {
        let ids = asked(&bench);
        assert_eq!(ids.len(), 2);
        bench.open.retain(|effect| !matches!(effect, Effect::AskReady { .. }));
        bench.event(Event::ReadyAnswered { id: ids[0], result: Err("503".to_owned()) });
        bench.event(Event::ReadyAnswered { id: ids[1], result: Ok(()) });
        bench.run(1);
    }
    assert_eq!(bench.completing(), None);
    let not_ready = |report: &Report| matches!(report, Report::Launch(LaunchNews::NotReady { agent, .. }) if agent == "worker");
    assert_eq!(bench.reported(not_ready), 1, "the same cause is news once");
}

/// A slow warm-up: heartbeats keep the action alive, and the last call completes it.
#[test]
fn slow() {
    let mut bench = booted(launching());
    for _ in 0..300 {
        answer(&mut bench, Err("connection refused"));
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
    let beats = bench.times(is_heartbeat);
    assert_eq!(beats[0], START + secs(10), "nothing says since when the action has been in Wait");
    for pair in beats.windows(2) {
        assert!(pair[1].since(pair[0]) <= secs(36), "one per 0.6 of the hook's timeout");
    }
    run(&mut bench, 3, Ok(()));
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
    assert_eq!(bench.count(is_describe), 1, "the hook's timeout is read once");
}

/// The agents never get ready. Auto Scaling replaces the instance.
#[test]
fn never_ready() {
    let mut bench = booted(launching());
    run(&mut bench, 600, Err("connection refused"));
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
    assert!(asked(&bench).is_empty() && bench.machine.status().launch.is_some());
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Abandon)]);
}

/// The agent hangs and answers no question.
#[test]
fn no_answer() {
    let mut bench = booted(launching());
    bench.run(600);
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
}

/// The daemon restarts: its time goes on, and a launch that is over does not begin again. A reboot begins one.
#[test]
fn restarts() {
    let mut bench = booted(launching());
    run(&mut bench, 400, Err("503"));
    bench.crash();
    run(&mut bench, 199, Err("503"));
    assert_eq!(bench.completing(), None);
    bench.run(1);
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));

    let mut bench = booted(launching());
    run(&mut bench, 3, Ok(()));
    bench.complete(Ok(()));
    bench.crash();
    bench.run(60);
    assert!(asked(&bench).is_empty());
    bench.settings.boot_id = Some("second".to_owned());
    bench.crash();
    assert_eq!(asked(&bench).len(), 1);
}

/// User data configures the hook, or an operator corrects its name, after the daemon has started: the launch begins then.
#[test]
fn configured_after_the_boot() {
    let mut bench = booted(settings());
    bench.target(TargetState::InService);
    assert!(bench.journal.is_some(), "it has been in service");
    bench.settings = launching();
    bench.settings.launch.as_mut().unwrap().hook = "worm-up".to_owned();
    bench.crash();
    run(&mut bench, 11, Err("503"));
    assert_eq!(ended(&bench), [None]);
    bench.settings = launching();
    bench.crash();
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// The daemon was down when the time was over. The agents are asked before anything is abandoned.
#[test]
fn time_is_over_while_the_daemon_is_down() {
    for (answer_now, expected) in
        [(Ok(()), CompletionResult::Continue), (Err("503"), CompletionResult::Abandon)]
    {
        let mut bench = booted(launching());
        run(&mut bench, 10, Err("503"));
        bench.now = bench.now + secs(3600);
        bench.crash();
        assert_eq!(bench.completing(), None);
        run(&mut bench, 3, answer_now);
        assert_eq!(bench.completing(), Some(expected));
    }
}

/// The daemon restarts while the instance is in the warm pool.
#[test]
fn restarted_in_the_warm_pool() {
    let mut bench = booted(launching());
    bench.target(TargetState::Warmed("Warmed:Running".to_owned()));
    run(&mut bench, 3, Ok(()));
    bench.complete(Ok(()));
    bench.crash();
    bench.target(TargetState::InService);
    assert_eq!(asked(&bench).len(), 1);
}

/// The root volume is replaced: the journal is gone, and the instance launches again.
#[test]
fn journal_is_gone() {
    let mut bench = booted(launching());
    run(&mut bench, 3, Ok(()));
    bench.complete(Ok(()));
    bench.journal = None;
    bench.crash();
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// The instance leaves a warm pool in which it was running. Its agent is asked once it has been told to serve.
#[test]
fn from_the_warm_pool() {
    let mut bench = booted(launching());
    bench.target(TargetState::InService);
    run(&mut bench, 3, Ok(()));
    bench.complete(Ok(()));
    bench.target(TargetState::Warmed("Warmed:Running".to_owned()));
    bench.drained();
    bench.complete(Ok(()));
    bench.run(60);
    bench.target(TargetState::InService);
    assert!(bench.machine.status().launch.is_some());
    for _ in 0..4 {
        bench.run(1);
        bench.target(TargetState::InService);
    }
    assert!(asked(&bench).is_empty(), "the agent has drained");
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// An operator drains the instance while it launches. It is not abandoned for that, however long it takes.
#[test]
fn drain_under_way() {
    let mut bench = booted(launching());
    run(&mut bench, 2, Ok(()));
    bench.operator(Command::Drain);
    bench.reports(0, AgentState::Drained, 0);
    bench.run(3000);
    assert_eq!(bench.count(is_complete), 0);
    bench.operator(Command::Cancel);
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 599, Err("503"));
    assert_eq!(bench.completing(), None);
    run(&mut bench, 3, Ok(()));
    assert!(bench.completing().is_some());
}

/// An instance leaves the warm pool, and its agent is being restarted. The action is kept alive until it serves again.
#[test]
fn returning_for_long() {
    let mut bench = booted(launching());
    bench.operator(Command::Drain);
    bench.reports(0, AgentState::Drained, 0);
    bench.operator(Command::Cancel);
    let gone = || AgentAnswer::Unreachable { why: "refused".to_owned(), gone: true };
    for _ in 0..300 {
        if bench.asks(0).is_some() {
            bench.says(0, gone());
        }
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
    assert!(bench.count(is_heartbeat) >= 8);
    assert_eq!(bench.count(|effect| matches!(effect, Effect::AskReady { .. })), 1, "before the drain");
    let launch = bench.machine.status().launch.unwrap();
    assert_eq!(launch.not_ready.as_deref(), Some("worker: has not acknowledged its return to service"));
    while bench.asks(0).is_none() {
        bench.wake();
    }
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// The notice of a drain expires while the daemon is down. The launch starts anew, with all of its time.
#[test]
fn drain_that_ends_while_the_daemon_is_down() {
    let mut bench = booted(launching());
    run(&mut bench, 70, Err("503"));
    let at = Some(bench.now + secs(120));
    bench.receive(vec![news("r1", InstanceNews::CapacityInterruption { at })]);
    bench.reports(0, AgentState::Drained, 0);
    bench.now = bench.now + secs(20_000);
    bench.crash();
    assert_eq!((bench.completing(), bench.asks(0)), (None, Some(&AgentRequest::Return)));
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
}

/// A drain begins when the launch is decided, and no call got through. After the drain, the agents are asked again.
#[test]
fn decided_before_a_drain() {
    let mut bench = booted(launching());
    run(&mut bench, 600, Err("503"));
    bench.complete(Err(CallErrorKind::Unsent));
    bench.operator(Command::Drain);
    bench.reports(0, AgentState::Drained, 0);
    bench.operator(Command::Cancel);
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 3, Ok(()));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
}

/// No launching hook is configured.
#[test]
fn not_configured() {
    let bench = Bench::new(settings());
    assert!(asked(&bench).is_empty() && bench.journal.is_none());
}
