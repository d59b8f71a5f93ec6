//! Ordinary scale-ins.

use crate::story::Moment;
use crate::world::ActionResult::Continue;
use crate::world::{ImdsMode, TargetGroupSpec};
use machine::journal::Outcome::Drained;

use super::{Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static SCALE_IN: Scenario = Scenario {
    name: "scale-in",
    about: "an instance whose agent has work in flight is scaled in",
    speed: 5,
    // Heartbeats can keep this hook's action alive for 50 minutes.
    settings: &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "30m")],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Heartbeats { least: 1, most: 2 },
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 30);
        world.work = work(8, 30);
    },
    ..PLAIN
};

pub(super) static LONG_DRAIN: Scenario = Scenario {
    name: "long-drain",
    about: "half an hour of work, and a hook with a timeout of 5 minutes: heartbeats keep the action alive",
    speed: 150,
    limit: secs(3600),
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Heartbeats { least: 9, most: 12 },
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.work = work(12, 1800);
    },
    ..PLAIN
};

pub(super) static LOAD_BALANCER: Scenario = Scenario {
    name: "load-balancer",
    about: "the target group drains for a minute: the agent drains meanwhile, and completion follows in Wait",
    speed: 25,
    expectations: &[
        E::Completed(&[Continue]),
        E::DrainedAhead(secs(40)),
        E::CompletedDrained,
        E::Lost(0),
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.load_balancer_drain = Some(secs(60));
        world.work = work(6, 15);
    },
    ..PLAIN
};

pub(super) static TARGET_GROUP: Scenario = Scenario {
    name: "target-group",
    about: "a web agent behind a target group that the group does not manage: it is deregistered, and the completion waits",
    speed: 25,
    settings: &[
        (
            "DRAINHOOK_TARGET_GROUP__ARN",
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0000000000000001",
        ),
        ("DRAINHOOK_TARGET_GROUP__TIMEOUT", "5m"),
    ],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::CompletedAfter(Moment::TargetUnused, secs(0)),
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(6, 20);
        world.target_groups = vec![TargetGroupSpec { name: "web".to_owned(), port: 80, delay: secs(90) }];
    },
    ..PLAIN
};

pub(super) static NO_QUEUE: Scenario = Scenario {
    name: "no-queue",
    about: "no queue is configured: the first heartbeat that succeeds shows that Wait has begun",
    speed: 40,
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Heartbeats { least: 1, most: 3 },
        E::NoReceive,
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.queue = None;
        world.work = work(6, 90);
    },
    ..PLAIN
};

pub(super) static QUEUE_ONLY: Scenario = Scenario {
    name: "queue-only",
    about: "IMDS refuses connections: after a minute the daemon polls the queue instead",
    speed: 50,
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.imds.mode = ImdsMode::Refuses;
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static MANY: Scenario = Scenario {
    name: "many",
    about: "20 instances at once, each with its own daemon, share one queue",
    speed: 15,
    expectations: &[E::Completed(&[Continue]), E::CompletedDrained, E::Lost(0), E::Outcomes(&[Drained])],
    change: |world| {
        hook(world, 300);
        world.instances = 20;
        world.delivery.reordering = 0.5;
        world.work = work(4, 40);
    },
    ..PLAIN
};
