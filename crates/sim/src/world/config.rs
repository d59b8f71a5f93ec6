//! What a simulated world starts with.

use std::time::Duration;

use super::agent::{AgentMode, Work};
use super::group::{GLOBAL_TIMEOUT_MAX, HookSpec};

/// Everything that a scenario can choose. `Default` is a world that behaves as AWS does on a good day.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Two worlds with one seed and the same calls behave the same.
    pub seed: u64,
    /// The Region.
    pub region: String,
    /// The account.
    pub account: String,
    /// The name of the group that exists from the start.
    pub group: String,
    /// How many instances it has, in service from the start.
    pub instances: u32,
    /// Its hooks.
    pub hooks: Vec<HookSpec>,
    /// The queue that an EventBridge rule feeds with its lifecycle events.
    pub queue: Option<String>,
    /// `TerminateHookAbandon` of its InstanceLifecyclePolicy is `retain`.
    pub retain_on_abandon: bool,
    /// Scale-in puts its instances into a warm pool, where they keep running (`ReuseOnScaleIn`, `PoolState` Running).
    pub warm_pool: bool,
    /// It is behind a load balancer, whose draining takes this long.
    pub load_balancer_drain: Option<Duration>,
    /// How several hooks of one transition run.
    pub hook_order: HookOrder,
    /// The longest that an action lasts, whatever its heartbeats. AWS's is 48 hours.
    pub global_timeout_max: Duration,
    /// How long Auto Scaling takes for its steps.
    pub timing: Timing,
    /// How events reach a queue.
    pub delivery: Delivery,
    /// How the instances' metadata service behaves.
    pub imds: ImdsConfig,
    /// What every agent is working on.
    pub work: Work,
    /// Whether every agent answers, at first.
    pub agent_mode: AgentMode,
    /// Every agent exits when it has drained, without having said so.
    pub agent_exits: bool,
    /// The bucket that all Auto Scaling calls of the account share.
    pub throttle: Option<Throttle>,
    /// IAM actions that no caller is allowed, such as `sqs:ReceiveMessage`.
    pub denied: Vec<String>,
    /// Whether the world tells of each time that a message is received or hidden. In a fleet that shares a queue there is
    /// more of that than of all the rest.
    pub tells_hand_outs: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        WorldConfig {
            seed: 1,
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            group: "workers".to_owned(),
            instances: 1,
            hooks: vec![HookSpec::terminating("drain", Duration::from_secs(300))],
            queue: Some("workers-termination".to_owned()),
            retain_on_abandon: false,
            warm_pool: false,
            load_balancer_drain: None,
            hook_order: HookOrder::Concurrent,
            global_timeout_max: GLOBAL_TIMEOUT_MAX,
            timing: Timing::default(),
            delivery: Delivery::default(),
            imds: ImdsConfig::default(),
            work: Work::default(),
            agent_mode: AgentMode::Answers,
            agent_exits: false,
            throttle: None,
            denied: Vec::new(),
            tells_hand_outs: true,
        }
    }
}

/// How several hooks of one transition run. AWS does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOrder {
    /// All wait at once; the instance goes on when the last one is done.
    Concurrent,
    /// One after the other, by name.
    Chained,
}

/// How long Auto Scaling takes for its steps. The defaults follow a recorded termination.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the launch to InService, and from Pending:Proceed to InService.
    pub launch: Duration,
    /// From the decision to Terminating.
    pub terminating: Duration,
    /// From Terminating, or the end of the load balancer's draining, to Terminating:Wait.
    pub wait: Duration,
    /// From Terminating:Proceed to Terminated.
    pub terminated: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            launch: Duration::from_millis(800),
            terminating: Duration::from_millis(300),
            wait: Duration::from_secs(2),
            terminated: Duration::from_secs(5),
        }
    }
}

/// How events reach a queue. Probabilities are from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// The shortest delay.
    pub delay_min: Duration,
    /// The longest delay.
    pub delay_max: Duration,
    /// How likely an event never arrives.
    pub loss: f64,
    /// How likely an event arrives twice.
    pub duplication: f64,
    /// How likely a receive does not start with the oldest message.
    pub reordering: f64,
    /// How likely a message that was deleted can be received once more.
    pub redelivery: f64,
    /// Lifecycle events and notifications leave this world for another server's queue: they are taken by
    /// [`World::take_outgoing`](super::World::take_outgoing), and nothing of the above applies to them.
    pub outside: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery {
            delay_min: Duration::from_millis(500),
            delay_max: Duration::from_secs(2),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            redelivery: 0.0,
            outside: false,
        }
    }
}

/// How the instances' metadata service behaves at first.
#[derive(Debug, Clone, Copy)]
pub struct ImdsConfig {
    /// Whether it answers.
    pub mode: ImdsMode,
    /// When `target-lifecycle-state` becomes `Terminated`.
    pub flip: ImdsFlip,
    /// InstanceMetadataTags is enabled.
    pub tags: bool,
    /// How long the role's credentials are good for; new ones are there after half of that. AWS SDKs go by the wall
    /// clock, so this is for worlds in real time. `None`: they are said to last six hours, and are never refused.
    pub credentials_last: Option<Duration>,
}

impl Default for ImdsConfig {
    fn default() -> Self {
        ImdsConfig {
            mode: ImdsMode::Answers,
            flip: ImdsFlip::AfterTerminating(Duration::ZERO),
            tags: true,
            credentials_last: None,
        }
    }
}

/// Whether the metadata service of an instance answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImdsMode {
    /// It answers.
    Answers,
    /// It answers, but has no `autoscaling/target-lifecycle-state`.
    WithoutTargetState,
    /// HttpEndpoint is disabled: every request is answered with 403.
    Disabled,
    /// Connections are refused.
    Refuses,
    /// Requests vanish, as they do for a container behind a hop limit of 1.
    Hangs,
}

/// When `target-lifecycle-state` becomes `Terminated`. AWS does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImdsFlip {
    /// This long after Terminating: it leads Wait by the load balancer's draining.
    AfterTerminating(Duration),
    /// This long after Terminating:Wait.
    AfterWait(Duration),
}

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    /// How many calls may come at once.
    pub burst: u32,
    /// How many calls per second are let through after that.
    pub per_second: f64,
}
