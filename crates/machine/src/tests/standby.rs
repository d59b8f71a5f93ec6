//! An instance that goes into standby or is detached, and settings that say to drain then, or not to.

use super::super::effect::{AgentRequest, CompletionResult};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::Body;
use super::super::notice::Reason;
use super::super::operator::Refusal;
use super::super::report::NoticeChange;
use super::super::settings::{LaunchSettings, OnNotice, Settings};
use super::super::status::State;
use super::bench::*;

fn ignoring() -> Settings {
    Settings { on_standby: OnNotice::Ignore, on_detachment: OnNotice::Ignore, ..settings() }
}

/// IMDS says this once a second.
fn says(bench: &mut Bench, state: &TargetState, seconds: u64) {
    for _ in 0..seconds {
        bench.target(state.clone());
        bench.run(1);
    }
}

/// An instance that has served and is in standby, with settings that ignore that.
fn in_standby(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.target(TargetState::InService);
    bench.run(1);
    says(&mut bench, &TargetState::Standby, 10);
    bench
}

/// The reasons in the journal's table of notices.
fn journaled(bench: &Bench) -> Vec<Reason> {
    let journal = bench.journal.as_ref().expect("a journal was written");
    journal.notices.rows().iter().map(|row| row.reason).collect()
}

fn is_returning(bench: &Bench) -> bool {
    bench.asks(0) == Some(&AgentRequest::Return)
}

#[test]
fn drained_and_returned() {
    for (state, reason) in
        [(TargetState::Standby, Reason::Standby), (TargetState::Detached, Reason::Detachment)]
    {
        let mut bench = Bench::new(settings());
        bench.target(TargetState::InService);
        bench.target(state);
        assert_eq!(bench.orders(0)[0].reason, reason);
        bench.drained();
        assert_eq!(bench.ended(), Some(Outcome::Drained));
        bench.run(60);
        assert_eq!(bench.count(|effect| is_heartbeat(effect) || is_complete(effect)), 0);
        says(&mut bench, &TargetState::InService, 4);
        assert!(is_returning(&bench));
    }
}

/// Each key is about its own notice. The notice is in the table and is reported, across a restart of the daemon. It leaves the
/// table when the instance is back in service.
#[test]
fn ignored() {
    for (state, reason, other) in [
        (TargetState::Standby, Reason::Standby, TargetState::Detached),
        (TargetState::Detached, Reason::Detachment, TargetState::Standby),
    ] {
        let (on_standby, on_detachment) = match reason {
            Reason::Standby => (OnNotice::Ignore, OnNotice::Drain),
            _ => (OnNotice::Drain, OnNotice::Ignore),
        };
        let mut bench = Bench::new(Settings { on_standby, on_detachment, ..settings() });
        bench.target(TargetState::InService);
        says(&mut bench, &state, 10);
        let appeared =
            |report: &Report| matches!(report, Report::Notice { change: NoticeChange::Appeared, .. });
        assert_eq!((bench.reported(appeared), journaled(&bench)), (1, vec![reason]));
        bench.crash();
        says(&mut bench, &state, 10);
        assert_eq!((bench.drains_started(), bench.asks(0)), (0, None));
        let status = bench.machine.status();
        assert_eq!((status.state, status.reason), (State::Serving, None));
        says(&mut bench, &TargetState::InService, 2);
        assert!(!bench.machine.is_idle());
        says(&mut bench, &TargetState::InService, 2);
        assert_eq!(journaled(&bench), []);
        assert!(bench.machine.is_idle());
        bench.target(other);
        assert_eq!(bench.drains_started(), 1, "the other key says to drain");
    }
}

