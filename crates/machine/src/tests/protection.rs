//! The protection from scale-in while the agents are busy.

use super::super::effect::{Effect, EffectId};
use super::super::event::*;
use super::super::protection::{LiftCause, Protection, ProtectionNews};
use super::super::settings::{ProtectionSettings, Settings};
use super::super::status::State;
use super::bench::*;
use super::launch::booted;

/// Protected after half a minute of work, for two hours at most.
fn protecting() -> Settings {
    let protection = ProtectionSettings { busy_for: secs(30), idle_for: secs(300), longest: secs(7200) };
    Settings { protection: Some(protection), ..settings() }
}

/// An instance in service.
fn serving() -> Bench {
    let mut bench = Bench::new(protecting());
    bench.state = Some("InService");
    bench.target(TargetState::InService);
    bench
}

fn questions(bench: &Bench) -> Vec<EffectId> {
    let ids = bench.open.iter().filter_map(|effect| match effect {
        Effect::AskBusy { id, .. } => Some(*id),
        _ => None,
    });
    ids.collect()
}

/// Lets time pass. The agents have this much in flight, and calls succeed.
fn run(bench: &mut Bench, seconds: u64, in_flight: Result<u64, &str>) {
    run_failing(bench, seconds, in_flight, None);
}

/// The same, with calls that fail.
fn run_failing(bench: &mut Bench, seconds: u64, in_flight: Result<u64, &str>, kind: Option<CallErrorKind>) {
    for _ in 0..seconds {
        for id in questions(bench) {
            bench.open.retain(|effect| !matches!(effect, Effect::AskBusy { id: open, .. } if *open == id));
            bench.event(Event::BusyAnswered { id, result: in_flight.map_err(str::to_owned) });
        }
        answer(bench, kind);
        bench.run(1);
        // IMDS is polled every second, so the process was not suspended.
        bench.event(Event::Imds(ImdsReading::Spot(None)));
    }
    answer(bench, kind);
}

/// Answers the call under way. Returns whether there was one.
fn answer(bench: &mut Bench, kind: Option<CallErrorKind>) -> bool {
    let Some(id) = sent(bench) else { return false };
    bench.open.retain(|effect| !matches!(effect, Effect::Protect { .. }));
    bench.event(Event::ProtectionAnswered { id, result: kind.map_or(Ok(()), |kind| Err(error(kind))) });
    true
}

/// The call under way.
fn sent(bench: &Bench) -> Option<EffectId> {
    bench.open.iter().find_map(|effect| match effect {
        Effect::Protect { id, .. } => Some(*id),
        _ => None,
    })
}

/// What the calls were to do, in order.
fn calls(bench: &Bench) -> Vec<bool> {
    let calls = bench.log.iter().filter_map(|(_, effect)| match effect {
        Effect::Protect { protect, .. } => Some(*protect),
        _ => None,
    });
    calls.collect()
}

fn lifted(bench: &Bench, cause: LiftCause) -> usize {
    bench.reported(|report| *report == Report::Protection(ProtectionNews::Lifted(cause)))
}

fn standing(bench: &Bench) -> Protection {
    bench.journal.as_ref().map(|journal| journal.protection).unwrap_or_default()
}

/// Work for half a minute protects the instance, and five minutes without work lift that.
#[test]
fn busy_and_idle() {
    let mut bench = serving();
    run(&mut bench, 29, Ok(2));
    assert!(calls(&bench).is_empty(), "too early");
    run(&mut bench, 20, Ok(1));
    assert_eq!(calls(&bench), [true]);
    assert!(matches!(standing(&bench), Protection::Protected { .. }));
    run(&mut bench, 299, Ok(0));
    assert_eq!(calls(&bench), [true], "too early");
    run(&mut bench, 160, Ok(0));
    assert_eq!(calls(&bench), [true, false]);
    assert_eq!(lifted(&bench, LiftCause::Idle), 1);
    run(&mut bench, 3600, Ok(0));
    assert_eq!(calls(&bench).len(), 2, "an idle instance costs no further call");
}

/// Short pieces of work do not protect the instance.
#[test]
fn hysteresis() {
    let mut bench = serving();
    for _ in 0..10 {
        run(&mut bench, 20, Ok(1));
        run(&mut bench, 12, Ok(0));
    }
    assert!(calls(&bench).is_empty());
}

/// Nothing is asked and nothing is called without the section.
#[test]
fn off() {
    let mut bench = Bench::new(settings());
    bench.target(TargetState::InService);
    bench.run(3600);
    assert!(bench.machine.is_idle());
    assert_eq!(bench.count(|effect| matches!(effect, Effect::AskBusy { .. })), 0);
}

