//! What became of one instance: the moments of its scale-in, as a world's happenings and its daemon tell them. Pure.

use std::fmt;

use machine::Time;

use super::world::{ActionResult, Happening};

/// One instance's way out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// The instance.
    pub instance: String,
    /// The hook that its daemon completes.
    pub hook: String,
    /// Auto Scaling decided to take it away.
    pub requested: Option<Time>,
    /// IMDS said so.
    pub noticed: Option<Time>,
    /// The lifecycle action began; of several, the last one.
    pub waited: Option<Time>,
    /// The agent was first told to drain, and held so much work then.
    pub told: Option<(Time, u32)>,
    /// When the agent was last told.
    pub told_last: Option<Time>,
    /// Why the agent was first told.
    pub reason: Option<String>,
    /// The deadlines that it was told, in order.
    pub deadlines: Vec<Time>,
    /// When each piece of work was finished after that.
    pub finished: Vec<Time>,
    /// The agent was drained.
    pub drained: Option<Time>,
    /// The agent's process ended, with so much work.
    pub agent_exited: Option<(Time, u32)>,
    /// The agent's process was started again.
    pub agent_started: Option<Time>,
    /// The agent was told to serve again.
    pub returned: Option<Time>,
    /// Heartbeats that took effect.
    pub heartbeats: Vec<Time>,
    /// Completions of the daemon's hook that took effect.
    pub completions: Vec<(Time, ActionResult)>,
    /// The action ended without a completion, with this default result.
    pub expired: Option<ActionResult>,
    /// The hook was deleted, or another one abandoned.
    pub released: bool,
    /// Messages about it that arrived.
    pub sent: u32,
    /// Messages about it that were received, by anybody.
    pub receives: u32,
    /// Messages about it that were deleted.
    pub deletes: u32,
    /// The retention policy keeps it.
    pub retained: Option<Time>,
    /// It is in the warm pool.
    pub pooled: Option<Time>,
    /// It is gone, and with it so much work.
    pub terminated: Option<(Time, u32)>,
    /// Calls of the account that were throttled.
    pub throttled: u32,
    /// How often a daemon was started for it.
    pub daemon_starts: u32,
    /// How its drains have ended, as the daemon says.
    pub outcomes: Vec<String>,
    /// What the daemon has warned of, and its errors.
    pub warnings: Vec<String>,
}

/// A moment that a scenario can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Auto Scaling decides to take the instance away.
    ScaleIn,
    /// IMDS says so.
    Noticed,
    /// The agent finishes its first piece of work after it was told to drain.
    FirstWorkFinished,
    /// The agent is drained.
    Drained,
    /// The agent's process ends.
    AgentExited,
    /// The retention policy keeps the instance.
    Retained,
    /// The instance is in the warm pool.
    Pooled,
    /// The agent is told to serve again.
    Returned,
    /// The instance is gone.
    Terminated,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Moment::ScaleIn => "the scale-in",
            Moment::Noticed => "IMDS said so",
            Moment::FirstWorkFinished => "the first work was finished",
            Moment::Drained => "the agent was drained",
            Moment::AgentExited => "the agent exited",
            Moment::Retained => "the instance was retained",
            Moment::Pooled => "the instance was in the warm pool",
            Moment::Returned => "the agent was told to serve again",
            Moment::Terminated => "the instance was gone",
        })
    }
}

impl Story {
    /// The story of this instance, whose daemon completes this hook; nothing has happened yet.
    pub fn of(instance: &str, hook: &str) -> Self {
        Story { instance: instance.to_owned(), hook: hook.to_owned(), ..Story::default() }
    }

    /// When a moment was first reached, if it has been.
    pub fn reached(&self, moment: Moment) -> Option<Time> {
        match moment {
            Moment::ScaleIn => self.requested,
            Moment::Noticed => self.noticed,
            Moment::FirstWorkFinished => self.finished.first().copied(),
            Moment::Drained => self.drained,
            Moment::AgentExited => self.agent_exited.map(|(at, _)| at),
            Moment::Retained => self.retained,
            Moment::Pooled => self.pooled,
            Moment::Returned => self.returned,
            Moment::Terminated => self.terminated.map(|(at, _)| at),
        }
    }

    /// Takes in what happened next, to whomever.
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
            Happening::ActionExpired { instance, result, .. } if ours(instance) => {
                self.expired = Some(*result);
            }
            Happening::ActionReleased { instance, hook } if ours(instance) && *hook == self.hook => {
                self.released = true;
            }
            Happening::MessageSent { about: Some(instance), .. } if ours(instance) => self.sent += 1,
            Happening::MessageReceived { about: Some(instance), .. } if ours(instance) => self.receives += 1,
            Happening::MessageDeleted { about: Some(instance), .. } if ours(instance) => self.deletes += 1,
            Happening::InstanceRetained { instance } if ours(instance) => first(&mut self.retained),
            Happening::InstancePooled { instance } if ours(instance) => first(&mut self.pooled),
            Happening::InstanceTerminated { instance, work_lost } if ours(instance) => {
                self.terminated = Some((at, *work_lost));
            }
            Happening::Throttled => self.throttled += 1,
            // Other instances' stories, and what is no moment of one.
            _ => {}
        }
    }
}
