//! The steps that a run plans, and what each does.

use machine::Event;
use machine::effect::{Effect, EffectId};

use super::Fleet;
use super::block::Block;
use crate::fault::Fault;

/// A planned step.
#[derive(Debug)]
pub(super) enum Step {
    /// The daemon of an instance starts.
    Start { host: usize },
    /// The daemon polls IMDS.
    Poll { host: usize, poll: u32 },
    /// The machine wants to be woken.
    Wake { host: usize, life: u32 },
    /// An effect is performed.
    Request { host: usize, life: u32, effect: Box<Effect> },
    /// The result of an effect arrives.
    Answer { host: usize, life: u32, event: Box<Event> },
    /// The agent has held a request for the maximum time, or has drained.
    HeldOver { host: usize, life: u32, id: EffectId },
    /// A crashed agent is restarted.
    AgentStart { host: usize },
    /// A frozen instance runs again.
    Thaw { host: usize },
    /// Auto Scaling terminates the instance, or any other if the group has a warm pool.
    ScaleIn { host: usize },
    /// Auto Scaling takes an instance out of the warm pool.
    ScaleOut,
    /// The desired capacity changes.
    Resize,
    /// An operator releases a retained instance.
    Release { host: usize },
    /// EC2 interrupts a spot instance or reclaims its capacity.
    TakeBack { host: usize },
    /// Auto Scaling replaces the root volume of an instance.
    ReplaceVolume { host: usize },
    /// EC2 warns that a Capacity Block ends.
    BlockWarning { block: Block },
    /// Another program completes another hook's action.
    OtherHook { host: usize },
    /// The deleted hook is created again.
    HookAgain,
    /// An agent crashes right after it has drained.
    AgentCrash { host: usize },
    /// The clock is corrected.
    ClockSet { host: usize },
    /// A detached instance is attached to another group.
    Attach { host: usize },
    /// An instance leaves standby.
    ExitStandby { host: usize },
    /// EC2 moves or cancels the maintenance of that number.
    MaintenanceChange { host: usize, number: u32 },
    /// The maintenance of that number is due.
    MaintenanceDue { host: usize, number: u32 },
    /// A false message about an instance is sent.
    FalseMessage { host: usize },
    /// A fault strikes at a random time.
    Strike { host: usize, fault: Fault },
    /// All faults end.
    Calm,
}

impl Step {
    /// The instance that the step happens on. The step is put off while that instance is frozen.
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
            | Step::BlockWarning { .. }
            | Step::ReplaceVolume { .. }
            | Step::OtherHook { .. }
            | Step::HookAgain
            | Step::AgentCrash { .. }
            | Step::Attach { .. }
            | Step::ExitStandby { .. }
            | Step::MaintenanceChange { .. }
            | Step::MaintenanceDue { .. }
            | Step::FalseMessage { .. }
            | Step::Strike { .. }
            | Step::Calm => None,
        }
    }
}

impl Fleet {
    /// Performs a step that is due. On a frozen instance it is put off.
    pub(super) fn perform_step(&mut self, step: Step) {
        let frozen_until = step.on().map(|host| self.hosts[host].frozen_until);
        if let Some(until) = frozen_until.filter(|until| *until > self.now) {
            self.at(until, step);
            return;
        }
        match step {
            Step::Start { host } => self.start(host),
            Step::Poll { host, poll } if self.hosts[host].poll == poll => self.poll(host),
            Step::Wake { host, life } if self.hosts[host].life == life => self.wake(host),
            Step::Request { host, life, effect } if self.hosts[host].life == life => {
                self.request(host, *effect);
            }
            Step::Answer { host, life, event } if self.hosts[host].life == life => {
                if !self.hosts[host].has_canceled(&event) {
                    self.feed(host, *event);
                }
            }
            Step::HeldOver { host, life, id } => self.held_over(host, life, id),
            Step::AgentStart { host } => self.start_agent(host),
            Step::Thaw { host } => self.thaw(host),
            Step::ScaleIn { host } => self.scale_in(host),
            Step::ScaleOut => self.scale_out(),
            Step::Resize => self.resize(),
            Step::Release { host } => self.release(host),
            Step::TakeBack { host } => self.take_back(host),
            Step::BlockWarning { block } => self.warn_of_block(block),
            Step::ReplaceVolume { host } => self.replace_volume(host),
            Step::OtherHook { host } => self.complete_other_hook(host),
            Step::HookAgain => self.put_hook(),
            Step::AgentCrash { host } => self.strike(host, Fault::AgentCrash),
            Step::ClockSet { host } => self.set_clock(host),
            Step::Attach { host } => self.attach(host),
            Step::ExitStandby { host } => self.exit_standby(host),
            Step::MaintenanceChange { host, number } => self.change_maintenance(host, number),
            Step::MaintenanceDue { host, number } => self.maintenance_due(host, number),
            Step::FalseMessage { host } => self.send_false(host),
            Step::Strike { host, fault } => {
                self.plan_strike(host, fault);
                self.strike(host, fault);
            }
            Step::Calm => self.calm(),
            // Planned by an earlier life, or replaced.
            Step::Poll { .. } | Step::Wake { .. } | Step::Request { .. } | Step::Answer { .. } => {}
        }
    }
}