/// AWS may have protected the instance before the daemon started, so an idle one is lifted once.
#[test]
fn idle_from_the_start() {
    let mut bench = serving();
    run(&mut bench, 3600, Ok(0));
    assert_eq!(calls(&bench), [false]);
}

/// An agent that does not answer is neither busy nor idle.
#[test]
fn unreadable() {
    let mut bench = serving();
    run(&mut bench, 3600, Err("connection refused"));
    assert!(calls(&bench).is_empty());
    run(&mut bench, 60, Ok(1));
    run(&mut bench, 3600, Err("connection refused"));
    assert_eq!(calls(&bench), [true], "it stays protected");
    run(&mut bench, 3600, Err("connection refused"));
    assert_eq!(calls(&bench), [true, false]);
    assert_eq!(lifted(&bench, LiftCause::Longest), 1, "but not for longer than `longest`");
}

/// An agent that fails to answer for a moment was busy all the time.
#[test]
fn one_answer_is_missing() {
    let mut bench = serving();
    run(&mut bench, 15, Ok(1));
    run(&mut bench, 12, Err("timed out"));
    run(&mut bench, 20, Ok(1));
    assert_eq!(calls(&bench), [true]);
}

/// The agent hangs and answers nothing at all.
#[test]
fn hanging_agent() {
    let mut bench = serving();
    bench.run(25);
    let before = questions(&bench);
    bench.run(10);
    assert_ne!(questions(&bench)[before.len()..], [], "another question");
}

/// Of two agents one has work.
#[test]
fn several_agents() {
    let mut bench = Bench::new(Settings { agents: vec![agent("a"), agent("b")], ..protecting() });
    bench.target(TargetState::InService);
    for second in 0..50 {
        let ids = questions(&bench);
        bench.open.retain(|effect| !matches!(effect, Effect::AskBusy { .. }));
        for (place, id) in ids.into_iter().enumerate() {
            // The other one cannot be read in between.
            let other = if second % 2 == 0 { Ok(0) } else { Err("503".to_owned()) };
            let result = if place == 0 { Ok(1) } else { other };
            bench.event(Event::BusyAnswered { id, result });
        }
        answer(&mut bench, None);
        bench.run(1);
    }
    assert_eq!(calls(&bench), [true]);
}

/// The agents are busy for a whole day. Every two hours, an instance refresh gets its turn for a quarter of an hour.
#[test]
fn longest() {
    let mut bench = serving();
    run(&mut bench, 7200 + 100, Ok(1));
    assert_eq!(calls(&bench), [true, false]);
    assert_eq!(lifted(&bench, LiftCause::Longest), 1);
    run(&mut bench, 700, Ok(1));
    assert_eq!(calls(&bench), [true, false], "it rests");
    run(&mut bench, 300, Ok(1));
    assert_eq!(calls(&bench), [true, false, true]);
}

/// An instance that rests is protected again once its agents have been idle.
#[test]
fn idle_ends_the_rest() {
    let mut bench = serving();
    run(&mut bench, 7200 + 100, Ok(1));
    run(&mut bench, 460, Ok(0));
    run(&mut bench, 60, Ok(1));
    assert_eq!(calls(&bench), [true, false, true]);
}

/// Two changes at once, then one every ten minutes.
#[test]
fn budget() {
    let mut bench = serving();
    for _ in 0..6 {
        run(&mut bench, 60, Ok(1));
        run(&mut bench, 460, Ok(0));
    }
    let hours = (6.0 * 520.0) / 3600.0;
    let most = 2.0 + hours * 6.0 + 1.0;
    assert!((calls(&bench).len() as f64) <= most, "{} calls in {hours} hours", calls(&bench).len());
    assert!(calls(&bench).len() > 4);
}

/// A throttled call is tried again after half a minute, then more and more slowly.
#[test]
fn throttled() {
    let mut bench = serving();
    run_failing(&mut bench, 3600, Ok(1), Some(CallErrorKind::Throttled));
    let times = bench.times(|effect| matches!(effect, Effect::Protect { .. }));
    assert!((8..=14).contains(&times.len()), "{}", times.len());
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= secs(15)));
    run(&mut bench, 600, Ok(1));
    assert!(matches!(standing(&bench), Protection::Protected { .. }));
}

/// The role lacks the permission: an error once, and a try every ten minutes.
#[test]
fn denied() {
    let mut bench = serving();
    run_failing(&mut bench, 3600, Ok(1), Some(CallErrorKind::AccessDenied));
    assert!(calls(&bench).len() <= 7, "{}", calls(&bench).len());
    let loud = |report: &Report| matches!(report, Report::CallFailed { expected: false, .. });
    assert_eq!(bench.reported(loud), 1);
}