/// A termination follows an ignored standby, with or without a moment in service. It is drained like any other.
#[test]
fn termination_after_an_ignored_standby() {
    for (crashes, between) in [(false, 0), (true, 0), (false, 2), (false, 60)] {
        let mut bench = in_standby(ignoring());
        says(&mut bench, &TargetState::Standby, 7200);
        if crashes {
            bench.crash();
            says(&mut bench, &TargetState::Standby, 1);
        }
        says(&mut bench, &TargetState::InService, between);
        bench.target(TargetState::Terminated);
        assert_eq!(bench.orders(0)[0].reason, Reason::AutoscalingTermination);
        let told = bench.now;
        bench.state = Some("Terminating:Wait");
        bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", told)))]);
        bench.reports(0, AgentState::Draining, 1);
        bench.run(1);
        bench.drained();
        bench.run(1);
        assert_eq!(bench.completing(), Some(CompletionResult::Continue), "crashes: {crashes}, {between} s");
        bench.complete(Ok(()));
        assert_eq!(bench.ended(), Some(Outcome::Drained));
        assert_eq!(bench.drains_started(), 1);
    }
}

/// A heartbeat finds the action in Wait. It cannot have begun while the instance was in standby, so these hours do not count
/// against the hook's global timeout.
#[test]
fn standby_is_no_part_of_the_wait() {
    let mut bench = in_standby(ignoring());
    says(&mut bench, &TargetState::Standby, 7200);
    let last = bench.now - secs(1);
    bench.target(TargetState::Terminated);
    bench.reports(0, AgentState::Draining, 1);
    while !bench.is_beating() {
        bench.wake();
    }
    bench.beat(Ok(()));
    assert_eq!(bench.machine.status().wait_since, Some(last));
}

/// Only a message announces the termination, because IMDS was silent after it said `Standby`. IMDS answers again, and its
/// `InService` is older than the message. The agents of an instance that goes get no new work.
#[test]
fn lag_after_an_ignored_standby() {
    let mut bench = in_standby(ignoring());
    bench.event(Event::Imds(ImdsReading::Silent { why: "no answer".to_owned() }));
    bench.run(61);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now)))]);
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    says(&mut bench, &TargetState::InService, 30);
    assert!(!is_returning(&bench));
}

/// An operator drains an instance in standby and cancels, across restarts of the daemon. The standby neither keeps the drain nor
/// ends it.
#[test]
fn operators_drain_during_an_ignored_standby() {
    for crashes in [false, true] {
        let mut bench = in_standby(ignoring());
        bench.operator(Command::Drain);
        assert_eq!(bench.orders(0)[0].reason, Reason::Operator);
        bench.reports(0, AgentState::Draining, 1);
        if crashes {
            bench.crash();
        }
        says(&mut bench, &TargetState::Standby, 10);
        says(&mut bench, &TargetState::InService, 10);
        says(&mut bench, &TargetState::Standby, 10);
        assert_eq!(bench.machine.status().reason, Some(Reason::Operator));
        assert!(bench.machine.is_draining());
        bench.operator(Command::Cancel);
        assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
        if crashes {
            bench.crash();
        }
        assert!(is_returning(&bench), "crashes: {crashes}");
        assert_eq!(journaled(&bench), [Reason::Standby]);
        bench.says(0, AgentAnswer::Returned);
        says(&mut bench, &TargetState::Standby, 60);
        assert_eq!(bench.drains_started(), 1);
        bench.operator(Command::Cancel);
        assert_eq!(bench.answers.last(), Some(&Err(Refusal::NothingToCancel)));
    }
}

/// The instance goes into standby while it is drained for maintenance. The drain goes on, and ends with the maintenance although
/// the instance is still in standby.
#[test]
fn ignored_standby_during_a_drain() {
    for crashes in [false, true] {
        let mut bench = Bench::new(ignoring());
        bench.target(TargetState::InService);
        bench.maintenance(Some(bench.now + secs(900)));
        bench.reports(0, AgentState::Draining, 1);
        let deadline = bench.orders(0)[0].deadline;
        says(&mut bench, &TargetState::Standby, 10);
        if crashes {
            bench.crash();
            bench.reports(0, AgentState::Draining, 1);
        }
        says(&mut bench, &TargetState::Standby, 10);
        assert!(bench.machine.is_draining());
        assert!(bench.orders(0).iter().all(|order| order.deadline == deadline));
        bench.maintenance(None);
        assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
        assert!(is_returning(&bench), "crashes: {crashes}");
    }
}

