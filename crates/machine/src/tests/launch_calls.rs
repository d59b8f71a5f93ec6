//! Calls for a launch that find no action, fail, or are denied.

use super::super::effect::{CompletionResult, Effect};
use super::super::event::*;
use super::super::report::{LaunchEnd, LaunchNews, Report};
use super::super::settings::Settings;
use super::bench::*;
use super::launch::*;

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

/// The role may not read the hooks: the shortest timeout is assumed, because the configured one is the terminating hook's.
#[test]
fn hooks_denied() {
    for heartbeat_timeout in [None, Some(secs(3600))] {
        let mut bench = booted(Settings { heartbeat_timeout, ..launching() });
        bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
        warm_up(&mut bench, 60);
        assert_eq!(bench.count(is_heartbeat), 3, "the first after 10 s, then one per 0.52 to 0.6 of 30 s");
        assert_eq!(bench.count(is_describe), 1, "an operator may add the permission");
    }
}

/// Reading the hooks failed once. They are read again, and the heartbeats take the hook's pace.
#[test]
fn hooks_read_later() {
    let mut bench = booted(launching());
    bench.hooks = Some(Err(error(CallErrorKind::Throttled)));
    warm_up(&mut bench, 10);
    bench.hooks = Some(Ok(vec![Hook { terminating: false, ..hook(HOOK, 3600) }]));
    warm_up(&mut bench, 590);
    assert_eq!((bench.count(is_heartbeat), bench.count(is_describe)), (2, 2));
}

/// The instance warms up, and its heartbeats find the action.
fn warm_up(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        answer(bench, Err("503"));
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
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

/// Neither the configuration nor the instance's tags name the group, and Auto Scaling does not know the instance: it was
/// started by hand. The daemon gives up, and does not hurry.
#[test]
fn in_no_group() {
    let mut bench = booted(Settings { group: None, ..launching() });
    (bench.journal, bench.state) = (None, None);
    bench.crash();
    while ended(&bench).is_empty() {
        let place = bench.open.iter().position(is_describe);
        if let Some(Effect::DescribeInstance { id }) = place.map(|place| bench.open.remove(place)) {
            bench.event(Event::InstanceDescribed { id, result: Ok(None) });
        }
        run(&mut bench, 1, Ok(()));
        assert!(bench.now.since(START) <= secs(610), "{:?}", bench.now);
    }
    assert_eq!(ended(&bench), [None]);
    assert!(bench.count(is_describe) < 50, "{}", bench.count(is_describe));
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

/// A call found no action, and then an operator drained the instance for long. After it, the launch has all of its time.
#[test]
fn refused_before_a_drain() {
    let mut bench = booted(launching());
    bench.state = Some("Pending");
    run(&mut bench, 3, Ok(()));
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.operator(Command::Drain);
    bench.reports(0, AgentState::Drained, 0);
    bench.run(3000);
    bench.operator(Command::Cancel);
    bench.says(0, AgentAnswer::Returned);
    bench.state = Some("Pending:Wait");
    run(&mut bench, 33, Ok(()));
    bench.complete(Ok(()));
    assert_eq!(ended(&bench), [Some(CompletionResult::Continue)]);
}
