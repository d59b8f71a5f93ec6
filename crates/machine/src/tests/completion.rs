//! Completion: waits for the journal, and is retried until AWS says that the action is over.

use super::super::effect::CompletionResult;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::Body;
use super::super::report::Loudness;
use super::super::settings::Settings;
use super::bench::*;

#[test]
fn completion_gated_by_the_journal() {
    let mut bench = Bench::waiting(settings());
    bench.run(1);
    bench.disk = Disk::Hangs;
    bench.drained();
    bench.run(30);
    assert!(bench.completing().is_none());
    assert_eq!(bench.count(is_heartbeat), 0);
    bench.disk = Disk::Writes;
    let written = bench.open.iter().find_map(|effect| match effect {
        super::super::Effect::WriteJournal { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::JournalWritten { id: written.unwrap() });
    assert!(bench.completing().is_some());
}

#[test]
fn completion_without_a_disk() {
    let mut bench = Bench::new(settings());
    bench.disk = Disk::Refuses;
    bench.target(TargetState::Terminated);
    bench.drained();
    assert!(bench.completing().is_some(), "the drain goes on even if the journal cannot be written");
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

#[test]
fn journal_retry() {
    let mut bench = Bench::new(settings());
    bench.disk = Disk::Refuses;
    bench.target(TargetState::Terminated);
    bench.run(1);
    let is_write = |effect: &_| matches!(effect, super::super::Effect::WriteJournal { .. });
    let writes = bench.count(is_write);
    bench.run(60);
    assert!((4..=7).contains(&(bench.count(is_write) - writes)), "every 10 s");
    bench.disk = Disk::Writes;
    bench.run(20);
    assert!(bench.journal.as_ref().is_some_and(|journal| journal.drain.is_some()));
}

/// Completions have failed for a while when the credentials are replaced. The next call comes soon and reads the new ones,
/// because the action of a short hook lasts only seconds. Without new credentials the pauses stay.
#[test]
fn credentials_are_replaced_between_completions() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    let fail = |bench: &mut Bench, kind| {
        while bench.completing().is_none() {
            bench.wake();
        }
        bench.complete(Err(kind));
        let failed = bench.now;
        while bench.completing().is_none() {
            bench.wake();
        }
        bench.now.since(failed)
    };
    for _ in 0..5 {
        fail(&mut bench, CallErrorKind::Throttled);
    }
    assert_eq!(fail(&mut bench, CallErrorKind::Credentials), secs(1));
    assert!(fail(&mut bench, CallErrorKind::Credentials) >= secs(5));
}

#[test]
fn unanswered_completion() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.state = Some("Terminating:Wait");
    bench.run(1);
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.completing(), Some(CompletionResult::Continue), "the message may be an old one");
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Drained), "it succeeded, and another hook's action is in Wait");
}

#[test]
fn completion_finds_the_action_gone() {
    let mut bench = Bench::waiting(settings());
    bench.state = Some("Terminating:Proceed");
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
}

#[test]
fn action_of_another_hook_after_ours() {
    let mut bench = Bench::waiting(settings());
    bench.run(200);
    bench.beat(Ok(()));
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Overtaken), "a heartbeat proved the name");
}

#[test]
fn heartbeat_under_way_when_our_action_seems_over() {
    for (answer, ended) in [(Ok(()), None), (Err(CallErrorKind::NoActiveAction), Some(Outcome::Overtaken))] {
        let mut bench = Bench::terminating(settings());
        bench.state = Some("Terminating:Wait");
        bench.run(100);
        bench.beat(Ok(()));
        bench.run(180);
        bench.state = None;
        bench.beat(Err(CallErrorKind::NoActiveAction));
        bench.run(30);
        assert!(bench.is_beating());
        bench.state = Some("Terminating:Wait");
        bench.described();
        assert_eq!(bench.ended(), None, "the heartbeat's result decides");
        bench.beat(answer);
        bench.run(5);
        assert_eq!(bench.ended(), ended);
    }
}

