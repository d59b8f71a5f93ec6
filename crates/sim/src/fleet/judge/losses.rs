//! What work was lost to.

use crate::world::{ActionResult, Happening};
use machine::journal::Outcome;

use super::super::figures::Losses;
use super::super::launch;
use super::Judge;
use super::each::Each;

/// What ended an instance, or its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Loss {
    Spot,
    Capacity,
    /// A launch that was abandoned or expired.
    Launch,
    /// A completion by a drain with this outcome.
    Completed(Outcome),
    /// The same for `drained`, but the agent started again after that and took work.
    StartedAgain,
    Expired,
    Released,
}

impl Judge {
    /// EC2 takes the instance now.
    pub fn taken_back(&mut self, host: usize, cause: Loss) {
        self.each[host].taken_back = Some(cause);
    }
}

impl Each {
    /// Records how the action of our hook ends, and whether the agent starts again after it drained or exited.
    pub fn ends(&mut self, happening: &Happening) {
        match happening {
            Happening::TerminationRequested { .. } | Happening::AgentDrained { .. } => {
                self.started_again = false;
            }
            Happening::AgentStarted { .. } => self.started_again |= self.idle.is_some(),
            _ => {}
        }
        self.ended = match happening {
            Happening::TerminationRequested { .. } | Happening::WaitBegan { .. } => None,
            Happening::Completed { .. } => self.completing.map(Loss::Completed),
            Happening::ActionExpired { .. } => Some(Loss::Expired),
            Happening::ActionReleased { .. } => Some(Loss::Released),
            _ => return,
        };
    }

    /// Auto Scaling takes the instance away if its launch is abandoned or expires.
    pub fn ends_a_launch(&mut self, happening: &Happening) {
        match happening {
            Happening::Completed { hook, result: ActionResult::Abandon, .. }
            | Happening::ActionExpired { hook, .. }
                if hook == launch::HOOK =>
            {
                self.taken_back = Some(Loss::Launch);
            }
            _ => {}
        }
    }

    /// What the work was lost to that the instance had when it was terminated.
    pub fn loss(&self) -> Option<Loss> {
        match self.taken_back.or(self.ended) {
            Some(Loss::Completed(Outcome::Drained)) if self.started_again => Some(Loss::StartedAgain),
            cause => cause,
        }
    }
}

impl Losses {
    /// Adds work items that were lost.
    pub(super) fn add(&mut self, cause: Option<Loss>, items: u32) {
        let count = match cause {
            Some(Loss::Spot) => &mut self.lost_to_spot,
            Some(Loss::Capacity) => &mut self.lost_to_capacity,
            Some(Loss::Launch) => &mut self.lost_in_launch,
            Some(Loss::StartedAgain) => &mut self.lost_after_drained,
            Some(Loss::Completed(Outcome::Drained)) => &mut self.lost_drained,
            Some(Loss::Completed(Outcome::Deadline)) => &mut self.lost_at_deadline,
            Some(Loss::Completed(Outcome::Failed)) => &mut self.lost_failed,
            Some(Loss::Expired) => &mut self.lost_expired,
            Some(
                Loss::Released | Loss::Completed(Outcome::Finished | Outcome::Overtaken | Outcome::Withdrawn),
            ) => &mut self.lost_released,
            None => &mut self.lost_without_action,
        };
        *count += u64::from(items);
    }
}
