//! `drainhook check`: whether a busy instance could be protected from scale-in.

use sim::world::{AgentMode, WorldConfig};

use crate::check::{expect, row};
use crate::support::daemon::Stage;
use crate::world;

const ON: (&str, &str) = ("DRAINHOOK_PROTECTION__WHEN_BUSY", "true");

#[tokio::test]
async fn works() {
    let stage = Stage::new(1, world(3, 30)).await;
    let ran = expect(&stage, &[ON], "protection", "ok", "").await;
    assert_eq!(row(&ran, "protection")["found"], "permitted");
    assert!(row(&ran, "work")["found"].to_string().contains("3 in flight"), "{ran:?}");
    let ran = expect(&stage, &[], "hook", "ok", "").await;
    assert!(ran.lines().iter().all(|line| line["part"] != "protection" && line["part"] != "work"), "{ran:?}");
}

#[tokio::test]
async fn denied() {
    let denied = vec!["autoscaling:SetInstanceProtection".to_owned()];
    let stage = Stage::new(1, WorldConfig { denied, ..world(3, 30) }).await;
    expect(&stage, &[ON], "protection", "failed", "allow autoscaling:SetInstanceProtection").await;
}

#[tokio::test]
async fn work_is_unknown() {
    let stage = Stage::new(1, world(3, 30)).await;
    let instance = stage.instance();
    stage.service.world(|world, now| world.set_agent_mode(now, &instance, AgentMode::Fails(503)));
    expect(&stage, &[ON], "work", "failed", "while its work is unknown, it does not protect the instance")
        .await;
}
