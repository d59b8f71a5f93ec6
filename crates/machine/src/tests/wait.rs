//! How the machine learns that the action is in Wait, and which action it is.

use super::super::Effect;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::Body;
use super::super::settings::{DrainAt, Settings};
use super::bench::*;

#[test]
fn termination_long_before_wait() {
    let mut bench = Bench::terminating(settings());
    assert_eq!(
        bench.orders(0).len(),
        1,
        "the agents are told when the target state changes, long before Wait"
    );
    bench.drained();
    let early = |bench: &mut Bench| bench.complete(Err(CallErrorKind::NoActiveAction));
    early(&mut bench);
    for _ in 0..4 {
        bench.run(10);
        early(&mut bench);
    }
    assert!(bench.machine.is_draining());
    bench.state = Some("Terminating:Wait");
    bench.run(10);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn drain_at_wait() {
    let mut bench = Bench::terminating(Settings { drain_at: DrainAt::Wait, ..settings() });
    bench.run(30);
    assert!(bench.orders(0).is_empty());
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert_eq!(bench.orders(0).len(), 1);
    assert_eq!(bench.orders(0)[0].deadline, bench.now + secs(3600));
}

#[test]
fn drain_at_wait_does_not_hold_back_a_spot_interruption() {
    let mut bench = Bench::terminating(Settings { drain_at: DrainAt::Wait, ..settings() });
    let at = bench.now + secs(120);
    let action = super::super::message::SpotAction::Terminate;
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action, at }))));
    assert_eq!(bench.orders(0).len(), 1);
}

#[test]
fn drain_at_wait_with_unreadable_hooks() {
    let told_after = |kind| {
        let mut bench = Bench::new(Settings { drain_at: DrainAt::Wait, queue: false, ..settings() });
        bench.hooks = Some(Err(error(kind)));
        bench.target(TargetState::InService);
        bench.run(1);
        bench.target(TargetState::Terminated);
        let noticed = bench.now;
        bench.run(180);
        let told = bench.times(|effect| matches!(effect, Effect::AskAgent { .. }));
        told.first().map(|told| told.since(noticed).as_secs())
    };
    // Wait will never be known. Draining early is better than never.
    assert_eq!(told_after(CallErrorKind::AccessDenied), Some(0));
    assert!(told_after(CallErrorKind::Unanswered).is_some_and(|seconds| (1..=20).contains(&seconds)));
}

#[test]
fn wait_by_message() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    assert!(bench.completing().is_some());
    assert!(!bench.is_receiving(), "hook and Wait are known");
}

#[test]
fn wait_by_probing_heartbeat() {
    let mut bench = Bench::terminating(Settings { queue: false, ..settings() });
    bench.reports(0, AgentState::Draining, 1);
    // A minute after the instance was last seen in service.
    bench.run(58);
    assert!(!bench.is_beating());
    bench.run(1);
    bench.beat(Err(CallErrorKind::NoActiveAction));
    bench.state = Some("Terminating:Wait");
    bench.run(60);
    bench.beat(Ok(()));
    assert!(bench.machine.status().wait_since.is_some());
    // From now on, one per half timeout.
    bench.run(149);
    assert!(!bench.is_beating());
    bench.run(31);
    assert!(bench.is_beating());
}

#[test]
fn wait_by_completion() {
    let mut bench = Bench::terminating(Settings { queue: false, ..settings() });
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.count(is_heartbeat), 0);
}

#[test]
fn old_message_while_in_service() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.state = Some("InService");
    let sent = bench.now - secs(1000);
    bench.receive(vec![message("old", Body::Lifecycle(lifecycle("token-0", sent)))]);
    assert!(bench.machine.is_draining());
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert_eq!(bench.deleted(), ["old"]);
    // Late copies are recognized.
    bench.run(1);
    bench.receive(vec![message("copy", Body::Lifecycle(lifecycle("token-0", sent)))]);
    assert!(!bench.machine.is_draining());
}

