//! The replacement of the root volume: a drain, a reboot, and a launch. IMDS says `InService` all the time.

use super::super::effect::AgentRequest;
use super::super::event::*;
use super::super::journal::Outcome;
use super::super::message::*;
use super::super::notice::Reason;
use super::super::settings::{LaunchSettings, Listen, Settings};
use super::bench::*;

fn replaced() -> Settings {
    let launch = LaunchSettings { hook: "warm-up".to_owned(), times: 1, timeout: secs(600) };
    Settings { listen: Listen::Always, launch: Some(launch), ..settings() }
}

/// The agents have drained for the replacement, and the action is completed.
fn completed(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    serves(&mut bench, 5);
    bench.state = Some("ReplacingRootVolume:Wait");
    let told = LifecycleMessage { replaces_root_volume: true, ..lifecycle("token-1", bench.now) };
    bench.receive(vec![message("r1", Body::Lifecycle(told))]);
    assert_eq!(bench.orders(0)[0].reason, Reason::RootVolumeReplacement);
    bench.drained();
    bench.run(1);
    bench.complete(Ok(()));
    assert_eq!(bench.ended(), Some(Outcome::Drained));
    bench.state = Some("ReplacingRootVolume:Proceed");
    bench
}

fn serves(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        bench.target(TargetState::InService);
        bench.run(1);
    }
}

/// The instance takes a while to reboot. An agent that served again would lose its new work.
#[test]
fn drained_until_the_reboot() {
    let mut bench = completed(Settings { launch: None, ..replaced() });
    serves(&mut bench, 300);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Status));
}

/// Another reason to drain comes and goes while the instance is about to reboot.
#[test]
fn drained_until_the_reboot_whatever_else_happens() {
    let mut bench = completed(Settings { launch: None, ..replaced() });
    serves(&mut bench, 15);
    bench.maintenance(Some(bench.now + secs(300)));
    assert_eq!(bench.drains_started(), 2);
    serves(&mut bench, 60);
    bench.drained();
    bench.maintenance(None);
    serves(&mut bench, 300);
    assert!(matches!(bench.asks(0), Some(AgentRequest::Drain(_))));
}

/// The daemon was down for so long that the action must have expired, but Auto Scaling still waits.
fn only_seems_over() -> Bench {
    let mut bench = Bench::new(Settings { launch: None, ..replaced() });
    serves(&mut bench, 5);
    bench.state = Some("ReplacingRootVolume:Wait");
    let told = LifecycleMessage { replaces_root_volume: true, ..lifecycle("token-1", bench.now) };
    bench.receive(vec![message("r1", Body::Lifecycle(told))]);
    bench.now = bench.now + secs(1200);
    bench.crash();
    serves(&mut bench, 1);
    assert_eq!(bench.ended(), Some(Outcome::Overtaken));
    serves(&mut bench, 15);
    bench
}

/// A heartbeat shows that the action is open. It is still one that ends with a reboot.
#[test]
fn action_that_only_seemed_over() {
    let mut bench = only_seems_over();
    bench.beat(Ok(()));
    bench.drained();
    serves(&mut bench, 1);
    bench.complete(Ok(()));
    bench.state = Some("ReplacingRootVolume:Proceed");
    serves(&mut bench, 300);
    assert_ne!(bench.asks(0), Some(&AgentRequest::Return));
}

/// Another reason starts a drain before a heartbeat has shown that the action is open.
#[test]
fn maintenance_while_an_action_only_seems_over() {
    let mut bench = only_seems_over();
    bench.maintenance(Some(bench.now + secs(300)));
    serves(&mut bench, 5);
    bench.beat(Ok(()));
    bench.drained();
    serves(&mut bench, 1);
    assert!(bench.completing().is_some(), "Auto Scaling waits for it");
}

/// The journal is on another volume, so it has survived the reboot. Auto Scaling says that the instance is being launched again.
#[test]
fn reboot_with_the_journal() {
    let mut bench = completed(replaced());
    bench.settings.boot_id = Some("second".to_owned());
    bench.state = Some("Pending:Wait");
    bench.crash();
    bench.drained();
    serves(&mut bench, 15);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
    bench.says(0, AgentAnswer::Returned);
    serves(&mut bench, 5);
    assert!(bench.count(|effect| matches!(effect, super::super::Effect::AskReady { .. })) > 0);
}

/// The replacement fails, and Auto Scaling returns the instance to service without a reboot.
#[test]
fn no_reboot() {
    let mut bench = completed(Settings { launch: None, ..replaced() });
    bench.state = Some("InService");
    serves(&mut bench, 75);
    assert_eq!(bench.asks(0), Some(&AgentRequest::Return));
}
