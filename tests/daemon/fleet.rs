//! Several instances of one group, with a queue that they share.

use drainhook::sim::world::{Happening, WorldConfig};

use crate::support::daemon::{Daemon, Stage};
use crate::world;

const INSTANCES: usize = 3;

#[tokio::test]
async fn scale_in_of_all() {
    let mut config = WorldConfig { instances: INSTANCES as u32, ..world(4, 40) };
    config.delivery.reordering = 0.5;
    let mut stage = Stage::new(10, config).await;
    let instances = stage.instances();
    let mut daemons = Vec::new();
    for instance in &instances {
        daemons.push(Daemon::start(&stage.variables(instance)).await);
    }
    stage.service.world(|world, now| world.set_desired_capacity(now, "workers", 0)).expect("a group");
    let gone = |one: &Happening| matches!(one, Happening::InstanceTerminated { .. });
    stage.until_times(INSTANCES, "the end of all", gone).await;
    stage.until_ended_well(&[]).await;
    for instance in &instances {
        let completions = |one: &Happening| match one {
            Happening::Completed { instance: of, .. } => of == instance,
            _ => false,
        };
        assert_eq!(stage.count(completions), 1, "{instance}: {:#?}", stage.history);
        let deletions = |one: &Happening| match one {
            Happening::MessageDeleted { about, .. } => about.as_ref() == Some(instance),
            _ => false,
        };
        assert_eq!(stage.count(deletions), 1, "{instance}: {:#?}", stage.history);
    }
}
