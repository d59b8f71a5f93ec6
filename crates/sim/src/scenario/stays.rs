//! Instances that stay after their action is over.

use crate::story::Moment;
use crate::world::ActionResult::{Abandon, Continue};
use crate::world::Work;
use machine::journal::Outcome::{Deadline, Drained};

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static RETAINED: Scenario = Scenario {
    name: "retained",
    about: "ABANDON at the deadline retains the instance; its release starts a new action and a new drain",
    speed: 40,
    settings: &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "40s"), ("DRAINHOOK_LIFECYCLE__ON_DEADLINE", "ABANDON")],
    acts: &[
        Act { after: secs(20), moment: Moment::Retained, deed: Deed::FreeStuckWork },
        Act { after: secs(40), moment: Moment::Retained, deed: Deed::Release },
    ],
    expectations: &[
        E::Completed(&[Abandon, Continue]),
        E::CompletedAtDeadline,
        E::CompletedDrained,
        E::Lost(0),
        E::Outcomes(&[Deadline, Drained]),
    ],
    change: |world| {
        hook(world, 100);
        world.retain_on_abandon = true;
        world.work = Work { stuck: 1, ..work(4, 20) };
    },
    ..PLAIN
};

pub(super) static WARM_POOL: Scenario = Scenario {
    name: "warm-pool",
    about: "a scale-in to a warm pool drains the agent, and a scale-out returns it to service",
    speed: 25,
    acts: &[Act { after: secs(15), moment: Moment::Pooled, deed: Deed::ScaleOut }],
    end: Moment::Returned,
    expectations: &[
        E::Reason("warm_pool"),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Returned,
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.warm_pool = true;
        world.work = work(6, 30);
    },
    ..PLAIN
};
