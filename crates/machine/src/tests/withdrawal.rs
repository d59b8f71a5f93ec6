//! The instance stays, and the agents are told to serve again.

use super::super::effect::{AgentRequest, CompletionResult};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::{Body, InstanceNews, Message, SpotAction};
use super::super::notice::Reason;
use super::super::report::Report;
use super::super::settings::Settings;
use super::super::time::Time;
use super::bench::*;

fn in_service(bench: &mut Bench, seconds: u64) {
    for _ in 0..=seconds {
        bench.target(TargetState::InService);
        bench.run(1);
    }
}

fn is_returning(bench: &Bench) -> bool {
    bench.asks(0) == Some(&AgentRequest::Return)
}

#[test]
fn back_in_service() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    in_service(&mut bench, 3);
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(is_returning(&bench));
    bench.says(0, AgentAnswer::Returned);
    bench.run(60);
    assert!(!is_returning(&bench));
}

/// The return is sent only once it is journaled. A daemon that is killed after that must not tell the agent to drain again.
#[test]
fn return_waits_for_the_journal() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.disk = Disk::Hangs;
    in_service(&mut bench, 3);
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(!is_returning(&bench));
    bench.journal_written();
    assert!(is_returning(&bench));
}

#[test]
fn flap() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    for _ in 0..5 {
        in_service(&mut bench, 1);
        bench.target(TargetState::Terminated);
        bench.run(1);
    }
    assert!(bench.machine.is_draining());
    assert_eq!(bench.drains_started(), 1);
}

/// The instance was suspended and serves again. Messages of two finished actions arrive alternately. Regression: each
/// message replaced the other's notice and so looked new, and the agent stayed drained forever.
#[test]
fn two_old_messages_that_come_in_turn() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    let sent = [bench.now - secs(600), bench.now - secs(300)];
    let copy = |place: usize, number: u64| {
        message(&format!("r{number}"), Body::Lifecycle(lifecycle(&format!("token-{place}"), sent[place])))
    };
    for place in 0..2 {
        refute(&mut bench, copy(place, 0));
    }
    bench.state = Some("InService");
    for second in 1..120 {
        if bench.is_receiving() {
            bench.receive(vec![copy(second as usize % 2, second)]);
        }
        in_service_and_refused(&mut bench, 1);
    }
    assert!(bench.reported(|report| matches!(report, Report::AgentsReturned)) > 0);
}

/// A message announces an action. Auto Scaling says that the instance is not in Wait, so it was about an earlier action.
fn refute(bench: &mut Bench, message: Message) {
    bench.state = Some("Terminating");
    while !bench.is_receiving() {
        bench.wake();
    }
    bench.receive(vec![message]);
    while !bench.is_beating() {
        bench.wake();
    }
    bench.beat(Err(CallErrorKind::NoActiveAction));
}

/// IMDS says `InService`, and no heartbeat finds an action.
fn in_service_and_refused(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        bench.target(TargetState::InService);
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::NoActiveAction));
        }
        bench.run(1);
    }
}

/// Auto Scaling said that the instance was in service, and now says that the group is taking it away. IMDS lags behind.
/// Auto Scaling's latest answer counts.
#[test]
fn terminated_after_auto_scaling_said_in_service() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Ok(vec![hook("drain", 30)]));
    bench.target(TargetState::Terminated);
    bench.reports(0, AgentState::Draining, 1);
    let told = |token: &str, sent| message(token, Body::Lifecycle(lifecycle(token, sent)));
    let before = bench.now - secs(300);
    refute(&mut bench, told("token-1", before));
    bench.state = Some("InService");
    while bench.count(is_describe) < 3 {
        in_service_and_refused(&mut bench, 1);
    }
    // A newer message leads to another description, which shows the current state.
    let now = bench.now;
    refute(&mut bench, told("token-2", now));
    in_service_and_refused(&mut bench, 300);
    assert!(bench.machine.is_draining());
}

#[test]
fn single_stale_answer() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    bench.target(TargetState::InService);
    bench.run(10);
    assert!(bench.machine.is_draining(), "`InService` must be read for 3 s");
}

