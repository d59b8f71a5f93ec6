//! A daemon that asks the queue all the time, for warnings that IMDS does not list.

use super::super::Time;
use super::super::effect::{AgentRequest, Effect};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::*;
use super::super::notice::Reason;
use super::super::report::{Disbelief, Report};
use super::super::settings::{Listen, Settings};
use super::bench::*;

const RESERVATION: &str = "cr-0123456789abcdef0";

fn listening() -> Settings {
    let capacity_reservation = Some(RESERVATION.to_owned());
    Settings { listen: Listen::Always, capacity_reservation, ..settings() }
}

fn in_service(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.target(TargetState::InService);
    bench.run(1);
    bench
}

fn block_ends(receipt: &str, reservation: &str, ends: Time) -> Message {
    let told = ReservationMessage { reservation: reservation.to_owned(), ends: Some(ends), sent: None };
    message(receipt, Body::Reservation(told))
}

fn peeks(bench: &Bench) -> Option<bool> {
    bench.open.iter().find_map(|effect| match effect {
        Effect::ReceiveMessages { peek, .. } => Some(*peek),
        _ => None,
    })
}

fn stranger(receipt: usize) -> Message {
    message(&format!("stranger-{receipt}"), Body::Test)
}

/// The number of messages that were hidden or shown again.
fn visibilities(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::SetVisibility { .. }))
}

/// An idle instance reads the queue and leaves all messages visible, so that every other one can read them at the same time.
#[test]
fn others_messages_stay_visible() {
    let mut bench = in_service(listening());
    assert_eq!(peeks(&bench), Some(true));
    bench.receive(vec![stranger(1)]);
    assert_eq!(visibilities(&bench), 0);
    assert!(!bench.is_receiving(), "the message is still there, so the next receive returns it at once");
    bench.run(1);
    assert_eq!(peeks(&bench), Some(true));
}

/// The message of the instance's own action arrives before IMDS announces the termination. A peeked message cannot be hidden, so it
/// is received again. Then it stays hidden, and is deleted once the action is over.
#[test]
fn own_message_is_taken() {
    let mut bench = in_service(listening());
    bench.state = Some("Terminating:Wait");
    let own = |receipt: &str, sent| message(receipt, Body::Lifecycle(lifecycle("token-1", sent)));
    let sent = bench.now;
    bench.receive(vec![own("r1", sent)]);
    bench.run(1);
    assert_eq!(peeks(&bench), Some(false));
    bench.receive(vec![own("r2", sent)]);
    bench.run(5);
    assert!(
        bench.hidden().iter().any(|(receipt, seconds)| receipt == "r2" && *seconds > 60),
        "{:?}",
        bench.hidden()
    );
    assert_eq!(peeks(&bench), Some(true));
    bench.drained();
    bench.run(1);
    bench.complete(Ok(()));
    bench.run(2);
    assert!(bench.deleted().contains(&"r2".to_owned()) || bench.deleted().contains(&"r1".to_owned()));
}

/// With ten messages or more, ours may be behind those that SQS returns first. They are hidden for a moment.
#[test]
fn a_full_batch_is_hidden() {
    let mut bench = in_service(listening());
    bench.receive((0..10).map(stranger).collect());
    bench.run(1);
    assert_eq!(peeks(&bench), Some(false));
    bench.receive((0..3).map(stranger).collect());
    assert_eq!(visibilities(&bench), 1);
    bench.run(1);
    assert_eq!(peeks(&bench), Some(true));
}

/// The pauses grow while the queue has only messages about other instances, and end with an empty queue.
#[test]
fn pauses_grow() {
    let mut bench = in_service(listening());
    let mut received = 0;
    let until = bench.now + secs(300);
    while bench.now < until {
        if bench.is_receiving() {
            bench.receive(vec![stranger(1)]);
            received += 1;
        }
        bench.run(1);
    }
    assert!((20..=40).contains(&received), "{received} receives in five minutes");
}

#[test]
fn no_listening_by_default() {
    let bench = in_service(Settings { listen: Listen::AtNotice, ..listening() });
    assert!(!bench.is_receiving());
    let bench = in_service(Settings { queue: false, ..listening() });
    assert!(!bench.is_receiving());
}

