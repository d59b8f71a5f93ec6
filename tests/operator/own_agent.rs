//! `simulate --agent` and `simulate --config`. The user's agent is the agent of another simulation, which rejects malformed requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use sim::world::AgentMode;

use crate::check::expect;
use crate::support::command::run;
use crate::support::daemon::{Stage, Variables, drained, told};
use crate::support::{Server, answer, ok};
use crate::world;

/// Both simulations have the same seed, so their instances have the same id.
#[tokio::test]
async fn an_agent_that_drains() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let agent = stage.service.endpoints(&stage.instance()).expect("it listens").agent;
    // The simulated daemon takes only the agent's settings from the environment, and not its address.
    let variables = Variables::from([
        ("DRAINHOOK_LIFECYCLE__HOOK", "another".to_owned()),
        ("DRAINHOOK_AGENT__URL", "http://127.0.0.1:1".to_owned()),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "20m".to_owned()),
    ]);
    let ran = run(&variables, &["simulate", "--agent", &agent, "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((stage.count(told), stage.count(drained)), (1, 1), "{:#?}", stage.history);
    let lines = ran.lines();
    let said: Vec<&Value> = lines.iter().filter(|line| line["event"] == "daemon_said").collect();
    assert!(said.iter().any(|line| line["text"].to_string().contains("drained")), "{said:#?}");
    let asked = stage.history.iter().find(|(_, one)| told(one)).expect("it was told").0;
    let twenty_minutes = stage.deadlines()[0].since(asked).as_secs();
    // This simulation's clock runs ahead of the other's.
    assert!((1000..=1200).contains(&twenty_minutes), "{twenty_minutes}");

    let again = run(&variables, &["simulate", "--agent", &agent]).await;
    again.failed(&format!(
        "it takes no work; if no drain is under way, return it to service: run curl -X DELETE {agent}/drain"
    ));
}

#[tokio::test]
async fn not_an_agent() {
    let stage = Stage::new(1, world(3, 10)).await;
    let agent = stage.service.endpoints(&stage.instance()).expect("it listens").agent;
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Fails(404)));
    let none = Variables::new();
    run(&none, &["simulate", "--agent", &agent]).await.failed("the agent does not serve this path");
    run(&none, &["simulate", "--agent", "http://127.0.0.1:1"]).await.failed("start the agent");
    let remote = run(&none, &["simulate", "--agent", "http://10.0.0.1"]).await;
    assert_eq!(remote.code, Some(78), "{remote:?}");
    assert!(remote.err.contains("--agent: `agent.url` names the host 10.0.0.1"), "{remote:?}");
}

/// The agent listens on [::1] only, as some servers do by default. The URL names 127.0.0.1, where nothing listens.
#[tokio::test]
async fn an_agent_on_ipv6_only() {
    let stage = Stage::new(1, world(3, 10)).await;
    let agent = std::net::TcpListener::bind("[::1]:0").expect("IPv6 on loopback");
    let port = agent.local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}");
    let advice = format!("something listens on [::1]:{port}; set agent.url to \\\"http://[::1]:{port}\\\"");
    expect(&stage, &[("DRAINHOOK_AGENT__URL", &url)], "agent", "failed", &advice).await;
    let base = format!("{url}/worker");
    let advice = format!("set agent.url to \\\"http://[::1]:{port}/worker\\\"");
    expect(&stage, &[("DRAINHOOK_AGENT__URL", &base)], "agent", "failed", &advice).await;
    run(&Variables::new(), &["simulate", "--agent", &url]).await.failed(&format!(
        "drainhook: GET {url}/drain: connection refused: nothing is listening on 127.0.0.1:{port}; something listens on \
         [::1]:{port}; run drainhook simulate --agent 'http://[::1]:{port}'\n"
    ));
    drop(agent);
    expect(&stage, &[("DRAINHOOK_AGENT__URL", &url)], "agent", "failed", "start the agent").await;
}

