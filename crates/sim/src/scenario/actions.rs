//! Lifecycle actions that another caller changes, and calls that AWS rejects.

use crate::story::Moment;
use crate::world::ActionResult::{Abandon, Continue};
use crate::world::{HookSpec, Work, WorldConfig};
use machine::journal::Outcome::{Drained, Overtaken};

use super::{Act, Deed, Expectation as E, PLAIN, Scenario, hook, secs, work};

pub(super) static THROTTLED: Scenario = Scenario {
    name: "throttled",
    about: "calls are throttled when the hook is read, when a heartbeat is due, and when the agent has drained",
    speed: 60,
    acts: &[
        Act { after: secs(0), moment: Moment::ScaleIn, deed: Deed::UseUpCalls },
        Act { after: secs(12), moment: Moment::ScaleIn, deed: Deed::LeaveCalls },
        Act { after: secs(140), moment: Moment::ScaleIn, deed: Deed::UseUpCalls },
        Act { after: secs(200), moment: Moment::ScaleIn, deed: Deed::LeaveCalls },
        Act { after: secs(250), moment: Moment::ScaleIn, deed: Deed::UseUpCalls },
        Act { after: secs(30), moment: Moment::Drained, deed: Deed::LeaveCalls },
    ],
    expectations: &[
        E::Throttled(3),
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::CompletedAfter(Moment::Drained, secs(30)),
        E::Lost(0),
        E::Heartbeats { least: 1, most: 3 },
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        hook(world, 300);
        world.work = work(5, 280);
    },
    ..PLAIN
};

pub(super) static TWO_HOOKS: Scenario = Scenario {
    name: "two-hooks",
    about: "another program has a hook too: the daemon completes its own and ignores the other's message",
    speed: 30,
    settings: &[("DRAINHOOK_LIFECYCLE__HOOK", "drain")],
    acts: &[Act { after: secs(15), moment: Moment::Drained, deed: Deed::Complete("logs") }],
    expectations: &[
        E::Completed(&[Continue]),
        E::CompletedDrained,
        E::Lost(0),
        E::Messages { sent: 2, deleted: 1 },
        E::Outcomes(&[Drained]),
    ],
    change: |world| {
        world.hooks =
            vec![HookSpec::terminating("drain", secs(120)), HookSpec::terminating("logs", secs(300))];
        world.work = work(6, 45);
    },
    ..PLAIN
};

/// The agent never finishes, and the instance takes a minute to shut down. When another caller ends the action during the
/// drain, the daemon therefore still runs and can notice.
fn slow_to_go(world: &mut WorldConfig) {
    hook(world, 90);
    world.timing.terminated = secs(60);
    world.work = Work { stuck: 1, ..work(4, 40) };
}

pub(super) static HOOK_DELETED: Scenario = Scenario {
    name: "hook-deleted",
    about: "the hook is deleted during the drain, which ends its action: the daemon notices and says so",
    speed: 40,
    acts: &[Act { after: secs(5), moment: Moment::FirstWorkFinished, deed: Deed::DeleteHook("drain") }],
    expectations: &[E::Released, E::Lost(1), E::Messages { sent: 1, deleted: 1 }, E::Outcomes(&[Overtaken])],
    change: slow_to_go,
    ..PLAIN
};

pub(super) static OVERTAKEN: Scenario = Scenario {
    name: "overtaken",
    about: "an operator completes the action in the console: the daemon notices and completes nothing",
    speed: 40,
    acts: &[Act { after: secs(5), moment: Moment::FirstWorkFinished, deed: Deed::Complete("drain") }],
    expectations: &[
        E::Completed(&[Continue]),
        E::Lost(1),
        E::Messages { sent: 1, deleted: 1 },
        E::Outcomes(&[Overtaken]),
    ],
    change: slow_to_go,
    ..PLAIN
};

pub(super) static DEFAULT_RESULT: Scenario = Scenario {
    name: "default-result",
    about: "the role lacks permission to complete: the log names the permission, and the action expires",
    speed: 60,
    expectations: &[
        E::WarnedOnce("allow autoscaling:CompleteLifecycleAction in the role's policy"),
        E::Expired(Abandon),
        E::Lost(0),
        E::Messages { sent: 1, deleted: 0 },
    ],
    change: |world| {
        hook(world, 180);
        world.denied = vec!["autoscaling:CompleteLifecycleAction".to_owned()];
        world.work = work(4, 30);
    },
    ..PLAIN
};
