//! `drainhook check` reads the probe of an agent once.

use sim::world::AgentMode;

use crate::check::{expect, row};
use crate::support::daemon::Stage;
use crate::support::{Server, ok};
use crate::world;

/// The number in flight is shown, and where it was read.
#[tokio::test]
async fn numbers() {
    let stage = Stage::new(1, world(3, 3000)).await;
    let agent = stage.service.endpoints(&stage.instance()).expect("it listens").agent;
    let page = Server::start(|_| ok("jobs{queue=\"a\"} 4\njobs{queue=\"b\"} 5\n")).await;
    let metrics = format!("{}/metrics", page.url);
    let found = async |settings: &[(&'static str, &str)]| {
        let mut settings = settings.to_vec();
        settings.push(("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "10s"));
        settings.push(("DRAINHOOK_AGENT__NAME", "worker"));
        row(&expect(&stage, &settings, "agent", "ok", "").await, "agent")["found"].clone()
    };
    let pointer = ("DRAINHOOK_AGENT__STATUS__POINTER", "/in_flight");
    assert_eq!(found(&[pointer]).await, format!("worker: 3 in flight, by /in_flight in /drain of {agent}"));
    let metric =
        [("DRAINHOOK_AGENT__STATUS__URL", metrics.as_str()), ("DRAINHOOK_AGENT__STATUS__METRIC", "jobs")];
    assert_eq!(found(&metric).await, format!("worker: 9 in flight, by jobs in {metrics}"));
    let command = [("DRAINHOOK_AGENT__STATUS__COMMAND", "[\"/bin/sh\", \"-c\", \"echo 6\"]")];
    assert_eq!(found(&command).await, "worker: 6 in flight, by /bin/sh -c 'echo 6'");
    let processes = [("DRAINHOOK_AGENT__STATUS__PROCESSES", "no-such-process")];
    assert_eq!(found(&processes).await, "worker: 0 in flight, by processes called no-such-process");
    assert_eq!(page.lines(), ["GET /metrics"], "it is read once");
}

/// The number cannot be read. The advice names the keys that say where it is.
#[tokio::test]
async fn failures() {
    let stage = Stage::new(1, world(3, 3000)).await;
    let instance = stage.instance();
    let zero_for = ("DRAINHOOK_AGENT__STATUS__ZERO_FOR", "10s");
    let pointer = [("DRAINHOOK_AGENT__STATUS__POINTER", "/jobs"), zero_for];
    let advice = "correct agent.status.path and agent.status.pointer";
    let ran = expect(&stage, &pointer, "agent", "failed", advice).await;
    assert!(row(&ran, "agent")["found"].to_string().contains("which has nothing at /jobs"), "{ran:?}");
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Refuses));
    expect(&stage, &pointer, "agent", "failed", advice).await;
    let command = [("DRAINHOOK_AGENT__STATUS__COMMAND", "/bin/false"), zero_for];
    let ran = expect(&stage, &command, "agent", "failed", "correct agent.status.command").await;
    assert!(row(&ran, "agent")["found"].to_string().contains("/bin/false exited with status 1"), "{ran:?}");
}
