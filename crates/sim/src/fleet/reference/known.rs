//! The facts that the reference uses: the journal, and what agents have said.

use std::time::Duration;

use machine::Time;
use machine::action::{Group, Wait, WaitSource};
use machine::after::AfterStage;
use machine::event::{AgentAnswer, AgentState, AgentStatus};
use machine::journal::{HookFacts, Intention, Journal};
use machine::notice::{Due, Notice, NoticeState, Reason};
use machine::process::{Process, Sight};
use machine::protection::Protection;
use machine::settings::{AgentSettings, OnExit, Protocol};
use machine::targets::TargetRecord;

/// What the journal says, as far as effects depend on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kept {
    pub told: bool,
    /// The deadline of each agent by its own time. `None` unless it was told to drain.
    pub own: Vec<Option<Time>>,
    /// The deadline of each agent.
    pub deadlines: Vec<Option<Time>>,
    /// The process of each agent that must not be told again.
    pub processes: Vec<Option<Process>>,
    /// Whether each agent was forced, or is about to be.
    pub forced: Vec<bool>,
    pub intention: Option<Intention>,
    pub after: AfterStage,
    pub targets: Vec<TargetRecord>,
    /// The deadline that notices, the action or an operator set.
    pub bound: Option<Time>,
    pub ended: bool,
    pub started: Option<Time>,
    pub tokens: Vec<String>,
    /// The times in notices, which set deadlines in addition to the agents' own time.
    pub dues: Vec<(Reason, String, Due)>,
    /// The group, the hook with its timeouts, and Wait: these set deadlines, too.
    pub action: Option<(Option<Group>, Option<HookFacts>, Wait)>,
    /// Whether heartbeats are denied, so that the action's expiry sets a deadline. The journal does not record that.
    pub denied: bool,
    /// What AWS has of the protection.
    pub protection: Protection,
}

impl Kept {
    /// The deadline of each agent by its own drain timeout.
    pub fn own_deadlines(journal: &Journal) -> Vec<Option<Time>> {
        journal.agents.iter().map(|agent| agent.stage.deadline()).collect()
    }

    /// The earliest time at which the action may have begun to wait, or its last heartbeat if that is later.
    pub fn alive_since(&self) -> Option<Time> {
        match self.action.as_ref()?.2 {
            Wait::Waiting { since, last_beat, .. } => Some(last_beat.map_or(since, |beat| beat.max(since))),
            Wait::Expected { .. } | Wait::Unexpected { .. } => None,
        }
    }

    /// If a message says since when the action waits: that time, and when the message was sent.
    pub fn waits_by_message(&self) -> Option<(Time, Time)> {
        match self.action.as_ref()?.2 {
            Wait::Waiting { since, by: WaitSource::Message { sent }, .. } => Some((since, sent?)),
            Wait::Waiting { .. } | Wait::Expected { .. } | Wait::Unexpected { .. } => None,
        }
    }

    pub fn of(journal: &Journal) -> Self {
        let drain = journal.drain.as_ref();
        let action = drain.map(|drain| &drain.action);
        let hard = drain.and_then(|drain| drain.bound);
        let own = Kept::own_deadlines(journal);
        let sets = |row: &&Notice| row.due != Due::Unknown && row.state != NoticeState::Closed;
        let timed = journal.notices.rows().iter().filter(sets);
        Kept {
            told: drain.is_some_and(|drain| drain.phase.told().is_some()),
            processes: journal.agents.iter().map(|agent| agent.told).collect(),
            forced: journal.agents.iter().map(|agent| agent.forced).collect(),
            deadlines: own.iter().map(|own| own.map(|own| hard.map_or(own, |hard| own.min(hard)))).collect(),
            own,
            after: drain.map(|drain| drain.after).unwrap_or_default(),
            targets: journal.targets.clone(),
            bound: hard,
            intention: action.and_then(|action| action.completion.intention()),
            ended: drain.is_some_and(|drain| drain.phase.ended().is_some()),
            started: drain.map(|drain| drain.started),
            tokens: journal.finished.clone(),
            dues: timed.map(|row| (row.reason, row.id.clone(), row.due)).collect(),
            action: action.map(|action| (action.group.clone(), action.hook.clone(), action.wait)),
            denied: action.is_some_and(|action| action.wait.is_waiting()),
            protection: journal.protection,
        }
    }
}

/// What an agent has said in this life of the daemon.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// The deadline that it was last told.
    pub ordered: Option<Time>,
    /// Since when the journal has had an earlier deadline.
    pub outdated: Option<Time>,
    pub state: Option<AgentState>,
    /// Since when it has refused every request.
    pub refusing: Option<Time>,
    /// It said that it cannot drain.
    pub cannot: bool,
    /// It has reported its status.
    pub heard: bool,
    /// Its last status says that it has work.
    pub works: bool,
    /// The last request was an order to drain.
    pub told: bool,
    /// When the last request was sent.
    pub asked_at: Time,
    /// Since when it has said nothing but 0.
    pub zero_since: Option<Time>,
    /// The processes of an agent that is told once.
    pub processes: Processes,
    /// A return request was under way when the drain began. Its answer does not count.
    pub overtaken: bool,
    /// It was forced in this drain.
    pub forced: bool,
}

/// What is known of the processes of an agent that is told once per process.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// The last process that was told. An earlier life may have been killed before its signal.
    pub told: Option<Process>,
    /// It no longer runs.
    pub gone: bool,
    /// The process that is being told.
    pub telling: Option<Process>,
}

impl Processes {
    /// An agent is seen. Returns its state.
    fn sees(&mut self, sight: Sight) -> AgentState {
        match sight {
            Sight::Runs(process) if self.told == Some(process) => AgentState::Draining,
            Sight::Runs(_) => {
                self.gone = true;
                AgentState::Serving
            }
            Sight::Leaves => AgentState::Draining,
            Sight::Gone => {
                self.gone = true;
                AgentState::Drained
            }
        }
    }
}

