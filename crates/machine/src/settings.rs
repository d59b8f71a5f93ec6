//! What the machine is told at start and what never changes after.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::CompletionResult;
use super::journal::Outcome;
use super::time::Time;

/// The machine's settings: the configuration and this instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This instance.
    pub instance_id: String,
    /// This boot of it, where that is known: agents do not outlive one.
    pub boot_id: Option<String>,
    /// When this boot began, by the clock that the machine's time goes by. In the same boot, another value tells that the
    /// clock was corrected meanwhile.
    pub booted_at: Option<Time>,
    /// Its group, where the configuration or the instance's tags name it.
    pub group: Option<String>,
    /// The agents to drain; at least one.
    pub agents: Vec<AgentSettings>,
    /// Whether there is a termination queue.
    pub queue: bool,
    /// `ACCOUNT/NAME` of that queue, by which a hook that notifies it is known as ours.
    pub queue_name: Option<String>,
    /// The hook to complete; `None`: the group's only terminating hook that no other controller owns.
    pub hook: Option<String>,
    /// The heartbeat timeout to assume where the hook cannot be read.
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
    pub on_rebalance: OnRebalance,
}

impl Settings {
    /// The result to report for an outcome.
    pub fn result_for(&self, outcome: Outcome) -> CompletionResult {
        match outcome {
            Outcome::Drained => self.on_drained,
            Outcome::Failed => self.on_failed,
            // An operator's drain is completed as the operator said; one that was withdrawn or overtaken completes nothing.
            Outcome::Deadline | Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken => {
                self.on_deadline
            }
        }
    }

    /// The longest time that any agent is given.
    pub fn drain_timeout(&self) -> Duration {
        self.agents.iter().map(|agent| agent.drain_timeout).max().unwrap_or_default()
    }
}

/// One agent.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// What people call it.
    pub name: String,
    /// How long it may take.
    pub drain_timeout: Duration,
    /// How long it may be unreachable before it counts as failed.
    pub unreachable_grace: Duration,
    /// What it means that it exits in mid-drain.
    pub on_exit: OnExit,
    /// How often it is asked, where it does not honor `Prefer: wait`.
    pub poll: Duration,
    /// Its drain request is answered when the work is done; it has no status to ask for.
    pub blocks: bool,
}

/// When draining starts after the group has decided to take the instance away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainAt {
    /// At the first notice: queue workers gain the time.
    #[default]
    Notice,
    /// When the lifecycle action is in Wait: behind a load balancer that still routes to the agent.
    Wait,
}

/// What to do about a rebalance recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRebalance {
    /// Nothing: without Capacity Rebalancing the group does not replace the instance.
    #[default]
    Ignore,
    /// The agents drain.
    Drain,
}

/// What it means that an agent exits in mid-drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It exits when it has drained.
    Drained,
    /// It crashed, and may come back within the grace.
    #[default]
    Failed,
}
