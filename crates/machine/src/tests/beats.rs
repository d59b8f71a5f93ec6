//! Heartbeats: how often they are sent, how they are retried, and when none are sent.

use std::time::Duration;

use super::super::event::*;
use super::super::journal::Outcome;
use super::super::{Effect, Time};
use super::bench::*;

/// The agent works for this long, and AWS accepts every heartbeat.
fn work(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        if bench.asks(0).is_some() {
            bench.reports(0, AgentState::Draining, 1);
        }
        if bench.is_beating() {
            bench.beat(Ok(()));
        }
        bench.run(1);
    }
}

fn beats(bench: &Bench) -> Vec<Time> {
    bench.times(is_heartbeat)
}

/// A proxy answers every heartbeat at once with a response that is not from AWS, or no heartbeat gets through. There are
/// three quick tries, then at most ten per timeout, and never two within a second. Regression: 77 calls in 40 s.
#[test]
fn heartbeats_that_never_succeed() {
    let kinds = [
        CallErrorKind::Unanswered,
        CallErrorKind::Unsent,
        CallErrorKind::Credentials,
        CallErrorKind::Throttled,
    ];
    for kind in kinds {
        let mut bench = Bench::waiting(settings());
        bench.reports(0, AgentState::Draining, 1);
        let end = bench.now + secs(600);
        while bench.now < end {
            if bench.is_beating() {
                bench.beat(Err(kind));
            } else if bench.asks(0).is_some() {
                bench.reports(0, AgentState::Draining, 1);
            } else {
                bench.wake();
            }
        }
        let sent = beats(&bench);
        let second = sent.windows(2).all(|pair| pair[1].since(pair[0]) >= secs(1));
        assert!(second, "{kind:?}: two within a second: {sent:?}");
        let first = sent.first().expect("one was due");
        let later = sent.iter().filter(|at| at.since(*first) > secs(60)).count();
        assert!((6..=13).contains(&later), "{kind:?}: {later} tries in about 400 s, with a timeout of 300 s");
    }
}

#[test]
fn heartbeat_count_in_half_an_hour() {
    let mut bench = Bench::waiting(settings());
    work(&mut bench, 1800);
    let sent = beats(&bench);
    assert!((9..=12).contains(&sent.len()), "{sent:#?}");
    for pair in sent.windows(2) {
        let gap = pair[1].since(pair[0]);
        assert!((secs(150)..=secs(181)).contains(&gap), "{gap:?}");
    }
    // Besides heartbeats: DescribeLifecycleHooks once, the completion once.
    assert!(bench.count(is_describe) + sent.len() <= 15);
}

#[test]
fn heartbeat_jitter() {
    let first = |instance: &str| {
        let mut bench = Bench::terminating(super::super::settings::Settings {
            instance_id: instance.to_owned(),
            queue: false,
            ..settings()
        });
        bench.run(60);
        bench.beat(Ok(()));
        work(&mut bench, 200);
        beats(&bench)[1]
    };
    assert_eq!(first("i-1"), first("i-1"), "runs on one instance are the same");
    assert_ne!(first("i-1"), first("i-2"));
}

#[test]
fn heartbeat_retry_room() {
    for kind in [CallErrorKind::Unsent, CallErrorKind::Unanswered, CallErrorKind::Throttled] {
        let mut bench = Bench::waiting(settings());
        let wait = bench.now;
        let mut tries = 0;
        // Each attempt takes its full time limit, except for throttling, which is answered at once.
        let lasts = if kind == CallErrorKind::Throttled { 0 } else { 30 };
        while bench.now < wait + secs(300) {
            bench.run(1);
            if bench.is_beating() {
                bench.run(lasts);
                tries += usize::from(bench.now <= wait + secs(300));
                bench.beat(Err(kind));
            }
        }
        assert!(tries >= 3, "{kind:?}: {tries}");
    }
}

#[test]
fn attempt_limit() {
    let mut bench = Bench::waiting(settings());
    bench.run(200);
    let limit = bench.log.iter().find_map(|(_, effect)| match effect {
        Effect::Heartbeat { limit, .. } => Some(*limit),
        _ => None,
    });
    assert_eq!(limit, Some(secs(30)));
}

