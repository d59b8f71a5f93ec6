//! Groups in which another controller has a terminating hook of its own.

use std::time::Duration;

use sim::world::{HookSpec, WorldConfig};

use crate::support::daemon::{Stage, completed, drained};
use crate::world;

const ECS: &str = "ecs-managed-draining-termination-hook";

fn hooks(names: &[&str]) -> WorldConfig {
    let hook = |name: &&str| HookSpec::terminating(*name, Duration::from_secs(600));
    WorldConfig { hooks: names.iter().map(hook).collect(), ..world(3, 30) }
}

/// ECS managed draining has installed its hook in a group that has no other. The instance drains; ECS's action is ECS's
/// to complete.
#[tokio::test]
async fn only_ecs_has_a_hook() {
    let mut stage = Stage::new(20, hooks(&[ECS])).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    daemon.logged(&["ERROR", "hook_impossible", ECS, "Amazon ECS", "lifecycle.hook"]).await;
    stage.until("the agent's end", drained).await;
    daemon.logged(&["drain_ended", "completed no lifecycle action"]).await;
    assert_eq!(stage.count(completed), 0);
}

/// ECS managed draining has installed its hook beside ours, and `lifecycle.hook` is not set. Ours is completed, ECS's is
/// left alone.
#[tokio::test]
async fn hook_of_ecs_beside_ours() {
    let mut stage = Stage::new(20, hooks(&["drain", ECS])).await;
    let daemon = stage.daemon().await;
    stage.scale_in();
    stage.until("the completion", completed).await;
    daemon.logged(&["drain_ended", "completed with CONTINUE"]).await;
    let open = stage.service.world(|world, _| world.instances().swap_remove(0).actions);
    let open: Vec<_> = open.iter().map(|action| action.hook.as_str()).collect();
    assert_eq!(open, [ECS]);
}
