//! What makes a drain, and why the agent is told that it drains.

use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::SpotAction;
use super::super::notice::Reason;
use super::super::report::Report;
use super::bench::*;

fn spot(bench: &mut Bench, action: SpotAction, seconds: u64) {
    let at = bench.now + secs(seconds);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action, at }))));
}

fn maintenance(bench: &mut Bench, id: &str, seconds: u64) {
    let not_before = Some(bench.now + secs(seconds));
    let event = MaintenanceNotice { event_id: id.to_owned(), code: "instance-stop".to_owned(), not_before };
    bench.event(Event::Imds(ImdsReading::Maintenance(vec![event])));
}

#[test]
fn idle() {
    let mut bench = Bench::new(settings());
    for _ in 0..300 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    let quiet = |effect: &_| !matches!(effect, super::super::Effect::WriteJournal { .. });
    assert_eq!(bench.count(quiet), 0, "{:#?}", bench.log);
    assert!(bench.machine.next_wake().is_none());
}

#[test]
fn spot_merged_into_a_termination() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 3);
    spot(&mut bench, SpotAction::Terminate, 120);
    bench.run(1);
    let orders = bench.orders(0);
    assert_eq!(orders.len(), 2, "{orders:#?}");
    assert_eq!(orders[0].reason, Reason::AutoscalingTermination);
    assert_eq!(orders[1].reason, Reason::SpotInterruption);
    assert!(orders[1].deadline < orders[0].deadline);
    assert_eq!(bench.drains_started(), 1);
}

#[test]
fn termination_after_a_rebalance_drain() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.count(is_complete), 0);
    bench.target(TargetState::Terminated);
    bench.drained();
    assert_eq!(bench.drains_started(), 2);
    assert!(bench.completing().is_some());
}

#[test]
fn rebalance_told_twice() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    bench.drained();
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START + secs(1)))));
    assert_eq!(bench.drains_started(), 1, "the same recommendation, told with another time");
}

#[test]
fn hibernation_leaves_no_time() {
    let mut bench = Bench::new(settings());
    spot(&mut bench, SpotAction::Hibernate, 120);
    assert_eq!(bench.orders(0).len(), 1);
    assert_eq!(bench.orders(0)[0].deadline, bench.now);
    assert_eq!(bench.ended(), Some(Outcome::Deadline));
}

#[test]
fn warm_pool_before_service() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
    bench.run(5);
    assert_eq!(bench.drains_started(), 0);
}

#[test]
fn warm_pool_return_and_second_drain() {
    let mut bench = Bench::new(settings());
    for round in 1..=2 {
        bench.target(TargetState::InService);
        bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
        assert_eq!(bench.drains_started(), round);
        assert_eq!(bench.orders(0).last().unwrap().reason, Reason::WarmPool);
        bench.state = Some("Warmed:Pending:Wait");
        bench.drained();
        bench.complete(Ok(()));
        assert_eq!(bench.ended(), Some(Outcome::Drained));
        bench.state = Some("Warmed:Stopped");
        bench.run(60);
        for _ in 0..5 {
            bench.target(TargetState::InService);
            bench.run(1);
        }
        bench.says(0, AgentAnswer::Returned);
        assert!(!bench.machine.is_draining());
    }
}

#[test]
fn second_warm_pool_return_under_a_standing_recommendation() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    for _ in 0..2 {
        bench.target(TargetState::InService);
        bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
        bench.reports(0, AgentState::Drained, 0);
        bench.complete(Ok(()));
        bench.state = Some("InService");
        for _ in 0..15 {
            bench.target(TargetState::InService);
            bench.run(1);
        }
    }
    assert_eq!(bench.count(is_complete), 2, "the second return is an action of its own");
}

#[test]
fn standby_and_detachment() {
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
    }
}

#[test]
fn maintenance_starts_when_it_must() {
    let mut bench = Bench::new(settings());
    let not_before = bench.now + secs(10_000);
    maintenance(&mut bench, "event-1", 10_000);
    assert_eq!(bench.drains_started(), 0);
    // 3600 s of drain_timeout and a margin of 60 s.
    bench.run(10_000 - 3660 - 1);
    assert_eq!(bench.drains_started(), 0);
    bench.run(1);
    assert_eq!(bench.drains_started(), 1);
    assert!(bench.orders(0)[0].deadline <= not_before);
}

#[test]
fn maintenance_window_already_open() {
    let mut bench = Bench::new(settings());
    bench.now = bench.now + secs(1000);
    let event = MaintenanceNotice {
        event_id: "event-1".to_owned(),
        code: "instance-reboot".to_owned(),
        not_before: Some(bench.now - secs(500)),
    };
    bench.event(Event::Imds(ImdsReading::Maintenance(vec![event])));
    assert_eq!(bench.orders(0)[0].deadline, bench.now + secs(3600), "the agent is given its time");
}

#[test]
fn rebalance_ignored() {
    let ignoring = super::super::settings::Settings { on_rebalance: super::super::settings::OnRebalance::Ignore, ..settings() };
    let mut bench = Bench::new(ignoring);
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    assert_eq!(bench.drains_started(), 0);
}

#[test]
fn malformed_answers_are_told_once() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    for _ in 0..3 {
        bench.event(Event::Imds(ImdsReading::Malformed { why: "<html>".to_owned() }));
    }
    assert_eq!(bench.reported(|report| matches!(report, Report::ImdsMalformed { .. })), 1);
    assert_eq!(bench.drains_started(), 0);
}
