//! What is done in the middle of a scenario, besides the scale-in.

use std::fmt;
use std::time::Duration;

use crate::story::{Moment, Story};
use crate::world::{ActionRef, ActionResult, ApiError, ImdsMode, Throttle, World};
use machine::Time;

/// Something that is done, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// So long after it.
    pub after: Duration,
    /// When this is reached.
    pub moment: Moment,
    /// What is done.
    pub deed: Deed,
}

impl Act {
    /// When it is due, once that is known.
    pub fn due(&self, story: &Story) -> Option<Time> {
        story.reached(self.moment).map(|at| at + self.after)
    }
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL to the daemon.
    KillDaemon,
    /// SIGTERM to the daemon, and waits until it has left.
    StopDaemon,
    /// Starts the daemon again.
    StartDaemon,
    /// The agent's process ends.
    CrashAgent,
    /// The agent's process is started again.
    StartAgent,
    /// Work that would never have ended can end now.
    FreeStuckWork,
    /// The metadata service misbehaves, or behaves again.
    Imds(ImdsMode),
    /// Another caller uses up the account's request limit for Auto Scaling.
    UseUpCalls,
    /// The other caller stops.
    LeaveCalls,
    /// DeleteLifecycleHook.
    DeleteHook(&'static str),
    /// CompleteLifecycleAction with CONTINUE, by another caller.
    Complete(&'static str),
    /// SetDesiredCapacity, to one more.
    ScaleOut,
    /// TerminateInstanceInAutoScalingGroup, which is how a retained instance is released.
    Release,
}

impl Deed {
    /// Does it, where it is something of the world; what is done to the daemon is the player's.
    pub fn change(self, world: &mut World, now: Time, instance: &str) -> Result<(), ApiError> {
        let group = world.config().group.clone();
        match self {
            Deed::KillDaemon | Deed::StopDaemon | Deed::StartDaemon => {}
            Deed::CrashAgent => world.exit_agent(now, instance),
            Deed::StartAgent => world.start_agent(now, instance),
            Deed::FreeStuckWork => world.free_stuck_work(now, instance),
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
            Deed::Release => {
                world.terminate_instance(now, instance, false)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::KillDaemon => f.write_str("the daemon is killed (SIGKILL)"),
            Deed::StopDaemon => f.write_str("the daemon is stopped (SIGTERM)"),
            Deed::StartDaemon => f.write_str("the daemon is started again"),
            Deed::CrashAgent => f.write_str("the agent crashes"),
            Deed::StartAgent => f.write_str("the agent is started again"),
            Deed::FreeStuckWork => f.write_str("the work that never ended is salvaged"),
            Deed::Imds(ImdsMode::Answers) => f.write_str("IMDS answers again"),
            Deed::Imds(ImdsMode::WithoutTargetState) => f.write_str("IMDS answers 404 for the target state"),
            Deed::Imds(ImdsMode::Disabled) => f.write_str("IMDS answers 403"),
            Deed::Imds(ImdsMode::Refuses) => f.write_str("IMDS refuses connections"),
            Deed::Imds(ImdsMode::Hangs) => f.write_str("IMDS does not answer"),
            Deed::UseUpCalls => {
                f.write_str("another caller uses up the account's request limit: every call is throttled")
            }
            Deed::LeaveCalls => f.write_str("calls succeed again"),
            Deed::DeleteHook(hook) => write!(f, "an operator deletes the hook {hook}"),
            Deed::Complete(hook) => write!(f, "another caller completes the action of the hook {hook}"),
            Deed::ScaleOut => f.write_str("scale-out"),
            Deed::Release => f.write_str("an operator releases the retained instance"),
        }
    }
}