#[test]
fn old_message_while_waiting() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 5);
    bench.state = Some("Terminating:Wait");
    // Older than the hook's global timeout of 30 000 s.
    let sent = bench.now - secs(40_000);
    bench.receive(vec![message("old", Body::Lifecycle(lifecycle("token-0", sent)))]);
    bench.run(200);
    bench.beat(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.count(is_complete), 0, "an old message must not cut work off");
    bench.beat(Ok(()));
    assert!(bench.machine.is_draining());
}

#[test]
fn old_message_without_imds() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.state = Some("Terminating:Wait");
    let sent = bench.now - secs(40_000);
    bench.receive(vec![message("old", Body::Lifecycle(lifecycle("token-0", sent)))]);
    bench.reports(0, AgentState::Draining, 5);
    assert_eq!(bench.count(is_complete), 0, "an action past its global timeout sets no deadline");
}

#[test]
fn wrong_hook_named() {
    let mut bench = Bench::new(Settings { hook: Some("drain".to_owned()), queue: false, ..settings() });
    // The daemon cannot find out that the hook does not exist.
    bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
    bench.state = Some("Terminating:Wait");
    bench.target(TargetState::Terminated);
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.complete(Err(CallErrorKind::NoActiveAction));
    let problem = bench.machine.status().hook_problem.unwrap();
    assert!(problem.contains("drain") && problem.contains("lifecycle.hook"), "{problem}");
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn several_hooks_and_none_chosen() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 300), hook("other", 300)]));
    bench.target(TargetState::Terminated);
    let problem = bench.machine.status().hook_problem.unwrap();
    assert!(problem.contains("drain, other"), "{problem}");
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.count(is_complete), 0);
}

#[test]
fn no_hook() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(Vec::new()));
    bench.target(TargetState::Terminated);
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn unreadable_hook() {
    for (configured, expected_s) in [(Some(secs(90)), 90), (None, 30)] {
        let named = Settings { hook: Some("drain".to_owned()), heartbeat_timeout: configured, ..settings() };
        let mut bench = Bench::new(named);
        bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
        bench.target(TargetState::Terminated);
        bench.run(1);
        let journal = bench.journal.clone().unwrap();
        let facts = journal.drain.unwrap().action.hook.unwrap();
        assert_eq!(facts.heartbeat_timeout, secs(expected_s));
        assert!(!facts.read);
    }
}

#[test]
fn description_older_than_the_refusal() {
    // The daemon describes the instance before the message comes. It must not take that answer for the answer to a later
    // call.
    let mut bench = Bench::new(Settings { group: None, ..settings() });
    bench.state = None;
    bench.target(TargetState::Terminated);
    let early = bench.open.iter().find_map(|effect| match effect {
        Effect::DescribeInstance { id } => Some(*id),
        _ => None,
    });
    bench.run(1);
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.drained();
    bench.run(1);
    bench.complete(Err(CallErrorKind::NoActiveAction));
    let instance = DescribedInstance { group: "workers".to_owned(), lifecycle_state: "InService".to_owned() };
    bench.event(Event::InstanceDescribed { id: early.unwrap(), result: Ok(Some(instance)) });
    assert!(bench.deleted().is_empty(), "the daemon took the message for an old one");
    assert!(bench.open.iter().any(is_describe), "the instance is described again");
}

/// The queue still has the message of an action that ended hours ago, and delivers it before the message of the current
/// action. The daemon has never seen the instance in service. The old message must not make the new action look old, or the
/// global timeout would cut the agent off.
#[test]
fn hours_old_message_before_the_current_one() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    let old = lifecycle("token-0", START - secs(29_000));
    let new = lifecycle("token-1", START);
    bench.receive(vec![message("r0", Body::Lifecycle(old)), message("r1", Body::Lifecycle(new))]);
    bench.beat(Ok(()));
    assert_eq!(bench.machine.status().deadline, Some(START + secs(3600)));
}
