//! The scenarios of `drainhook simulate`: what the world is like, what happens in it, and what must come out. Pure.

use std::fmt;
use std::time::Duration;

use super::story::Story;
use super::world::{ActionResult, HookSpec, ImdsMode, Work, WorldConfig};

/// A scale-in, and what must come out of it.
#[derive(Debug)]
pub struct Scenario {
    /// What users type.
    pub name: &'static str,
    /// One line for `--list`.
    pub about: &'static str,
    /// How fast time runs unless `--speed` says otherwise.
    pub speed: u32,
    /// How long it may take, in simulated time.
    pub limit: Duration,
    /// The daemon's settings, as environment variables.
    pub settings: &'static [(&'static str, &'static str)],
    /// Something that is done to the daemon.
    pub act: Option<Act>,
    /// What must come out.
    pub expectations: &'static [Expectation],
    change: fn(&mut WorldConfig),
}

/// Something that is done to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL when the agent has finished its first piece of work after it was told to drain; started again after
    /// this much simulated time.
    KillInMidDrain(Duration),
}

/// Something that must come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// The action was completed with CONTINUE, before it expired.
    Completed,
    /// Not before the agent was drained.
    CompletedDrained,
    /// At the deadline that the agent was told, not before and not much later.
    CompletedAtDeadline,
    /// So many pieces of work were lost.
    Lost(u32),
    /// Heartbeats that took effect.
    Heartbeats {
        /// At least.
        least: usize,
        /// At most.
        most: usize,
    },
    /// The agent was told so long before Wait, and had drained by then.
    DrainedAhead(Duration),
    /// The instance's message was received, and deleted in the end.
    MessageDeleted,
    /// No message was received.
    NoReceive,
    /// The daemon was started this often.
    DaemonStarts(u32),
}

/// How much later than the deadline a completion may come.
const DEADLINE_SLACK: Duration = Duration::from_secs(5);

impl Expectation {
    /// Whether it came out so.
    pub fn holds(self, story: &Story) -> bool {
        match self {
            Expectation::Completed => {
                story.completed.is_some_and(|(_, result)| result == ActionResult::Continue) && !story.expired
            }
            Expectation::CompletedDrained => story
                .completed
                .zip(story.drained)
                .is_some_and(|((completed, _), drained)| completed >= drained),
            Expectation::CompletedAtDeadline => {
                story.completed.zip(story.deadlines.last()).is_some_and(|((completed, _), deadline)| {
                    completed >= *deadline && completed.since(*deadline) <= DEADLINE_SLACK
                })
            }
            Expectation::Lost(count) => story.terminated.is_some_and(|(_, lost)| lost == count),
            Expectation::Heartbeats { least, most } => (least..=most).contains(&story.heartbeats.len()),
            Expectation::DrainedAhead(lead) => {
                let led =
                    story.told.zip(story.waited).is_some_and(|((told, _), wait)| wait.since(told) >= lead);
                led && story.drained.zip(story.waited).is_some_and(|(drained, wait)| drained < wait)
            }
            Expectation::MessageDeleted => story.receives > 0 && story.deletes > 0,
            Expectation::NoReceive => story.receives == 0,
            Expectation::DaemonStarts(count) => story.daemon_starts == count,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Completed => f.write_str("the lifecycle action is completed with CONTINUE"),
            Expectation::CompletedDrained => f.write_str("and not before the agent is drained"),
            Expectation::CompletedAtDeadline => f.write_str("at the deadline that the agent was told"),
            Expectation::Lost(0) => f.write_str("no work is lost"),
            Expectation::Lost(count) => {
                write!(f, "{count} piece of work is lost, which nothing could finish")
            }
            Expectation::Heartbeats { least, most } => write!(f, "{least} to {most} heartbeats"),
            Expectation::DrainedAhead(lead) => {
                write!(f, "the agent drains before Terminating:Wait, told {} s ahead or more", lead.as_secs())
            }
            Expectation::MessageDeleted => f.write_str("the instance's own message is received and deleted"),
            Expectation::NoReceive => f.write_str("no message is received"),
            Expectation::DaemonStarts(count) => write!(f, "the daemon is started {count} times"),
        }
    }
}