/// A single stale answer says `Standby` after `Terminated`. The agents do not get new work before the instance goes.
#[test]
fn stale_standby_during_a_termination() {
    for crashes in [false, true] {
        let mut bench = in_standby(ignoring());
        bench.target(TargetState::Terminated);
        bench.reports(0, AgentState::Draining, 1);
        for _ in 0..5 {
            says(&mut bench, &TargetState::Standby, 2);
            if crashes {
                bench.crash();
            }
            says(&mut bench, &TargetState::Terminated, 2);
        }
        assert!(bench.machine.is_draining());
        assert_eq!(bench.drains_started(), 1);
    }
}

/// IMDS took the termination back: it says `Standby` for 3 s. The agents are returned, and the ignored notice is in the table.
#[test]
fn standby_withdraws_a_termination() {
    let mut bench = in_standby(ignoring());
    bench.target(TargetState::Terminated);
    bench.reports(0, AgentState::Draining, 1);
    says(&mut bench, &TargetState::Standby, 4);
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(is_returning(&bench));
    assert_eq!(journaled(&bench), [Reason::Standby]);
}

/// The action is in Wait. It counts, whatever the target state says.
#[test]
fn standby_does_not_withdraw_a_waiting_action() {
    let mut bench = Bench::waiting(ignoring());
    bench.reports(0, AgentState::Draining, 1);
    says(&mut bench, &TargetState::Standby, 120);
    assert!(bench.machine.is_draining());
}

/// A message announces a termination while IMDS still says `Standby`, and names another hook than the group's. It remains the
/// only notice of the termination until IMDS says so, too. Regression: it was dropped, and the agents got new work.
#[test]
fn message_of_another_hook_while_imds_says_standby() {
    let mut bench = in_standby(ignoring());
    for _ in 0..2 {
        bench.event(Event::Imds(ImdsReading::Silent { why: "no answer".to_owned() }));
        bench.run(61);
    }
    bench.hooks = Some(Ok(vec![hook("another", 300)]));
    let told = lifecycle("token-1", bench.now);
    bench.receive(vec![message("r1", Body::Lifecycle(told))]);
    says(&mut bench, &TargetState::Standby, 10);
    assert!(bench.machine.is_draining());
    says(&mut bench, &TargetState::Terminated, 10);
    assert_eq!(bench.drains_started(), 1);
}

/// The daemon is restarted with another setting while the instance is in standby.
#[test]
fn restarted_with_another_setting() {
    for ends in [false, true] {
        let mut bench = in_standby(settings());
        bench.reports(0, AgentState::Draining, 1);
        if ends {
            bench.run(1);
            bench.drained();
        }
        bench.settings = ignoring();
        bench.crash();
        assert!(is_returning(&bench), "ends: {ends}");
        bench.says(0, AgentAnswer::Returned);
        bench.settings = settings();
        bench.crash();
        says(&mut bench, &TargetState::Standby, 1);
        assert_eq!(bench.drains_started(), 2, "ends: {ends}");
    }
}

/// The instance is detached while the daemon still asks Auto Scaling about its launch. Until it is attached to a group, there is
/// nothing to ask. Regression: the daemon described the instance again after every answer.
#[test]
fn detached_during_a_launch() {
    let launch = LaunchSettings { hook: "warm-up".to_owned(), times: 3, timeout: secs(600) };
    let mut bench = Bench::new(Settings { launch: Some(launch), ..ignoring() });
    bench.state = None;
    says(&mut bench, &TargetState::Detached, 60);
    assert_eq!(bench.count(is_describe), 0);
    says(&mut bench, &TargetState::InService, 10);
    assert_eq!(bench.count(is_describe), 1, "it may be in another group");
}

/// A detached instance may be attached to another group, so the group is forgotten even if the detachment is ignored.
#[test]
fn group_is_forgotten_at_an_ignored_detachment() {
    let mut bench = Bench::new(ignoring());
    bench.target(TargetState::InService);
    says(&mut bench, &TargetState::Detached, 10);
    assert_eq!(bench.machine.status().group, None);
    says(&mut bench, &TargetState::InService, 10);
    bench.group = "others";
    bench.target(TargetState::Terminated);
    bench.drained();
    assert_eq!(bench.machine.status().group.as_deref(), Some("others"));
}
