//! Groups in which other controllers have terminating hooks of their own.

use super::super::Effect;
use super::super::event::{AgentState, CallErrorKind, Hook, TargetState};
use super::super::hook::{Owner, choose, owner, owner_by_name};
use super::super::journal::Outcome;
use super::super::message::{Body, LifecycleMessage};
use super::super::report::Report;
use super::super::settings::Settings;
use super::bench::*;

const ECS: &str = "ecs-managed-draining-termination-hook";
const OURS: &str = "arn:aws:sqs:eu-west-1:123456789012:termination";
const THEIRS: &str = "arn:aws:sqs:eu-west-1:123456789012:nth";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:scale-in";

fn with_queue() -> Settings {
    Settings { queue_name: Some("123456789012/termination".to_owned()), ..settings() }
}

fn notifying(name: &str, target: &str) -> Hook {
    Hook { notification_target: Some(target.to_owned()), ..hook(name, 300) }
}

fn chosen(settings: &Settings, hooks: &[Hook]) -> Result<String, String> {
    choose(settings, "workers", hooks).map(|facts| facts.name)
}

#[test]
fn known_names() {
    for (name, whose) in [
        (ECS, "ECS"),
        ("Terminate-LC-Hook", "EKS"),
        ("CodeDeploy-managed-automatic-termination-hook-dg-1", "CodeDeploy"),
        ("nodes-NTHLifecycleHook", "kops"),
        ("my-k8s-term-hook", "Node Termination Handler"),
        ("NTH-K8S-TERM-HOOK", "Node Termination Handler"),
        ("aws-node-termination-handler", "Node Termination Handler"),
    ] {
        assert!(owner_by_name(name).is_some_and(|owner| owner.contains(whose)), "{name}");
    }
    for name in ["drain", "drainhook", "ecs", "terminate", "workers-termination", "lifecycled"] {
        assert_eq!(owner_by_name(name), None);
    }
}

/// Our own hook may notify our queue, a topic in front of it, or nothing, because EventBridge announces its actions.
#[test]
fn our_hook_with_any_notification_target() {
    let ecs = || hook(ECS, 3600);
    for ours in [hook("drain", 300), notifying("drain", TOPIC), notifying("drain", OURS)] {
        assert_eq!(chosen(&with_queue(), &[ecs(), ours.clone()]).as_deref(), Ok("drain"), "{ours:?}");
        assert_eq!(chosen(&settings(), &[ecs(), ours.clone()]).as_deref(), Ok("drain"), "{ours:?}");
        assert_eq!(chosen(&with_queue(), &[ours, notifying("other", THEIRS)]).as_deref(), Ok("drain"));
    }
    let named_oddly = notifying("my-k8s-term-hook", OURS);
    assert_eq!(owner(&with_queue(), &named_oddly), Owner::Us);
    assert_eq!(
        chosen(&with_queue(), &[hook("backup", 300), notifying("drain", OURS)]).as_deref(),
        Ok("drain")
    );
}

#[test]
fn no_hook_to_choose() {
    let told = |settings: &Settings, hooks: &[Hook]| chosen(settings, hooks).expect_err("none is ours");
    let why = told(&with_queue(), &[hook(ECS, 3600), notifying("nodes", THEIRS)]);
    assert!(why.contains("ecs-managed-draining-termination-hook of Amazon ECS"), "{why}");
    assert!(why.contains(&format!("nodes of the reader of {THEIRS}")), "{why}");
    let why = told(&settings(), &[hook("a", 300), hook(ECS, 3600), hook("b", 300)]);
    assert!(why.contains("(a, b) and none was chosen"), "{why}");
    let named = Settings { hook: Some(ECS.to_owned()), ..settings() };
    assert_eq!(chosen(&named, &[hook(ECS, 3600), hook("drain", 300)]).as_deref(), Ok(ECS), "as configured");
}

