//! When an agent with a higher order is told to drain.

use machine::Time;
use machine::event::AgentState;
use machine::journal::{AgentStage, Journal};
use machine::settings::Protocol;

use super::Reference;
use super::known::{Call, Phase};

impl Reference {
    /// Agents are told. Whether it is their turn is checked once the journal of this turn is known, which has the deadline.
    pub(super) fn tells_order(&mut self, now: Time, order: Option<u8>) {
        self.told_at = now;
        // While a write is under way, the journal may not have the deadline that this turn goes by.
        self.told_orders.extend(order.filter(|_| self.writes.is_empty()));
        // What they said in an earlier drain does not count.
        for (place, settings) in self.settings.agents.iter().enumerate() {
            if order.is_none_or(|order| settings.order == order) {
                let asks = self.calls.iter().any(|(_, call)| *call == Call::Agent(place));
                let agent = &mut self.agents[place];
                agent.begins(settings);
                agent.overtaken = asks && agent.processes.telling.is_none();
            }
        }
    }

    /// Agents are told once every agent with a lower order has an outcome, or no agent has time left.
    pub(super) fn may_tell(&mut self, now: Time) {
        let bound = self.writes.last().map_or(&self.kept, |(_, kept)| kept).bound;
        let over = self.clock_set || bound.is_some_and(|bound| bound <= now);
        for order in std::mem::take(&mut self.told_orders) {
            if !over && !self.is_turn_of(now, order) {
                self.complain(format!("told the agents of order {order} too early: {:?}", self.agents));
            }
        }
    }

    fn is_turn_of(&self, now: Time, order: u8) -> bool {
        let agents = self.settings.agents.iter().enumerate();
        let mut lower = agents.filter(|(_, settings)| settings.order < order);
        lower.all(|(place, _)| self.has_an_outcome(now, place))
    }

    /// Whether the journal says that an agent was told to drain.
    pub(super) fn was_told(&self, place: usize) -> bool {
        self.kept.own.get(place).is_some_and(Option::is_some)
    }

    /// An agent that had accepted no order by the journal has not drained when nothing listens.
    pub(super) fn knows_agents(&mut self, journal: &Journal) {
        let rebooted = journal.boot_id != self.settings.boot_id;
        let agents = self.agents.iter_mut().zip(&self.settings.agents);
        for ((agent, settings), record) in agents.zip(&journal.agents) {
            let drains = matches!(record.stage, AgentStage::Draining(_)) && !rebooted;
            if !drains && settings.protocol != Protocol::Once {
                agent.state = Some(AgentState::Serving);
            }
        }
    }

    /// An agent whose turn has come must be told.
    pub(super) fn must_tell_next(&mut self, now: Time) {
        if self.drain != Phase::UnderWay || !self.kept.told || !self.writes.is_empty() {
            return;
        }
        let untold = (0..self.agents.len()).filter(|place| !self.was_told(*place));
        let orders = untold.map(|place| self.settings.agents[place].order);
        if let Some(order) = orders.min()
            && self.is_turn_of(now, order)
            && !self.clock_set
        {
            self.complain(format!("did not tell the agents of order {order}, whose turn has come"));
        }
    }
}
