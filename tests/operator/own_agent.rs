//! `simulate --agent`: here the user's own agent is that of another simulation, which is strict about what it is asked.

use serde_json::Value;
use sim::world::AgentMode;

use crate::support::command::run;
use crate::support::daemon::{Stage, Variables, drained, told};
use crate::world;

/// The simulated instance is called the same in both: they have the same seed.
#[tokio::test]
async fn an_agent_that_drains() {
    let mut stage = Stage::new(10, world(3, 10)).await;
    let agent = stage.service.endpoints(&stage.instance()).expect("it listens").agent;
    // What this machine's own daemon is told elsewhere does not reach the simulated one, but for what an agent needs.
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
async fn an_agent_that_is_none() {
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
