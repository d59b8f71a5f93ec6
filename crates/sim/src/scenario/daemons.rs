//! Daemons that end in mid-drain, and start again.

use crate::story::Moment;
use crate::world::ActionResult::Continue;
use machine::journal::Outcome::Drained;

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static KILLED: Scenario = Scenario {
    name: "daemon-killed",
    about: "SIGKILL in mid-drain, started again: the drain goes on with the deadline that it had",
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
    about: "SIGTERM in mid-drain, as in an upgrade; started again when the agent has drained: it completes",
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
