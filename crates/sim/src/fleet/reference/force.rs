//! When an agent's work may and must be ended.

use machine::Time;
use machine::after::AfterStage;
use machine::effect::EffectId;
use machine::journal::Outcome;
use machine::settings::Protocol;

use super::Reference;
use super::known::{Call, Completed, Phase};

impl Reference {
    /// An agent may be forced once in a drain, shortly before the deadline in the journal, which says that it is forced.
    pub(super) fn forces(&mut self, now: Time, (id, agent): (EffectId, usize), until: Time) {
        self.calls.push((id, Call::Force(agent)));
        self.forcing.push((agent, until));
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
        let before = self.settings.agents[agent].force;
        if until <= now || before.is_none_or(|before| now + before < until) {
            self.complain(format!("forced agent {agent} too early or too late for {until}"));
        }
        // A restarted daemon does not know which agents an earlier deadline was for. Another agent may have contradicted the last
        // run's outcome, so that it no longer stands.
        let doubted = self.standing == Some(Outcome::Deadline) || self.kept.after == AfterStage::Pending;
        let unheard = doubted && !self.agents[agent].heard;
        if !unheard && !self.clock_set && self.has_an_outcome(now, agent) {
            self.complain(format!("forced agent {agent}, which had an outcome: {:?}", self.agents[agent]));
        }
    }

    /// An agent's process may be stopped for an earlier deadline, at its deadline, or if the drain is over or its agents are told
    /// of another one.
    pub(super) fn cancels(&mut self, now: Time, agent: usize) {
        if self.agents[agent].processes.telling.take().is_some() {
            self.complain("canceled a signal, which may have been sent");
        }
        let runs = self.settings.agents[agent].protocol == Protocol::Running && self.agents[agent].told;
        if !runs || self.drain != Phase::UnderWay || self.told_at == now {
            return;
        }
        let deadline = self.kept.deadlines.get(agent).copied().flatten();
        let earlier = deadline.zip(self.agents[agent].ordered).is_some_and(|(now, told)| now < told);
        // After the clock was set, deadlines from AWS or EC2 are unknown until the journal has them.
        if !earlier && !self.clock_set && deadline.is_some_and(|deadline| deadline > now) {
            self.complain("stopped an agent's process that had time left");
        }
    }

    /// An agent is forced by the deadline that the turn writes down, if it writes one.
    fn check_deadlines(&mut self) {
        let deadlines = self.writes.last().map_or(&self.kept, |(_, kept)| kept).deadlines.clone();
        for (agent, until) in std::mem::take(&mut self.forcing) {
            let deadline = deadlines.get(agent).copied().flatten();
            if deadline != Some(until) && !self.clock_set {
                self.complain(format!("forced agent {agent} for {until}, but its deadline is {deadline:?}"));
            }
        }
    }

    /// No step outlasts its agent's deadline. An agent that still works shortly before that is forced.
    pub(super) fn must_force(&mut self, now: Time) {
        self.check_deadlines();
        let over =
            |agent: usize| self.kept.deadlines.get(agent).copied().flatten().is_some_and(|at| at <= now);
        let late = |call: &Call| matches!(call, Call::Force(agent) if over(*agent));
        let knows = self.writes.is_empty() && !self.clock_set && self.drain != Phase::None;
        if knows && self.calls.iter().any(|(_, call)| late(call)) {
            self.complain("did not stop a force step at the agent's deadline");
        }
        let stepped = self.kept.after != AfterStage::Pending;
        let decided = stepped || self.kept.intention.is_some() || self.completed != Completed::No;
        if self.drain != Phase::UnderWay || !self.kept.told || !self.writes.is_empty() || decided {
            return;
        }
        for agent in 0..self.agents.len() {
            let Some(before) = self.settings.agents[agent].force else { continue };
            let due = self.kept.deadlines.get(agent).copied().flatten().map(|at| at - before);
            let due = due.is_some_and(|due| due <= now) && self.was_told(agent) && !self.clock_set;
            // Whether an unreachable agent has an outcome depends on whether it is being asked, which begins in this turn.
            let fails = self.agents[agent].has_failed(now, &self.settings.agents[agent]);
            if due && !fails && !self.agents[agent].forced && !self.has_an_outcome(now, agent) {
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
