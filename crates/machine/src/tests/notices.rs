//! Which notices start a drain, and which reason the agent gets.

use super::super::Time;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::{InstanceNews, SpotAction};
use super::super::notice::Reason;
use super::super::report::{Disbelief, Loudness, NoticeChange, Report};
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
fn repeated_rebalance_recommendation() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    bench.drained();
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START + secs(1)))));
    assert_eq!(bench.drains_started(), 1, "it is the same recommendation, with another time");
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
    assert_eq!(bench.count(is_complete), 2, "the second return has its own action");
}

#[test]
fn drain_for_maintenance_starts_in_time() {
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
    assert_eq!(bench.orders(0)[0].deadline, bench.now + secs(3600), "the agent gets its full time");
}

#[test]
fn rebalance_ignored() {
    let ignoring = super::super::settings::Settings {
        on_rebalance: super::super::settings::OnNotice::Ignore,
        ..settings()
    };
    let mut bench = Bench::new(ignoring);
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    assert_eq!(bench.drains_started(), 0);
}

#[test]
fn malformed_answers_are_reported_once() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    for _ in 0..3 {
        bench.event(Event::Imds(ImdsReading::Malformed { why: "<html>".to_owned() }));
    }
    assert_eq!(bench.reported(|report| matches!(report, Report::ImdsMalformed { .. })), 1);
    assert_eq!(bench.drains_started(), 0);
}

fn spot_news(at: Time) -> InstanceNews {
    InstanceNews::SpotInterruption { action: SpotAction::Terminate, at: Some(at) }
}

/// The group takes the instance away. Its queue holds a three-year-old spot interruption warning for the instance. IMDS lists
/// no interruption. The work in flight is not cut off.
#[test]
fn years_old_spot_message_during_a_drain() {
    let mut bench = Bench::terminating(settings());
    bench.run_spot(5, None);
    bench.reports(0, AgentState::Draining, 1);
    let told = bench.orders(0).len();
    bench.receive(vec![news("r1", spot_news(START - secs(3 * 365 * 86_400)))]);
    bench.run(5);
    assert_eq!(bench.orders(0).len(), told, "the deadline has not moved");
    assert!(bench.completing().is_none());
    assert_eq!(bench.deleted(), ["r1"]);
}

/// IMDS is silent, the instance is idle, and the queue holds warnings whose times have passed or are hours ahead.
#[test]
fn spot_messages_with_implausible_times() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let times = [bench.now - secs(90), START - secs(3 * 365 * 86_400), bench.now + secs(3600)];
    bench.receive(times.map(|at| news("r1", spot_news(at))).to_vec());
    bench.run(10);
    assert_eq!(bench.drains_started(), 0);
    assert_eq!(bench.reported(|report| matches!(report, Report::NoticeIgnored { .. })), 3);
}

/// A warning is for two minutes from now, or its sender's clock is a little behind ours.
#[test]
fn spot_messages_with_plausible_times() {
    for ahead in [120, -30] {
        let mut bench = Bench::new(settings());
        bench.event(Event::Imds(ImdsReading::TargetState(None)));
        let at = Time::from_unix_ms(bench.now.unix_ms().saturating_add_signed(ahead * 1000));
        bench.receive(vec![news("r1", spot_news(at))]);
        assert_eq!(bench.drains_started(), 1, "{ahead}");
        let whole = bench.now + secs(3600);
        let deadline = if ahead > 0 { at - secs(10) } else { whole };
        assert_eq!(
            bench.orders(0)[0].deadline,
            deadline,
            "a time that has passed does not move the deadline"
        );
    }
}

/// A forged warning has a plausible time. IMDS answers and lists no interruption. The daemon waits for a few more polls, and
/// the warning never takes effect.
#[test]
fn spot_message_denied_by_imds() {
    let mut bench = Bench::terminating(settings());
    bench.run_spot(5, None);
    bench.reports(0, AgentState::Draining, 1);
    bench.receive(vec![news("r1", spot_news(bench.now + secs(15)))]);
    bench.run_spot(60, None);
    assert_eq!(bench.orders(0).len(), 1, "the deadline has not moved");
    assert!(bench.completing().is_none());
}

