//! Agents that misbehave.

use crate::story::Moment;
use crate::world::ActionResult::{Abandon, Continue};
use crate::world::{AgentMode, Work};
use machine::journal::Outcome::{Deadline, Drained, Failed};

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static HANGS: Scenario = Scenario {
    name: "agent-hangs",
    about: "one work item never finishes: the drain ends at its deadline, and no other work is lost",
    speed: 40,
    settings: &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "2m")],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedAtDeadline,
        E::Lost(1),
        E::Heartbeats { least: 2, most: 3 },
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Deadline]),
    ],
    change: |world| {
        hook(world, 90);
        world.work = Work { stuck: 1, ..work(4, 60) };
    },
    ..PLAIN
};

pub(super) static REFUSES: Scenario = Scenario {
    name: "agent-refuses",
    about: "the agent refuses connections: after the grace period the drain fails, here with ABANDON",
    speed: 40,
    settings: &[("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "60s"), ("DRAINHOOK_LIFECYCLE__ON_FAILED", "ABANDON")],
    expectations: &[
        E::Completed(&[Abandon]),
        E::CompletedAfter(Moment::Noticed, secs(60)),
        E::Lost(4),
        E::Warned("connection refused"),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Failed]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(4, 60);
        world.agent_mode = AgentMode::Refuses;
    },
    ..PLAIN
};

pub(super) static CRASHES: Scenario = Scenario {
    name: "agent-crashes",
    about: "the agent crashes during the drain and stays down: after the grace period the drain fails",
    speed: 40,
    settings: &[("DRAINHOOK_AGENT__UNREACHABLE_GRACE", "60s")],
    acts: &[Act { after: secs(5), moment: Moment::FirstWorkFinished, deed: Deed::CrashAgent }],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedAfter(Moment::AgentExited, secs(60)),
        E::Lost(0),
        E::Warned("/drain"),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Failed]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(8, 80);
    },
    ..PLAIN
};

pub(super) static RESTARTS: Scenario = Scenario {
    name: "agent-restarts",
    about: "the agent crashes during the drain and is restarted: it is told to drain again, and drains",
    speed: 40,
    acts: &[
        Act { after: secs(5), moment: Moment::FirstWorkFinished, deed: Deed::CrashAgent },
        Act { after: secs(15), moment: Moment::AgentExited, deed: Deed::StartAgent },
    ],
    expectations: &[
        E::Completed(&[Continue]),
        E::ToldAgain,
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(6, 60);
    },
    ..PLAIN
};

pub(super) static EXITS: Scenario = Scenario {
    name: "agent-exits",
    about: "the agent exits once it has drained, without saying so, as on_exit = \"drained\" allows",
    speed: 30,
    settings: &[("DRAINHOOK_AGENT__ON_EXIT", "drained")],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedAfter(Moment::AgentExited, secs(0)),
        E::Lost(0),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 120);
        world.work = work(6, 45);
        world.agent_exits = true;
    },
    ..PLAIN
};
