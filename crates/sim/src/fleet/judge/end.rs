//! What must hold at the end of a run.

use crate::world::{AgentState as AgentIs, LifecycleState, World};
use machine::Time;

use super::Judge;
use super::each::is_late_to_launch;

impl Judge {
    /// Checks the end of a run. Terminated instances must be gone or in the pool, and agents of instances in service must
    /// serve.
    pub fn end(&mut self, world: &World, now: Time) {
        // A process that was told by a signal and holds work that never ends cannot be returned to service.
        let endless = self.once && world.config().work.stuck > 0;
        for each in &mut self.each {
            self.violations.append(&mut each.invariants.violations);
            let Some(instance) = world.instance(&each.id) else { continue };
            self.figures.end_states += 1;
            let wrong = match instance.state {
                LifecycleState::Terminated
                | LifecycleState::WarmedRunning
                | LifecycleState::ReplacingRootVolumeProceed
                | LifecycleState::PendingProceed => continue,
                LifecycleState::InService => {
                    instance.agent.state != AgentIs::Serving && !each.forgetful && !endless
                }
                LifecycleState::PendingWait => is_late_to_launch(&instance, now),
                _ => !each.knows_nothing(),
            };
            let (state, agent) = (instance.state, instance.agent.state);
            let what = || format!("{now}: {} ended in {state:?} with its agent {agent:?}", each.id);
            self.violations.extend(wrong.then(what));
        }
        self.violations.sort();
    }
}