/// The user gives the URL of the drain resource, and the daemon appends /drain again.
#[tokio::test]
async fn a_url_that_ends_with_the_drain_path() {
    let stage = Stage::new(1, world(3, 10)).await;
    let server = Server::start(|request| match request.line() {
        "GET /drain" => ok(r#"{"state":"serving"}"#),
        _ => answer(404, &[], ""),
    })
    .await;
    let advice = "leave /drain out of the URL; the daemon appends agent.drain.path";
    let url = format!("{}/drain", server.url);
    expect(&stage, &[("DRAINHOOK_AGENT__URL", &url)], "agent", "failed", advice).await;
    run(&Variables::new(), &["simulate", "--agent", &url])
        .await
        .failed(&format!("drainhook: GET {url}/drain: answered 404 Not Found; {advice}\n"));
    let url = format!("{}/undrain", server.url);
    expect(&stage, &[("DRAINHOOK_AGENT__URL", &url)], "agent", "failed", "set agent.drain.path").await;
}

/// A drill of an agent that a command drains, with and without after steps. The configuration file belongs to another group's
/// daemon, so the rest of it does not count.
#[tokio::test]
async fn an_agent_that_a_command_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    let configure = |agent: &str| {
        let text = format!("[agent]\nname = \"worker\"\n{agent}\n[lifecycle]\nhook = \"another\"\n");
        std::fs::write(&file, text).expect("written");
    };
    let path = file.display().to_string();
    let junit = folder.path().join("result.xml");
    let to_junit = junit.display().to_string();
    let drill = async || run(&Variables::new(), &["simulate", "--config", &path, "--junit", &to_junit]).await;
    let failures = || {
        let document = std::fs::read_to_string(&junit).expect("written");
        assert!(document.contains("<testsuite name=\"drainhook.drill\""), "{document}");
        document.matches("<failure ").count()
    };

    configure("command = [\"/bin/sh\", \"-c\", \"echo all done\"]");
    let ran = drill().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("drained"), "{ran:?}");
    assert_eq!(failures(), 0);

    let failing = "[[after]]\ncommand = [\"/bin/sh\", \"-c\", \"echo not today; exit 4\"]";
    configure(&format!("command = \"/bin/true\"\n[[after]]\ncommand = \"/bin/true\"\n{failing}"));
    let ran = drill().await;
    assert_eq!(ran.code, Some(0), "a step that fails does not hold up the drain: {ran:?}");
    for expected in
        ["after step 1, /bin/true: done", "after step 2, /bin/sh: started", "exited with status 4"]
    {
        let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{expected}: {ran:?}");
    }

    configure("command = \"/bin/false\"\nunreachable_grace = \"1s\"");
    let ran = drill().await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let verdict = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(verdict.contains("/bin/false failed until agent.unreachable_grace was over."), "{ran:?}");
    assert!(verdict.contains("/bin/false exited with status 1"), "{ran:?}");
    assert_eq!(failures(), ran.out.matches('✗').count(), "{ran:?}");

    configure("command = [\"/bin/sleep\", \"600\"]\ndrain_timeout = \"1s\"");
    let ran = drill().await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let verdict = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(verdict.contains("/bin/sleep had not exited with 0 at the end of its time"), "{ran:?}");

    configure("command = \"/no/such/program\"");
    drill().await.failed(
        "/no/such/program: No such file or directory (os error 2); correct the program, or set agent.command",
    );
}

/// A drill of a file with two agents and an after step. The agents are a command, and a server that still has work at its
/// deadline in the last drill.
#[tokio::test]
async fn several_agents() {
    let drains = Arc::new(AtomicBool::new(true));
    let told = AtomicBool::new(false);
    let may_drain = Arc::clone(&drains);
    let server = Server::start(move |request| {
        match request.line() {
            "POST /drain" => told.store(true, Ordering::SeqCst),
            "DELETE /drain" => told.store(false, Ordering::SeqCst),
            _ => {}
        }
        match (told.load(Ordering::SeqCst), may_drain.load(Ordering::SeqCst)) {
            (false, _) => ok(r#"{"state":"serving","in_flight":4}"#),
            (true, true) => ok(r#"{"state":"drained","in_flight":0}"#),
            (true, false) => ok(r#"{"state":"draining","in_flight":4}"#),
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    let text = format!(
        "[[agent]]\nname = \"exporter\"\ncommand = \"/bin/true\"\n[[agent]]\nname = \"worker\"\nurl = \"{}\"\n\
         drain_timeout = \"2s\"\n[[after]]\ncommand = \"/bin/true\"\n[lifecycle]\nhook = \"another\"\n",
        server.url
    );
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let drill = async || run(&Variables::new(), &["simulate", "--config", &path]).await;

    let ran = drill().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.count(|request| request.line() == "POST /drain"), 1, "{ran:?}");
    assert!(ran.out.contains("after step 1, /bin/true: done"), "{ran:?}");
    assert!(ran.out.contains("agents told") && ran.out.contains("your agents have drained"), "{ran:?}");

    drill().await.failed("worker: drained, 0 in flight; it takes no work");

    assert!(reqwest::Client::new().delete(format!("{}/drain", server.url)).send().await.is_ok());
    drains.store(false, Ordering::SeqCst);
    let ran = drill().await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let verdict = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(verdict.contains("worker: Expected: the agent accepts POST /drain"), "{ran:?}");
    assert!(verdict.contains("with 4 in flight. Finish or hand back its work sooner, or give it more time: set its drain_timeout."), "{ran:?}");
    assert!(!verdict.contains("exporter: Expected"), "it has drained: {ran:?}");

    let judge = ["simulate", "--config", &path, "--conformance"];
    let refused = "--conformance judges one agent, but the configuration has 2; give each a file of its own";
    run(&Variables::new(), &judge).await.failed(refused);
}
