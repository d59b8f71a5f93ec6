//! `drainhook status`.

use machine::notice::Reason;
use machine::status::State;
use sim::world::{AgentMode, Happening, ImdsMode, WorldConfig};

use crate::support::closed_port;
use crate::support::command::run;
use crate::support::daemon::{Daemon, Stage, Variables, worked};
use crate::{named, stuck_world, world};

#[tokio::test]
async fn no_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let variables = Variables::from([("DRAINHOOK_CONTROL__SOCKET", socket.display().to_string())]);
    for args in [
        &["status"] as &[&str],
        &["status", "--json"],
        &["drain"],
        &["drain", "--wait"],
        &["drain", "--cancel"],
        &["extend", "1m"],
        &["finish", "--result", "CONTINUE"],
    ] {
        let ran = run(&variables, args).await;
        ran.failed(&format!("there is no socket {}", socket.display()));
        assert_eq!(ran.out, "", "{args:?}");
    }
    // A daemon that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a fresh path"));
    run(&variables, &["status"]).await.failed("no daemon is listening");
}

/// A daemon that does not know its instance id yet rejects status requests and commands.
#[tokio::test]
async fn a_daemon_without_an_instance() {
    let mut config = world(3, 30);
    config.imds.mode = ImdsMode::Hangs;
    let stage = Stage::new(1, config).await;
    let variables = stage.variables(&stage.instance());
    let mut daemon = Daemon::spawn(&variables);
    daemon.told("READY=1").await;
    for args in [["status"], ["drain"]] {
        run(&variables, &args).await.failed("does not know its instance id yet");
    }
    let ran = run(&variables, &["check", "--json"]).await;
    let row = crate::check::row(&ran, "daemon");
    assert_eq!(
        (row["state"].as_str(), row["found"].as_str()),
        (Some("failed"), Some("running, but not ready"))
    );
    assert!(row["advice"].to_string().contains("does not know its instance id yet"), "{row}");
}

/// Another program listens on the socket. It closes the connection without an answer, or sends something else.
#[tokio::test]
async fn another_program_on_the_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let variables = Variables::from([("DRAINHOOK_CONTROL__SOCKET", socket.display().to_string())]);
    let listener = tokio::net::UnixListener::bind(&socket).expect("a fresh path");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for answer in ["", "{\"pong\":1}\n"] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_to_end(&mut Vec::new()).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("taken");
        }
    });
    let silent = run(&variables, &["status"]).await;
    silent.failed("no answer from the daemon on");
    run(&variables, &["status"]).await.failed("if an older daemon is running");
}

#[tokio::test]
async fn serving() {
    let stage = Stage::new(1, world(3, 30)).await;
    let daemon = stage.daemon().await;
    daemon.until_status("IMDS", |status| status.imds_answered.is_some()).await;
    let ran = run(&stage.variables(&stage.instance()), &["status"]).await;
    ran.done("");
    let answers = |line: &str| line.starts_with("  IMDS        last answer ") && line.ends_with("s ago");
    assert_eq!(ran.out.lines().filter(|line| answers(line)).count(), 1, "{ran:?}");
    let others: Vec<_> = ran.out.split_inclusive('\n').filter(|line| !answers(line.trim_end())).collect();
    let expected = format!(
        "INSTANCE of group workers: serving\n  agent       AGENT: serving, 3 in flight\n  hook        not read until a drain; to see \
         it now: drainhook check\n  queue       not polled while IMDS answers\n  waits for   a notice\n  daemon      \
         drainhook {}\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(named(&stage, &others.concat()), expected);
    let group =
        ["INFO", "drainhook ", " is watching ", &stage.instance(), " of group workers; agent http://"];
    daemon.logged(&group).await;
    daemon.logged(&["; queue http://"]).await;
}

/// The agent is down, and there is no queue. The status says so, and exits with 0.
#[tokio::test]
async fn serving_without_an_agent() {
    let stage = Stage::new(1, WorldConfig { queue: None, ..world(3, 30) }).await;
    let unused = closed_port().await;
    let mut variables = stage.variables(&stage.instance());
    variables.insert("DRAINHOOK_AGENT__URL", unused.clone());
    let daemon = Daemon::start(&variables).await;
    let ran = run(&variables, &["status"]).await;
    ran.done(&format!("  agent       GET {unused}/drain: connection refused"));
    ran.done("  queue       none configured\n");
    daemon.logged(&["; no queue"]).await;
}

/// An operator drains, and cancels the drain. Afterwards the status shows the last drain, and how to read its log.
#[tokio::test]
async fn a_drain_that_is_over() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let daemon = stage.daemon().await;
    let variables = stage.variables(&stage.instance());
    run(&variables, &["drain", "--wait"]).await.done("drain ended: drained\n");
    let id = daemon.status().await.drain_id.expect("its notice is in force");
    let log =
        format!("  drain id    {id}\n  log         journalctl --unit drainhook.service DRAIN_ID={id}\n");
    run(&variables, &["status"]).await.done(&log);
    run(&variables, &["drain", "--cancel"]).await.done("the agents return to service");
    stage.until("a DELETE", |one| matches!(one, Happening::AgentReturned { .. })).await;
    daemon.until_status("service", |status| status.state == State::Serving).await;
    let ran = run(&variables, &["status"]).await;
    ran.done("  last drain  drained, ended ");
    ran.done(" ago), reason operator\n");
    ran.done(&log);
}

/// The answer to "why is my drain stuck?".
#[tokio::test]
async fn a_drain_that_is_stuck() {
    let mut stage = Stage::new(10, stuck_world()).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("work that is done", worked).await;
    let instance = stage.instance();
    let broken = AgentMode::Fails(503);
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, broken));
    daemon.until_status("an error of the agent", |status| status.last_error.is_some()).await;

    let variables = stage.variables(&instance);
    let ran = run(&variables, &["status"]).await;
    ran.done("of group workers: draining, ");
    let agent = stage.service.endpoints(&instance).expect("it listens").agent;
    for expected in [
        "why         the Auto Scaling group is terminating this instance\n".to_owned(),
        format!("agent       {agent}: draining, "),
        format!("waits for   {agent} to be drained, or the deadline\n"),
        "hook        drain".to_owned(),
        format!("GET {agent}/drain: answered 503"),
        "log         journalctl --unit drainhook.service DRAIN_ID=".to_owned(),
    ] {
        assert!(ran.out.contains(&expected), "{expected:?} is not in {}", ran.out);
    }
    let json = run(&variables, &["status", "--json"]).await;
    assert_eq!(json.out.lines().count(), 1, "{json:?}");
    let status = json.status();
    assert_eq!((status.state, status.reason), (State::Draining, Some(Reason::AutoscalingTermination)));
    assert!(status.next_heartbeat.is_some() && status.last_error.is_some(), "{status:?}");
}
