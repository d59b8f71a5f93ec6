//! Regressions found by fleets in virtual time (`drainhook simulate --instances`), one test each.

use std::time::Duration;

use super::super::effect::CompletionResult;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::Body;
use super::super::report::Report;
use super::super::settings::{AgentSettings, OnExit, Settings};
use super::super::{Effect, Time};
use super::bench::*;

fn no() -> Result<(), CallErrorKind> {
    Err(CallErrorKind::NoActiveAction)
}

fn describing(bench: &Bench) -> Option<super::super::effect::EffectId> {
    bench.open.iter().find_map(|effect| match effect {
        Effect::DescribeInstance { id } => Some(*id),
        _ => None,
    })
}

fn described(bench: &mut Bench, id: super::super::effect::EffectId, state: &str) {
    let instance = DescribedInstance { group: "workers".to_owned(), lifecycle_state: state.to_owned() };
    bench.event(Event::InstanceDescribed { id, result: Ok(Some(instance)) });
}

/// A completion goes unanswered. The next one finds no action, and Auto Scaling says that the instance is in Wait.
#[test]
fn completion_that_finds_no_action_while_the_instance_waits() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.run(1);
    bench.complete(no());
    assert_eq!(bench.ended(), None, "the action in Wait may be ours");
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// Heartbeats find no action. Auto Scaling says that the instance is in Wait, but answers late.
#[test]
fn heartbeat_that_finds_no_action_while_the_instance_waits() {
    let mut bench = Bench::waiting(settings());
    bench.state = None;
    bench.run(200);
    bench.beat(no());
    let question = describing(&bench).expect("the instance is described");
    bench.run(30);
    assert!(bench.is_beating(), "tried again while the description is not answered");
    described(&mut bench, question, "Terminating:Wait");
    bench.beat(no());
    assert!(bench.machine.status().hook.is_some());
    let given_up = |report: &Report| matches!(report, Report::HookImpossible { .. });
    assert_eq!(bench.reported(given_up), 0, "the message that announced Wait may be about an older action");
}

#[test]
fn description_after_the_drain_ended() {
    let mut bench = Bench::waiting(settings());
    bench.state = None;
    bench.run(200);
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    let question = describing(&bench).expect("the instance is described");
    bench.run(10);
    bench.complete(Ok(()));
    described(&mut bench, question, "Terminating:Proceed");
    let ends = |report: &Report| matches!(report, Report::DrainEnded { .. });
    assert_eq!(bench.reported(ends), 1);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn successful_heartbeat_settles_a_refusal() {
    let mut bench = Bench::waiting(settings());
    bench.state = None;
    bench.run(200);
    bench.beat(no());
    let question = describing(&bench).expect("the instance is described");
    bench.run(30);
    bench.beat(Ok(()));
    described(&mut bench, question, "Terminating:Wait");
    assert_eq!(bench.ended(), None, "a heartbeat has just kept the action alive");
}

#[test]
fn expired_and_retained() {
    // The completion with CONTINUE never arrived, and the action expired with ABANDON.
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.state = Some("Terminating:Retained");
    bench.run(10);
    bench.complete(no());
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
    bench.run(70);
    assert!(bench.is_beating(), "heartbeats probe for its release");
}

#[test]
fn retained_by_another_hook() {
    for others in [false, true] {
        let mut bench = Bench::new(Settings { hook: Some("drain".to_owned()), ..settings() });
        let hooks =
            if others { vec![hook("drain", 300), hook("others", 300)] } else { vec![hook("drain", 300)] };
        bench.hooks = Some(Ok(hooks));
        bench.target(TargetState::InService);
        bench.target(TargetState::Terminated);
        bench.state = Some("Terminating:Wait");
        bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now)))]);
        // A heartbeat is due soon by the assumed timeout, so the hooks are read.
        bench.run(15);
        bench.drained();
        bench.complete(Ok(()));
        bench.run(15);
        assert_eq!(bench.is_beating(), others, "another hook's ABANDON retains the instance");
    }
}

