//! The protection from scale-in while the agents are busy.

use super::*;

const ON: &str = "[protection]\nwhen_busy = true\n";

#[test]
fn defaults_of_a_protection() {
    let Protection { when_busy, busy_for, idle_for, longest } = config("", &[]).protection;
    assert!(!when_busy);
    let secs = Duration::from_secs;
    assert_eq!((busy_for, idle_for, longest), (secs(30), secs(300), secs(3000)));
    assert!(config(ON, &[]).protection.when_busy);
    assert!(config("", &[("DRAINHOOK_PROTECTION__WHEN_BUSY", "true")]).protection.when_busy);
}

/// Nothing shows how much work these agents have before they drain.
#[test]
fn agents_that_do_not_tell_their_work() {
    let agents = ["unit = \"worker.service\"", "command = \"/opt/drain\"", "drain.blocks = true"];
    for agent in agents.map(|agent| format!("[agent]\n{agent}")) {
        assert!(!config(&agent, &[]).protection.when_busy, "without a protection nothing needs it");
        let problems = problems(&format!("{ON}{agent}"), &[]);
        assert!(problems.starts_with("test.toml:2: `protection.when_busy` needs to know"), "{problems}");
        if !agent.contains("blocks") {
            let probe = "status.processes = \"worker\"\nstatus.zero_for = \"10s\"";
            assert!(config(&format!("{ON}{agent}\n{probe}"), &[]).protection.when_busy);
        }
    }
}

/// Asking these agents how much they have in flight would drain them while they serve.
#[test]
fn agents_that_a_status_request_drains() {
    let agent = "[agent]\ndrain.method = \"GET\"\n";
    for status in ["", "status.pointer = \"/jobs\"\nstatus.zero_for = \"10s\""] {
        let problems = problems(&format!("{ON}{agent}{status}"), &[]);
        assert!(problems.contains("set `agent.status.path` to another path"), "{problems}");
    }
    assert!(config(&format!("{ON}{agent}status.path = \"/jobs\""), &[]).protection.when_busy);
}

#[test]
fn ends_before_it_begins() {
    let problems = problems(&format!("{ON}busy_for = \"10m\"\nlongest = \"5m\""), &[]);
    assert_eq!(
        problems,
        "test.toml:2: `protection.longest` (300s) must be more than `protection.busy_for` (600s); raise \
         `protection.longest`"
    );
}