/// DescribeLifecycleHooks is denied, and ECS's message reaches our queue before ours does. Only ours says which hook to
/// complete.
#[test]
fn message_of_another_controller() {
    let mut bench = Bench::new(settings());
    bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
    bench.target(TargetState::Terminated);
    let foreign = LifecycleMessage { hook: ECS.to_owned(), ..lifecycle("theirs", bench.now) };
    bench.receive(vec![message("r1", Body::Lifecycle(foreign))]);
    bench.run(5);
    assert_eq!(bench.machine.status().hook, None);
    let ours = lifecycle("ours", bench.now);
    bench.receive(vec![message("r2", Body::Lifecycle(ours))]);
    bench.run(5);
    assert_eq!(bench.machine.status().hook.as_deref(), Some("drain"));
}

fn named() -> Settings {
    Settings { hook: Some("drain".to_owned()), ..settings() }
}

fn is_reading(effect: &Effect) -> bool {
    matches!(effect, Effect::DescribeHooks { .. })
}

/// The configuration names the hook, and the agent drains in ten seconds. The completion is the only call.
#[test]
fn short_drain_costs_one_call() {
    let mut bench = Bench::waiting(named());
    bench.reports(0, AgentState::Draining, 1);
    bench.run(10);
    bench.drained();
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    assert_eq!(bench.count(|effect| is_describe(effect) || is_heartbeat(effect)), 0);
}

/// The drain takes longer than the shortest timeout allows without a heartbeat. The daemon reads the hook once, and times
/// the first heartbeat by the hook's own timeout. No assumed timeout sets a deadline.
#[test]
fn hook_is_read_when_its_timeout_matters() {
    let mut bench = Bench::waiting(named());
    let since = bench.machine.status().wait_since.expect("waits");
    bench.reports(0, AgentState::Draining, 1);
    bench.run(200);
    assert_eq!(bench.count(is_reading), 1);
    let beats = bench.times(is_heartbeat);
    assert!((156..=180).contains(&beats[0].since(since).as_secs()), "{beats:?}");
    assert_eq!(bench.reported(|report| matches!(report, Report::DeadlineMoved { .. })), 0);
}

/// The configuration names a hook that its group does not have. The daemon finds out when a heartbeat is due soon, or when
/// the completion is refused.
#[test]
fn configured_hook_is_missing() {
    let mut bench = Bench::terminating(Settings { hook: Some("other".to_owned()), ..settings() });
    bench.drained();
    bench.complete(Err(CallErrorKind::NoActiveAction));
    bench.run(5);
    assert_eq!(bench.reported(|report| matches!(report, Report::HookImpossible { .. })), 1);
    assert_eq!(bench.ended(), Some(Outcome::Drained));
}

/// Auto Scaling refuses heartbeats by the configured hook's name although the instance waits, and throttles the daemon for
/// a minute when it asks for the hooks. The daemon knows whether the name is wrong once it has read them. Regression: it
/// gave up after three throttled calls, and the next action of the drain expired.
#[test]
fn configured_hook_is_not_read_at_first() {
    let mut bench = Bench::new(named());
    bench.hooks = Some(Err(error(CallErrorKind::Throttled)));
    bench.target(TargetState::Terminated);
    bench.state = Some("Terminating:Wait");
    for _ in 0..60 {
        if bench.is_beating() {
            bench.beat(Err(CallErrorKind::NoActiveAction));
        }
        bench.run(1);
    }
    assert_eq!(bench.machine.status().hook_problem, None);
    assert!(bench.count(is_describe) <= 20, "{} questions", bench.count(is_describe));
    bench.hooks = Some(Ok(vec![hook("others", 300)]));
    bench.run(20);
    let problem = bench.machine.status().hook_problem.expect("the group has another hook");
    assert!(problem.contains("others"), "{problem}");
}

/// The role may not read hooks. The first heartbeat is timed by the assumed timeout, which is the shortest.
#[test]
fn configured_hook_cannot_be_read() {
    let mut bench = Bench::new(named());
    bench.hooks = Some(Err(error(CallErrorKind::AccessDenied)));
    bench.target(TargetState::InService);
    bench.target(TargetState::Terminated);
    bench.receive(vec![message("r1", Body::Lifecycle(lifecycle("token-1", bench.now)))]);
    let since = bench.now;
    bench.reports(0, AgentState::Draining, 1);
    bench.run(30);
    let beats = bench.times(is_heartbeat);
    assert!((15..=18).contains(&beats[0].since(since).as_secs()), "{beats:?}");
}
