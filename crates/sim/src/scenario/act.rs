//! What a scenario does besides the scale-in.

use std::fmt;
use std::time::Duration;

use crate::story::{Moment, Story};
use crate::world::warning::{BLOCK_WARNING, BLOCK_WARNINGS};
use crate::world::{ActionRef, ActionResult, AgentMode, ApiError, ImdsMode, Throttle, World};
use machine::Time;

/// Something that a scenario does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// How long after `moment`.
    pub after: Duration,
    /// The moment that it counts from.
    pub moment: Moment,
    /// What to do.
    pub deed: Deed,
}

impl Act {
    /// When it is due. `None` until its moment is reached.
    pub fn due(&self, story: &Story) -> Option<Time> {
        story.reached(self.moment).map(|at| at + self.after)
    }
}

/// Everything that a scenario can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// SetDesiredCapacity of the group to 0.
    ScaleIn,
    /// Nothing. The instance is launching.
    Launch,
    /// Nothing. The agent has work.
    Work,
    /// EC2 announces that it interrupts the spot instance in two minutes.
    InterruptSpot,
    /// EC2 recommends replacing the spot instance.
    RecommendRebalance,
    /// EC2 plans to reboot the instance in four minutes.
    PlanReboot,
    /// EC2 cancels that.
    CancelReboot,
    /// Auto Scaling replaces the instance.
    Replace,
    /// EnterStandby
    EnterStandby,
    /// ExitStandby
    ExitStandby,
    /// DetachInstances
    Detach,
    /// AttachInstances
    Attach,
    /// EC2 warns that it reclaims the instance's capacity in two minutes.
    ReclaimCapacity,
    /// EC2 warns that the Capacity Block of all instances ends.
    EndCapacityBlock,
    /// EC2 terminates the instance, without a hook.
    TakeBack,
    /// Auto Scaling replaces the root volume of the instance.
    ReplaceRootVolume,
    /// The daemon's journal is on the old root volume.
    LoseJournal,
    /// The agent becomes ready.
    AgentReady,
    /// SIGKILL to the daemon.
    KillDaemon,
    /// SIGTERM to the daemon. Waits until it has exited.
    StopDaemon,
    /// Restarts the daemon.
    StartDaemon,
    /// Ends the agent's process.
    CrashAgent,
    /// Restarts the agent's process.
    StartAgent,
    /// Lets the stuck work items finish.
    FreeStuckWork,
    /// The agent has no work from now on.
    Rest,
    /// Makes the metadata service misbehave, or restores it.
    Imds(ImdsMode),
    /// Another caller uses up the account's request limit for Auto Scaling.
    UseUpCalls,
    /// The other caller stops.
    LeaveCalls,
    /// DeleteLifecycleHook.
    DeleteHook(&'static str),
    /// CompleteLifecycleAction with CONTINUE, by another caller.
    Complete(&'static str),
    /// SetDesiredCapacity, raised by one.
    ScaleOut,
    /// TerminateInstanceInAutoScalingGroup, which releases a retained instance.
    Release,
}

/// EC2 warns two minutes before it interrupts a spot instance or reclaims interruptible capacity (EC2 user guide, "Spot Instance
/// interruption notices" and "Monitor interruptible Capacity Reservations").
const WARNING: Duration = Duration::from_secs(120);

/// From the announcement of a reboot to the reboot. EC2 announces it days ahead.
const REBOOT: Duration = Duration::from_secs(240);

/// The Capacity Block of all instances.
pub(super) const RESERVATION: &str = "cr-0123456789abcdef0";

impl Deed {
    /// Whether it happens once for the group, and not to each instance.
    pub fn is_for_the_group(self) -> bool {
        matches!(self, Deed::ScaleIn | Deed::EndCapacityBlock)
    }

    /// Changes the world. Does nothing for what is done to the daemon: the player does that.
    pub fn change(self, world: &mut World, now: Time, instance: &str) -> Result<(), ApiError> {
        let group = world.config().group.clone();
        match self {
            Deed::KillDaemon
            | Deed::StopDaemon
            | Deed::StartDaemon
            | Deed::LoseJournal
            | Deed::Launch
            | Deed::Work => {}
            Deed::ReplaceRootVolume => world.replace_root_volume(now, instance),
            Deed::ScaleIn => world.set_desired_capacity(now, &group, 0)?,
            Deed::InterruptSpot => world.interrupt_spot(now, instance, now + WARNING),
            Deed::RecommendRebalance => world.recommend_rebalance(now, instance),
            Deed::PlanReboot => world.plan_reboot(now, instance, Some(now + REBOOT)),
            Deed::CancelReboot => world.plan_reboot(now, instance, None),
            Deed::EnterStandby => world.enter_standby(now, instance)?,
            Deed::ExitStandby => world.exit_standby(now, instance)?,
            Deed::Detach => world.detach_instance(now, instance)?,
            Deed::Attach => world.attach_instance(now, instance, &group)?,
            Deed::ReclaimCapacity => world.warn_of_interruption(now, instance, now + WARNING),
            Deed::EndCapacityBlock => {
                world.warn_of_block_end(now, BLOCK_WARNINGS[0], RESERVATION, now + BLOCK_WARNING);
            }
            Deed::TakeBack => world.take_back(now, instance),
            Deed::AgentReady => world.set_agent_mode(now, instance, AgentMode::Answers),
            Deed::CrashAgent => world.exit_agent(now, instance),
            Deed::StartAgent => world.start_agent(now, instance),
            Deed::FreeStuckWork => world.free_stuck_work(now, instance),
            Deed::Rest => world.rest_agents(now),
            Deed::Imds(mode) => world.set_imds_mode(now, instance, mode),
            Deed::UseUpCalls => world.set_throttle(now, Some(Throttle { burst: 0, per_second: 0.0 })),
            Deed::LeaveCalls => world.set_throttle(now, None),
            Deed::DeleteHook(hook) => world.delete_hook(now, &group, hook)?,
            Deed::Complete(hook) => {
                let (hook, instance) = (hook.to_owned(), Some(instance.to_owned()));
                let action = ActionRef { hook, group, token: None, instance };
                world.complete(now, &action, ActionResult::Continue)?;
            }
            Deed::ScaleOut => {
                let in_service = world.describe_groups(now, std::slice::from_ref(&group))?;
                let desired = in_service.first().map_or(0, |group| group.spec.desired);
                world.set_desired_capacity(now, &group, desired + 1)?;
            }
            Deed::Replace | Deed::Release => {
                world.terminate_instance(now, instance, false)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::ScaleIn => f.write_str("scale-in"),
            Deed::Launch => f.write_str("launch"),
            Deed::Work => f.write_str("the agent is busy"),
            Deed::InterruptSpot => f.write_str("EC2 announces that it interrupts the spot instance"),
            Deed::RecommendRebalance => f.write_str("EC2 recommends replacing the spot instance"),
            Deed::PlanReboot => f.write_str("EC2 plans to reboot the instance in 240 s"),
            Deed::CancelReboot => f.write_str("EC2 cancels the reboot"),
            Deed::Replace => f.write_str("Auto Scaling replaces the instance"),
            Deed::EnterStandby => f.write_str("an operator puts the instance into standby"),
            Deed::ExitStandby => f.write_str("an operator returns the instance to service"),
            Deed::Detach => f.write_str("an operator detaches the instance from its group"),
            Deed::Attach => f.write_str("an operator attaches the instance again"),
            Deed::ReclaimCapacity => f.write_str("EC2 warns that it reclaims the instance's capacity"),
            Deed::EndCapacityBlock => f.write_str("EC2 warns that the Capacity Block ends"),
            Deed::TakeBack => f.write_str("EC2 terminates the instance"),
            Deed::ReplaceRootVolume => f.write_str("Auto Scaling replaces the root volume"),
            Deed::LoseJournal => f.write_str("the journal is gone"),
            Deed::AgentReady => f.write_str("the agent becomes ready"),
            Deed::KillDaemon => f.write_str("the daemon is killed (SIGKILL)"),
            Deed::StopDaemon => f.write_str("the daemon is stopped (SIGTERM)"),
            Deed::StartDaemon => f.write_str("the daemon is restarted"),
            Deed::CrashAgent => f.write_str("the agent crashes"),
            Deed::StartAgent => f.write_str("the agent is restarted"),
            Deed::FreeStuckWork => f.write_str("the stuck work can finish now"),
            Deed::Rest => f.write_str("the agent has finished its work, and gets no more"),
            Deed::Imds(ImdsMode::Answers) => f.write_str("IMDS works again"),
            Deed::Imds(ImdsMode::WithoutTargetState) => {
                f.write_str("IMDS answers 404 for target-lifecycle-state")
            }
            Deed::Imds(ImdsMode::Disabled) => f.write_str("IMDS answers 403"),
            Deed::Imds(ImdsMode::Refuses) => f.write_str("IMDS refuses connections"),
            Deed::Imds(ImdsMode::Hangs) => f.write_str("IMDS requests time out"),
            Deed::UseUpCalls => {
                f.write_str("another caller uses up the account's request limit, and every call is throttled")
            }
            Deed::LeaveCalls => f.write_str("calls are no longer throttled"),
            Deed::DeleteHook(hook) => write!(f, "an operator deletes hook {hook}"),
            Deed::Complete(hook) => write!(f, "another caller completes the action of hook {hook}"),
            Deed::ScaleOut => f.write_str("scale-out"),
            Deed::Release => f.write_str("an operator releases the retained instance"),
        }
    }
}
