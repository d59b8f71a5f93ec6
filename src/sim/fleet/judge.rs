//! What must hold of each instance and of the run, whatever goes wrong. It sees what a machine hears and decides, and
//! what happens in the world, and looks into neither.

use std::time::Duration;

use crate::machine::effect::Effect;
use crate::machine::event::{AgentAnswer, AgentState};
use crate::machine::journal::{Journal, Outcome};
use crate::machine::report::Report;
use crate::machine::{Event, Time};
use crate::sim::invariant::Invariants;
use crate::sim::world::{Happening, LifecycleState, World};

/// Auto Scaling calls that a drain may make besides those that go by its length.
const CALLS_MAX: u32 = 60;

/// A drain makes no more than one Auto Scaling call in this time, over its whole length and for good reason.
const CALL_PERIOD: Duration = Duration::from_secs(4);

/// What a run has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Instances, those that were launched in the run included.
    pub instances: u64,
    /// Instances that were taken away.
    pub terminated: u64,
    /// Drains by how they ended.
    pub drained: u64,
    /// At their deadline.
    pub deadline: u64,
    /// With an agent that could not be drained.
    pub failed: u64,
    /// By somebody else, or by their action's end.
    pub overtaken: u64,
    /// Not at all: the notice was withdrawn.
    pub withdrawn: u64,
    /// Work that was lost with instances whose drain had not ended as drained.
    pub work_lost: u64,
    /// Daemons that were killed.
    pub kills: u64,
    /// Heartbeats that took effect.
    pub heartbeats: u64,
    /// Auto Scaling calls, tried and failed ones included.
    pub calls: u64,
    /// Calls that were throttled.
    pub throttled: u64,
    /// ReceiveMessage calls.
    pub receives: u64,
    /// Messages that reached another instance than the one that they are about.
    pub misdelivered: u64,
    /// Actions that expired.
    pub expired: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        let Figures { instances, terminated, drained, deadline, failed, overtaken, withdrawn, .. } = other;
        let Figures {
            work_lost, kills, heartbeats, calls, throttled, receives, misdelivered, expired, ..
        } = other;
        self.instances += instances;
        self.terminated += terminated;
        self.drained += drained;
        self.deadline += deadline;
        self.failed += failed;
        self.overtaken += overtaken;
        self.withdrawn += withdrawn;
        self.work_lost += work_lost;
        self.kills += kills;
        self.heartbeats += heartbeats;
        self.calls += calls;
        self.throttled += throttled;
        self.receives += receives;
        self.misdelivered += misdelivered;
        self.expired += expired;
    }
}

#[derive(Debug)]
pub(super) struct Judge {
    heartbeat_timeout: Duration,
    faults_end: Time,
    each: Vec<Each>,
    violations: Vec<String>,
    figures: Figures,
}

/// One instance.
#[derive(Debug)]
struct Each {
    invariants: Invariants,
    /// The agent's state, as last reported in this life of the daemon.
    reported: Option<AgentState>,
    /// How the drain is about to end.
    outcome: Option<Outcome>,
    /// Since when it is being taken away.
    leaving: Option<Time>,
    calls: u32,
    id: String,
}

impl Judge {
    pub fn new(heartbeat_timeout: Duration, faults_end: Time) -> Self {
        Judge {
            heartbeat_timeout,
            faults_end,
            each: Vec::new(),
            violations: Vec::new(),
            figures: Figures::default(),
        }
    }

    pub fn add(&mut self, id: String) {
        self.figures.instances += 1;
        // A heartbeat is under way for a tenth of its timeout at most.
        let transit = self.heartbeat_timeout / 10;
        let mut invariants = Invariants::new(self.heartbeat_timeout).with_transit(transit);
        invariants.stopped();
        self.each.push(Each { invariants, reported: None, outcome: None, leaving: None, calls: 0, id });
    }

    pub fn started(&mut self, host: usize, now: Time) {
        self.each[host].invariants.restarted(now);
        self.each[host].reported = None;
    }

    pub fn stopped(&mut self, host: usize) {
        self.figures.kills += 1;
        self.each[host].invariants.stopped();
    }

    pub fn forgot(&mut self, host: usize) {
        self.each[host].invariants.forgot();
    }

    pub fn lost(&mut self, host: usize, now: Time) {
        self.each[host].invariants.lost(now);
    }

    /// IMDS says nothing, and nobody knows of a drain.
    pub fn deaf(&mut self, host: usize, now: Time) {
        self.each[host].invariants.refused(now);
    }

    pub fn leaving(&mut self, host: usize, now: Time) {
        self.each[host].leaving = Some(now);
    }