/// The drain is so short that the hooks are not read. The group may have another hook.
#[test]
fn retained_by_an_unread_hook() {
    let mut bench = Bench::waiting(Settings { hook: Some("drain".to_owned()), ..settings() });
    bench.state = Some("Terminating:Wait");
    bench.drained();
    bench.complete(Ok(()));
    bench.run(15);
    assert!(bench.is_beating());
}

#[test]
fn description_without_an_answer() {
    let mut bench = Bench::waiting(Settings { on_drained: CompletionResult::Abandon, ..settings() });
    bench.drained();
    bench.complete(Ok(()));
    bench.state = None;
    bench.run(15);
    let look = describing(&bench).expect("the instance is described");
    let unsent = Err(error(CallErrorKind::Unsent));
    bench.event(Event::InstanceDescribed { id: look, result: unsent });
    bench.state = Some("Terminating:Wait");
    bench.run(5);
    assert!(bench.is_beating(), "described again soon, because a released instance may expire after 30 s");
}

/// A retained instance is released while the probing heartbeats are throttled. A throttled heartbeat does not show whether
/// it is in Wait, so Wait counts from the last description, and the next try comes soon.
#[test]
fn throttled_probes_say_nothing_about_wait() {
    let mut bench = Bench::waiting(Settings { on_drained: CompletionResult::Abandon, ..settings() });
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Retained");
    bench.run(15);
    bench.beat(no());
    let looked = *bench.times(is_heartbeat).last().expect("the probe");
    bench.run(60);
    bench.beat(Err(CallErrorKind::Throttled));
    bench.run(5);
    assert!(bench.is_beating(), "tried again soon");
    bench.beat(Ok(()));
    assert_eq!(bench.machine.status().wait_since, Some(looked), "a throttled call says nothing about Wait");
}

#[test]
fn agent_that_exits_at_once() {
    let exits = AgentSettings { on_exit: OnExit::Drained, ..agent("worker") };
    let mut bench = Bench::waiting(Settings { agents: vec![exits], ..settings() });
    bench.says(0, AgentAnswer::Accepted(None));
    bench.says(0, AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true });
    assert!(bench.completing().is_some(), "it accepted the order and had nothing in flight");
}

#[test]
fn slow_clock() {
    let mut bench = Bench::terminating(settings());
    bench.state = Some("Terminating:Wait");
    let sent: Time = bench.now + Duration::from_secs(120);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert!(bench.is_beating(), "the time in Wait is not known");
}

#[test]
fn hook_read_after_a_restart() {
    let mut bench = Bench::new(settings());
    bench.hooks = None;
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now)))]);
    bench.run(20);
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.crash();
    assert!(bench.is_beating(), "a heartbeat is sent at once, although the hook was unknown until now");
}

#[test]
fn termination_of_unknown_age() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::Terminated);
    assert!(bench.is_beating(), "the daemon does not know when the termination began");
    let bench = Bench::terminating(settings());
    assert!(!bench.is_beating(), "the instance was in service a second ago");
}

