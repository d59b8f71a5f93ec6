//! Notices that come late, twice or never.

use crate::story::Moment::ScaleIn;
use crate::world::ActionResult::Continue;
use crate::world::ImdsMode::{Answers, Disabled, Hangs, Refuses, WithoutTargetState};
use machine::journal::Outcome::Drained;

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static IMDS_FLAKY: Scenario = Scenario {
    name: "imds-flaky",
    about: "IMDS fails in every way that it can, and there is no queue: the notice is never withdrawn",
    speed: 40,
    acts: &[
        Act { after: secs(0), moment: ScaleIn, deed: Deed::Imds(Refuses) },
        Act { after: secs(20), moment: ScaleIn, deed: Deed::Imds(Answers) },
        Act { after: secs(40), moment: ScaleIn, deed: Deed::Imds(Disabled) },
        Act { after: secs(55), moment: ScaleIn, deed: Deed::Imds(Answers) },
        Act { after: secs(70), moment: ScaleIn, deed: Deed::Imds(WithoutTargetState) },
        Act { after: secs(85), moment: ScaleIn, deed: Deed::Imds(Answers) },
        Act { after: secs(100), moment: ScaleIn, deed: Deed::Imds(Hangs) },
        Act { after: secs(110), moment: ScaleIn, deed: Deed::Imds(Answers) },
    ],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::NotReturned,
        E::Lost(0),
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.queue = None;
        world.work = work(6, 90);
    },
    ..PLAIN
};

pub(super) static QUEUE_LOST: Scenario = Scenario {
    name: "queue-lost",
    about: "the event never reaches the queue: the first heartbeat that succeeds shows that Wait has begun",
    speed: 40,
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Heartbeats { least: 1, most: 3 },
        E::Messages { sent: 0, deleted: 0 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.delivery.loss = 1.0;
        world.work = work(6, 90);
    },
    ..PLAIN
};

pub(super) static EVENT_LATE: Scenario = Scenario {
    name: "event-late",
    about: "the event is 90 s late: a heartbeat has found Wait by then, and the message is left to expire",
    speed: 40,
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Heartbeats { least: 1, most: 3 },
        // The daemon stops receiving once it knows the hook and Wait.
        E::Messages { sent: 1, deleted: 0 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        (world.delivery.delay_min, world.delivery.delay_max) = (secs(90), secs(90));
        world.work = work(6, 120);
    },
    ..PLAIN
};

pub(super) static EVENT_DUPLICATED: Scenario = Scenario {
    name: "event-duplicated",
    about: "the event arrives twice: one drain, one completion, both messages deleted",
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 2, deleted: 2 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 60);
        world.delivery.duplication = 1.0;
        (world.delivery.delay_min, world.delivery.delay_max) = (secs(1), secs(1));
        world.work = work(6, 40);
    },
    ..PLAIN
};
