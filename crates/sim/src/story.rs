//! What happened to one instance, gathered from the world's happenings and the daemon's reports. Pure.

use std::fmt;

use machine::Time;

use super::world::{ActionResult, Happening};

/// The moments of one instance's termination.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// The instance's id.
    pub instance: String,
    /// The hook that its daemon completes.
    pub hook: String,
    /// When the scenario began, after the daemons had started.
    pub began: Option<Time>,
    /// When Auto Scaling decided to terminate it.
    pub requested: Option<Time>,
    /// When IMDS announced that.
    pub noticed: Option<Time>,
    /// When the lifecycle action began; the last one if there were several.
    pub waited: Option<Time>,
    /// When the agent was first told to drain, and how many work items it held then.
    pub told: Option<(Time, u32)>,
    /// When the agent was last told to drain.
    pub told_last: Option<Time>,
    /// The reason in the first drain request.
    pub reason: Option<String>,
    /// The deadlines that the agent was told, in order.
    pub deadlines: Vec<Time>,
    /// The agent's work in flight and its state, as the daemon last reported them.
    pub reported: Option<Reported>,
    /// When each work item finished after the drain request.
    pub finished: Vec<Time>,
    /// When the agent had drained.
    pub drained: Option<Time>,
    /// When the agent's process ended, and how many work items it held then.
    pub agent_exited: Option<(Time, u32)>,
    /// When the agent's process was restarted.
    pub agent_started: Option<Time>,
    /// When the agent was returned to service.
    pub returned: Option<Time>,
    /// Heartbeats that took effect.
    pub heartbeats: Vec<Time>,
    /// Completions of the daemon's hook that took effect.
    pub completions: Vec<(Time, ActionResult)>,
    /// The default result of an action that expired.
    pub expired: Option<ActionResult>,
    /// The hook was deleted, or another hook's action was abandoned.
    pub released: bool,
    /// How many messages about the instance arrived.
    pub sent: u32,
    /// How often a message about the instance was received, by any receiver.
    pub receives: u32,
    /// How many messages about the instance were deleted.
    pub deletes: u32,
    /// When the instance rebooted with a new root volume.
    pub rebooted: Option<Time>,
    /// How many completions were rejected.
    pub rejected: u32,
    /// When the instance entered service.
    pub in_service: Option<Time>,
    /// When the retention policy retained the instance.
    pub retained: Option<Time>,
    /// When the instance entered the warm pool.
    pub pooled: Option<Time>,
    /// When the instance was protected from scale-in.
    pub protected: Option<Time>,
    /// When that was lifted.
    pub lifted: Option<Time>,
    /// When the load balancer had drained the instance.
    pub target_unused: Option<Time>,
    /// When the instance was gone, and how many work items were lost with it.
    pub terminated: Option<(Time, u32)>,
    /// Throttled calls of the whole account.
    pub throttled: u32,
    /// How often a daemon was started for the instance.
    pub daemon_starts: u32,
    /// How the drains ended, as the daemon reported it.
    pub outcomes: Vec<String>,
    /// The daemon's warnings and errors.
    pub warnings: Vec<String>,
}

/// What the daemon reported of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Its state, in a word or two.
    pub state: String,
    /// Its work in flight, if it reported it.
    pub in_flight: Option<u32>,
}

/// A moment that a scenario can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Auto Scaling decides to terminate the instance.
    ScaleIn,
    /// IMDS announces the termination.
    Noticed,
    /// The agent finishes its first work item after the drain request.
    FirstWorkFinished,
    /// The agent has drained.
    Drained,
    /// The agent's process ends.
    AgentExited,
    /// The daemons have started, and the scenario begins.
    Start,
    /// The instance has rebooted with a new root volume.
    Rebooted,
    /// The instance enters service after its launch.
    InService,
    /// The retention policy retains the instance.
    Retained,
    /// The instance enters the warm pool.
    Pooled,
    /// The instance is protected from scale-in.
    Protected,
    /// It no longer is.
    Lifted,
    /// The load balancer has drained the instance.
    TargetUnused,
    /// The agent is returned to service.
    Returned,
    /// The instance is gone.
    Terminated,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::ScaleIn => "the scale-in began",
            Moment::Noticed => "IMDS announced the termination",
            Moment::FirstWorkFinished => "the first work item finished",
            Moment::Drained => "the agent drained",
            Moment::AgentExited => "the agent exited",
            Moment::Start => "the scenario began",
            Moment::Rebooted => "the instance rebooted",
            Moment::InService => "the instance entered service",
            Moment::Retained => "the instance was retained",
            Moment::Pooled => "the instance entered the warm pool",
            Moment::Protected => "the instance was protected",
            Moment::Lifted => "the protection was lifted",
            Moment::TargetUnused => "the load balancer was done",
            Moment::Returned => "the agent was returned to service",
            Moment::Terminated => "the instance was gone",
        })
    }
}

