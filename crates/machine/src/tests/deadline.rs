//! The deadline follows only from the notices that are in force now.

use super::super::effect::CompletionResult;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::{Body, SpotAction};
use super::super::report::Report;
use super::super::settings::Settings;
use super::bench::*;

#[test]
fn drain_timeout() {
    let mut bench = Bench::waiting(settings());
    let told = bench.now;
    assert_eq!(bench.orders(0)[0].deadline, told + secs(3600));
    bench.run_agent(3590, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    assert!(bench.completing().is_none());
    bench.run_agent(20, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

/// Heartbeats kept the action alive until almost its global timeout, and none of their answers came back until now. That is
/// within the margin, so no time is left. Regression: the daemon took it for another action, and it expired during the
/// drain.
#[test]
fn action_found_near_its_global_timeout() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.state = Some("Terminating:Wait");
    bench.target(TargetState::InService);
    let absent = bench.now;
    bench.target(TargetState::Terminated);
    bench.reports(0, AgentState::Draining, 1);
    while bench.now < absent + secs(30 * 100 - 50) {
        bench.run(1);
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::Unanswered));
        }
    }
    while !bench.is_beating() {
        bench.run(1);
    }
    bench.beat(Ok(()));
    assert!(bench.completing().is_some());
}

/// A daemon without a journal gets a message from 49 minutes ago. It is about an earlier action, or about one without
/// heartbeats. The action in Wait now cannot be older than its timeout, so there is time. Regression: the global timeout
/// counted from the message, which cut work off at once.
#[test]
fn message_from_long_ago() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now - secs(3000 - 30))))]);
    let began = bench.now;
    bench.reports(0, AgentState::Draining, 1);
    bench.run(1);
    assert!(bench.completing().is_none());
    let deadline = bench.machine.status().deadline.expect("draining");
    assert_eq!(
        deadline,
        began - secs(30) + secs(3000 - 60),
        "one timeout before it was expected, less a margin"
    );
}

/// A retained instance is released. Heartbeats keep its new action alive, but none of their answers comes back. Its message is
/// twenty minutes late, in this run of the daemon or the next. The hook's global timeout counts from the message's time.
/// Regression: it counted as if there were no heartbeats, and the action expired before the agent's deadline.
#[test]
fn released_action_kept_alive_by_unanswered_heartbeats() {
    for crash in [false, true] {
        told_of_a_release_after_twenty_minutes(crash);
    }
}

fn told_of_a_release_after_twenty_minutes(crash: bool) {
    let mut bench = Bench::new(Settings { on_drained: CompletionResult::Abandon, ..settings() });
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.state = Some("Terminating:Wait");
    bench.target(TargetState::Terminated);
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Retained");
    bench.run(15);
    bench.beat(Err(CallErrorKind::NoActiveAction));
    let released = bench.now;
    while bench.now < released + secs(1200) {
        bench.run(1);
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::Unanswered));
        }
    }
    if crash {
        bench.crash();
        bench.event(Event::Imds(ImdsReading::TargetState(None)));
    }
    bench.receive(vec![message("r2", Body::Lifecycle(lifecycle("token-2", released)))]);
    assert_eq!(bench.drains_started(), 2);
    let deadline = bench.machine.status().deadline.expect("draining");
    assert_eq!(deadline, released + secs(3000 - 60), "a margin before its global timeout");
}

/// EC2 moves the interruption to an earlier time and then to a later one. The agent is told each time.
#[test]
fn deadline_follows_the_current_notice() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    for seconds in [120, 60, 600] {
        let at = bench.now + secs(seconds);
        let action = SpotAction::Terminate;
        bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action, at }))));
        if bench.asks(0).is_some() {
            bench.reports(0, AgentState::Draining, 1);
        }
    }
    let deadlines: Vec<_> = bench.orders(0).iter().map(|order| order.deadline).collect();
    let before_ec2_takes_it = [110, 50, 590].map(|seconds| bench.now + secs(seconds));
    assert_eq!(deadlines[1..], before_ec2_takes_it, "ten seconds before the interruption");
}

/// The group takes the instance away while maintenance is due in ten minutes. EC2 then moves the maintenance to tomorrow, with
/// the same event id. The agent gets its full time back and is told so.
#[test]
fn maintenance_rescheduled_during_a_drain() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    let whole = bench.orders(0)[0].deadline;
    let soon = bench.now + secs(600);
    bench.maintenance(Some(soon));
    bench.reports(0, AgentState::Draining, 1);
    assert_eq!(bench.orders(0).last().unwrap().deadline, soon);
    bench.maintenance(Some(bench.now + secs(86_400)));
    assert_eq!(bench.orders(0).last().unwrap().deadline, whole);
    bench.run_agent(700, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    assert!(bench.completing().is_none(), "the work in flight has time");
}

/// As above, but EC2 cancels the maintenance, and the daemon is restarted after that.
#[test]
fn maintenance_canceled_during_a_drain() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    let whole = bench.orders(0)[0].deadline;
    bench.maintenance(Some(bench.now + secs(600)));
    bench.reports(0, AgentState::Draining, 1);
    bench.maintenance(None);
    assert_eq!(bench.orders(0).last().unwrap().deadline, whole);
    bench.crash();
    assert_eq!(bench.orders(0).last().unwrap().deadline, whole);
}

