//! The daemon is killed at every stage of a drain and continues it after a restart.

use super::super::effect::{CompletionResult, Effect};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::{Body, LifecycleMessage};
use super::super::settings::{AgentSettings, Listen, OnExit, Settings};
use super::bench::*;

#[test]
fn noticed() {
    let mut bench = Bench::terminating(settings());
    let deadline = bench.orders(0)[0].deadline;
    bench.run(100);
    bench.crash();
    assert_eq!(bench.orders(0).len(), 2, "told again");
    assert_eq!(bench.orders(0)[1].deadline, deadline, "the deadline stays");
}

#[test]
fn clock_set_back_by_a_reboot() {
    let mut bench = Bench::terminating(settings());
    bench.now = START - secs(100_000);
    bench.crash();
    assert_eq!(bench.orders(0)[1].deadline, bench.now + secs(3600));
}

#[test]
fn waiting() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    let since = bench.machine.status().wait_since;
    bench.run(20);
    bench.crash();
    assert_eq!(bench.machine.status().wait_since, since);
    bench.beat(Ok(()));
    bench.drained();
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    bench.complete(Ok(()));
    assert_eq!(bench.deleted(), ["r1"]);
}

/// Heartbeats are denied after a restart. The action's expiry counts from the last success in the journal.
#[test]
fn last_heartbeat() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    while !bench.is_beating() {
        bench.run_agent(1, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    }
    let sent = bench.times(is_heartbeat)[0];
    bench.beat(Ok(()));
    bench.run_agent(100, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    bench.crash();
    bench.beat(Err(CallErrorKind::AccessDenied));
    assert_eq!(bench.machine.status().expires, Some(sent + secs(300)));
    assert_eq!(bench.machine.status().deadline, Some(sent + secs(300 - 30)));
}

#[test]
fn intention_written() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.crash();
    assert!(bench.completing().is_some(), "resent at once");
    assert_eq!(bench.count(is_heartbeat), 0);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn completion_succeeded_before_the_crash() {
    for state in ["Terminating:Proceed", "Terminating:Wait"] {
        let mut bench = Bench::waiting(settings());
        bench.drained();
        // It reaches AWS, and the daemon dies before the answer. Another hook's action may still be in Wait.
        bench.crash();
        bench.state = Some(state);
        bench.run(1);
        bench.complete(Err(CallErrorKind::NoActiveAction));
        if bench.ended().is_none() {
            // Only a message announced Wait, so the first refusal may be about an older action.
            bench.complete(Err(CallErrorKind::NoActiveAction));
        }
        assert_eq!(bench.ended(), Some(Outcome::Drained), "{state}");
    }
}

#[test]
fn agent_restarted_while_the_daemon_was_down() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.crash();
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Draining, 3))));
    bench.complete(Err(CallErrorKind::Unsent));
    bench.run(30);
    assert!(bench.completing().is_none(), "the agent has work again");
    assert!(bench.is_beating());
}

/// An agent exits when it has drained. If it is gone after a crash of the daemon, it has drained. After a reboot, it has not
/// started yet.
#[test]
fn agent_that_exits_after_a_reboot() {
    for (boot_id, drained) in [("first", true), ("second", false)] {
        let on_exit = OnExit::Drained;
        let mut bench = Bench::waiting(Settings {
            agents: vec![AgentSettings { on_exit, ..agent("worker") }],
            ..settings()
        });
        bench.reports(0, AgentState::Draining, 1);
        bench.run(1);
        bench.settings.boot_id = Some(boot_id.to_owned());
        bench.crash();
        bench.says(0, AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true });
        assert_eq!(bench.completing().is_some(), drained, "{boot_id}");
    }
}

#[test]
fn failed_agent_still_silent() {
    let mut bench = Bench::waiting(settings());
    bench.says(0, AgentAnswer::CannotDrain("no".to_owned()));
    bench.crash();
    bench.says(0, AgentAnswer::Unreachable { why: "gone".to_owned(), gone: true });
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

#[test]
fn message_before_the_hook_was_known() {
    let mut bench = Bench::new(settings());
    bench.hooks = None;
    bench.target(TargetState::Terminated);
    let other = LifecycleMessage { hook: "other".to_owned(), ..lifecycle("token-2", START) };
    bench.receive(vec![message("r-other", Body::Lifecycle(other))]);
    bench.crash();
    let id = bench.open.iter().find_map(|effect| match effect {
        super::super::Effect::DescribeHooks { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::HooksDescribed { id: id.unwrap(), result: Ok(vec![hook("drain", 300)]) });
    assert_eq!(bench.hidden().last().map(|(receipt, _)| receipt.as_str()), Some("r-other"), "returned");
    bench.drained();
    bench.complete(Ok(()));
    assert!(bench.deleted().is_empty());
}

#[test]
fn ended() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Ok(()));
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.run(300);
    assert_eq!(bench.drains_started(), 1);
    assert_eq!(bench.count(is_complete), 1);
    assert_eq!(bench.deleted(), ["r1", "r1"], "its deletion may have been lost");
}

#[test]
fn returned_to_service() {
    let mut bench = Bench::new(settings());
    bench.operator(Command::Drain);
    bench.drained();
    bench.operator(Command::Cancel);
    bench.crash();
    assert_eq!(bench.asks(0), Some(&super::super::effect::AgentRequest::Return));
}

#[test]
fn finished_token() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Ok(()));
    bench.crash();
    assert_eq!(bench.journal.as_ref().unwrap().finished, ["token-1"]);
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let sent = bench.now + secs(5);
    bench.receive(vec![message("late", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert_eq!(bench.drains_started(), 1);
}

/// The action is completed, the group keeps the instance, and the instance serves again and is terminated again. All that
/// time the journal cannot be written, and the daemon is killed. The restarted daemon reads that the first drain dealt with
/// the notice. Its watch finds the new action.
#[test]
fn second_termination_missing_from_the_journal() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Ok(()));
    bench.disk = Disk::Refuses;
    for _ in 0..5 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    bench.target(TargetState::Terminated);
    assert_eq!(bench.drains_started(), 2);
    bench.disk = Disk::Writes;
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    bench.run(15);
    bench.beat(Ok(()));
    assert_eq!(bench.drains_started(), 3);
}

