//! A pure, seeded model of what surrounds a drain: Auto Scaling, EventBridge, SQS, IMDS, and an agent with work.
//!
//! The world reads no clock. Every call passes the current time, and the world first catches up to it.
//!
//! # Layout
//!
//! - `config`: the configuration of a world
//! - `group`: groups and hooks; `capacity`: launching and scaling in
//! - `lifecycle`: an instance's path from Pending to Terminated; `pool`: into a warm pool and back; `volume`: a new root volume
//! - `protection`: protects instances from scale-in
//! - `membership`: moves an instance from one group to another
//! - `action`: heartbeats and completions; `throttle`: throttled calls
//! - `delivery`: events and notifications on their way; `queue`, `message`: SQS; `receipt`: its receipt handles
//! - [`warning`]: EC2's warnings about reserved capacity
//! - `balancer`: target groups of a load balancer
//! - `imds`: the metadata service; `notices`: what it says of EC2's plans; `role`: its credentials
//! - `agent`: the agent; `process`: how its process ends and starts
//! - `roster`: instances by their ids; `hex`: the numbers in ids
//! - `happening`: what a world tells its observers; `activity`: a group's scaling activities
//! - `error`: errors, as AWS returns them

mod action;
mod activity;
mod agent;
mod balancer;
mod capacity;
mod config;
mod delivery;
mod error;
mod group;
mod happening;
mod hex;
mod imds;
mod instance;
mod lifecycle;
mod membership;
mod message;
mod notices;
mod pool;
mod process;
mod protection;
mod queue;
mod receipt;
mod role;
mod roster;
mod throttle;
mod volume;
pub mod warning;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::schedule::Schedule;
use machine::Time;

pub use action::{ActionRef, ActionView};
pub use activity::{Activity, ActivityStatus};
pub use agent::{AgentAnswer, AgentMode, AgentState, AgentView, Rhythm, Work};
pub use balancer::{Health, TargetGroupSpec, TargetGroupView, TargetRef, TargetView};
pub use config::{
    Delivery, HookOrder, ImdsConfig, ImdsFlip, ImdsMode, LifeCycle, Throttle, Timing, WorldConfig,
};
pub use delivery::Outgoing;
pub use error::ApiError;
pub use group::{ActionResult, GroupSpec, GroupView, HookSpec, Transition};
pub use happening::Happening;
pub use imds::ImdsAnswer;
pub use instance::{InstanceView, LifecycleState};
pub use message::ReceivedMessage;
pub use queue::{QueueSpec, QueueView};
pub use roster::ByInstance;

use balancer::TargetGroup;
use delivery::OnItsWay;
use group::Group;
use instance::Instance;
use queue::Queue;
use role::AccessKey;
use throttle::Bucket;

/// How many untaken happenings are kept. After that, the oldest are dropped.
const HAPPENINGS_MAX: usize = 1_000_000;

/// A simulated AWS account in one Region, with its instances and their agents.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    now: Time,
    rng: fastrand::Rng,
    wakes: Schedule<Wake>,
    groups: BTreeMap<String, Group>,
    instances: ByInstance<Instance>,
    /// The instance that each open lifecycle action belongs to, by the number in the action's token.
    tokens: BTreeMap<u128, String>,
    /// The access keys of roles' credentials, including those that expired.
    access_keys: BTreeMap<String, AccessKey>,
    queues: BTreeMap<String, Queue>,
    /// By `TargetGroupArn`.
    target_groups: BTreeMap<String, TargetGroup>,
    /// The queue that each group's EventBridge rule feeds.
    rules: BTreeMap<String, String>,
    activities: Vec<Activity>,
    bucket: Option<Bucket>,
    outgoing: Vec<Outgoing>,
    happenings: VecDeque<(Time, Happening)>,
    version: u64,
    roster_version: u64,
}