/// The instance is an on-demand instance, so the daemon does not ask IMDS about spot notices. IMDS then falls silent, and forged
/// warnings for it come. They are deleted and reported, and start nothing. A capacity interruption still counts.
#[test]
fn spot_messages_for_an_on_demand_instance() {
    let at = START + secs(180);
    for forged in [spot_news(at), InstanceNews::Rebalance { at: None }] {
        let mut bench = Bench::new(settings());
        bench.event(Event::Imds(ImdsReading::LifeCycle(LifeCycle::OnDemand)));
        bench.event(Event::Imds(ImdsReading::TargetState(None)));
        bench.run(60);
        bench.receive(vec![news("r1", forged)]);
        bench.run(60);
        assert_eq!(bench.drains_started(), 0);
        assert_eq!(bench.deleted(), ["r1"]);
        let ignored =
            |report: &Report| matches!(report, Report::NoticeIgnored { why: Disbelief::OnDemand, .. });
        assert_eq!(bench.reported(ignored), 1);
        bench.receive(vec![news("r2", InstanceNews::CapacityInterruption { at: Some(at) })]);
        assert_eq!(bench.orders(0)[0].reason, Reason::CapacityInterruption);
    }
}

/// IMDS is silent when a forged warning comes, so the daemon drains. Then IMDS answers, and says how the instance was bought.
/// Only for an on-demand instance is the warning void.
#[test]
fn believed_spot_message_and_the_life_cycle() {
    for (life_cycle, outcome) in [
        (LifeCycle::OnDemand, Some(Outcome::Withdrawn)),
        (LifeCycle::Spot, None),
        (LifeCycle::Other("scheduled".to_owned()), None),
    ] {
        let mut bench = Bench::new(settings());
        bench.event(Event::Imds(ImdsReading::TargetState(None)));
        bench.receive(vec![news("r1", spot_news(bench.now + secs(120)))]);
        assert_eq!(bench.drains_started(), 1);
        bench.event(Event::Imds(ImdsReading::LifeCycle(life_cycle.clone())));
        bench.run(5);
        assert_eq!(bench.ended(), outcome, "{life_cycle:?}");
    }
}

/// IMDS is wrong about one of two things: it says that this is an on-demand instance, and lists an interruption and a
/// recommendation. The life cycle decides, because the daemon does not ask about the others again.
#[test]
fn spot_notices_of_an_on_demand_instance() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::LifeCycle(LifeCycle::OnDemand)));
    spot(&mut bench, SpotAction::Terminate, 120);
    bench.event(Event::Imds(ImdsReading::Rebalance(Some(START))));
    bench.run(5);
    assert_eq!(bench.drains_started(), 0);
}

/// IMDS has just fallen silent when the warning comes, so it cannot deny it.
#[test]
fn spot_message_while_imds_is_silent() {
    let mut bench = Bench::terminating(settings());
    bench.run_spot(5, None);
    bench.reports(0, AgentState::Draining, 1);
    let at = bench.now + secs(120);
    bench.receive(vec![news("r1", spot_news(at))]);
    bench.run(14);
    assert_eq!(bench.orders(0).len(), 1);
    bench.run(1);
    assert_eq!(bench.orders(0).last().unwrap().deadline, at - secs(10));
}

/// A forged warning comes, and the daemon is killed before IMDS denies it. The daemon restarts after the time for that, and
/// still waits for IMDS.
#[test]
fn spot_message_denied_by_imds_after_a_restart() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run_spot(5, None);
    bench.receive(vec![news("r1", spot_news(bench.now + secs(120)))]);
    bench.now = bench.now + secs(20);
    bench.crash();
    bench.run_spot(60, None);
    assert_eq!(bench.drains_started(), 0);
}

/// A forged warning comes, and the instance hibernates before IMDS denies it. It wakes after the time for that, and the
/// daemon still waits for IMDS.
#[test]
fn spot_message_denied_by_imds_after_hibernation() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run_spot(5, None);
    bench.receive(vec![news("r1", spot_news(bench.now + secs(120)))]);
    bench.now = bench.now + secs(60);
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run_spot(60, None);
    assert_eq!(bench.drains_started(), 0);
}