/// EC2 reclaims the capacity of an instance that IMDS says is in service.
#[test]
fn capacity_interruption_in_service() {
    let mut bench = in_service(listening());
    let at = bench.now + secs(120);
    bench.receive(vec![news("r1", InstanceNews::CapacityInterruption { at: Some(at) })]);
    let order = bench.orders(0)[0];
    assert_eq!((order.reason, order.deadline), (Reason::CapacityInterruption, at - secs(10)));
    assert!(!bench.is_receiving(), "the message is visible until it is deleted");
    bench.run(1);
    assert_eq!(bench.count(|effect| matches!(effect, Effect::DeleteMessage { .. })), 1);
    assert!(bench.is_receiving(), "an earlier end may be announced during the drain");
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// The Capacity Block ends in forty minutes, so EC2 terminates in ten. The message stays in the queue for the others, and the
/// instance does not ask for it again.
#[test]
fn end_of_the_capacity_block() {
    let mut bench = in_service(listening());
    let at = bench.now + secs(600);
    bench.receive(vec![block_ends("r1", RESERVATION, at + secs(1800))]);
    let order = bench.orders(0)[0];
    assert_eq!((order.reason, order.deadline), (Reason::CapacityBlockEnd, at - secs(10)));
    bench.run(60);
    let touched =
        |effect: &Effect| matches!(effect, Effect::DeleteMessage { .. } | Effect::SetVisibility { .. });
    assert_eq!(bench.count(touched), 0);
    assert!(!bench.is_receiving());
}

/// An agent that needs two minutes keeps its work until three minutes before the termination.
#[test]
fn drain_before_the_end_of_the_capacity_block() {
    let mut settings = listening();
    settings.agents[0].drain_timeout = secs(120);
    let mut bench = in_service(settings);
    let at = bench.now + secs(600);
    bench.receive(vec![block_ends("r1", RESERVATION, at + secs(1800))]);
    bench.run(419);
    assert_eq!(bench.drains_started(), 0);
    bench.run(1);
    assert_eq!(bench.orders(0)[0].reason, Reason::CapacityBlockEnd);
    assert!(bench.orders(0)[0].deadline < at);
}

/// A message without a readable end date counts by when it was sent.
#[test]
fn block_without_an_end_date() {
    let mut bench = in_service(listening());
    let told = ReservationMessage { reservation: RESERVATION.to_owned(), ends: None, sent: Some(bench.now) };
    let at = bench.now + secs(600);
    bench.receive(vec![message("r1", Body::Reservation(told))]);
    assert_eq!(bench.orders(0)[0].deadline, at - secs(10));
}

/// The block is extended after the warning. The instance still runs five minutes after its termination was due, so its agents
/// return to service and it listens again.
#[test]
fn extended_capacity_block() {
    let mut bench = in_service(listening());
    let ends = bench.now + secs(2400);
    bench.receive(vec![block_ends("r1", RESERVATION, ends)]);
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.run(600 + 299);
    assert_eq!(bench.asks(0), Some(&super::super::effect::AgentRequest::Status));
    bench.run(10);
    assert_eq!(bench.asks(0), Some(&super::super::effect::AgentRequest::Return));
    assert!(bench.is_receiving());
}

/// Messages about other reservations, and about times that have passed or that EC2 does not warn of.
#[test]
fn other_blocks_and_other_times() {
    let mut bench = in_service(listening());
    let now = bench.now;
    let messages = [
        block_ends("r1", "cr-0fedcba9876543210", now + secs(2400)),
        block_ends("r2", RESERVATION, now + secs(1700)),
        block_ends("r3", RESERVATION, now + secs(86_400)),
    ];
    bench.receive(messages.to_vec());
    bench.run(5);
    assert_eq!(bench.drains_started(), 0);
    let ignored = |why: Disbelief| {
        bench.reported(|report| matches!(report, Report::NoticeIgnored { why: told, .. } if *told == why))
    };
    assert_eq!([ignored(Disbelief::Passed), ignored(Disbelief::TooFarAhead)], [1, 1]);
}

/// The configuration does not say in which reservation the instance runs. The daemon says once what to set.
#[test]
fn unknown_reservation() {
    let mut bench = in_service(Settings { capacity_reservation: None, ..listening() });
    for receipt in ["r1", "r2"] {
        bench.receive(vec![block_ends(receipt, RESERVATION, START + secs(2400))]);
        bench.run(20);
    }
    assert_eq!(bench.drains_started(), 0);
    let told = bench.reports.iter().filter(|report| matches!(report, Report::NoticeIgnored { .. }));
    let [told] = &told.map(ToString::to_string).collect::<Vec<_>>()[..] else { panic!("once") };
    assert!(told.ends_with(&format!(
        "it is for the instances of reservation {RESERVATION}; if this is one of them, set lifecycle.capacity_reservation"
    )));
}

/// The daemon restarts after the warning. The drain continues, and the message is not needed again.
#[test]
fn restart_after_the_block_warning() {
    let mut bench = in_service(listening());
    bench.receive(vec![block_ends("r1", RESERVATION, START + secs(2400))]);
    bench.run(1);
    bench.crash();
    bench.target(TargetState::InService);
    bench.run(5);
    assert!(bench.machine.is_draining());
    assert!(!bench.is_receiving());
}

/// A message about an action of this instance that only our clock says is over. The clock may be ahead, and the action may be
/// new, so the message stays in the queue.
#[test]
fn message_of_an_unknown_action_after_a_drain() {
    let mut bench = Bench::terminating(listening());
    bench.drained();
    bench.run(1);
    bench.complete(Ok(()));
    bench.run(1);
    let sent = bench.now - secs(1);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("another", sent)))]);
    bench.run(5);
    assert_eq!(bench.count(|effect| matches!(effect, Effect::DeleteMessage { .. })), 0);
}

/// The group has lost its hook, and the message of its last action is still in the queue.
#[test]
fn a_message_without_a_hook_does_not_drain_again_and_again() {
    let mut bench = in_service(listening());
    bench.hooks = Some(Ok(Vec::new()));
    for count in 0..5 {
        bench.receive(vec![message(&format!("r{count}"), Body::Lifecycle(lifecycle("token-1", START)))]);
        for _ in 0..16 {
            match bench.asks(0) {
                Some(AgentRequest::Return) => bench.says(0, AgentAnswer::Returned),
                Some(AgentRequest::Drain(_)) => bench.drained(),
                _ => {}
            }
            bench.target(TargetState::InService);
            bench.run(1);
        }
    }
    assert_eq!(bench.drains_started(), 1);
    assert!(bench.deleted().is_empty(), "the hook may be another controller's");
}