#[test]
fn completion_too_early() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    for _ in 0..6 {
        bench.complete(Err(CallErrorKind::NoActiveAction));
        bench.run(10);
    }
    assert!(bench.machine.is_draining());
    let asked = bench.count(|effect| matches!(effect, super::super::Effect::DescribeInstance { .. }));
    assert!(asked <= 3, "the answer \"too early\" holds for a while: {asked}");
}

#[test]
fn throttled_backoff() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    for _ in 0..8 {
        while bench.completing().is_none() {
            bench.wake();
        }
        bench.complete(Err(CallErrorKind::Throttled));
    }
    let sent = bench.times(is_complete);
    let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1].since(pair[0]).as_millis()).collect();
    assert!((500..=1_000).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps[5..].iter().all(|gap| (5_000..=10_000).contains(gap)), "{gaps:?}");
}

#[test]
fn completion_denied() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::AccessDenied));
    bench.run(59);
    assert!(bench.completing().is_none());
    bench.run(1);
    assert!(bench.completing().is_some());
}

#[test]
fn missing_permission_is_reported_once() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    for _ in 0..3 {
        bench.complete(Err(CallErrorKind::AccessDenied));
        bench.run(60);
    }
    bench.complete(Err(CallErrorKind::Unanswered));
    let errors = |bench: &Bench| {
        let loud = |report: &Report| report.loudness() == Loudness::Error;
        bench.reported(loud)
    };
    assert_eq!(errors(&bench), 1);
    bench.run(10);
    bench.complete(Ok(()));
    // The next drain reports it again, because another operator may read that log.
    for _ in 0..4 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    bench.says(0, AgentAnswer::Returned);
    bench.target(TargetState::Terminated);
    bench.receive(vec![message("r2", Body::Lifecycle(lifecycle("token-2", bench.now)))]);
    bench.drained();
    bench.complete(Err(CallErrorKind::AccessDenied));
    assert_eq!(errors(&bench), 2);
}

#[test]
fn results_by_outcome() {
    let configured = Settings { on_failed: CompletionResult::Abandon, ..settings() };
    let mut bench = Bench::waiting(configured);
    bench.says(0, AgentAnswer::CannotDrain("no".to_owned()));
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Failed));
}

#[test]
fn message_deleted_when_the_action_is_over() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    assert!(bench.deleted().is_empty());
    bench.complete(Ok(()));
    assert_eq!(bench.deleted(), ["r1"]);
    bench.run(3600);
    assert_eq!(bench.count(is_complete), 1);
    assert_eq!(bench.count(is_heartbeat), 0);
}

#[test]
fn agent_restarted_before_wait() {
    let mut bench = Bench::terminating(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(10);
    bench.says(0, AgentAnswer::Status { status: status(AgentState::Serving, 4), waited: false });
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(60);
    assert!(bench.completing().is_none(), "the intention is revoked");
    assert_eq!(bench.orders(0).len(), 2, "and the agent is told again");
    assert_eq!(bench.journal.as_ref().unwrap().drain.as_ref().unwrap().action.completion.intention(), None);
}

#[test]
fn agent_restarted_after_an_unanswered_completion() {
    let mut bench = Bench::waiting(settings());
    bench.drained();
    bench.complete(Err(CallErrorKind::Unanswered));
    bench.run(2);
    bench.complete(Err(CallErrorKind::Unsent));
    bench.run(8);
    // The completion may have succeeded. In both cases, telling the agent again cuts no work off.
    bench.says(0, AgentAnswer::Status { status: status(AgentState::Serving, 4), waited: false });
    if bench.completing().is_some() {
        bench.complete(Err(CallErrorKind::Unsent));
    }
    let completions = bench.count(is_complete);
    bench.run(200);
    assert_eq!(bench.count(is_complete), completions);
    bench.state = Some("Terminating:Proceed");
    bench.beat(Err(CallErrorKind::NoActiveAction));
    assert_eq!(bench.ended(), Some(Outcome::Drained), "it succeeded");
}
