//! Stories that do not begin with a scale-in.

use crate::story::Moment::{self, InService, Rebooted, Start};
use crate::world::ActionResult::{Abandon, Continue};
use crate::world::{AgentMode, HookSpec, LifeCycle, Transition};
use machine::journal::Outcome::Drained;

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

const LISTENING: (&str, &str) = ("DRAINHOOK_QUEUE__LISTEN", "always");

pub(super) static SPOT: Scenario = Scenario {
    name: "spot-interruption",
    about: "EC2 interrupts a spot instance: IMDS says so two minutes ahead, and no hook runs",
    speed: 20,
    start: Deed::InterruptSpot,
    acts: &[Act { after: secs(120), moment: Start, deed: Deed::TakeBack }],
    expectations: &[
        E::Reason("spot_interruption"),
        E::Completed(&[]),
        E::Lost(0),
        E::NoReceive,
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.life_cycle = LifeCycle::Spot;
        world.work = work(6, 80);
    },
    ..PLAIN
};

pub(super) static REBALANCE: Scenario = Scenario {
    name: "rebalance",
    about: "EC2 recommends replacing a spot instance: with lifecycle.on_rebalance = \"drain\", it has drained when that happens",
    speed: 20,
    settings: &[("DRAINHOOK_LIFECYCLE__ON_REBALANCE", "drain")],
    start: Deed::RecommendRebalance,
    acts: &[Act { after: secs(90), moment: Start, deed: Deed::Replace }],
    expectations: &[
        E::Reason("rebalance_recommendation"),
        E::DrainedAhead(secs(60)),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained, Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.life_cycle = LifeCycle::Spot;
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static MAINTENANCE: Scenario = Scenario {
    name: "maintenance",
    about: "EC2 plans a reboot: the agent drains as late as its drain timeout allows, and returns when EC2 cancels the reboot",
    speed: 20,
    settings: &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "90s")],
    start: Deed::PlanReboot,
    acts: &[Act { after: secs(20), moment: Moment::Drained, deed: Deed::CancelReboot }],
    end: Moment::Returned,
    expectations: &[
        E::Reason("scheduled_maintenance"),
        E::Completed(&[]),
        E::Returned,
        E::NoReceive,
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.work = work(6, 40);
    },
    ..PLAIN
};

