//! Groups in which another controller has its own terminating hook.

use std::time::Duration;

use sim::world::{HookSpec, WorldConfig};

use crate::support::daemon::{Stage, completed, drained};
use crate::world;

const ECS: &str = "ecs-managed-draining-termination-hook";

fn hooks(names: &[&str]) -> WorldConfig {
    let hook = |name: &&str| HookSpec::terminating(*name, Duration::from_secs(600));
    WorldConfig { hooks: names.iter().map(hook).collect(), ..world(3, 30) }
}

/// ECS managed draining has installed the group's only terminating hook. The instance drains, and the daemon leaves ECS's
/// action to ECS.
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

/// ECS managed draining has installed its hook beside ours, and `lifecycle.hook` is not set. The daemon completes our action
/// and leaves ECS's alone.
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
