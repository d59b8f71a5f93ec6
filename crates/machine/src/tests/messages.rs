//! The shared queue: when it is polled, and what happens to each message.

use super::super::effect::Effect;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::*;
use super::super::report::Report;
use super::super::settings::Settings;
use super::bench::*;

fn for_other(receipt: &str) -> Message {
    let other = LifecycleMessage { instance_id: "i-other".to_owned(), ..lifecycle("token-x", START) };
    message(receipt, Body::Lifecycle(other))
}

#[test]
fn queue_gate() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    bench.run(600);
    assert!(!bench.is_receiving(), "idle");
    bench.target(TargetState::Terminated);
    assert!(bench.is_receiving(), "the gate opens at Terminated");
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.run(60);
    assert!(!bench.is_receiving(), "the gate closes when hook and Wait are known");
}

#[test]
fn no_queue() {
    let mut bench = Bench::terminating(Settings { queue: false, ..settings() });
    bench.run(300);
    assert!(!bench.is_receiving());
}

#[test]
fn queue_is_polled_after_a_minute_of_silence() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::Silent { why: "timed out".to_owned() }));
    bench.run(59);
    assert!(!bench.is_receiving());
    bench.run(1);
    assert!(bench.is_receiving());
    bench.target(TargetState::InService);
    bench.receive(Vec::new());
    bench.run(60);
    assert!(!bench.is_receiving(), "IMDS answers again");
}

/// Only the queue announced the termination, and its action was completed. IMDS answers again with the same termination, which
/// starts no second drain.
#[test]
fn imds_answers_after_the_drain() {
    let mut bench = Bench::new(settings());
    bench.run(61);
    bench.event(Event::Imds(ImdsReading::Silent { why: "timed out".to_owned() }));
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.target(TargetState::Terminated);
    bench.run(5);
    assert_eq!(bench.drains_started(), 1);
}

#[test]
fn target_state_missing() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    assert!(bench.is_receiving(), "the queue is polled at once");
}

#[test]
fn messages_of_others() {
    let mut bench = Bench::terminating(settings());
    let new = Message { sent: Some(bench.now), ..for_other("r-new") };
    let launch = LifecycleMessage { transition: Transition::Launching, ..lifecycle("token-l", START) };
    let batch = vec![
        for_other("r-other"),
        new,
        message("r-test", Body::Test),
        message("r-odd", Body::Unreadable("no JSON".to_owned())),
        message("r-launch", Body::Lifecycle(launch)),
    ];
    bench.receive(batch);
    let given: Vec<String> = bench.hidden().into_iter().map(|(receipt, _)| receipt).collect();
    assert_eq!(given, ["r-other", "r-new", "r-test", "r-odd", "r-launch"], "in one batch");
    assert!(bench.hidden().iter().all(|(_, seconds)| (1..=5).contains(seconds)));
    assert_eq!(bench.hidden()[1].1, 1, "its owner is waiting for it");
    assert!(bench.hidden().iter().any(|(_, seconds)| *seconds > 1), "the others' owners seem to be gone");
    bench.drained();
    bench.complete(Ok(()));
    assert!(bench.deleted().is_empty());
}

/// An instance without a drain, whose IMDS will never announce one.
fn deaf() -> Bench {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench
}

/// How many receives there are per minute if each returns this many of others' messages.
fn receives_in_a_minute(mut bench: Bench, batch: usize) -> u32 {
    let mut receives = 0;
    let end = bench.now + secs(60);
    while bench.now < end {
        if bench.is_receiving() {
            receives += 1;
            bench.receive((0..batch).map(|n| for_other(&format!("r-{n}"))).collect());
        }
        bench.wake();
    }
    receives
}

#[test]
fn misses_back_off() {
    let few = receives_in_a_minute(Bench::terminating(settings()), 1);
    assert!((10..=40).contains(&few), "{few}");
    let endless = receives_in_a_minute(deaf(), 10);
    assert!((60..=160).contains(&endless), "only the queue can announce a drain: {endless}");
}

/// A thousand instances leave at once, and each receives the others' messages. A successful heartbeat shows the same.
#[test]
fn mass_scale_in() {
    for batch in [5, 10] {
        let receives = receives_in_a_minute(Bench::terminating(settings()), batch);
        assert!(receives * batch as u32 <= 60, "{receives} receives of {batch}");
    }
}

/// A drain is under way for a spot interruption while IMDS is silent. Only a message can announce that the group is
/// terminating the instance too, because no heartbeat probes for it. Regression: the daemon paused receives for four minutes.
#[test]
fn mass_scale_in_without_heartbeats() {
    let mut bench = deaf();
    let at = Some(bench.now + secs(600));
    bench.receive(vec![news("r-spot", InstanceNews::CapacityInterruption { at })]);
    assert_eq!(bench.drains_started(), 1);
    let receives = receives_in_a_minute(bench, 10);
    assert!((60..=160).contains(&receives), "{receives}");
}