impl Scenario {
    /// The scenario of that name.
    pub fn find(name: &str) -> Option<&'static Scenario> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// The world that it plays in.
    pub fn world(&self, seed: u64) -> WorldConfig {
        let mut world = WorldConfig { seed, ..WorldConfig::default() };
        (self.change)(&mut world);
        world
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn hook(world: &mut WorldConfig, heartbeat_timeout_s: u64) {
    world.hooks = vec![HookSpec::terminating("drain", secs(heartbeat_timeout_s))];
}

fn work(items: u32, duration_s: u64) -> Work {
    Work { items, duration: secs(duration_s), ..Work::default() }
}

/// All scenarios; the first is the default.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "scale-in",
        about: "a worker with work in flight is scaled in",
        speed: 5,
        limit: secs(120),
        settings: &[],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::CompletedDrained,
            Expectation::Lost(0),
            Expectation::Heartbeats { least: 1, most: 2 },
            Expectation::MessageDeleted,
        ],
        change: |world| {
            hook(world, 30);
            world.work = work(8, 30);
        },
    },
    Scenario {
        name: "long-drain",
        about: "half an hour of work under a hook of five minutes: heartbeats keep the action alive",
        speed: 60,
        limit: secs(3600),
        settings: &[],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::CompletedDrained,
            Expectation::Lost(0),
            Expectation::Heartbeats { least: 9, most: 12 },
            Expectation::MessageDeleted,
        ],
        change: |world| {
            hook(world, 300);
            world.work = work(12, 1800);
        },
    },
    Scenario {
        name: "load-balancer",
        about: "the target group drains for 30 s first: drain at once, complete when Wait begins",
        speed: 10,
        limit: secs(300),
        settings: &[],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::DrainedAhead(secs(25)),
            Expectation::CompletedDrained,
            Expectation::Lost(0),
        ],
        change: |world| {
            hook(world, 300);
            world.load_balancer_drain = Some(secs(30));
            world.work = work(6, 15);
        },
    },
    Scenario {
        name: "no-queue",
        about: "no queue is configured: the first heartbeat to succeed says that Wait has begun",
        speed: 20,
        limit: secs(600),
        settings: &[],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::CompletedDrained,
            Expectation::Lost(0),
            Expectation::Heartbeats { least: 1, most: 3 },
            Expectation::NoReceive,
        ],
        change: |world| {
            hook(world, 120);
            world.queue = None;
            world.work = work(6, 90);
        },
    },
    Scenario {
        name: "queue-only",
        about: "IMDS is switched off: after a minute the queue is listened to instead",
        speed: 20,
        limit: secs(600),
        settings: &[],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::CompletedDrained,
            Expectation::Lost(0),
            Expectation::MessageDeleted,
        ],
        change: |world| {
            hook(world, 300);
            world.imds.mode = ImdsMode::Refuses;
            world.work = work(6, 60);
        },
    },
    Scenario {
        name: "agent-hangs",
        about: "one piece of work never ends: the deadline does, and what can be saved is",
        speed: 20,
        limit: secs(600),
        settings: &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "2m")],
        act: None,
        expectations: &[
            Expectation::Completed,
            Expectation::CompletedAtDeadline,
            Expectation::Lost(1),
            Expectation::Heartbeats { least: 3, most: 5 },
            Expectation::MessageDeleted,
        ],
        change: |world| {
            hook(world, 60);
            world.work = Work { stuck: 1, ..work(4, 60) };
        },
    },
    Scenario {
        name: "daemon-killed",
        about: "SIGKILL in mid-drain, started again: the drain goes on with the deadline that it had",
        speed: 5,
        limit: secs(300),
        settings: &[],
        act: Some(Act::KillInMidDrain(secs(10))),
        expectations: &[
            Expectation::DaemonStarts(2),
            Expectation::Completed,
            Expectation::CompletedDrained,
            Expectation::Lost(0),
            Expectation::MessageDeleted,
        ],
        change: |world| {
            hook(world, 60);
            world.work = work(6, 40);
        },
    },
];