#[test]
fn drain_waits_for_the_answer_to_a_completion() {
    let mut bench = Bench::waiting(settings());
    bench.run(200);
    assert!(bench.is_beating());
    bench.drained();
    // The completion took effect. The heartbeat was sent before it and arrived after it.
    bench.state = Some("Terminating:Proceed");
    bench.beat(no());
    assert_eq!(bench.ended(), None);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn message_before_wait_and_a_refused_heartbeat() {
    let mut bench = Bench::terminating(settings());
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.run(200);
    bench.beat(no());
    bench.state = Some("Terminating:Wait");
    while !bench.is_beating() {
        bench.wake();
    }
    bench.beat(Ok(()));
    assert!(bench.machine.is_draining(), "its own action is in Wait now");
}

#[test]
fn repeated_messages_of_earlier_actions() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    bench.state = Some("Terminating");
    bench.run(1);
    let (older, old) = (bench.now - secs(3600), bench.now - secs(1800));
    for second in 0..20 {
        if bench.is_receiving() {
            let (token, sent) = if second % 2 == 0 { ("token-2", old) } else { ("token-1", older) };
            let again = message(&format!("r{second}"), Body::Lifecycle(lifecycle(token, sent)));
            bench.receive(vec![again]);
        }
        if bench.completing().is_some() {
            bench.complete(no());
        }
        bench.run(1);
    }
    let believed = |report: &Report| matches!(report, Report::WaitBegan { .. });
    let times = bench.reported(believed);
    assert!((1..=2).contains(&times), "believed {times}, including one older than a refuted one");
    bench.state = Some("Terminating:Wait");
    while bench.completing().is_none() {
        bench.wake();
    }
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn back_in_service_after_a_drain_unknown_to_imds() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", START)))]);
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Proceed");
    for _ in 0..30 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    let returned = |report: &Report| matches!(report, Report::AgentsReturned);
    assert_eq!(bench.reported(returned), 0, "IMDS may lag");
    for _ in 0..40 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    assert_eq!(bench.reported(returned), 1, "it serves again");
}

/// Heartbeats are not answered, the agent drains, and the completion finds no action. Then the agent is restarted with new
/// work. Auto Scaling confirms a message: the instance is in Wait. The daemon must not send a heartbeat right after the
/// last one.
#[test]
fn confirmed_wait_after_failed_heartbeats() {
    let mut bench = Bench::waiting(settings());
    bench.state = None;
    let sent = |bench: &Bench| bench.times(is_heartbeat);
    while sent(&bench).len() < 4 {
        bench.reports(0, AgentState::Draining, 1);
        while bench.asks(0).is_none() {
            bench.wake();
            if bench.is_beating() {
                bench.beat(Err(CallErrorKind::Unanswered));
            }
        }
    }
    bench.drained();
    bench.complete(no());
    let question = describing(&bench).expect("the instance is described");
    bench.run(10);
    bench.complete(no());
    bench.reports(0, AgentState::Serving, 1);
    while !bench.is_beating() {
        bench.wake();
    }
    bench.beat(Err(CallErrorKind::Unanswered));
    bench.open.retain(|effect| !is_describe(effect));
    let unanswered = Err(error(CallErrorKind::Unanswered));
    bench.event(Event::InstanceDescribed { id: question, result: unanswered });
    bench.run(2);
    let question = describing(&bench).expect("the instance is described again");
    let before = sent(&bench);
    described(&mut bench, question, "Terminating:Wait");
    bench.run(20);
    assert_eq!(sent(&bench), before, "after three failures, tries are a tenth of the timeout apart");
    bench.run(20);
    assert!(bench.is_beating());
}

/// A message announces an action while IMDS is silent, and the drain for it ends. Two minutes later IMDS answers again,
/// with `InService`. IMDS never lags behind a message for that long. Seconds later the group takes the instance away, which
/// is a new drain.
#[test]
fn back_in_service_long_after_the_message() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", START)))]);
    bench.drained();
    bench.complete(Ok(()));
    bench.run(120);
    for _ in 0..4 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    let returned = |report: &Report| matches!(report, Report::AgentsReturned);
    assert_eq!(bench.reported(returned), 1, "it serves again");
    bench.target(TargetState::Terminated);
    assert_eq!(bench.drains_started(), 2);
}

#[test]
fn completions_that_find_no_action() {
    let mut bench = Bench::waiting(settings());
    bench.state = None;
    bench.drained();
    bench.complete(no());
    let question = describing(&bench).expect("the instance is described");
    bench.run(10);
    assert!(bench.completing().is_some(), "tried again in the meantime");
    described(&mut bench, question, "Terminating:Proceed");
    assert_eq!(bench.ended(), Some(Outcome::Overtaken), "the verdict does not wait for further tries");
}