/// The instance is still launching: Auto Scaling rejects the call. It is asked before the next one.
#[test]
fn not_in_service_yet() {
    let mut bench = serving();
    bench.state = Some("Pending:Wait");
    run_failing(&mut bench, 120, Ok(1), Some(CallErrorKind::Rejected));
    assert_eq!(calls(&bench), [true]);
    bench.state = Some("InService");
    run(&mut bench, 600, Ok(1));
    assert_eq!(calls(&bench), [true, true]);
}

/// No tag and no setting names the group.
#[test]
fn unknown_group() {
    let mut bench = Bench::new(Settings { group: None, ..protecting() });
    bench.state = Some("InService");
    bench.target(TargetState::InService);
    run(&mut bench, 60, Ok(1));
    let named = |effect: &Effect| matches!(effect, Effect::Protect { group, .. } if group == "workers");
    assert_eq!((bench.count(named), bench.count(is_describe)), (1, 1));
}

/// A restarted daemon knows what AWS has, and goes on counting.
#[test]
fn restart() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    bench.crash();
    bench.target(TargetState::InService);
    run(&mut bench, 7000, Ok(1));
    assert_eq!(calls(&bench), [true], "it does not call again");
    run(&mut bench, 300, Ok(1));
    assert_eq!(calls(&bench), [true, false], "the two hours count from the first life");
}

/// The daemon is killed before it hears that the instance is protected. The agents are then idle.
#[test]
fn killed_during_the_call() {
    let mut bench = serving();
    for _ in 0..50 {
        if sent(&bench).is_some() {
            break;
        }
        for id in questions(&bench) {
            bench.open.retain(|effect| !matches!(effect, Effect::AskBusy { .. }));
            bench.event(Event::BusyAnswered { id, result: Ok(1) });
        }
        bench.run(1);
    }
    assert!(matches!(standing(&bench), Protection::Setting { .. }), "written before it is sent");
    bench.crash();
    bench.target(TargetState::InService);
    run(&mut bench, 460, Ok(0));
    assert_eq!(calls(&bench), [true, false]);
}

/// The answer is lost. The call may have taken effect, so an idle instance is lifted.
#[test]
fn lost_answer() {
    let mut bench = serving();
    run_failing(&mut bench, 47, Ok(1), Some(CallErrorKind::Unanswered));
    assert!(matches!(standing(&bench), Protection::Setting { .. }));
    run_failing(&mut bench, 10, Ok(0), Some(CallErrorKind::Unanswered));
    let before = calls(&bench).len();
    run(&mut bench, 460, Ok(0));
    assert_eq!(calls(&bench)[before..], [false]);
}

/// The disk refuses writes. A protection that no journal has would never be lifted, so none is set.
#[test]
fn broken_disk() {
    let mut bench = serving();
    bench.disk = Disk::Refuses;
    run(&mut bench, 600, Ok(1));
    assert!(calls(&bench).is_empty());
    bench.disk = Disk::Writes;
    run(&mut bench, 60, Ok(1));
    assert_eq!(calls(&bench), [true]);
    bench.disk = Disk::Refuses;
    run(&mut bench, 460, Ok(0));
    assert_eq!(calls(&bench), [true, false], "an idle instance is lifted all the same");
}

/// A change that was never sent is not one of the two that may follow one another at once.
#[test]
fn change_that_was_not_sent() {
    let mut bench = serving();
    bench.disk = Disk::Refuses;
    for _ in 0..3 {
        run(&mut bench, 60, Ok(1));
        run(&mut bench, 60, Ok(0));
    }
    assert!(calls(&bench).is_empty());
    bench.disk = Disk::Writes;
    run(&mut bench, 60, Ok(1));
    assert_eq!(calls(&bench), [true]);
}

/// A call to lift the protection fails, and then there is another reason to lift it. That is one change, not two.
#[test]
fn change_for_another_reason() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    assert_eq!(calls(&bench), [true]);
    run(&mut bench, 6600, Ok(1));
    // It is idle for long enough, and then `longest` has passed.
    run_failing(&mut bench, 600, Ok(0), Some(CallErrorKind::Unsent));
    run(&mut bench, 120, Ok(0));
    assert_eq!(lifted(&bench, LiftCause::Longest), 1);
    run(&mut bench, 60, Ok(1));
    assert_eq!(calls(&bench).last(), Some(&true));
}

/// A spot interruption: the group may replace the instance at once.
#[test]
fn notice_of_ec2() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    let spot = SpotNotice { action: super::super::message::SpotAction::Terminate, at: bench.now + secs(120) };
    bench.event(Event::Imds(ImdsReading::Spot(Some(spot))));
    assert!(answer(&mut bench, None), "in the same second");
    assert_eq!(calls(&bench), [true, false]);
    assert_eq!(lifted(&bench, LiftCause::Notice), 1);
    bench.run(60);
    assert_eq!(calls(&bench).len(), 2);
}