impl Story {
    /// The story of an instance to which nothing has happened yet. `hook` is the hook that its daemon completes.
    pub fn of(instance: &str, hook: &str) -> Self {
        Story { instance: instance.to_owned(), hook: hook.to_owned(), ..Story::default() }
    }

    /// When a moment was first reached. `None` if it was not.
    pub fn reached(&self, moment: Moment) -> Option<Time> {
        match moment {
            Moment::ScaleIn => self.requested,
            Moment::Noticed => self.noticed,
            Moment::FirstWorkFinished => self.finished.first().copied(),
            Moment::Drained => self.drained,
            Moment::AgentExited => self.agent_exited.map(|(at, _)| at),
            Moment::Start => self.began,
            Moment::Rebooted => self.rebooted,
            Moment::InService => self.in_service,
            Moment::Retained => self.retained,
            Moment::Pooled => self.pooled,
            Moment::Protected => self.protected,
            Moment::Lifted => self.lifted,
            Moment::TargetUnused => self.target_unused,
            Moment::Returned => self.returned,
            Moment::Terminated => self.terminated.map(|(at, _)| at),
        }
    }

    /// The agent's work in flight, as the daemon last reported it.
    pub fn in_flight(&self) -> Option<u32> {
        self.reported.as_ref().and_then(|reported| reported.in_flight)
    }

    /// Records the next happening, which may be another instance's.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        let ours = |instance: &str| *instance == self.instance;
        let first = |seen: &mut Option<Time>| *seen = seen.or(Some(at));
        match happening {
            Happening::TerminationRequested { instance, .. } if ours(instance) => first(&mut self.requested),
            Happening::ImdsFlipped { instance, target } if ours(instance) && target != "InService" => {
                first(&mut self.noticed);
            }
            Happening::WaitBegan { instance, .. } if ours(instance) => self.waited = Some(at),
            Happening::AgentDrainRequested { instance, reason, deadline, in_flight } if ours(instance) => {
                self.told.get_or_insert((at, *in_flight));
                self.told_last = Some(at);
                self.reason.get_or_insert_with(|| reason.clone());
                self.deadlines.extend(deadline);
            }
            Happening::WorkFinished { instance, .. } if ours(instance) => self.finished.push(at),
            Happening::AgentDrained { instance } if ours(instance) => first(&mut self.drained),
            Happening::AgentExited { instance, work_lost } if ours(instance) => {
                self.agent_exited.get_or_insert((at, *work_lost));
            }
            Happening::AgentStarted { instance, .. } if ours(instance) => first(&mut self.agent_started),
            Happening::AgentReturned { instance } if ours(instance) => first(&mut self.returned),
            Happening::Heartbeat { instance, .. } if ours(instance) => self.heartbeats.push(at),
            Happening::Completed { instance, hook, result } if ours(instance) && *hook == self.hook => {
                self.completions.push((at, *result));
            }
            Happening::CompletionRejected { instance: Some(instance), .. } if ours(instance) => {
                self.rejected += 1;
            }
            Happening::ActionExpired { instance, result, .. } if ours(instance) => {
                self.expired = Some(*result);
            }
            Happening::ActionReleased { instance, hook } if ours(instance) && *hook == self.hook => {
                self.released = true;
            }
            Happening::MessageSent { about: Some(instance), .. } if ours(instance) => self.sent += 1,
            Happening::MessageReceived { about: Some(instance), .. } if ours(instance) => self.receives += 1,
            Happening::MessageDeleted { about: Some(instance), .. } if ours(instance) => self.deletes += 1,
            Happening::RootVolumeReplaced { instance } if ours(instance) => first(&mut self.rebooted),
            Happening::InstanceInService { instance } if ours(instance) => first(&mut self.in_service),
            Happening::InstanceRetained { instance } if ours(instance) => first(&mut self.retained),
            Happening::InstancePooled { instance } if ours(instance) => first(&mut self.pooled),
            Happening::ProtectionSet { instance, protected } if ours(instance) => {
                first(if *protected { &mut self.protected } else { &mut self.lifted });
            }
            Happening::TargetUnused { instance, .. } if ours(instance) => first(&mut self.target_unused),
            Happening::InstanceTerminated { instance, work_lost } if ours(instance) => {
                self.terminated = Some((at, *work_lost));
            }
            Happening::Throttled => self.throttled += 1,
            // Other instances' happenings, and those that no story has.
            _ => {}
        }
    }
}