/// Something that will happen at a known time unless the world changes first.
#[derive(Debug)]
enum Wake {
    Launched { instance: String },
    Terminating { instance: String },
    Wait { instance: String },
    ActionDue { instance: String, token: String },
    InService { instance: String },
    Pooled { instance: String },
    VolumeWait { instance: String },
    Reboot { instance: String },
    Terminated { instance: String },
    ImdsFlip { instance: String, target: &'static str },
    Deliver(Box<OnItsWay>),
    Visible { queue: Arc<str>, message: u64 },
    MessageExpired { queue: Arc<str>, message: u64 },
    WorkDone { instance: String, drain: u32 },
    TargetUnused { arn: String, target: (String, u16) },
}

impl World {
    /// Creates a world at `now`, with its instances in service.
    pub fn new(config: WorldConfig, now: Time) -> Self {
        let mut world = World {
            rng: fastrand::Rng::with_seed(config.seed),
            bucket: config.throttle.map(|limits| Bucket::new(limits, now)),
            now,
            wakes: Schedule::default(),
            groups: BTreeMap::new(),
            instances: ByInstance::default(),
            tokens: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            queues: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            rules: BTreeMap::new(),
            activities: Vec::new(),
            outgoing: Vec::new(),
            happenings: VecDeque::new(),
            version: 0,
            roster_version: 0,
            config,
        };
        world.populate();
        world
    }

    /// The configuration that the world started with.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The time up to which everything has happened.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets everything happen that is due by `now`. Time never goes back.
    pub fn advance(&mut self, now: Time) {
        while let Some((at, wake)) = self.wakes.pop_due(now) {
            self.now = self.now.max(at);
            self.version += 1;
            self.fire(wake);
        }
        self.now = self.now.max(now);
    }

    /// When the world changes next unless it is called.
    pub fn next_wake(&self) -> Option<Time> {
        self.wakes.next_at()
    }

    /// Takes everything that happened since the last call, in order.
    pub fn take_happenings(&mut self) -> VecDeque<(Time, Happening)> {
        std::mem::take(&mut self.happenings)
    }

    /// Takes the first happening that was not taken yet.
    pub fn next_happening(&mut self) -> Option<(Time, Happening)> {
        self.happenings.pop_front()
    }

    /// Grows with every change. The same number means that nothing has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows with every launch and every termination.
    pub fn roster_version(&self) -> u64 {
        self.roster_version
    }

    fn fire(&mut self, wake: Wake) {
        match wake {
            Wake::Launched { instance } => self.launched(&instance),
            Wake::Terminating { instance } => self.terminating(&instance),
            Wake::Wait { instance } => self.terminating_wait(&instance),
            Wake::ActionDue { instance, token } => self.action_due(&instance, &token),
            Wake::InService { instance } => self.in_service(&instance),
            Wake::Pooled { instance } => self.pooled(&instance),
            Wake::VolumeWait { instance } => self.volume_wait(&instance),
            Wake::Reboot { instance } => self.reboot(&instance),
            Wake::Terminated { instance } => self.terminated(&instance),
            Wake::ImdsFlip { instance, target } => self.imds_flip(&instance, target),
            Wake::Deliver(message) => self.arrive(*message),
            Wake::Visible { queue, message } => self.message_visible(&queue, message),
            Wake::MessageExpired { queue, message } => self.message_expired(&queue, message),
            Wake::WorkDone { instance, drain } => self.work_done(&instance, drain),
            Wake::TargetUnused { arn, target } => self.target_unused(&arn, &target),
        }
    }

    fn schedule(&mut self, at: Time, wake: Wake) {
        self.version += 1;
        self.wakes.plan(at, wake);
    }

    fn log(&mut self, happening: Happening) {
        self.version += 1;
        if self.happenings.len() == HAPPENINGS_MAX {
            self.happenings.pop_front();
        }
        self.happenings.push_back((self.now, happening));
    }

    /// A random UUID, from the world's seed.
    fn uuid(&mut self) -> String {
        let bits = self.rng.u128(..);
        let hex = format!("{bits:032x}");
        // The version and the variant of a random UUID have fixed places.
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests;
