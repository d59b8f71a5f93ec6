//! The machine's settings. They never change after the start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::CompletionResult;
use super::journal::Outcome;
use super::targets::TargetName;
use super::time::Time;

/// The settings, from the configuration and this instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This instance.
    pub instance_id: String,
    /// The id of this boot, if known. Agents do not survive a reboot.
    pub boot_id: Option<String>,
    /// When this boot began, by the clock that the machine's time follows. A different value in the same boot means that the
    /// clock was corrected.
    pub booted_at: Option<Time>,
    /// The instance's group, if the configuration or the instance's tags name it.
    pub group: Option<String>,
    /// The agents to drain. At least one.
    pub agents: Vec<AgentSettings>,
    /// The after steps, in order.
    pub after: Vec<StepSettings>,
    /// The targets to deregister.
    pub targets: Vec<TargetSettings>,
    /// Whether there is a termination queue.
    pub queue: bool,
    /// `ACCOUNT/NAME` of that queue. A hook that notifies it is ours.
    pub queue_name: Option<String>,
    /// When to ask that queue. Without a queue it means nothing.
    pub listen: Listen,
    /// The capacity reservation that the instance runs in, if known: `cr-…`.
    pub capacity_reservation: Option<String>,
    /// The hook to complete. `None`: see [`hook::choose`](super::hook::choose).
    pub hook: Option<String>,
    /// The heartbeat timeout to assume if the hook cannot be read.
    pub heartbeat_timeout: Option<Duration>,
    /// When draining starts.
    pub drain_at: DrainAt,
    /// The result to report for `drained`.
    pub on_drained: CompletionResult,
    /// The result to report for `deadline`.
    pub on_deadline: CompletionResult,
    /// The result to report for `failed`.
    pub on_failed: CompletionResult,
    /// What to do about a rebalance recommendation.
    pub on_rebalance: OnNotice,
    /// What to do while the instance is in standby.
    pub on_standby: OnNotice,
    /// What to do while the instance is detached from its group.
    pub on_detachment: OnNotice,
    /// The launching hook, if there is one to complete.
    pub launch: Option<LaunchSettings>,
    /// How the instance is protected from scale-in while its agents are busy. `None`: it is not.
    pub protection: Option<ProtectionSettings>,
}

/// How a launching hook is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchSettings {
    /// `LifecycleHookName`
    pub hook: String,
    /// How many times in a row all agents must be ready.
    pub times: u8,
    /// After this time the action is abandoned, and Auto Scaling replaces the instance.
    pub timeout: Duration,
}

/// When the instance is protected from scale-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionSettings {
    /// It is protected once there has been work in flight for this long.
    pub busy_for: Duration,
    /// The protection is lifted once there has been none for this long.
    pub idle_for: Duration,
    /// The protection is lifted after this time in any case.
    pub longest: Duration,
}

impl Settings {
    /// The result to report for an outcome.
    pub fn result_for(&self, outcome: Outcome) -> CompletionResult {
        match outcome {
            Outcome::Drained => self.on_drained,
            Outcome::Failed => self.on_failed,
            // `Finished` uses the operator's result. `Withdrawn` and `Overtaken` complete nothing.
            Outcome::Deadline | Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => {
                self.on_deadline
            }
        }
    }

    /// The longest time from the first order to drain to the last agent's deadline: agents with one order drain together, and
    /// those with another order one after the other.
    pub fn drain_timeout(&self) -> Duration {
        let mut longest: BTreeMap<u8, Duration> = BTreeMap::new();
        for AgentSettings { order, drain_timeout, .. } in &self.agents {
            let of_order = longest.entry(*order).or_default();
            *of_order = (*of_order).max(*drain_timeout);
        }
        longest.values().sum()
    }
}

/// One agent.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Its name in the configuration.
    pub name: String,
    /// How long it may take to drain.
    pub drain_timeout: Duration,
    /// How long it may be unreachable before it counts as failed.
    pub unreachable_grace: Duration,
    /// It is told to drain once all agents with a lower order have an outcome.
    pub order: u8,
    /// What it means if it exits while draining.
    pub on_exit: OnExit,
    /// The pause between status requests if it does not honor `Prefer: wait`.
    pub poll: Duration,
    /// What it does with the drain request.
    pub protocol: Protocol,
    /// For an agent that reports only how much is in flight: it has drained once every status for this long has said 0. Its
    /// status is requested once it has accepted the drain request, whatever its protocol.
    pub zero_for: Option<Duration>,
    /// How long before its deadline its work is ended by a force step. `None`: it has none.
    pub force: Option<Duration>,
}

impl AgentSettings {
    /// Whether its answer to the drain request says that it has drained. If not, its status says so.
    pub fn answers_when_drained(&self) -> bool {
        self.protocol.blocks() && self.zero_for.is_none()
    }
}

/// One after step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSettings {
    /// What logs call it.
    pub name: String,
    /// How long it may run.
    pub timeout: Duration,
}

/// A target of a target group that the Auto Scaling group does not manage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// What logs call its target group.
    pub name: String,
    /// The target.
    pub target: TargetName,
    /// How long a drain waits for the load balancer, from the deregistration.
    pub timeout: Duration,
}

/// What an agent does with the drain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// It answers at once. It is then asked for its status.
    #[default]
    Polled,
    /// A signal tells it, at most once in the life of a process, because a second signal would cut its work off. The daemon then
    /// looks at the process.
    Once,
    /// It answers when its work is done, and has no status to request. Repeating the request does no harm, so the agent hears
    /// of every new deadline.
    Blocking,
    /// The request is a process that runs until the work is done. The agent has no status to request. Repeating the request
    /// interrupts the process, so only an earlier deadline does. The request is canceled at its deadline.
    Running,
}

impl Protocol {
    /// Whether it answers the drain request only when the work is done.
    pub fn blocks(self) -> bool {
        match self {
            Protocol::Polled | Protocol::Once => false,
            Protocol::Blocking | Protocol::Running => true,
        }
    }
}

/// When draining starts after the group decided to take the instance away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainAt {
    /// At the first notice. Suits queue workers, which gain time.
    #[default]
    Notice,
    /// When the lifecycle action is in Wait. Suits agents behind a load balancer, because it routes to them until then.
    Wait,
}

/// When the daemon asks the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// Once IMDS has announced a lifecycle action, and while IMDS is silent. An idle instance costs nothing.
    #[default]
    AtNotice,
    /// All the time, for warnings that IMDS does not list.
    Always,
}

/// What to do about a notice after which the instance may keep running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNotice {
    /// Nothing. The agents keep their work.
    #[default]
    Ignore,
    /// Drain.
    Drain,
}

/// What it means if an agent exits while draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It has drained.
    Drained,
    /// It crashed, and may come back within `unreachable_grace`.
    #[default]
    Failed,
}