impl Agent {
    /// It is told to drain. What it said before does not count: it takes work, as far as is known.
    pub fn begins(&mut self, settings: &AgentSettings) {
        if settings.protocol == Protocol::Once {
            // It is looked at first. What was seen before may have changed.
            (self.state, self.refusing, self.cannot, self.works) = (None, None, false, false);
            self.forced = false;
            return;
        }
        let processes = std::mem::take(&mut self.processes);
        *self =
            Agent { ordered: self.ordered, state: Some(AgentState::Serving), processes, ..Agent::default() };
    }

    pub fn answers(&mut self, now: Time, answer: &AgentAnswer, settings: &AgentSettings) {
        let telling = self.processes.telling.take();
        let is_told = matches!(answer, AgentAnswer::Accepted(_));
        if telling.is_some() && is_told {
            (self.processes.told, self.processes.gone) = (telling, false);
        } else if telling.is_some() {
            self.state = None;
        }
        match answer {
            AgentAnswer::Accepted(status) => {
                let blocks = settings.answers_when_drained();
                self.heard |= blocks || status.is_some();
                self.zero_since = None;
                self.state = Some(match status {
                    Some(status) if blocks && status.in_flight == Some(0) => AgentState::Drained,
                    Some(status) => status.state,
                    None if blocks => AgentState::Drained,
                    None => AgentState::Draining,
                });
            }
            AgentAnswer::Status { status, .. } => {
                self.heard = true;
                self.state = Some(match settings.zero_for {
                    Some(zero_for) => self.counted(now, status, zero_for),
                    None => status.state,
                });
            }
            AgentAnswer::Unreachable { gone, .. } => {
                // With `on_exit = "drained"`, an agent that exits after the drain request has drained.
                let exits = settings.on_exit == OnExit::Drained;
                if *gone && exits && self.state != Some(AgentState::Serving) {
                    self.state = Some(AgentState::Drained);
                }
            }
            AgentAnswer::Seen { sight, .. } => {
                self.heard = true;
                self.state = Some(self.processes.sees(*sight));
            }
            AgentAnswer::Returned if settings.protocol == Protocol::Once => self.state = None,
            // Its unit has failed, so no process runs.
            AgentAnswer::CannotDrain(_) => self.processes.gone = true,
            AgentAnswer::Returned
            | AgentAnswer::Unsupported(_)
            | AgentAnswer::Busy(_)
            | AgentAnswer::Malformed(_) => {}
        }
        self.works = match answer {
            AgentAnswer::Accepted(None) => self.works && !settings.answers_when_drained(),
            AgentAnswer::Accepted(Some(_)) | AgentAnswer::Status { .. } | AgentAnswer::Seen { .. } => {
                self.state != Some(AgentState::Drained)
            }
            AgentAnswer::Busy(_) | AgentAnswer::Malformed(_) => self.works,
            AgentAnswer::Returned
            | AgentAnswer::Unreachable { .. }
            | AgentAnswer::Unsupported(_)
            | AgentAnswer::CannotDrain(_) => false,
        };
        if !matches!(answer, AgentAnswer::Status { .. }) {
            self.zero_since = None;
        }
        self.cannot = match answer {
            AgentAnswer::CannotDrain(_) => true,
            AgentAnswer::Accepted(_)
            | AgentAnswer::Status { .. }
            | AgentAnswer::Seen { .. }
            | AgentAnswer::Returned => false,
            AgentAnswer::Unreachable { .. }
            | AgentAnswer::Unsupported(_)
            | AgentAnswer::Busy(_)
            | AgentAnswer::Malformed(_) => self.cannot,
        };
        let refused = matches!(answer, AgentAnswer::Unreachable { .. } | AgentAnswer::Unsupported(_));
        // An agent that was seen and could not be told is still refusing.
        let untold = matches!(answer, AgentAnswer::Seen { .. }) && self.state == Some(AgentState::Serving);
        let refuses = refused || (telling.is_some() && !is_told) || (untold && self.refusing.is_some());
        self.refusing = refuses.then(|| self.refusing.unwrap_or(now));
    }

    /// The state of an agent that says only how much is in flight.
    fn counted(&mut self, now: Time, status: &AgentStatus, zero_for: Duration) -> AgentState {
        if status.in_flight != Some(0) {
            self.zero_since = None;
            return AgentState::Draining;
        }
        let since = *self.zero_since.get_or_insert(now);
        let drained = self.state == Some(AgentState::Drained) || self.asked_at >= since + zero_for;
        if drained { AgentState::Drained } else { AgentState::Draining }
    }

    /// Whether its last answer says so.
    pub fn says_drained(&self) -> bool {
        self.state == Some(AgentState::Drained) && self.refusing.is_none() && !self.cannot
    }

    pub fn has_failed(&self, now: Time, settings: &AgentSettings) -> bool {
        self.cannot || self.refusing.is_some_and(|since| now.since(since) >= settings.unreachable_grace)
    }
}

/// Whether our completion took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    No,
    /// No answer came, or the daemon started with an intention in its journal.
    Perhaps,
    Yes,
}

impl Completed {
    /// Keeps what was known before.
    pub fn or(self, other: Completed) -> Completed {
        if self == Completed::No { other } else { self }
    }
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    None,
    UnderWay,
    Ended,
}

/// A call that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Agent(usize),
    Step {
        step: usize,
        until: Time,
    },
    Force(usize),
    Heartbeat(Time),
    Complete,
    Receive {
        /// The messages stay visible, so that nothing must be given back.
        peek: bool,
    },
}
