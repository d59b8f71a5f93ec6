//! Daemons that stop during a drain and are restarted.

use crate::story::Moment;
use crate::world::ActionResult::Continue;
use machine::journal::Outcome::Drained;

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static KILLED: Scenario = Scenario {
    name: "daemon-killed",
    about: "the daemon is killed during the drain and restarted: the drain goes on with the same deadline",
    acts: &[
        Act { after: secs(0), moment: Moment::FirstWorkFinished, deed: Deed::KillDaemon },
        Act { after: secs(10), moment: Moment::FirstWorkFinished, deed: Deed::StartDaemon },
    ],
    expectations: &[
        E::DaemonStarts(2),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 60);
        world.work = work(6, 40);
    },
    ..PLAIN
};

pub(super) static STOPPED: Scenario = Scenario {
    name: "daemon-stopped",
    about: "SIGTERM during the drain, as in an upgrade, and a restart after the agent drained: the daemon completes",
    acts: &[
        Act { after: secs(0), moment: Moment::FirstWorkFinished, deed: Deed::StopDaemon },
        Act { after: secs(5), moment: Moment::Drained, deed: Deed::StartDaemon },
    ],
    expectations: &[
        E::DaemonStarts(2),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::NotReturned,
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(6, 30);
    },
    ..PLAIN
};
