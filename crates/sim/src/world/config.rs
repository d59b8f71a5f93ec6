//! The configuration of a simulated world.

use std::time::Duration;

use super::agent::{AgentMode, Rhythm, Work};
use super::balancer::TargetGroupSpec;
use super::group::{GLOBAL_TIMEOUT_MAX, HookSpec};

/// Everything that a scenario can choose. `Default` is a world without faults.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Two worlds with the same seed and the same calls behave the same.
    pub seed: u64,
    /// The Region.
    pub region: String,
    /// The account.
    pub account: String,
    /// The name of the group that exists at the start.
    pub group: String,
    /// How many instances it has, all in service at the start.
    pub instances: u32,
    /// At the start they are not in service yet, but run the launching hooks.
    pub launching: bool,
    /// Its hooks.
    pub hooks: Vec<HookSpec>,
    /// The queue that an EventBridge rule feeds with its lifecycle events.
    pub queue: Option<String>,
    /// `TerminateHookAbandon` of its InstanceLifecyclePolicy is `retain`.
    pub retain_on_abandon: bool,
    /// Scale-in puts its instances into a warm pool, where they keep running (`ReuseOnScaleIn`, `PoolState` Running).
    pub warm_pool: bool,
    /// It is behind a load balancer that drains for this long.
    pub load_balancer_drain: Option<Duration>,
    /// Target groups that the group does not manage. Its first instances are their targets.
    pub target_groups: Vec<TargetGroupSpec>,
    /// Target groups that the group manages, by name. Only descriptions show them.
    pub managed: Vec<String>,
    /// How several hooks of one transition run.
    pub hook_order: HookOrder,
    /// The longest that an action lasts, however many heartbeats it gets. In AWS, 48 hours.
    pub global_timeout_max: Duration,
    /// How long Auto Scaling takes for its steps.
    pub timing: Timing,
    /// How events reach a queue.
    pub delivery: Delivery,
    /// How the instances are bought.
    pub life_cycle: LifeCycle,
    /// How the metadata service of the instances behaves.
    pub imds: ImdsConfig,
    /// The work of every agent.
    pub work: Work,
    /// When the agents have work while they serve. `None`: always.
    pub rhythm: Option<Rhythm>,
    /// Whether the agents answer at first.
    pub agent_mode: AgentMode,
    /// Every agent exits once it has drained, without saying that it has.
    pub agent_exits: bool,
    /// The token bucket that all Auto Scaling calls of the account share.
    pub throttle: Option<Throttle>,
    /// IAM actions that no caller is allowed, such as `sqs:ReceiveMessage`.
    pub denied: Vec<String>,
    /// Whether to report every receive and every change of visibility. In a fleet with a shared queue, these outnumber all
    /// other happenings.
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
            launching: false,
            hooks: vec![HookSpec::terminating("drain", Duration::from_secs(300))],
            queue: Some("workers-termination".to_owned()),
            retain_on_abandon: false,
            warm_pool: false,
            load_balancer_drain: None,
            target_groups: Vec::new(),
            managed: Vec::new(),
            hook_order: HookOrder::Concurrent,
            global_timeout_max: GLOBAL_TIMEOUT_MAX,
            timing: Timing::default(),
            delivery: Delivery::default(),
            life_cycle: LifeCycle::OnDemand,
            imds: ImdsConfig::default(),
            work: Work::default(),
            rhythm: None,
            agent_mode: AgentMode::Answers,
            agent_exits: false,
            throttle: None,
            denied: Vec::new(),
            tells_hand_outs: true,
        }
    }
}

/// How several hooks of one transition run. AWS does not document it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookOrder {
    /// All at once. The instance proceeds when the last one is done.
    Concurrent,
    /// One after another, by name.
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
    /// The probability that an event never arrives.
    pub loss: f64,
    /// The probability that an event arrives twice.
    pub duplication: f64,
    /// The probability that a receive does not start with the oldest message.
    pub reordering: f64,
    /// The probability that a deleted message can be received once more.
    pub redelivery: f64,
    /// Lifecycle events and notifications go to another server's queue.
    /// [`World::take_outgoing`](super::World::take_outgoing) returns them, and none of the settings above apply.
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

/// How an instance was bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeCycle {
    /// EC2 does not interrupt it.
    OnDemand,
    /// EC2 may interrupt it.
    Spot,
    /// It runs in a Capacity Block. AWS does not document whether IMDS says so.
    CapacityBlock,
}

impl LifeCycle {
    /// As `instance-life-cycle` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            LifeCycle::OnDemand => "on-demand",
            LifeCycle::Spot => "spot",
            LifeCycle::CapacityBlock => "capacity-block",
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
    /// Whether InstanceMetadataTags is enabled.
    pub tags: bool,
    /// How long the role's credentials are valid. New ones appear after half of that. AWS SDKs go by the wall clock, so
    /// this is for worlds in real time. `None`: they claim to last six hours and are never refused.
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
    /// Requests get no answer, as in a container behind a hop limit of 1.
    Hangs,
}

/// When `target-lifecycle-state` becomes `Terminated`. AWS does not document it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImdsFlip {
    /// This long after Terminating. It then leads Wait by the time that the load balancer drains.
    AfterTerminating(Duration),
    /// This long after Terminating:Wait.
    AfterWait(Duration),
}

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    /// How many calls may come at once.
    pub burst: u32,
    /// How many calls per second it admits after that.
    pub per_second: f64,
}
