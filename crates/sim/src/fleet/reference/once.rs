//! What a daemon may and must do with an agent that is told once per process. A second signal would cut its work off.

use machine::event::AgentState;
use machine::journal::Journal;
use machine::process::Process;
use machine::settings::Protocol;

use super::Reference;
use super::known::{Call, Phase};

impl Reference {
    /// A process may be told once, and only if the journal names it.
    pub(super) fn tells(&mut self, agent: usize, process: Process) {
        if !self.kept.told {
            self.complain("told an agent to drain before the journal said so");
        }
        if self.named(agent) != Some(process) {
            self.complain("told a process before the journal named it");
        }
        if self.agents[agent].processes.told == Some(process) {
            self.complain("told a process twice");
        }
        self.agents[agent].processes.telling = Some(process);
    }

    /// Only a process that was told is waited for, because the request may be held until its end.
    pub(super) fn watches(&mut self, agent: usize, process: Process) {
        if self.agents[agent].processes.told != Some(process) {
            self.complain("waited for the end of a process that was not told");
        }
        if self.agents[agent].state == Some(AgentState::Serving) {
            self.complain("waited for the end of a process, but another one serves");
        }
    }

    /// A process that was told finishes its work before another one is started.
    pub(super) fn returns(&mut self, agent: usize) {
        let processes = &self.agents[agent].processes;
        if processes.telling.is_some() || (processes.told.is_some() && !processes.gone) {
            self.complain("returned an agent to service while the process that was told may run");
        }
    }

    /// The journal must name a process that was told for as long as it may run.
    pub(super) fn keeps_processes(&mut self, journal: &Journal) {
        let told = self.agents.iter().map(|agent| agent.processes.told.filter(|_| !agent.processes.gone));
        let mut told = told.zip(&journal.agents);
        if told.any(|(told, record)| told.is_some() && record.told != told) {
            self.complain("wrote a journal without the process that was told and may run");
        }
    }

    /// Once the journal names a process, that process is told at once. A process that was seen serving is named and told.
    pub(super) fn must_tell(&mut self) {
        if !self.writes.is_empty() {
            return;
        }
        for agent in 0..self.agents.len() {
            if self.settings.agents[agent].protocol != Protocol::Once {
                continue;
            }
            let processes = &self.agents[agent].processes;
            let named = self.named(agent);
            if named.is_some() && named != processes.told && named != processes.telling {
                self.complain("the journal names a process that was not told");
            }
            let serves = self.agents[agent].state == Some(AgentState::Serving);
            let asks = self.calls.iter().any(|(_, call)| *call == Call::Agent(agent));
            if serves && !asks && self.drain == Phase::UnderWay && self.kept.told && self.was_told(agent) {
                self.complain("did not tell a process that serves");
            }
        }
    }

    /// The process that the journal names.
    fn named(&self, agent: usize) -> Option<Process> {
        self.kept.processes.get(agent).copied().flatten()
    }
}