#[test]
fn expiry_counted_from_sending() {
    let mut bench = Bench::waiting(settings());
    bench.run(200);
    let sent = beats(&bench)[0];
    bench.beat(Ok(()));
    assert_eq!(bench.machine.status().expires, Some(sent + secs(300)));
}

#[test]
fn heartbeat_at_once_on_recovery() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.run(10);
    assert!(beats(&bench).is_empty());
    bench.crash();
    assert_eq!(beats(&bench), [bench.now]);
}

#[test]
fn no_heartbeat_after_the_intention() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    let before = beats(&bench).len();
    for _ in 0..20 {
        if bench.completing().is_some() {
            bench.complete(Err(CallErrorKind::Unsent));
        }
        bench.run(10);
    }
    bench.crash();
    bench.run(300);
    assert_eq!(beats(&bench).len(), before);
    assert!(bench.completing().is_some());
}

#[test]
fn heartbeat_denied() {
    let mut bench = Bench::waiting(settings());
    let wait = bench.now;
    while beats(&bench).is_empty() {
        if bench.asks(0).is_some() {
            bench.reports(0, AgentState::Draining, 1);
        }
        bench.run(1);
    }
    bench.beat(Err(CallErrorKind::AccessDenied));
    let expiry = wait + secs(300);
    bench.run(1);
    let told = bench.orders(0).last().unwrap().deadline;
    assert_eq!(told, expiry - secs(30), "the deadline is the action's expiry");
    bench.run(59);
    assert_eq!(beats(&bench).len(), 2, "retried slowly");
    bench.beat(Err(CallErrorKind::AccessDenied));
    bench.run_agent(60, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    assert!(bench.completing().is_some(), "the completion may still be permitted");
}

#[test]
fn global_timeout_ends_a_drain_despite_heartbeats() {
    let mut bench = Bench::terminating(settings());
    let short = Hook { global_timeout: secs(600), ..hook("drain", 300) };
    bench.hooks = Some(Ok(vec![short]));
    bench.crash();
    bench.state = Some("Terminating:Wait");
    let sent = bench.now;
    bench.receive(vec![message("r1", super::super::message::Body::Lifecycle(lifecycle("token-1", sent)))]);
    work(&mut bench, 539);
    assert!(bench.completing().is_none());
    work(&mut bench, 2);
    assert!(bench.completing().is_some(), "a tenth before the global timeout");
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

#[test]
fn first_heartbeat_after_a_late_message() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run(300);
    bench.state = Some("Terminating:Wait");
    let sent = bench.now - secs(200);
    bench.receive(vec![message("r1", super::super::message::Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.run(1);
    assert!(bench.is_beating(), "of the hook's 300 s only 100 were left when it came");
}

#[test]
fn heartbeat_for_an_expired_action() {
    let mut bench = Bench::waiting(settings());
    work(&mut bench, 400);
    bench.state = Some("Terminating:Proceed");
    while !bench.is_beating() {
        bench.run(1);
    }
    bench.beat(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
}

#[test]
fn one_heartbeat_at_a_time_across_drains() {
    let mut bench = Bench::waiting(settings());
    bench.run(200);
    assert!(bench.is_beating());
    // An operator finishes the drain while its heartbeat hangs, and the next drain starts.
    bench.operator(Command::Finish(super::super::effect::CompletionResult::Abandon));
    bench.complete(Ok(()));
    assert!(bench.ended().is_some());
    let sent = bench.now;
    bench.event(Event::MessagesReceived {
        id: super::super::effect::EffectId(u64::MAX),
        result: Ok(vec![message(
            "r2",
            super::super::message::Body::Lifecycle(lifecycle("token-2", sent + Duration::from_secs(1))),
        )]),
    });
    assert_eq!(bench.drains_started(), 2);
    bench.run(200);
    assert_eq!(beats(&bench).len(), 1, "the old heartbeat is not answered yet");
    bench.beat(Ok(()));
    assert_eq!(beats(&bench).len(), 2);
}