#[test]
fn hook_timeout_shortened() {
    let mut bench = Bench::terminating(settings());
    bench.run(60);
    bench.hooks = None;
    bench.crash();
    bench.beat(no());
    let hooks = bench.open.iter().find_map(|effect| match effect {
        Effect::DescribeHooks { id, .. } => Some(*id),
        _ => None,
    });
    let result = Ok(vec![hook("drain", 30)]);
    bench.event(Event::HooksDescribed { id: hooks.expect("the hook is read again"), result });
    bench.run(11);
    assert!(bench.is_beating(), "probed by the hook's current timeout");
}

#[test]
fn hibernated_instance() {
    // The instance was in service when it was hibernated. When it wakes, its time in Wait is not known.
    let mut bench = Bench::new(Settings { queue: false, ..settings() });
    bench.target(TargetState::InService);
    bench.now = bench.now + secs(280);
    bench.state = Some("Terminating:Wait");
    bench.target(TargetState::Terminated);
    assert!(bench.is_beating(), "the hook's timeout is 300 s");
}

#[test]
fn imds_lags_behind_the_message() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.run(15);
    bench.target(TargetState::InService);
    bench.run(1);
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    let sent = bench.now - secs(16);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert!(bench.is_beating(), "according to the message, half the timeout has passed");
}

#[test]
fn released_after_another_hooks_action() {
    let mut bench = Bench::new(Settings { queue: false, hook: Some("drain".to_owned()), ..settings() });
    bench.hooks = Some(Ok(vec![hook("drain", 60), hook("others", 60)]));
    bench.state = Some("Terminating:Wait");
    bench.target(TargetState::Terminated);
    bench.beat(no());
    bench.beat(no());
    assert_eq!(bench.ended(), Some(Outcome::Overtaken), "another hook's action is in Wait, and ours is gone");
    bench.state = Some("Terminating:Retained");
    bench.run(80);
    bench.beat(Ok(()));
    assert_eq!(bench.drains_started(), 2, "the release after the other hook starts a drain");
}

#[test]
fn hook_recreated_before_wait() {
    let mut bench = Bench::new(Settings { hook: Some("drain".to_owned()), ..settings() });
    bench.hooks = Some(Ok(vec![]));
    bench.target(TargetState::Terminated);
    assert!(bench.machine.status().hook_problem.is_some());
    bench.hooks = Some(Ok(vec![hook("drain", 300)]));
    bench.state = Some("Terminating:Wait");
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.drained();
    assert!(bench.deleted().is_empty(), "its action is in Wait");
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.deleted(), ["r1"]);
}

#[test]
fn hooks_are_read_again_soon() {
    // The shortest heartbeat timeout is 30 s. If reading it takes longer than 10 s, the first heartbeat may be too late.
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Err(error(CallErrorKind::Throttled)));
    bench.target(TargetState::InService);
    bench.target(TargetState::Terminated);
    bench.run(120);
    let asked = bench.times(|effect| matches!(effect, Effect::DescribeHooks { .. }));
    let longest = asked.windows(2).map(|two| two[1].since(two[0])).max();
    assert!(longest.is_some_and(|longest| longest <= secs(10)), "{longest:?} between two of {}", asked.len());
}

#[test]
fn late_message_of_a_completed_action() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.state = Some("Terminating:Wait");
    let (old, sent) = (bench.now - secs(40_000), bench.now);
    bench.receive(vec![message("r0", Body::Lifecycle(lifecycle("token-0", old)))]);
    bench.drained();
    bench.complete(no());
    bench.complete(Ok(()));
    bench.run(1);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert_eq!(bench.drains_started(), 1, "the message is about the action that was completed");
}

#[test]
fn next_action_with_a_fast_clock() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.state = Some("Terminating:Wait");
    let sent = bench.now;
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    bench.run(60);
    bench.drained();
    bench.complete(Ok(()));
    // By this clock, the second action begins before the first one has ended. By AWS's clock, it begins after that.
    let sent = bench.now - secs(20);
    bench.receive(vec![message("r2", Body::Lifecycle(lifecycle("token-2", sent)))]);
    assert!(bench.machine.is_draining(), "its message is newer than the first one's");
}