/// In a fleet with only the queue, a message may pass through every instance before it reaches its owner.
#[test]
fn new_message_is_passed_on() {
    let mut bench = deaf();
    bench.run(10);
    let sent = bench.now;
    bench.receive(vec![Message { sent: Some(sent), ..for_other("r-new") }]);
    bench.run(120);
    bench.receive(vec![Message { sent: Some(sent), ..for_other("r-old") }]);
    let hidden = bench.hidden();
    assert_eq!(hidden[0], ("r-new".to_owned(), 0));
    assert!((1..=5).contains(&hidden[1].1), "its owner seems to be gone: {hidden:?}");
}

/// Returned messages become visible again after a second or more. Ours must be found behind them before that.
#[test]
fn own_message_behind_others() {
    let mut bench = Bench::terminating(settings());
    let start = bench.now;
    for _ in 0..4 {
        bench.receive((0..10).map(|n| for_other(&format!("r-{n}"))).collect());
        while !bench.is_receiving() {
            bench.wake();
        }
    }
    assert!(bench.now.since(start) <= secs(1), "{:?}", bench.now.since(start));
}

#[test]
fn empty_receives_without_long_polling() {
    let mut bench = Bench::terminating(settings());
    let end = bench.now + secs(10);
    let mut receives = 0;
    while bench.now < end {
        if bench.is_receiving() {
            receives += 1;
            bench.receive(Vec::new());
        } else {
            bench.wake();
        }
    }
    assert!(receives <= 41, "{receives}");
}

#[test]
fn own_message_hidden_until_the_deadline() {
    let bench = Bench::waiting(settings());
    assert_eq!(bench.hidden(), [("r1".to_owned(), 3600)]);
    assert!(bench.deleted().is_empty());
}

#[test]
fn own_message_hidden_for_twelve_hours_at_most() {
    let mut patient = agent("worker");
    patient.drain_timeout = secs(48 * 3600);
    let mut bench = Bench::new(Settings { agents: vec![patient], ..settings() });
    bench.hooks = Some(Ok(vec![hook("drain", 7200)]));
    bench.target(TargetState::Terminated);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", START)))]);
    assert_eq!(bench.hidden(), [("r1".to_owned(), 12 * 3600 - 60)]);
}

/// The own message is hidden only once it is journaled. A message that is hidden and forgotten would never be deleted.
#[test]
fn own_message_hidden_once_it_is_journaled() {
    let mut bench = Bench::terminating(settings());
    bench.disk = Disk::Hangs;
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert!(bench.hidden().is_empty());
    bench.journal_written();
    assert_eq!(bench.hidden(), [("r1".to_owned(), 3600)]);
    bench.crash();
    assert_eq!(bench.hidden().len(), 2, "the daemon cannot know whether it was hidden");
}

#[test]
fn duplicates() {
    let mut bench = Bench::terminating(settings());
    let sent = bench.now;
    let copy = |receipt| message(receipt, Body::Lifecycle(lifecycle("token-1", sent)));
    bench.receive(vec![copy("r1"), copy("r2")]);
    bench.drained();
    bench.complete(Ok(()));
    let first = bench.open.iter().find_map(|effect| match effect {
        super::super::Effect::DeleteMessage { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::MessageDeleted { id: first.unwrap(), result: Ok(()) });
    assert_eq!(bench.deleted(), ["r1", "r2"]);
    assert_eq!(bench.drains_started(), 1);
}

#[test]
fn message_of_another_hook() {
    for known in [true, false] {
        let mut bench = Bench::new(settings());
        if !known {
            bench.hooks = None;
        }
        bench.target(TargetState::Terminated);
        let other = LifecycleMessage { hook: "other".to_owned(), ..lifecycle("token-2", START) };
        bench.receive(vec![message("r-other", Body::Lifecycle(other))]);
        if !known {
            let id = bench.open.iter().find_map(|effect| match effect {
                super::super::Effect::DescribeHooks { id, .. } => Some(*id),
                _ => None,
            });
            bench.event(Event::HooksDescribed { id: id.unwrap(), result: Ok(vec![hook("drain", 300)]) });
        }
        assert!((1..=5).contains(&bench.hidden().last().unwrap().1), "returned");
        bench.drained();
        bench.complete(Ok(()));
        assert!(bench.deleted().is_empty());
    }
}

#[test]
fn messages_of_two_hooks_before_ours_is_known() {
    let mut bench = Bench::new(settings());
    bench.hooks = None;
    bench.target(TargetState::Terminated);
    let other = LifecycleMessage { hook: "other".to_owned(), ..lifecycle("token-2", START) };
    bench.receive(vec![
        message("r-other", Body::Lifecycle(other)),
        message("r-ours", Body::Lifecycle(lifecycle("token-1", START))),
    ]);
    let id = bench.open.iter().find_map(|effect| match effect {
        super::super::Effect::DescribeHooks { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::HooksDescribed { id: id.unwrap(), result: Ok(vec![hook("drain", 300)]) });
    bench.drained();
    bench.complete(Ok(()));
    assert!(!bench.deleted().contains(&"r-other".to_owned()));
}

#[test]
fn message_older_than_a_drain_without_an_action() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let sent = bench.now;
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    bench.run(1);
    bench.drained();
    assert!(bench.ended().is_some());
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert!(bench.deleted().is_empty(), "its action is not over");
    assert_eq!(bench.drains_started(), 2);
}

#[test]
fn message_of_an_unchosen_hook_after_the_drain() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 300), hook("other", 300)]));
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let copy = || message("r1", Body::Lifecycle(lifecycle("token-1", START)));
    bench.receive(vec![copy()]);
    bench.drained();
    assert!(bench.ended().is_some());
    bench.run(5);
    if bench.is_receiving() {
        bench.receive(vec![copy()]);
    }
    bench.run(5);
    assert!(bench.deleted().is_empty());
}

