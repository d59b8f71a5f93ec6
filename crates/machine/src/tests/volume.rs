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