/// The clock was six seconds ahead and is corrected. The action's time came from a message, by AWS's clock, so it does not
/// change.
#[test]
fn message_times_survive_a_clock_correction() {
    let booted = Bench::new(settings()).now - secs(3600);
    let mut bench = Bench::terminating(Settings { booted_at: Some(booted), ..settings() });
    bench.run(10);
    let sent = bench.now - secs(8);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert_eq!(bench.machine.status().wait_since, Some(sent));
    bench.settings.booted_at = Some(booted - secs(6));
    bench.now = bench.now - secs(6);
    bench.crash();
    assert_eq!(bench.machine.status().wait_since, Some(sent));
}

/// The action of one group is over. The daemon restarts and finds that another group is taking the instance away, with an
/// action in Wait. That is a new drain, whose calls name the other group.
#[test]
fn termination_by_a_different_group() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Ok(()));
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    bench.group = "others";
    bench.run(15);
    assert_eq!(bench.drains_started(), 2);
    assert_eq!(bench.machine.status().group.as_deref(), Some("others"));
    assert_eq!(
        bench.count(|effect| matches!(effect, Effect::DescribeHooks { group, .. } if group == "others")),
        1
    );
}

/// The action of one group is over, and Auto Scaling retains the instance, which is in another group by now. The probes for
/// its release name that group.
#[test]
fn retained_by_a_different_group() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Ok(()));
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Retained");
    bench.group = "others";
    bench.run(15);
    let named =
        |effect: &Effect| matches!(effect, Effect::Heartbeat { action, .. } if action.group == "others");
    assert_eq!(bench.count(named), 1);
    bench.beat(Ok(()));
    assert_eq!(bench.drains_started(), 2);
    assert_eq!(bench.machine.status().group.as_deref(), Some("others"));
}

/// No write of the journal has succeeded since a drain long ago. The daemon is restarted during another drain and reads the
/// old journal, whose action must be over by now. The action in Wait is newer and has its full time. Regression: its global
/// timeout counted from the old action, which cut work off.
#[test]
fn action_newer_than_an_old_journal() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.crash();
    bench.now = bench.now + secs(29_000);
    bench.crash();
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
    let restarted = bench.now;
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    bench.run(15);
    bench.beat(Ok(()));
    assert_eq!(bench.drains_started(), 2);
    assert!(bench.machine.status().wait_since >= Some(restarted));
}

/// The daemon is killed with a completion under way, for the hook of a group that the instance is not in. After the restart it
/// knows the right group, which has no hook for it. With nothing to complete, the drain ends. Regression: it hung forever,
/// with the agent drained.
#[test]
fn unanswered_completion_without_a_hook() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    assert!(bench.completing().is_some());
    let mut journal = bench.journal.take().expect("written");
    journal.drain.as_mut().expect("under way").action.hook = None;
    bench.journal = Some(journal);
    bench.hooks = Some(Ok(Vec::new()));
    bench.crash();
    bench.run(1);
    bench.drained();
    bench.run(5);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// A drain ended while the clock was an hour ahead, and the instance rebooted with the right clock. Nothing can be compared with
/// that end, so the message of a new action is believed.
#[test]
fn ended_by_a_clock_that_was_ahead() {
    let mut bench = Bench::terminating(Settings { listen: Listen::Always, ..settings() });
    bench.state = Some("Terminating:Wait");
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Retained");
    bench.run(15);
    bench.settings.boot_id = Some("second".to_owned());
    bench.now = bench.now - secs(3600);
    bench.crash();
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    let sent = bench.now;
    // The first receive is a peek.
    for receipt in ["r1", "r2"] {
        bench.run(5);
        bench.receive(vec![message(receipt, Body::Lifecycle(lifecycle("token-2", sent)))]);
    }
    assert!(bench.deleted().is_empty());
    assert_eq!(bench.drains_started(), 2);
}
