//! What a run plans.

use machine::Event;
use machine::effect::{Effect, EffectId};

use crate::fault::Fault;

/// Something that is due.
#[derive(Debug)]
pub(super) enum Step {
    /// The daemon of an instance starts.
    Start { host: usize },
    /// It asks IMDS.
    Poll { host: usize, poll: u32 },
    /// It wants to be woken.
    Wake { host: usize, life: u32 },
    /// What it asked for is performed.
    Request { host: usize, life: u32, effect: Box<Effect> },
    /// The result reaches it.
    Answer { host: usize, life: u32, event: Box<Event> },
    /// The agent has held a request for as long as it may, or has drained.
    HeldOver { host: usize, life: u32, id: EffectId },
    /// An agent that has crashed is there again.
    AgentStart { host: usize },
    /// What has stood still moves again.
    Thaw { host: usize },
    /// Auto Scaling takes an instance away; in a group with a warm pool, whichever it likes.
    ScaleIn { host: usize },
    /// It takes one out of the warm pool again.
    ScaleOut,
    /// The group is given another size.
    Resize,
    /// An instance that was retained is released.
    Release { host: usize },
    /// EC2 takes a spot instance back.
    TakeBack { host: usize },
    /// Another program completes another hook's action.
    OtherHook { host: usize },
    /// The hook that was deleted is made again.
    HookAgain,
    /// An agent crashes when it has just drained.
    AgentCrash { host: usize },
    /// The clock is set to the right time.
    ClockSet { host: usize },
    /// An instance that is in no group is attached to another one.
    Attach { host: usize },
    /// EC2 moves the maintenance of that number, or cancels it.
    MaintenanceChange { host: usize, number: u32 },
    /// The time of the maintenance of that number has come.
    MaintenanceDue { host: usize, number: u32 },
    /// A message says something of an instance that is not true.
    FalseMessage { host: usize },
    /// A fault that comes by itself.
    Strike { host: usize, fault: Fault },
    /// From here on nothing goes wrong.
    Calm,
}

impl Step {
    /// The instance that this happens on, and so not while it stands still.
    pub fn on(&self) -> Option<usize> {
        match self {
            Step::Start { host }
            | Step::Poll { host, .. }
            | Step::Wake { host, .. }
            | Step::Request { host, .. }
            | Step::Answer { host, .. }
            | Step::HeldOver { host, .. }
            | Step::ClockSet { host }
            | Step::AgentStart { host } => Some(*host),
            Step::Thaw { .. }
            | Step::ScaleIn { .. }
            | Step::ScaleOut
            | Step::Resize
            | Step::Release { .. }
            | Step::TakeBack { .. }
            | Step::OtherHook { .. }
            | Step::HookAgain
            | Step::AgentCrash { .. }
            | Step::Attach { .. }
            | Step::MaintenanceChange { .. }
            | Step::MaintenanceDue { .. }
            | Step::FalseMessage { .. }
            | Step::Strike { .. }
            | Step::Calm => None,
        }
    }
}
