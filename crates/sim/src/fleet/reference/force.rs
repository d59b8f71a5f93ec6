//! When an agent's work may and must be ended.

use machine::Time;
use machine::effect::EffectId;

use super::Reference;
use super::known::{Call, Completed, Phase};

impl Reference {
    /// An agent may be forced once in a drain, shortly before the deadline in the journal, which says that it is forced.
    pub(super) fn forces(&mut self, now: Time, (id, agent): (EffectId, usize), until: Time) {
        self.calls.push((id, Call::Force { agent, until }));
        if std::mem::replace(&mut self.agents[agent].forced, true) {
            self.complain(format!("forced agent {agent} twice"));
        }
        if self.drain != Phase::UnderWay || !self.kept.told || !self.was_told(agent) {
            self.complain(format!("forced agent {agent}, which was not told to drain"));
        }
        if self.kept.forced.get(agent) != Some(&true) {
            self.complain(format!("forced agent {agent} before the journal said so"));
        }
        if self.kept.intention.is_some() {
            self.complain(format!("forced agent {agent} after its intention to complete was in the journal"));
        }
        // While a write is under way, the journal may not have the deadline that this turn goes by.
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        if self.writes.is_empty() && !self.clock_set && deadline != Some(until) {
            self.complain(format!("forced agent {agent} for {until}, but its deadline is {deadline:?}"));
        }
        let before = self.settings.agents[agent].force;
        if until <= now || before.is_none_or(|before| now + before < until) {
            self.complain(format!("forced agent {agent} too early or too late for {until}"));
        }
        if self.has_an_outcome(now, agent) {
            self.complain(format!("forced agent {agent}, which had an outcome: {:?}", self.agents[agent]));
        }
    }

    /// No step outlasts its agent's deadline. An agent that still works shortly before that is forced.
    pub(super) fn must_force(&mut self, now: Time) {
        let late = |call: &Call| matches!(call, Call::Force { until, .. } if *until <= now);
        if self.calls.iter().any(|(_, call)| late(call)) {
            self.complain("did not stop a force step at the agent's deadline");
        }
        let decided = self.kept.intention.is_some() || self.completed != Completed::No;
        if self.drain != Phase::UnderWay || !self.kept.told || !self.writes.is_empty() || decided {
            return;
        }
        for agent in 0..self.agents.len() {
            let Some(before) = self.settings.agents[agent].force else { continue };
            let due = self.kept.deadlines.get(agent).copied().flatten().map(|at| at - before);
            let due = due.is_some_and(|due| due <= now) && self.was_told(agent) && !self.clock_set;
            if due && !self.agents[agent].forced && !self.has_an_outcome(now, agent) {
                self.complain(format!("did not force agent {agent}, whose deadline is near"));
            }
        }
    }

    /// What the last life did.
    pub(super) fn goes_on_forced(&mut self) {
        for (agent, forced) in self.agents.iter_mut().zip(&self.kept.forced) {
            agent.forced = *forced;
        }
    }
}
