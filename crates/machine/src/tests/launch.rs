//! The launching hook, which is completed once the agents are ready.

use super::super::effect::{AgentRequest, CompletionResult, Effect, EffectId};
use super::super::event::*;
use super::super::message::InstanceNews;
use super::super::operator::Command;
use super::super::report::{LaunchEnd, LaunchNews, Report};
use super::super::settings::{LaunchSettings, Settings};
use super::bench::*;

const HOOK: &str = "warm-up";

/// An instance that must be ready three times in a row, within ten minutes.
fn launching() -> Settings {
    let launch = LaunchSettings { hook: HOOK.to_owned(), times: 3, timeout: secs(600) };
    Settings { launch: Some(launch), ..settings() }
}

/// Auto Scaling holds the instance in `Pending:Wait`. The group has both hooks.
fn booted(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.state = Some("Pending:Wait");
    bench.hooks = Some(Ok(vec![hook("drain", 300), Hook { terminating: false, ..hook(HOOK, 60) }]));
    bench
}

fn asked(bench: &Bench) -> Vec<EffectId> {
    let ids = bench.open.iter().filter_map(|effect| match effect {
        Effect::AskReady { id, .. } => Some(*id),
        _ => None,
    });
    ids.collect()
}

/// The agents answer the questions that are open.
fn answer(bench: &mut Bench, result: Result<(), &str>) {
    for id in asked(bench) {
        bench.open.retain(|effect| !matches!(effect, Effect::AskReady { id: open, .. } if *open == id));
        bench.event(Event::ReadyAnswered { id, result: result.map_err(str::to_owned) });
    }
}

/// Lets time pass, with agents that give this answer.
fn run(bench: &mut Bench, seconds: u64, result: Result<(), &str>) {
    for _ in 0..seconds {
        answer(bench, result);
        bench.run(1);
    }
}

/// The results that launches ended with. `None`: there was no action.
fn ended(bench: &Bench) -> Vec<Option<CompletionResult>> {
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

/// The daemon is faster than Auto Scaling: the action begins after the agents are ready.
#[test]
fn before_wait() {
    let mut bench = booted(launching());
    bench.state = Some("Pending");
    run(&mut bench, 3, Ok(()));
    for _ in 0..5 {
        bench.complete(Err(CallErrorKind::NoActiveAction));
        assert!(ended(&bench).is_empty());
        while bench.completing().is_none() {
            bench.wake();
        }
    }
    bench.state = Some("Pending:Wait");
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
}

/// A reboot in service, an upgrade of the package, or a hook that an operator has completed.
#[test]
fn no_action() {
    for state in ["InService", "Pending:Proceed", "Terminating:Wait", "Standby"] {
        let mut bench = booted(launching());
        bench.state = Some(state);
        run(&mut bench, 3, Ok(()));
        bench.complete(Err(CallErrorKind::NoActiveAction));
        assert_eq!(ended(&bench), [None], "{state}");
        bench.run(3600);
        assert_eq!((bench.count(is_complete), bench.count(is_describe)), (1, 1), "{state}");
    }
}

/// The instance is in service, and its agent is not ready for long. It is not abandoned, because the heartbeats find no action.
#[test]
fn in_service_and_not_ready() {
    let mut bench = booted(launching());
    bench.state = Some("InService");
    run(&mut bench, 11, Err("connection refused"));
    bench.beat(Err(CallErrorKind::NoActiveAction));
    assert_eq!(ended(&bench), [None]);
    bench.run(3600);
    assert_eq!(bench.count(is_complete), 0);
}

/// The configuration names a hook that the group does not have, or its terminating hook.
#[test]
fn wrong_hook() {
    for name in ["worm-up", "drain"] {
        let mut settings = launching();
        settings.launch.as_mut().unwrap().hook = name.to_owned();
        let mut bench = booted(settings);
        run(&mut bench, 11, Err("connection refused"));
        assert_eq!(ended(&bench), [None]);
        assert_eq!(
            bench.reported(|report| matches!(
                report,
                Report::Launch(LaunchNews::Ended { how: LaunchEnd::HookMissing(_), .. })
            )),
            1
        );
    }
}

/// The role may not read the hooks: the shortest timeout is assumed.
#[test]
fn hooks_denied() {
    let mut bench = booted(launching());
    bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
    for _ in 0..60 {
        answer(&mut bench, Err("503"));
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
    assert_eq!(bench.count(is_heartbeat), 3, "the first after 10 s, then one per 0.52 to 0.6 of 30 s");
}

/// Neither the configuration nor the instance's tags name the group.
#[test]
fn group_unknown() {
    let mut bench = booted(Settings { group: None, ..launching() });
    bench.journal = None;
    bench.crash();
    run(&mut bench, 3, Ok(()));
    let named =
        |effect: &Effect| matches!(effect, Effect::Complete { action, .. } if action.group == "workers");
    assert_eq!(bench.count(named), 1);
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

/// Auto Scaling's description lags, or has a state that AWS has added. It does not end the launch.
#[test]
fn states_that_say_nothing() {
    for state in ["RootVolumeReplaced", "ReplacingRootVolume:Proceed", "Warmed:Running", "Pending:Tomorrow"] {
        let mut bench = booted(launching());
        bench.state = Some(state);
        run(&mut bench, 3, Ok(()));
        bench.complete(Err(CallErrorKind::NoActiveAction));
        assert!(ended(&bench).is_empty(), "{state}");
        while bench.completing().is_none() {
            bench.wake();
        }
        bench.complete(Ok(()));
        assert_eq!(ended(&bench), [Some(CompletionResult::Continue)], "{state}");
    }
}

/// Calls find no action for long, and the instance stays in a state that says nothing. The daemon gives up, and does not hurry.
#[test]
fn no_action_for_long() {
    let mut bench = booted(launching());
    bench.state = Some("Pending:Wait");
    run(&mut bench, 3, Ok(()));
    while ended(&bench).is_empty() {
        if bench.completing().is_some() {
            bench.complete(Err(CallErrorKind::NoActiveAction));
        }
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::NoActiveAction));
        }
        bench.wake();
    }
    assert_eq!(ended(&bench), [None]);
    assert!(bench.now.since(START) <= secs(610), "{:?}", bench.now);
    let calls = bench.count(is_complete) + bench.count(is_describe) + bench.count(is_heartbeat);
    assert!(calls < 150, "{calls} calls");
}