pub(super) static PROTECTION: Scenario = Scenario {
    name: "protection",
    about: "a busy instance is protected from scale-in: Auto Scaling picks it only once its agent has been idle for a while",
    speed: 20,
    settings: &[
        ("DRAINHOOK_PROTECTION__WHEN_BUSY", "true"),
        ("DRAINHOOK_PROTECTION__BUSY_FOR", "15s"),
        ("DRAINHOOK_PROTECTION__IDLE_FOR", "30s"),
    ],
    start: Deed::Work,
    acts: &[
        Act { after: secs(10), moment: Moment::Protected, deed: Deed::ScaleIn },
        Act { after: secs(70), moment: Moment::Protected, deed: Deed::Rest },
    ],
    expectations: &[
        E::PickedAfter(Moment::Lifted),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static STANDBY: Scenario = Scenario {
    name: "standby",
    about: "an instance goes into standby, with lifecycle.on_standby = \"drain\", and returns to service",
    speed: 20,
    settings: &[("DRAINHOOK_LIFECYCLE__ON_STANDBY", "drain")],
    start: Deed::EnterStandby,
    acts: &[Act { after: secs(20), moment: Moment::Drained, deed: Deed::ExitStandby }],
    end: Moment::Returned,
    expectations: &[E::Reason("standby"), E::Completed(&[]), E::Returned, E::Outcomes(&[Drained])],
    change: |world| {
        hook(world, 300);
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static DETACHMENT: Scenario = Scenario {
    name: "detachment",
    about: "an instance is detached, with lifecycle.on_detachment = \"drain\", and returns to service when it is attached again",
    settings: &[("DRAINHOOK_LIFECYCLE__ON_DETACHMENT", "drain")],
    start: Deed::Detach,
    acts: &[Act { after: secs(20), moment: Moment::Drained, deed: Deed::Attach }],
    end: Moment::Returned,
    expectations: &[E::Reason("detachment"), E::Completed(&[]), E::Returned, E::Outcomes(&[Drained])],
    change: |world| {
        hook(world, 300);
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static CAPACITY_RESERVATION: Scenario = Scenario {
    name: "capacity-reservation",
    about: "EC2 reclaims an interruptible capacity reservation: only a message says so, two minutes ahead, and no hook runs",
    speed: 20,
    settings: &[LISTENING],
    start: Deed::ReclaimCapacity,
    acts: &[Act { after: secs(120), moment: Start, deed: Deed::TakeBack }],
    expectations: &[
        E::Reason("capacity_interruption"),
        E::Completed(&[]),
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.work = work(6, 80);
    },
    ..PLAIN
};

pub(super) static CAPACITY_BLOCK: Scenario = Scenario {
    name: "capacity-block",
    about: "the Capacity Block of three instances ends: one message tells all of them, ten minutes before EC2 terminates them",
    speed: 40,
    limit: secs(900),
    settings: &[LISTENING, ("DRAINHOOK_LIFECYCLE__CAPACITY_RESERVATION", super::act::RESERVATION)],
    start: Deed::EndCapacityBlock,
    acts: &[Act { after: secs(600), moment: Start, deed: Deed::TakeBack }],
    expectations: &[E::Reason("capacity_block_end"), E::Completed(&[]), E::Lost(0), E::Outcomes(&[Drained])],
    change: |world| {
        hook(world, 300);
        world.instances = 3;
        world.work = work(6, 480);
    },
    ..PLAIN
};

pub(super) static LAUNCH: Scenario = Scenario {
    name: "launch",
    about: "an instance is launched: heartbeats keep it out of service until its agent is ready, 90 s after the start",
    speed: 20,
    settings: &[("DRAINHOOK_LAUNCH__HOOK", "warm-up")],
    start: Deed::Launch,
    acts: &[Act { after: secs(90), moment: Start, deed: Deed::AgentReady }],
    end: InService,
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedAfter(Start, secs(90)),
        E::Heartbeats { least: 2, most: 5 },
        E::NoReceive,
    ],
    change: |world| {
        world.hooks = vec![warm_up(60)];
        world.launching = true;
        world.agent_mode = AgentMode::Fails(503);
    },
    ..PLAIN
};

pub(super) static ROOT_VOLUME: Scenario = Scenario {
    name: "root-volume",
    about: "the root volume is replaced: the agent drains, the instance reboots without the journal, and is launched again",
    speed: 20,
    settings: &[LISTENING, ("DRAINHOOK_LAUNCH__HOOK", "warm-up")],
    start: Deed::ReplaceRootVolume,
    acts: &[
        Act { after: secs(0), moment: Rebooted, deed: Deed::KillDaemon },
        Act { after: secs(0), moment: Rebooted, deed: Deed::LoseJournal },
        Act { after: secs(10), moment: Rebooted, deed: Deed::StartDaemon },
        Act { after: secs(20), moment: Rebooted, deed: Deed::StartAgent },
    ],
    end: InService,
    expectations: &[
        E::Reason("root_volume_replacement"),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Exited(0),
        E::Outcomes(&[Drained]),
        E::DaemonStarts(2),
    ],
    change: |world| {
        hook(world, 120);
        world.hooks.push(warm_up(60));
        world.work = work(6, 60);
    },
    ..PLAIN
};

/// A launching hook whose action is abandoned if nothing completes it.
fn warm_up(heartbeat_timeout_s: u64) -> HookSpec {
    HookSpec {
        transition: Transition::Launching,
        default_result: Abandon,
        ..HookSpec::terminating("warm-up", secs(heartbeat_timeout_s))
    }
}
