//! Several instances of one group share a queue.

use sim::world::{Happening, WorldConfig};

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
            Happening::MessageDeleted { about, .. } => about.as_deref() == Some(instance),
            _ => false,
        };
        assert_eq!(stage.count(deletions), 1, "{instance}: {:#?}", stage.history);
    }
}

/// One instance has no daemon. The other's daemon gives its message back each time, and does not delete it.
#[tokio::test]
async fn message_of_another() {
    let mut config = WorldConfig { instances: 2, ..world(4, 40) };
    // Receives whichever of the two messages is there.
    config.delivery.reordering = 1.0;
    let mut stage = Stage::new(10, config).await;
    let [ours, others] = stage.instances().try_into().expect("two instances");
    let _daemon = Daemon::start(&stage.variables(&ours)).await;
    let deleted = |one: &Happening, whom: &String| match one {
        Happening::MessageDeleted { about, .. } => about.as_deref() == Some(whom),
        _ => false,
    };
    stage.service.world(|world, now| world.terminate_instance(now, &others, true)).expect("in service");
    let sent = |one: &Happening| matches!(one, Happening::MessageSent { .. });
    stage.until("the other's message", sent).await;
    stage.scale_in();
    stage.until("the end of ours", |one| deleted(one, &ours)).await;
    let given_back = |one: &Happening| match one {
        Happening::VisibilityChanged { about, .. } => about.as_deref() == Some(&others),
        _ => false,
    };
    // Without a receive, this test would prove nothing.
    stage.until("the other's message given back", given_back).await;
    assert_eq!(stage.count(|one| deleted(one, &others)), 0, "it was deleted");
}
