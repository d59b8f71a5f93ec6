//! Target groups: when the instance leaves them, what waits for that, and when it comes back.

use super::super::effect::{CompletionResult, Effect, EffectId};
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::SpotAction;
use super::super::settings::{DrainAt, Settings, TargetSettings};
use super::super::targets::{TargetName, TargetNews};
use super::bench::*;

/// A target group's target, for which a drain waits this long.
pub fn target_group(name: &str, timeout_s: u64) -> TargetSettings {
    let group =
        format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/0123456789abcdef");
    let target = TargetName { group, id: INSTANCE.to_owned(), port: None };
    TargetSettings { name: name.to_owned(), target, timeout: secs(timeout_s) }
}

/// One target group, for which a drain waits 300 seconds.
fn web() -> Settings {
    Settings { targets: vec![target_group("web", 300)], ..settings() }
}

/// The call about target groups that is under way.
fn call(bench: &Bench) -> Option<&Effect> {
    bench.open.iter().find(|effect| {
        matches!(
            effect,
            Effect::DescribeTarget { .. } | Effect::DeregisterTarget { .. } | Effect::RegisterTarget { .. }
        )
    })
}

fn take(bench: &mut Bench, wanted: fn(&Effect) -> Option<EffectId>) -> EffectId {
    let place = bench.open.iter().position(|effect| wanted(effect).is_some());
    let place = place.unwrap_or_else(|| panic!("no such call is under way: {:?}", call(bench)));
    wanted(&bench.open.remove(place)).unwrap()
}

