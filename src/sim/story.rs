//! What became of one instance: the moments of its scale-in, as a world's happenings tell them. Pure.

use crate::machine::Time;

use super::world::{ActionResult, Happening};

/// One instance's way out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    instance: String,
    /// Auto Scaling decided to take it away.
    pub requested: Option<Time>,
    /// IMDS said so.
    pub noticed: Option<Time>,
    /// The lifecycle action began.
    pub waited: Option<Time>,
    /// The agent was first told to drain, and held so much work then.
    pub told: Option<(Time, u32)>,
    /// The deadlines that it was told, in order.
    pub deadlines: Vec<Time>,
    /// When each piece of work was finished after that.
    pub finished: Vec<Time>,
    /// The agent was drained.
    pub drained: Option<Time>,
    /// Heartbeats that took effect.
    pub heartbeats: Vec<Time>,
    /// The action was completed.
    pub completed: Option<(Time, ActionResult)>,
    /// The action ended without a completion.
    pub expired: bool,
    /// Messages about it that were received, by anybody.
    pub receives: u32,
    /// Messages about it that were deleted.
    pub deletes: u32,
    /// It is gone, and with it so much work.
    pub terminated: Option<(Time, u32)>,
    /// How often a daemon was started for it.
    pub daemon_starts: u32,
}

impl Story {
    /// The story of this instance; nothing has happened yet.
    pub fn of(instance: &str) -> Self {
        Story { instance: instance.to_owned(), ..Story::default() }
    }

    /// Takes in what happened next, to whomever.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        let ours = |instance: &String| *instance == self.instance;
        match happening {
            Happening::TerminationRequested { instance, .. } if ours(instance) => self.requested = Some(at),
            Happening::ImdsFlipped { instance, target } if ours(instance) && target != "InService" => {
                self.noticed = Some(at);
            }
            Happening::WaitBegan { instance, .. } if ours(instance) => self.waited = Some(at),
            Happening::AgentDrainRequested { instance, deadline, in_flight, .. } if ours(instance) => {
                self.told.get_or_insert((at, *in_flight));
                self.deadlines.extend(deadline);
            }
            Happening::WorkFinished { instance, .. } if ours(instance) => self.finished.push(at),
            Happening::AgentDrained { instance } if ours(instance) => self.drained = Some(at),
            Happening::Heartbeat { instance, .. } if ours(instance) => self.heartbeats.push(at),
            Happening::Completed { instance, result, .. } if ours(instance) => {
                self.completed = Some((at, *result));
            }
            Happening::ActionExpired { instance, .. } if ours(instance) => self.expired = true,
            Happening::MessageReceived { about: Some(instance), .. } if ours(instance) => self.receives += 1,
            Happening::MessageDeleted { about: Some(instance), .. } if ours(instance) => self.deletes += 1,
            Happening::InstanceTerminated { instance, work_lost } if ours(instance) => {
                self.terminated = Some((at, *work_lost));
            }
            // Other instances' stories, and what is no moment of one.
            _ => {}
        }
    }
}