/// A termination is announced and taken back while the disk is slow, and EC2 interrupts the instance meanwhile. What AWS has of
/// the protection is unknown then. The lift waits until the journal says so.
#[test]
fn unknown_on_a_slow_disk() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    bench.disk = Disk::Hangs;
    bench.target(TargetState::Terminated);
    let spot = SpotNotice { action: super::super::message::SpotAction::Terminate, at: bench.now + secs(120) };
    bench.event(Event::Imds(ImdsReading::Spot(Some(spot))));
    for _ in 0..5 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    assert_eq!(calls(&bench), [true]);
    bench.journal_written();
    assert_eq!(calls(&bench), [true, false]);
}

/// An operator drains the instance, with an empty budget. The protection is lifted at once, and not set again before the agents
/// have served for a while.
#[test]
fn operator_drains() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    run(&mut bench, 460, Ok(0));
    run(&mut bench, 700, Ok(1));
    assert_eq!(calls(&bench), [true, false, true]);
    bench.operator(Command::Drain);
    assert!(answer(&mut bench, None));
    assert_eq!(calls(&bench), [true, false, true, false]);
    bench.operator(Command::Cancel);
    bench.says(0, AgentAnswer::Accepted(None));
    bench.says(0, AgentAnswer::Returned);
    run(&mut bench, 29, Ok(1));
    assert_eq!(calls(&bench).len(), 4);
    run(&mut bench, 1200, Ok(1));
    assert_eq!(calls(&bench), [true, false, true, false, true]);
}

/// A drain is withdrawn before the protection was lifted, and the agent does not return to service. It is idle, so the protection
/// is lifted all the same.
#[test]
fn agent_that_does_not_return() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    bench.operator(Command::Drain);
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Draining, 1))));
    assert!(answer(&mut bench, Some(CallErrorKind::Throttled)), "it is lifted, but that fails");
    bench.operator(Command::Cancel);
    assert_eq!(bench.machine.status().state, State::Returning);
    run(&mut bench, 600, Ok(0));
    assert_eq!(bench.machine.status().state, State::Returning);
    assert!(matches!(standing(&bench), Protection::Lifted { .. }));
}

/// Auto Scaling terminates the instance all the same. Its protection no longer matters, and a drain still costs one call.
#[test]
fn termination() {
    let mut bench = Bench::new(Settings { hook: Some("drain".to_owned()), ..protecting() });
    bench.target(TargetState::InService);
    run(&mut bench, 60, Ok(1));
    bench.target(TargetState::Terminated);
    bench.run(2);
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(calls(&bench), [true], "no call");
    assert_eq!(standing(&bench), Protection::Unknown);
}

/// In a warm pool, in standby and out of its group, the instance is left alone.
#[test]
fn out_of_service() {
    for state in
        [TargetState::Warmed("Warmed:Running".to_owned()), TargetState::Standby, TargetState::Detached]
    {
        let ignored = super::super::settings::OnNotice::Ignore;
        let mut bench = Bench::new(Settings { on_standby: ignored, on_detachment: ignored, ..protecting() });
        bench.target(TargetState::InService);
        run(&mut bench, 60, Ok(1));
        bench.target(state.clone());
        bench.run(20);
        run(&mut bench, 600, Ok(0));
        assert_eq!(calls(&bench), [true], "{state:?}");
        assert_eq!(standing(&bench), Protection::Unknown, "{state:?}");
    }
}

/// A warm pool that the instance has not left yet.
#[test]
fn never_served() {
    let mut bench = Bench::new(protecting());
    bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
    run(&mut bench, 600, Ok(1));
    assert!(calls(&bench).is_empty() && questions(&bench).is_empty());
}

/// The agents get ready, and the launching hook is not completed yet.
#[test]
fn launching() {
    let mut bench = booted(Settings { protection: protecting().protection, ..super::launch::launching() });
    bench.target(TargetState::InService);
    run(&mut bench, 100, Ok(1));
    assert!(calls(&bench).is_empty() && questions(&bench).is_empty());
}

/// The section is removed from the configuration while the instance is protected.
#[test]
fn removed() {
    let mut bench = serving();
    run(&mut bench, 60, Ok(1));
    bench.settings.protection = None;
    bench.crash();
    bench.target(TargetState::InService);
    assert!(answer(&mut bench, Some(CallErrorKind::Unanswered)));
    bench.run(60);
    assert!(answer(&mut bench, None), "it tries again");
    assert_eq!(standing(&bench), Protection::Unknown);
    assert_eq!(lifted(&bench, LiftCause::Removed), 1);
    bench.run(3600);
    assert!(sent(&bench).is_none() && bench.machine.is_idle());
}