#[test]
fn cancel() {
    let mut bench = Bench::new(settings());
    bench.operator(Command::Drain);
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.operator(Command::Cancel);
    assert!(is_returning(&bench));
}

#[test]
fn cancel_during_a_termination() {
    let mut bench = Bench::terminating(settings());
    bench.operator(Command::Drain);
    bench.operator(Command::Cancel);
    assert!(bench.machine.is_draining());
}

/// Only a message announced maintenance. Its window passes, nothing happens, and no message says that it is over. Until it
/// expires, the agent stays drained across restarts of the daemon.
#[test]
fn maintenance_from_a_message_expires() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let at = bench.now + secs(60);
    bench.receive(vec![news("r1", health(at))]);
    bench.drained();
    bench.crash();
    bench.run(60 + 3599);
    assert!(!is_returning(&bench), "its window may have begun late");
    bench.run(2);
    bench.crash();
    assert!(is_returning(&bench));
}

/// A message about maintenance is repeated after it has expired.
#[test]
fn expired_maintenance_is_not_believed_again() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![news("r1", health(START - secs(3 * 365 * 86_400)))]);
    bench.run(10);
    assert_eq!(bench.drains_started(), 0);
    assert_eq!(bench.deleted(), ["r1"]);
}

/// A message announces a spot interruption while IMDS is silent. The time comes, and the instance is still running.
#[test]
fn spot_message_expires() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    let at = Some(bench.now + secs(120));
    let spot = InstanceNews::SpotInterruption { action: SpotAction::Stop, at };
    bench.receive(vec![news("r1", spot)]);
    bench.drained();
    bench.run(120 + 299);
    assert!(!is_returning(&bench));
    bench.run(2);
    assert!(is_returning(&bench));
}

#[test]
fn maintenance_canceled() {
    let mut bench = Bench::new(settings());
    let event =
        MaintenanceNotice { event_id: "e".to_owned(), code: "instance-stop".to_owned(), not_before: None };
    bench.event(Event::Imds(ImdsReading::Maintenance(vec![event])));
    bench.reports(0, AgentState::Draining, 1);
    bench.event(Event::Imds(ImdsReading::Maintenance(Vec::new())));
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(is_returning(&bench));
}

#[test]
fn spot_notice_withdrawn() {
    for crashes in [false, true] {
        let mut bench = Bench::new(settings());
        let spot = SpotNotice { action: SpotAction::Stop, at: bench.now + secs(120) };
        bench.event(Event::Imds(ImdsReading::Spot(Some(spot))));
        bench.drained();
        if crashes {
            // The instance is stopped and starts again an hour later.
            bench.now = bench.now + secs(3600);
            bench.crash();
            bench.says(0, AgentAnswer::Busy("starting".to_owned()));
        }
        bench.event(Event::Imds(ImdsReading::Spot(None)));
        if bench.asks(0) == Some(&AgentRequest::Status) || !is_returning(&bench) {
            bench.run(1);
        }
        assert!(is_returning(&bench), "crashes: {crashes}");
    }
}

#[test]
fn return_refused() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    in_service(&mut bench, 3);
    bench.says(0, AgentAnswer::Unreachable { why: "restarting".to_owned(), gone: true });
    bench.run(5);
    assert!(is_returning(&bench), "the agent has not acknowledged the return");
    bench.says(0, AgentAnswer::Unsupported("no such method".to_owned()));
    bench.run(60);
    assert!(!is_returning(&bench));
}

#[test]
fn notice_during_the_return() {
    let mut bench = Bench::terminating(settings());
    bench.reports(0, AgentState::Draining, 1);
    in_service(&mut bench, 3);
    assert!(is_returning(&bench));
    bench.target(TargetState::Terminated);
    bench.says(0, AgentAnswer::Returned);
    bench.run(1);
    assert_eq!(bench.orders(0).len(), 2, "the drain request follows the return");
    bench.drained();
    assert!(bench.completing().is_some());
}

#[test]
fn waiting_action_is_not_withdrawn() {
    let mut bench = Bench::waiting(settings());
    bench.reports(0, AgentState::Draining, 1);
    in_service(&mut bench, 10);
    assert!(bench.machine.is_draining());
}