/// The target is described.
fn is(bench: &mut Bench, health: TargetHealth) {
    let id = take(bench, |effect| match effect {
        Effect::DescribeTarget { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::TargetDescribed { id, result: Ok(health) });
}

/// The description fails.
fn is_unknown(bench: &mut Bench, kind: CallErrorKind) {
    let id = take(bench, |effect| match effect {
        Effect::DescribeTarget { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::TargetDescribed { id, result: Err(error(kind)) });
}

fn deregisters(bench: &mut Bench, result: Result<(), CallErrorKind>) {
    let id = take(bench, |effect| match effect {
        Effect::DeregisterTarget { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::TargetDeregistered { id, result: result.map_err(error) });
}

fn registers(bench: &mut Bench, result: Result<(), CallErrorKind>) {
    let id = take(bench, |effect| match effect {
        Effect::RegisterTarget { id, .. } => Some(*id),
        _ => None,
    });
    bench.event(Event::TargetRegistered { id, result: result.map_err(error) });
}

/// The target is registered, and then deregistered.
fn leaves(bench: &mut Bench) {
    is(bench, TargetHealth::Registered);
    deregisters(bench, Ok(()));
}

/// Lets time pass, while the load balancer drains the target.
fn drains_for(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        if matches!(call(bench), Some(Effect::DescribeTarget { .. })) {
            is(bench, TargetHealth::Draining);
        }
        bench.run(1);
    }
}

fn told(bench: &Bench, news: impl Fn(&TargetNews) -> bool) -> usize {
    bench.reported(|report| matches!(report, Report::Target { news: of, .. } if news(of)))
}

fn registrations(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::RegisterTarget { .. }))
}

fn deregistrations(bench: &Bench) -> usize {
    bench.count(|effect| matches!(effect, Effect::DeregisterTarget { .. }))
}

/// The target is deregistered when the agent is told. The agent drains first, and the completion waits for the load balancer.
#[test]
fn completion_waits_for_the_load_balancer() {
    let mut bench = Bench::waiting(web());
    assert!(bench.asks(0).is_some(), "the agent is told at the same time");
    is(&mut bench, TargetHealth::Registered);
    let row = bench.machine.status().targets.remove(0);
    assert_eq!((row.name.as_str(), row.state.as_str()), ("web", "being deregistered"));
    deregisters(&mut bench, Ok(()));
    bench.drained();
    drains_for(&mut bench, 120);
    assert_eq!(bench.completing(), None, "the load balancer may still send requests");
    assert_eq!(bench.machine.status().targets[0].state, "draining");
    bench.run(10);
    is(&mut bench, TargetHealth::NotRegistered);
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(
        told(&bench, |news| matches!(news, TargetNews::Unused { after } if after.as_secs() >= 120)),
        1
    );
    assert_eq!(bench.machine.status().targets, []);
    bench.run(600);
    assert!(call(&bench).is_none());
}

/// Looks become rarer, so that a drain of 5 minutes costs few calls.
#[test]
fn looks_back_off() {
    let mut bench = Bench::waiting(web());
    leaves(&mut bench);
    drains_for(&mut bench, 299);
    let looks = bench.count(|effect| matches!(effect, Effect::DescribeTarget { .. }));
    assert!((30..60).contains(&looks), "{looks}");
}

/// The after steps run once the load balancer is done, and heartbeats keep the action alive meanwhile.
#[test]
fn after_steps_wait_too() {
    let targets = vec![target_group("web", 900)];
    let mut bench = Bench::waiting(Settings { targets, after: vec![after_step("flush", 30)], ..settings() });
    leaves(&mut bench);
    bench.drained();
    drains_for(&mut bench, 200);
    assert!(bench.is_beating());
    bench.beat(Ok(()));
    assert!(!bench.open.iter().any(|effect| matches!(effect, Effect::RunStep { .. })));
    bench.run(10);
    is(&mut bench, TargetHealth::NotRegistered);
    assert!(bench.open.iter().any(|effect| matches!(effect, Effect::RunStep { .. })));
}

/// The deregistration delay is longer than `timeout`.
#[test]
fn gives_up_after_the_timeout() {
    let mut bench = Bench::waiting(web());
    leaves(&mut bench);
    bench.drained();
    drains_for(&mut bench, 299);
    assert_eq!(bench.completing(), None);
    bench.run(1);
    assert_eq!(bench.completing(), Some(CompletionResult::Continue));
    assert_eq!(told(&bench, |news| *news == TargetNews::GaveUp { deregistered: true }), 1);
}

/// EC2 takes the instance in two minutes, which is sooner than `timeout`.
#[test]
fn waits_no_longer_than_the_drain() {
    let mut bench = Bench::new(web());
    let at = bench.now + secs(120);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    leaves(&mut bench);
    bench.drained();
    drains_for(&mut bench, 109);
    assert_eq!(bench.ended(), None);
    bench.run(1);
    assert_eq!(bench.ended(), Some(Outcome::Drained), "the outcome is the agents' alone");
    assert_eq!(told(&bench, |news| *news == TargetNews::GaveUp { deregistered: true }), 1);
}

/// A completion is sent because EC2 takes the instance, and may have failed. Then EC2 does not, and the agent has work again.
/// There is time for the load balancer again, too.
#[test]
fn time_for_the_load_balancer_again() {
    let mut bench = Bench::waiting(web());
    leaves(&mut bench);
    let at = bench.now + secs(120);
    bench.event(Event::Imds(ImdsReading::Spot(Some(SpotNotice { action: SpotAction::Terminate, at }))));
    bench.drained();
    drains_for(&mut bench, 111);
    assert!(bench.completing().is_some(), "no time is left");
    bench.crash();
    bench.run_spot(30, None);
    bench.says(0, AgentAnswer::Accepted(Some(status(AgentState::Draining, 3))));
    bench.complete(Err(CallErrorKind::Unsent));
    assert_eq!(bench.completing(), None);
    bench.run(5);
    bench.drained();
    assert_eq!(bench.completing(), None, "the load balancer may still send requests");
    is(&mut bench, TargetHealth::NotRegistered);
    assert!(bench.completing().is_some());
}

/// A missing permission, throttling and an unknown target group are retried, and hold up the drain for no longer than
/// `timeout`.
#[test]
fn failed_calls_hold_up_the_drain_for_its_timeout() {
    for kind in [CallErrorKind::AccessDenied, CallErrorKind::Throttled, CallErrorKind::Rejected] {
        let mut bench = Bench::waiting(web());
        bench.drained();
        for second in 0..300 {
            assert_eq!(bench.completing(), None, "{kind:?} {second}");
            if call(&bench).is_some() {
                is_unknown(&mut bench, kind);
            }
            bench.run(1);
        }
        assert!(bench.completing().is_some(), "{kind:?}");
        assert_eq!(told(&bench, |news| *news == TargetNews::GaveUp { deregistered: false }), 1);
        let tries = bench.count(|effect| matches!(effect, Effect::DescribeTarget { .. }));
        assert!((8..60).contains(&tries), "{kind:?} {tries}");
        let loud = bench.reported(|report| matches!(report, Report::CallFailed { expected: false, .. }));
        assert_eq!(loud, 1, "the same failure is said once");
    }
}

/// The answer to the deregistration is lost. It is repeated, which does no harm.
#[test]
fn deregistration_without_an_answer() {
    let mut bench = Bench::waiting(web());
    is(&mut bench, TargetHealth::Registered);
    deregisters(&mut bench, Err(CallErrorKind::Unanswered));
    bench.run(2);
    deregisters(&mut bench, Ok(()));
    assert_eq!(deregistrations(&bench), 2);
    assert!(call(&bench).is_some());
}

/// An instance that is no target does not become one, and nothing waits.
#[test]
fn never_registered() {
    let mut bench = Bench::new(web());
    bench.operator(Command::Drain);
    is(&mut bench, TargetHealth::NotRegistered);
    bench.drained();
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.operator(Command::Cancel);
    bench.run(60);
    assert_eq!((deregistrations(&bench), registrations(&bench)), (0, 0));
}

/// Another program deregistered the instance. The drain waits for the load balancer, but does not undo what it did not do.
#[test]
fn deregistered_by_another_program() {
    let mut bench = Bench::new(web());
    bench.operator(Command::Drain);
    is(&mut bench, TargetHealth::Draining);
    bench.drained();
    drains_for(&mut bench, 20);
    assert_eq!(bench.ended(), None);
    bench.run(10);
    is(&mut bench, TargetHealth::NotRegistered);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.operator(Command::Cancel);
    bench.run(60);
    assert_eq!(registrations(&bench), 0);
}

/// The operator cancels the drain while the load balancer drains. The instance comes back, whatever happens to the calls.
#[test]
fn registered_again() {
    let mut bench = Bench::new(web());
    bench.operator(Command::Drain);
    leaves(&mut bench);
    bench.reports(0, AgentState::Draining, 1);
    bench.operator(Command::Cancel);
    assert_eq!(registrations(&bench), 0, "the look that is under way comes first");
    is(&mut bench, TargetHealth::Draining);
    registers(&mut bench, Err(CallErrorKind::Throttled));
    bench.run(2);
    assert_eq!(bench.machine.status().targets[0].state, "being registered again");
    registers(&mut bench, Ok(()));
    assert_eq!(told(&bench, |news| *news == TargetNews::Registered), 1);
    bench.run(600);
    assert_eq!(registrations(&bench), 2);
    assert!(!bench.journal.unwrap().targets[0].taken_out);
}

/// A drain that has ended is withdrawn later: the instance left the warm pool, in another boot.
#[test]
fn back_from_the_warm_pool() {
    let mut bench = Bench::new(web());
    bench.target(TargetState::InService);
    bench.run(1);
    bench.target(TargetState::Warmed("Warmed:Stopped".to_owned()));
    leaves(&mut bench);
    bench.drained();
    bench.run(2);
    is(&mut bench, TargetHealth::NotRegistered);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.settings.boot_id = Some("second".to_owned());
    bench.crash();
    assert!(call(&bench).is_none());
    for _ in 0..5 {
        bench.target(TargetState::InService);
        bench.run(1);
    }
    registers(&mut bench, Ok(()));
}

/// A drain begins before the instance was registered again. Whoever deregistered it before, drainhook did.
#[test]
fn drained_again_before_it_is_back() {
    let mut bench = Bench::new(web());
    bench.operator(Command::Drain);
    leaves(&mut bench);
    is(&mut bench, TargetHealth::NotRegistered);
    bench.drained();
    bench.operator(Command::Cancel);
    registers(&mut bench, Err(CallErrorKind::Unsent));
    bench.operator(Command::Drain);
    bench.run(1);
    is(&mut bench, TargetHealth::NotRegistered);
    bench.operator(Command::Cancel);
    registers(&mut bench, Ok(()));
}

/// The daemon is killed at each step. It goes on where it was, and knows what it must undo.
#[test]
fn restarted() {
    let mut bench = Bench::waiting(web());
    bench.crash();
    is(&mut bench, TargetHealth::Registered);
    bench.crash();
    deregisters(&mut bench, Ok(()));
    bench.drained();
    drains_for(&mut bench, 100);
    bench.crash();
    bench.drained();
    drains_for(&mut bench, 199);
    assert_eq!(bench.completing(), None);
    bench.run(1);
    assert!(bench.completing().is_some(), "its time goes on");
}

/// The daemon is killed right before the deregistration, or right after it.
#[test]
fn restarted_before_the_instance_stays() {
    let mut bench = Bench::new(web());
    bench.operator(Command::Drain);
    is(&mut bench, TargetHealth::Registered);
    bench.crash();
    bench.operator(Command::Cancel);
    deregisters(&mut bench, Ok(()));
    bench.crash();
    registers(&mut bench, Ok(()));
}

/// The journal is written before the target is deregistered. A disk that fails does not prevent it.
#[test]
fn journaled_first() {
    let mut bench = Bench::waiting(web());
    bench.disk = Disk::Hangs;
    is(&mut bench, TargetHealth::Registered);
    assert_eq!(deregistrations(&bench), 0);
    bench.journal_written();
    assert_eq!(deregistrations(&bench), 1);
    let mut bench = Bench::new(web());
    bench.disk = Disk::Refuses;
    bench.operator(Command::Drain);
    leaves(&mut bench);
}

/// The operator's `finish` waits for nothing.
#[test]
fn finished_by_an_operator() {
    let mut bench = Bench::waiting(web());
    leaves(&mut bench);
    bench.operator(Command::Finish(CompletionResult::Abandon));
    assert_eq!(bench.completing(), Some(CompletionResult::Abandon));
}

/// With `drain_at = "wait"`, the instance is a target until Wait.
#[test]
fn told_at_wait() {
    let settings = Settings { drain_at: DrainAt::Wait, ..web() };
    let mut bench = Bench::terminating(settings);
    bench.run(10);
    assert!(call(&bench).is_none());
    let sent = bench.now;
    bench.receive(vec![message("r1", super::super::message::Body::Lifecycle(lifecycle("token-1", sent)))]);
    assert!(call(&bench).is_some());
}

/// An ignored standby changes nothing.
#[test]
fn in_standby() {
    let settings = Settings { on_standby: super::super::settings::OnNotice::Ignore, ..web() };
    let mut bench = Bench::new(settings);
    bench.target(TargetState::Standby);
    bench.run(60);
    assert!(call(&bench).is_none());
}