/// The maintenance deadline passes before the action reaches Wait. The daemon is restarted, and EC2 cancels the maintenance
/// before the agent can be reached again. Regression: the last run's decision stood, and the action was completed.
#[test]
fn maintenance_canceled_after_a_restart_at_the_deadline() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.maintenance(Some(bench.now + secs(60)));
    bench.run_agent(61, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    assert!(bench.completing().is_some(), "the deadline has passed");
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.crash();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.maintenance(None);
    let refused = AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true };
    bench.run_agent(5, refused);
    assert!(bench.completing().is_none(), "the agent has its full time again");
}

/// Maintenance known from a message is moved to tomorrow during a drain. The message with its first time is repeated, or
/// comes only now. Regression: that moved the maintenance back, and the agent lost its time.
#[test]
fn older_message_after_maintenance_was_moved() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 3);
    let (before, own) = (bench.now, bench.orders(0)[0].deadline);
    let tomorrow = bench.now + secs(86_400);
    bench.run(10);
    bench.receive(vec![news_sent("r2", bench.now, health(tomorrow))]);
    bench.receive(vec![news_sent("r1", before, health(before + secs(120)))]);
    bench.run(1);
    assert_eq!(bench.orders(0).last().unwrap().deadline, own);
    bench.run(200);
    assert!(bench.completing().is_none());
}

/// A message from yesterday says that maintenance was moved to a time that has passed. The message before it comes only now,
/// and names a time in the future.
#[test]
fn older_message_after_past_maintenance() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let (day, soon) = (secs(86_400), bench.now + secs(120));
    bench.receive(vec![news_sent("r1", bench.now - day * 2, health(soon))]);
    bench.run(1);
    bench.receive(vec![news_sent("r2", bench.now - day, health(bench.now - secs(7200)))]);
    bench.run(1);
    assert!(!bench.machine.is_draining(), "it is over");
    bench.receive(vec![news_sent("r1", bench.now - day * 2, health(soon))]);
    bench.run(10);
    assert_eq!(bench.drains_started(), 1);
}

/// Maintenance is canceled, and the message that announced it comes only after that. It starts no drain, even if the daemon
/// was restarted in between. The maintenance can be scheduled again later.
#[test]
fn older_message_after_maintenance_was_canceled() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let (before, soon) = (bench.now, bench.now + secs(120));
    bench.run(10);
    bench.receive(vec![news_sent("r2", bench.now, health_closed(soon))]);
    bench.run(1);
    bench.crash();
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![news_sent("r1", before, health(soon))]);
    bench.run(10);
    assert_eq!(bench.drains_started(), 0);
    bench.receive(vec![news_sent("r3", bench.now, health(soon))]);
    bench.run(10);
    assert_eq!(bench.drains_started(), 1);
}

/// Maintenance begins while the agent drains for it. IMDS still lists it, and its deadline stays.
#[test]
fn maintenance_begins_during_a_drain() {
    let mut bench = Bench::new(settings());
    let at = bench.now + secs(600);
    bench.maintenance(Some(at));
    bench.reports(0, AgentState::Draining, 1);
    bench.run_agent(599, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    bench.maintenance(Some(at));
    bench.run(1);
    bench.maintenance(Some(at));
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

#[test]
fn only_deadline_changes_are_reported() {
    let moves = |bench: &Bench| {
        let moved = |report: &Report| matches!(report, Report::DeadlineMoved { .. });
        bench.reported(moved)
    };
    let mut bench = Bench::waiting(settings());
    assert_eq!(moves(&bench), 0, "the hook's global timeout is later than the agent's own time");
    let spot = SpotNotice { action: SpotAction::Terminate, at: bench.now + secs(120) };
    bench.event(Event::Imds(ImdsReading::Spot(Some(spot))));
    assert_eq!(moves(&bench), 1);
}

#[test]
fn earlier_deadline_survives_a_crash() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.disk = Disk::Hangs;
    let at = bench.now + secs(120);
    let spot = SpotNotice { action: SpotAction::Terminate, at };
    bench.event(Event::Imds(ImdsReading::Spot(Some(spot))));
    bench.run(5);
    let told = bench.orders(0).len();
    assert_eq!(told, 1, "not told before it is journaled");
}

#[test]
fn extension() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    let before = bench.orders(0)[0].deadline;
    bench.operator(Command::Extend(secs(600)));
    assert_eq!(bench.orders(0).last().unwrap().deadline, before + secs(600));
    bench.crash();
    assert_eq!(bench.orders(0).last().unwrap().deadline, before + secs(600));
}

#[test]
fn extension_refused() {
    let mut bench = Bench::new(settings());
    let refused = |bench: &Bench| matches!(bench.answers.last(), Some(Err(_)));
    bench.operator(Command::Extend(secs(60)));
    assert!(refused(&bench), "no drain");
    bench.target(TargetState::Terminated);
    bench.operator(Command::Extend(secs(0)));
    assert!(refused(&bench), "no time");
    bench.drained();
    bench.operator(Command::Extend(secs(60)));
    assert!(refused(&bench), "too late");
}

#[test]
fn finish() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.operator(Command::Finish(CompletionResult::Abandon));
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Finished));
}

#[test]
fn drain_timeouts_of_several_agents() {
    let mut slow = agent("slow");
    slow.drain_timeout = secs(7200);
    let mut bench = Bench::waiting(Settings { agents: vec![agent("quick"), slow], ..settings() });
    assert!(bench.orders(0)[0].deadline < bench.orders(1)[0].deadline);
    bench.drained();
    bench.run(3601);
    assert!(bench.completing().is_none(), "the slow one has time left");
    bench.run(3600);
    assert!(bench.completing().is_some());
}