fn warmed() -> TargetState {
    TargetState::Warmed("Warmed:Stopped".to_owned())
}

/// An instance on its way to the warm pool. Its work is done, and the answer to its completion was lost.
fn pooled_without_an_answer() -> Bench {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    bench.run(1);
    bench.state = Some("Warmed:Pending:Wait");
    bench.target(warmed());
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.state = Some("InService");
    bench
}

#[test]
fn out_of_the_pool_before_the_completion_is_confirmed() {
    let mut bench = pooled_without_an_answer();
    in_service(&mut bench, 10);
    assert!(bench.machine.is_draining());
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert!(is_returning(&bench));
    bench.target(warmed());
    assert_eq!(bench.drains_started(), 2, "the second return starts a drain");
}

#[test]
fn out_of_the_pool_while_imds_lags() {
    let mut bench = pooled_without_an_answer();
    bench.run(10);
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.target(warmed());
    assert_eq!(bench.drains_started(), 1, "IMDS repeats its earlier answer");
    in_service(&mut bench, 3);
    assert!(is_returning(&bench));
}

#[test]
fn retained_and_released() {
    let mut bench = Bench::waiting(Settings { on_drained: CompletionResult::Abandon, ..settings() });
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Retained");
    bench.run(70);
    bench.beat(Err(CallErrorKind::NoActiveAction));
    bench.run(60);
    assert!(bench.is_beating(), "its success will show the release");
    bench.beat(Ok(()));
    assert_eq!(bench.drains_started(), 2);
    // The heartbeat may have been sent a minute before it was answered.
    bench.run(89);
    assert!(!bench.is_beating(), "the probe also counts as a heartbeat of the action");
    bench.run(91);
    assert!(bench.is_beating());
    bench.beat(Ok(()));
    bench.drained();
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// An instance that is retained after an action that only this message announced.
fn retained(settings: Settings, told: Message) -> Bench {
    let mut bench = Bench::new(Settings { on_drained: CompletionResult::Abandon, ..settings });
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![told]);
    bench.drained();
    bench.complete(Ok(()));
    bench.state = Some("Terminating:Retained");
    bench.run(70);
    bench
}

fn termination(receipt: &str, token: &str, sent: Time) -> Message {
    message(receipt, Body::Lifecycle(lifecycle(token, sent)))
}

#[test]
fn released_by_message() {
    let mut bench = retained(settings(), termination("r1", "token-1", START));
    let told = termination("r2", "token-2", bench.now);
    bench.receive(vec![told]);
    assert_eq!(bench.drains_started(), 2);
}

/// A message cannot be sent after SQS accepted it. Even if it claims so, it is older than the message of the release.
#[test]
fn released_after_a_message_from_the_future() {
    let forged = termination("r1", "token-1", START + secs(86_400));
    let mut bench = retained(settings(), Message { sent: Some(START), ..forged });
    let sent = bench.now;
    bench.receive(vec![Message { sent: Some(sent), ..termination("r2", "token-2", sent) }]);
    assert_eq!(bench.drains_started(), 2);
}

/// A retained instance is released after its clock was set back by an hour. By AWS's time the second message is newer.
/// Regression: by the daemon's clock it was older, so no drain started and the daemon deleted it.
#[test]
fn released_after_the_clock_was_set_back() {
    let booted = START - secs(3600);
    let settings = Settings { booted_at: Some(booted), ..settings() };
    let mut bench = retained(settings, termination("r1", "token-1", START));
    let sent = bench.now;
    bench.settings.booted_at = Some(booted - secs(3600));
    bench.now = bench.now - secs(3600);
    bench.crash();
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.run(1);
    bench.receive(vec![termination("r2", "token-2", sent)]);
    assert_eq!(bench.drains_started(), 2);
    assert!(!bench.deleted().contains(&"r2".to_owned()));
}