#[test]
fn spot_message() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let news = InstanceNews::SpotInterruption { action: SpotAction::Terminate, at: None };
    let body = Body::Instance(InstanceMessage { instance_ids: vec![INSTANCE.to_owned()], news, sent: None });
    bench.receive(vec![message("r-spot", body)]);
    assert_eq!(bench.orders(0)[0].deadline, bench.now + secs(110));
    assert_eq!(bench.deleted(), ["r-spot"]);
}

#[test]
fn health_event_of_several_instances() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let ids = vec![INSTANCE.to_owned(), "i-other".to_owned()];
    let news = InstanceNews::Rebalance { at: None };
    let body = Body::Instance(InstanceMessage { instance_ids: ids, news, sent: None });
    bench.receive(vec![message("r-both", body)]);
    assert_eq!(bench.drains_started(), 1);
    assert!(bench.deleted().is_empty(), "it is about another instance too");
}

fn complaints(bench: &Bench) -> usize {
    bench.reported(|report| matches!(report, Report::StrangeMessage { .. }))
}

#[test]
fn malformed_messages_are_reported_once() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let unreadable = |why: &str| message("r1", Body::Unreadable(why.to_owned()));
    for _ in 0..3 {
        bench.receive(vec![unreadable("not JSON"), message("r2", Body::Unreadable("no JSON".to_owned()))]);
        bench.run(10);
    }
    assert_eq!(complaints(&bench), 2, "each is reported once");
    assert_eq!(bench.hidden().len(), 6, "returned each time");
    assert!(bench.deleted().is_empty() && bench.drains_started() == 0);
    for count in 0..100 {
        bench.receive(vec![unreadable(&count.to_string())]);
        bench.run(10);
    }
    assert_eq!(complaints(&bench), 64, "the number of reports is limited");
}

/// A receive that cannot be read may have been too large. The next one asks for fewer messages.
#[test]
fn unreadable_receive() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let asked_for = |bench: &Bench| match bench.open.last() {
        Some(Effect::ReceiveMessages { most, .. }) => *most,
        other => panic!("{other:?}"),
    };
    let mut most = Vec::new();
    for result in [
        Ok(()),
        Err(CallErrorKind::Throttled),
        Err(CallErrorKind::Unanswered),
        Ok(()),
        Ok(()),
        Ok(()),
        Ok(()),
    ] {
        most.push(asked_for(&bench));
        bench.receive_result(result.map(|()| Vec::new()).map_err(error));
        bench.run(60);
    }
    most.push(asked_for(&bench));
    assert_eq!(most, [10, 10, 10, 1, 2, 4, 8, 10]);
}

/// Auto Scaling named the group of a terminating instance. Then the daemon receives a message that names this instance in
/// another group, twice. It reports the message once and returns it each time. The message has no other effect.
#[test]
fn message_with_a_different_group() {
    let mut bench = Bench::terminating(Settings { group: None, ..settings() });
    assert_eq!(bench.machine.status().group.as_deref(), Some("workers"));
    let forged = LifecycleMessage { group: "elsewhere".to_owned(), ..lifecycle("token-1", bench.now) };
    for receipt in ["r1", "r2"] {
        bench.receive(vec![message(receipt, Body::Lifecycle(forged.clone()))]);
        while !bench.is_receiving() {
            bench.wake();
        }
    }
    assert_eq!(complaints(&bench), 1);
    let given: Vec<String> = bench.hidden().into_iter().map(|(receipt, _)| receipt).collect();
    assert_eq!(given, ["r1", "r2"]);
    assert!(bench.hidden().iter().all(|(_, seconds)| *seconds <= 5), "{:?}", bench.hidden());
    assert!(bench.deleted().is_empty());
    assert_eq!(bench.reported(|report| matches!(report, Report::GroupChanged { .. })), 0);
    assert_eq!(bench.machine.status().group.as_deref(), Some("workers"));
    assert_eq!(bench.machine.status().wait_since, None);
    assert!(bench.machine.is_draining(), "IMDS announces the termination by itself");
}