    /// What a machine is told.
    pub fn hears(&mut self, host: usize, event: &Event) {
        if let Event::AgentAnswered { answer, .. } = event {
            self.each[host].reported = match answer {
                AgentAnswer::Accepted(Some(status)) | AgentAnswer::Status { status, .. } => {
                    Some(status.state)
                }
                AgentAnswer::Refused(_) => None,
                AgentAnswer::Accepted(None)
                | AgentAnswer::Returned
                | AgentAnswer::Unsupported(_)
                | AgentAnswer::CannotDrain(_)
                | AgentAnswer::Busy(_)
                | AgentAnswer::Malformed(_) => self.each[host].reported,
            };
        }
    }

    /// What a machine decides, with what is on its disk then.
    pub fn decides(&mut self, host: usize, now: Time, effect: &Effect, disk: Option<&Journal>) {
        let each = &mut self.each[host];
        match effect {
            Effect::Heartbeat { .. } => {
                let drain = disk.and_then(|journal| journal.drain.as_ref());
                if drain.is_some_and(|drain| drain.ended.is_none() && drain.action.intention.is_some()) {
                    self.violations
                        .push(format!("{now}: {} sends a heartbeat, and means to complete", each.id));
                }
            }
            Effect::Complete { .. } => {
                let busy = matches!(each.reported, Some(AgentState::Serving | AgentState::Draining));
                if each.outcome == Some(Outcome::Drained) && busy {
                    let what = format!("{now}: {} completes as drained, and its agent is not", each.id);
                    self.violations.push(what);
                }
            }
            Effect::Report(Report::Completing { outcome, .. }) => each.outcome = Some(*outcome),
            Effect::Report(Report::DrainEnded { outcome, .. }) => match outcome {
                Outcome::Drained => self.figures.drained += 1,
                Outcome::Deadline => self.figures.deadline += 1,
                Outcome::Failed => self.figures.failed += 1,
                Outcome::Overtaken => self.figures.overtaken += 1,
                Outcome::Withdrawn => self.figures.withdrawn += 1,
            },
            Effect::ReceiveMessages { .. } => self.figures.receives += 1,
            Effect::DescribeInstance { .. } | Effect::DescribeHooks { .. } => {}
            Effect::WriteJournal { .. }
            | Effect::AskAgent { .. }
            | Effect::SetVisibility { .. }
            | Effect::DeleteMessage { .. }
            | Effect::Report(_) => return,
        }
        if matches!(
            effect,
            Effect::Heartbeat { .. }
                | Effect::Complete { .. }
                | Effect::DescribeInstance { .. }
                | Effect::DescribeHooks { .. }
        ) {
            each.calls += 1;
            self.figures.calls += 1;
        }
    }

    /// What happens to an instance, or by it.
    pub fn observe(&mut self, host: usize, at: Time, happening: &Happening) {
        let each = &mut self.each[host];
        each.invariants.observe(at, happening);
        match happening {
            Happening::Heartbeat { .. } => self.figures.heartbeats += 1,
            Happening::Throttled => {
                self.figures.throttled += 1;
                each.invariants.refused(at);
            }
            Happening::ActionExpired { .. } => {
                self.figures.expired += 1;
                if at > self.faults_end + self.heartbeat_timeout {
                    self.violations
                        .push(format!("{at}: {}'s action expired long after the last fault", each.id));
                }
            }
            Happening::MessageReceived { about, by, .. } if about != by => self.figures.misdelivered += 1,
            Happening::InstanceTerminated { work_lost, .. } => {
                self.figures.terminated += 1;
                self.figures.work_lost += u64::from(*work_lost);
                let took = at.since(each.leaving.unwrap_or(at));
                let allowed =
                    CALLS_MAX + u32::try_from(took.as_secs() / CALL_PERIOD.as_secs()).unwrap_or(u32::MAX);
                if each.calls > allowed {
                    let what =
                        format!("{at}: {} made {} Auto Scaling calls in {took:?}", each.id, each.calls);
                    self.violations.push(what);
                }
            }
            _ => {}
        }
    }

    /// The end of a run: whoever was taken away is gone.
    pub fn end(&mut self, world: &World, now: Time) {
        for each in &mut self.each {
            self.violations.append(&mut each.invariants.violations);
            let state = world.instance(&each.id).map(|instance| instance.state);
            if each.leaving.is_some() && state.is_some_and(|state| state != LifecycleState::Terminated) {
                self.violations.push(format!("{now}: {} is still there, in {state:?}", each.id));
            }
        }
        self.violations.sort();
    }

    pub fn verdict(self) -> (Vec<String>, Figures) {
        (self.violations, self.figures)
    }
}
