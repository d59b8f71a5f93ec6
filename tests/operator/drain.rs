//! `drainhook drain`, with and without a daemon.

use machine::status::State;
use sim::world::{AgentMode, Happening};
use tokio::process::Command;

use crate::support::command::run;
use crate::support::daemon::{Daemon, Stage, Variables, completed, told, worked};
use crate::support::{Server, closed_port, ok, socket_path};
use crate::{stuck_world, world};

fn returned(happening: &Happening) -> bool {
    matches!(happening, Happening::AgentReturned { .. })
}

#[tokio::test]
async fn drained_and_back() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    run(&variables, &["drain", "--cancel"])
        .await
        .failed("no drain is under way, so there is nothing to cancel\n");
    let ran = run(&variables, &["drain", "--wait"]).await;
    ran.done("drain started\ndraining");
    assert!(ran.out.ends_with("drain ended: drained\n"), "{ran:?}");
    run(&variables, &["drain"]).await.done("already drained");
    run(&variables, &["drain", "--cancel"]).await.done("the agents return to service");
    stage.until("a DELETE", returned).await;
    assert_eq!((stage.count(completed), stage.count(told)), (0, 1));
    assert_eq!(daemon.status().await.outcome, None);
}

#[tokio::test]
async fn not_drained_in_time() {
    let mut stage = Stage::new(60, stuck_world()).await;
    let _daemon = stage.daemon_with(&[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "90s")]).await;
    let variables = stage.variables(&stage.instance());
    let ran = run(&variables, &["drain", "--wait"]).await;
    ran.failed("the agents did not drain");
    assert!(ran.out.ends_with("drain ended: deadline\n"), "{ran:?}");
    // A drain that missed its deadline can be started again.
    run(&variables, &["drain"]).await.done("drain started");
    stage.until_times(2, "a second POST", told).await;
}

#[tokio::test]
async fn withdrawn_while_an_operator_waits() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let _daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    let mut waiting = waiter(&variables);
    stage.until("work that is done", worked).await;
    run(&variables, &["drain", "--cancel"]).await.done("canceled");
    waiting.logged(&["the drain is no longer under way"]).await;
    assert_eq!(waiting.exit().await.code(), Some(1));
}

/// The daemon is killed and started again while an operator waits for the end of the drain.
#[tokio::test]
async fn restart_while_an_operator_waits() {
    let mut stage = Stage::new(10, world(3, 20)).await;
    let daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    let mut waiting = waiter(&variables);
    stage.until("a POST", told).await;
    daemon.kill().await;
    // The waiting command notices that the daemon is down.
    waiting.logged(&["waiting for the daemon"]).await;
    let daemon = stage.daemon().await;
    waiting.logged(&["the daemon answers again"]).await;
    assert_eq!(waiting.exit().await.code(), Some(0), "{}", waiting.log());
    assert_eq!(daemon.status().await.state, State::Ended);
}

fn waiter(variables: &Variables) -> Daemon {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    Daemon::spawn_as(command.args(["drain", "--wait"]), variables)
}

/// Variables without a daemon and without AWS: only the simulated clock, and endpoints where nothing listens. Without the
/// endpoints, the clock would be refused.
fn alone(stage: &Stage) -> Variables {
    let mut variables = stage.variables(&stage.instance());
    variables.retain(|name, _| *name == "DRAINHOOK_SIMULATION__CLOCK");
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"] {
        variables.insert(endpoint, "http://127.0.0.1:1".to_owned());
    }
    variables
}

fn agent(stage: &Stage) -> String {
    stage.service.endpoints(&stage.instance()).expect("it listens").agent
}

/// A simulated clock with the real AWS would end the drain too soon, so it is refused.
#[tokio::test]
async fn simulated_clock_with_the_real_aws() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let mut variables = alone(&stage);
    variables.remove("AWS_ENDPOINT_URL");
    let ran = run(&variables, &["drain", "--agent", &agent(&stage)]).await;
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.err.contains("AWS_ENDPOINT_URL is not set"), "{ran:?}");
    assert_eq!(stage.count(told), 0);
}

#[tokio::test]
async fn agent_without_daemon() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let agent = agent(&stage);
    let ran = run(&alone(&stage), &["drain", "--agent", &agent, "--timeout", "5m"]).await;
    ran.done("telling the agents to drain by ");
    assert!(ran.out.ends_with(": drained\n"), "{ran:?}");
    let reasons: Vec<_> = stage
        .service
        .world(|world, _| world.take_happenings())
        .into_iter()
        .filter_map(|(at, one)| match one {
            Happening::AgentDrainRequested { reason, deadline, .. } => Some((reason, deadline?.since(at))),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(reasons[0].0, "operator");
    assert!(reasons[0].1.as_secs() <= 300, "{reasons:?}");
    assert_eq!(stage.count(completed), 0);
}

#[tokio::test]
async fn agent_that_does_not_drain() {
    let stage = Stage::new(60, stuck_world()).await;
    let agent = agent(&stage);
    let variables = alone(&stage);
    let late = run(&variables, &["drain", "--agent", &agent, "--timeout", "90s"]).await;
    late.failed("the agent did not drain by its deadline");
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Fails(404)));
    let grace = ("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "10s".to_owned());
    let variables: Variables = variables.into_iter().chain([grace]).collect();
    let ran = run(&variables, &["drain", "--agent", &agent]).await;
    ran.failed("the agent could not be drained");
    assert!(ran.err.contains("answered 404"), "{ran:?}");
    let unused = closed_port().await;
    let ran = run(&variables, &["drain", "--agent", &unused]).await;
    ran.failed("the agent could not be drained");
    assert!(ran.err.contains("connection refused: nothing is listening on 127.0.0.1:"), "{ran:?}");
}

#[tokio::test]
async fn agent_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = socket_path(&folder);
    let server = Server::unix(&path, ok(r#"{"state":"drained"}"#)).await;
    // The agent's other settings come from the configuration.
    let variables = Variables::from([
        ("DRAINHOOK_AGENT__URL", "http://127.0.0.1:1".to_owned()),
        ("DRAINHOOK_AGENT__DRAIN__PATH", "/admin/drain".to_owned()),
    ]);
    run(&variables, &["drain", "--agent", &path.display().to_string()]).await.done("drained");
    assert_eq!(server.lines()[0], "POST /admin/drain");
}

#[tokio::test]
async fn bad_command_lines() {
    let none = Variables::new();
    let remote = run(&none, &["drain", "--agent", "http://10.0.0.1:8080"]).await;
    assert_eq!(remote.code, Some(78), "{remote:?}");
    assert!(remote.err.contains("--agent: `agent.url` names the host 10.0.0.1"), "{remote:?}");
    let timeout = run(&none, &["drain", "--agent", "http://127.0.0.1:1", "--timeout", "soon"]).await;
    assert_eq!(timeout.code, Some(78), "{timeout:?}");
    assert!(timeout.err.contains("--timeout: `agent.drain_timeout` is \"soon\""), "{timeout:?}");
    for args in [
        &["drain", "--wait", "--cancel"] as &[&str],
        &["drain", "--cancel", "--agent", "http://127.0.0.1:1"],
        &["drain", "--timeout", "1m"],
        &["extend"],
        &["extend", "soon"],
        &["extend", "500ms"],
        &["finish"],
        &["finish", "--result", "MAYBE"],
    ] {
        let ran = run(&none, args).await;
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
    }
}