/// The hook's name is wrong, and the agent is ready. The first refusal leads to the hooks, and they to an error.
#[test]
fn wrong_hook_of_a_ready_agent() {
    let mut settings = launching();
    settings.launch.as_mut().unwrap().hook = "worm-up".to_owned();
    let mut bench = booted(settings);
    run(&mut bench, 3, Ok(()));
    bench.complete(Err(CallErrorKind::NoActiveAction));
    let missing = |report: &Report| {
        matches!(report, Report::Launch(LaunchNews::Ended { how: LaunchEnd::HookMissing(_), .. }))
    };
    assert_eq!(bench.reported(missing), 1);
}

/// The completion took effect, but its answer was lost. The next one finds no action.
#[test]
fn answer_lost() {
    let mut bench = booted(launching());
    run(&mut bench, 3, Ok(()));
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.state = Some("InService");
    while bench.completing().is_none() {
        bench.wake();
    }
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
}

/// The first completion is throttled, as when a thousand instances launch at once. Heartbeats keep the action alive.
#[test]
fn throttled_completion() {
    let mut bench = booted(launching());
    run(&mut bench, 3, Ok(()));
    for _ in 0..120 {
        if bench.completing().is_some() {
            bench.complete(Err(CallErrorKind::Throttled));
        }
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
    assert!(bench.count(is_heartbeat) >= 3);
}

/// The role may not describe instances, and may not send heartbeats. The daemon does not hurry.
#[test]
fn denied() {
    let mut bench = booted(Settings { group: None, ..launching() });
    (bench.journal, bench.state) = (None, None);
    bench.crash();
    for _ in 0..600 {
        let place = bench.open.iter().position(is_describe);
        if let Some(Effect::DescribeInstance { id }) = place.map(|place| bench.open.remove(place)) {
            bench.event(Event::InstanceDescribed { id, result: Err(error(CallErrorKind::AccessDenied)) });
        }
        bench.run(1);
    }
    assert!(bench.count(is_describe) <= 14, "{}", bench.count(is_describe));

    let mut bench = booted(launching());
    for _ in 0..300 {
        answer(&mut bench, Err("503"));
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::AccessDenied));
        }
        bench.run(1);
    }
    assert!(bench.count(is_heartbeat) <= 17, "{}", bench.count(is_heartbeat));
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

/// Calls fail. The daemon goes on, and does not hurry.
#[test]
fn calls_fail() {
    let mut bench = booted(launching());
    run(&mut bench, 3, Ok(()));
    for kind in [CallErrorKind::Throttled, CallErrorKind::Unanswered, CallErrorKind::AccessDenied] {
        bench.complete(Err(kind));
        while bench.completing().is_none() {
            bench.wake();
        }
    }
    let sent = bench.times(is_complete);
    assert!(sent[3].since(sent[2]) >= secs(60), "an operator may add the permission");
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
}

/// No launching hook is configured.
#[test]
fn not_configured() {
    let bench = Bench::new(settings());
    assert!(asked(&bench).is_empty() && bench.journal.is_none());
}
