//! What a daemon may do with after steps.

use machine::Time;
use machine::after::AfterStage;
use machine::effect::EffectId;
use machine::event::AgentState;
use machine::journal::Outcome;
use machine::report::StepNews;

use super::known::{Call, Phase};
use super::{Reference, take};

impl Reference {
    /// What the previous life wrote down: the outcome, and how many steps are over. The intention comes after all of them.
    pub(super) fn goes_on_after(&mut self, stage: AfterStage) {
        let intended = self.kept.intention.map(|intention| intention.outcome);
        let all = self.settings.after.len();
        let (outcome, stepped) = match stage {
            AfterStage::Pending => (None, 0),
            AfterStage::Next { step, outcome } => (Some(outcome), step),
            AfterStage::Over { outcome } => (Some(outcome), all),
        };
        self.standing = intended.or(outcome);
        self.stepped = if intended.is_some() { all } else { stepped };
    }

    /// Steps run in order, one at a time, while every agent has an outcome and before the intention to complete. The journal
    /// has the ones that are over.
    pub(super) fn runs_step(&mut self, now: Time, (id, step): (EffectId, usize), deadline: Time) {
        if self.calls.iter().any(|(_, call)| matches!(call, Call::Step { .. })) {
            self.complain("two after steps ran at once");
        }
        self.calls.push((id, Call::Step { step, until: deadline }));
        if self.drain != Phase::UnderWay {
            self.complain("ran an after step, but no drain was under way");
        }
        let again = step == 0 && self.unsettled;
        if step != self.stepped && !again {
            self.complain(format!("ran after step {step}, but {} were over", self.stepped));
        }
        self.unsettled = false;
        if !matches!(self.kept.after, AfterStage::Next { step: of, .. } if of == step) {
            self.complain(format!("ran after step {step}, but the journal had {:?}", self.kept.after));
        }
        if self.kept.intention.is_some() {
            self.complain("ran an after step after its intention to complete was in the journal");
        }
        if deadline <= now || self.settings.after.get(step).is_none_or(|step| deadline > now + step.timeout) {
            self.complain(format!("gave an after step until {deadline}"));
        }
        if !self.all_have_an_outcome(now) {
            self.complain(format!("ran an after step, but its agents are {:?}", self.agents));
        }
        self.stepped = step;
    }

    fn all_have_an_outcome(&self, now: Time) -> bool {
        (0..self.agents.len()).all(|place| self.has_an_outcome(now, place))
    }

    /// Whether an agent has drained, has failed or has no time left.
    pub(super) fn has_an_outcome(&self, now: Time, place: usize) -> bool {
        let agent = &self.agents[place];
        let deadline = self.kept.deadlines.get(place).copied().flatten().or(self.kept.bound);
        let settings = &self.settings.agents[place];
        // The agent may be draining under an order that it answers when it has drained.
        let held = settings.protocol.blocks()
            && agent.told
            && self.calls.iter().any(|(_, call)| *call == Call::Agent(place));
        (self.standing.is_some() && !agent.heard)
            || agent.state == Some(AgentState::Drained)
            || (agent.has_failed(now, settings) && (agent.cannot || !held))
            || self.clock_set
            || deadline.is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn step_ends(&mut self, id: EffectId) {
        if let Some(Call::Step { step, .. }) = take(&mut self.calls, id) {
            self.stepped = step + 1;
        }
    }

    pub(super) fn stops_step(&mut self, id: EffectId) {
        if take(&mut self.calls, id).is_none() {
            self.complain("stopped a step, but none ran");
        }
    }

    pub(super) fn hears_of_step(&mut self, number: usize, news: &StepNews) {
        match news {
            StepNews::TimedOut => self.stepped = number,
            StepNews::Skipped => {
                self.stepped = number;
                // While a write is under way, the journal may not have the deadline that this turn goes by.
                self.skipped = self.writes.is_empty();
            }
            StepNews::Started { .. } | StepNews::Done | StepNews::Failed { .. } | StepNews::Canceled => {}
        }
    }

    /// Every step is over before the completion, unless an operator ended the drain.
    pub(super) fn completes_after_steps(&mut self, outcome: Outcome) {
        if self.stepped < self.settings.after.len() && outcome != Outcome::Finished {
            self.complain(format!("completed after {} of its after steps", self.stepped));
        }
    }

    /// No step outlasts its own time or the drain's, and none is left out while there is time.
    pub(super) fn must_stop_steps(&mut self, now: Time) {
        let bound = self.writes.last().map_or(&self.kept, |(_, kept)| kept).bound;
        let runs = self.calls.iter().find_map(|(_, call)| match call {
            Call::Step { until, .. } => Some(*until),
            _ => None,
        });
        let late = |at: Time| at <= now && !self.clock_set;
        if runs.is_some_and(late) || (runs.is_some() && bound.is_some_and(late)) {
            self.complain("did not stop an after step whose time was over");
        }
        let mut agents = self.agents.iter().enumerate();
        let works = agents.any(|(place, agent)| agent.works && !self.has_an_outcome(now, place));
        if runs.is_some() && self.writes.is_empty() && works {
            self.complain("let an after step run while an agent had work");
        }
        if std::mem::take(&mut self.skipped) && !self.clock_set && bound.is_none_or(|at| at > now) {
            self.complain("left out an after step, but had time for it");
        }
    }
}