/// The daemon believes a warning because IMDS is silent. The instance is suspended, or the daemon restarts. The drain
/// continues.
#[test]
fn believed_spot_message_survives_a_restart() {
    for restarts in [false, true] {
        let mut bench = Bench::new(settings());
        bench.event(Event::Imds(ImdsReading::TargetState(None)));
        bench.run_spot(5, None);
        bench.receive(vec![news("r1", spot_news(bench.now + secs(120)))]);
        bench.run(20);
        assert_eq!(bench.drains_started(), 1);
        bench.reports(0, AgentState::Draining, 1);
        bench.now = bench.now + secs(40);
        if restarts {
            bench.crash();
        }
        bench.run(5);
        assert!(bench.machine.is_draining(), "restarts: {restarts}");
        assert_eq!(bench.ended(), None);
    }
}

/// IMDS confirms a message's notice one poll later. From then on IMDS decides, and withdraws it.
#[test]
fn spot_message_confirmed_by_imds() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run_spot(5, None);
    let at = bench.now + secs(120);
    bench.receive(vec![news("r1", spot_news(at))]);
    assert_eq!(bench.drains_started(), 0, "IMDS answers, so it can deny the warning");
    bench.run_spot(5, Some(SpotNotice { action: SpotAction::Terminate, at }));
    assert_eq!(bench.orders(0)[0].deadline, at - secs(10));
    bench.run_spot(5, None);
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
}

/// EC2 reclaims an interruptible reservation's capacity. The time in the message counts, not two minutes.
#[test]
fn capacity_interruption() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run_spot(5, None);
    let at = bench.now + secs(600);
    bench.receive(vec![news("r1", InstanceNews::CapacityInterruption { at: Some(at) })]);
    let order = bench.orders(0)[0];
    assert_eq!((order.reason, order.deadline), (Reason::CapacityInterruption, at - secs(10)));
    bench.run_spot(60, None);
    assert!(bench.machine.is_draining(), "IMDS does not list reservations");
}

/// The warm pool shrinks and terminates an instance that has never served. The agents drain, and the action is completed.
#[test]
fn termination_from_the_warm_pool() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
    bench.run(5);
    assert_eq!(bench.drains_started(), 0);
    bench.state = Some("Warmed:Terminating:Wait");
    bench.target(TargetState::Warmed("Warmed:Terminated".to_owned()));
    assert_eq!(bench.orders(0)[0].reason, Reason::AutoscalingTermination);
    bench.drained();
    bench.run(1);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// IMDS answers but has no target lifecycle state from the start. Without a queue, the daemon cannot see a termination.
#[test]
fn no_target_state_from_the_start() {
    for queue in [false, true] {
        let mut bench = Bench::new(super::super::settings::Settings { queue, ..settings() });
        for _ in 0..120 {
            bench.event(Event::Imds(ImdsReading::TargetState(None)));
            bench.run(1);
        }
        let told: Vec<_> = bench.reports.iter().filter(|report| report.is_error()).collect();
        let [Report::ImdsMissing { .. }] = told[..] else { panic!("once: {told:#?}") };
        assert_eq!(told[0].loudness() == Loudness::Error, !queue);
        bench.target(TargetState::InService);
        assert_eq!(bench.reported(|report| matches!(report, Report::ImdsHeard)), 1);
    }
}

/// Each change of the table is reported, and a repeated notice is not.
#[test]
fn notice_changes_are_reported() {
    let mut bench = Bench::new(settings());
    let far = bench.now + secs(86_400);
    for at in [Some(far), Some(far), Some(far + secs(1)), Some(far + secs(1)), None, None] {
        bench.maintenance(at);
    }
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![news("r1", health(bench.now + secs(86_400)))]);
    bench.run(86_400 + 3600);
    let changes: Vec<_> = bench
        .reports
        .iter()
        .filter_map(|report| match report {
            Report::Notice { change, .. } => Some(*change),
            _ => None,
        })
        .collect();
    use NoticeChange::{Appeared, Expired, Rescheduled, Withdrawn};
    assert_eq!(changes, [Appeared, Rescheduled, Withdrawn, Appeared, Expired]);
    let told = bench.reports.iter().find(|report| report.name() == "notice_appeared").unwrap().to_string();
    assert_eq!(
        told,
        format!(
            "notice from IMDS: EC2 has scheduled maintenance for this instance (instance-event-1), deadline {far}"
        )
    );
}