/// A message announced an action that was completed while IMDS was silent. The instance serves again, and maintenance comes
/// within a minute. Once IMDS has said `InService` for long enough, that action no longer counts, and the drain ends when the
/// maintenance is canceled. Regression: the daemon kept sending completions on an instance in service.
#[test]
fn past_action_does_not_keep_a_drain() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now)))]);
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.target(TargetState::InService);
    bench.maintenance(Some(bench.now + secs(60)));
    assert_eq!(bench.drains_started(), 2);
    in_service(&mut bench, 30);
    bench.maintenance(None);
    in_service(&mut bench, 90);
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(!bench.machine.is_draining());
}

/// A message announces an action that is over. No completion is answered. Then Auto Scaling says that the instance is in
/// service. A minute later it is terminated, which is a new drain. Regression: the daemon took the new notice for the old
/// action's, and the new action expired.
#[test]
fn terminated_soon_after_a_finished_action() {
    let mut bench = Bench::new(settings());
    bench.event(Event::Imds(ImdsReading::TargetState(None)));
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now - secs(600))))]);
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.state = Some("InService");
    bench.run(2);
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(2);
    assert!(!bench.machine.is_draining());
    in_service(&mut bench, 30);
    bench.target(TargetState::Terminated);
    assert_eq!(bench.drains_started(), 2);
}

/// A message of an action that is over is repeated while IMDS still has the target state. Auto Scaling says that the
/// instance is in service, so the action is forgotten. Then the message comes again. From then on IMDS also says
/// `InService`, which counts once its lag is over. Regression: the daemon kept sending completions.
#[test]
fn message_of_a_finished_action() {
    let mut bench = Bench::terminating(settings());
    bench.state = Some("InService");
    let told = lifecycle("token-1", bench.now);
    bench.receive(vec![message("r1", Body::Lifecycle(told.clone()))]);
    bench.drained();
    let refuse = |bench: &mut Bench| {
        if bench.completing().is_some() {
            bench.complete(Err(CallErrorKind::NoActiveAction));
        }
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::NoActiveAction));
        }
    };
    for _ in 0..30 {
        refuse(&mut bench);
        bench.run(1);
    }
    if bench.is_receiving() {
        bench.receive(vec![message("r2", Body::Lifecycle(told))]);
    }
    for _ in 0..180 {
        refuse(&mut bench);
        in_service(&mut bench, 0);
    }
    assert_eq!(bench.ended(), Some(Outcome::Withdrawn));
    assert!(is_returning(&bench));
}

/// The drain is for maintenance, too. Auto Scaling cannot be reached for a long time. Then it says, like IMDS, that the
/// instance is in service, in answer to a call sent just before the last heartbeat was refused.
fn in_service_after_a_refusal(bench: &mut Bench) {
    bench.maintenance(Some(bench.now + secs(900)));
    bench.beat(Err(CallErrorKind::NoActiveAction));
    in_service(bench, 90);
    assert!(bench.open.iter().any(is_describe));
    bench.beat(Err(CallErrorKind::NoActiveAction));
    bench.state = Some("InService");
    bench.described();
}

/// An old message announced the action, and the drain continues for the maintenance alone. Regression: the action still
/// counted as in Wait without heartbeats, and its expiry bounded the drain.
#[test]
fn finished_action_in_a_continuing_drain() {
    let mut bench = Bench::terminating(settings());
    bench.state = None;
    let told = termination("r1", "token-1", bench.now - secs(600));
    bench.receive(vec![told]);
    in_service_after_a_refusal(&mut bench);
    assert!(bench.machine.is_draining());
    assert_eq!(bench.machine.status().reason, Some(Reason::ScheduledMaintenance));
    assert_eq!(bench.machine.status().wait_since, None);
    assert_eq!(bench.deleted(), ["r1"]);
}

/// A heartbeat succeeded, so the action existed. Another caller has completed it.
#[test]
fn action_completed_by_another_caller() {
    let mut bench = Bench::terminating(settings());
    bench.state = None;
    let told = termination("r1", "token-1", bench.now - secs(600));
    bench.receive(vec![told]);
    bench.beat(Ok(()));
    while !bench.is_beating() {
        bench.wake();
    }
    in_service_after_a_refusal(&mut bench);
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
}
