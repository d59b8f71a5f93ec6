//! What must hold of each instance and of the run, whatever goes wrong. It sees what a machine hears and decides, and
//! what happens in the world, and looks into neither.

use std::time::Duration;

use crate::machine::effect::Effect;
use crate::machine::event::{AgentAnswer, AgentState, ImdsReading, TargetState};
use crate::machine::journal::{Journal, Outcome};
use crate::machine::report::Report;
use crate::machine::{Event, Time};
use crate::sim::invariant::Invariants;
use crate::sim::world::{AgentState as AgentIs, Happening, LifecycleState, World};

use super::figures::Figures;
use super::plan::{GRACE, HOOK};

/// Auto Scaling calls of a drain in which nothing goes wrong, besides those that go by its length.
const CALLS_MAX: u32 = 16;

/// Calls that each thing may cost that goes wrong.
const CALLS_BY_TROUBLE: u32 = 4;

/// While there is work: heartbeats, every third of the shortest timeout.
const CALL_PERIOD: Duration = Duration::from_secs(10);

/// When there is none: the next try of a completion that comes too early.
const RETRY: Duration = Duration::from_secs(5);

/// What was asked while faults lasted may still run into its limit: so long does an agent's answer take at most.
const LIMIT: Duration = Duration::from_secs(30);

/// Whoever is in service for so short a time may be so unseen: a poll or two, and one that is not believed.
const FLICKER: Duration = Duration::from_secs(8);

/// Who has lost its journal knows of its way into the pool by a message alone, which IMDS may lag behind for a minute.
const FORGETFUL_FLICKER: Duration = Duration::from_secs(68);

/// For so long must `InService` be heard before a notice is taken back.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// The shortest heartbeat timeout.
const TIMEOUT_LEAST: Duration = Duration::from_secs(30);

/// A heartbeat is under way for so long at most, to AWS.
const TRANSIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Judge {
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
    /// Our lifecycle action: since when it waits, and its heartbeat timeout.
    open: Option<(Time, Duration)>,
    /// Since when its agent has no work left.
    idle: Option<Time>,
    /// For how long it is waited for after that.
    grace: Duration,
    /// Since when its daemon is up.
    up: Time,
    /// It has lost its journal, and so does not know that its agent was told to drain.
    forgetful: bool,
    /// Since when it is in service.
    served: Time,
    /// When its daemon last heard that it is.
    heard: Time,
    /// It was in service too shortly for its daemon to know that it goes once more.
    flickered: bool,
    /// It was told that there is no hook, while there was none.
    misled: bool,
    calls: u32,
    /// How often something has gone wrong that may cost calls.
    troubles: u32,
    id: String,
}

impl Judge {
    pub fn new(faults_end: Time) -> Self {
        Judge { faults_end, each: Vec::new(), violations: Vec::new(), figures: Figures::default() }
    }

    pub fn add(&mut self, id: String) {
        self.figures.instances += 1;
        let mut invariants = Invariants::default().with_transit(TRANSIT);
        invariants.stopped();
        self.each.push(Each {
            invariants,
            reported: None,
            outcome: None,
            leaving: None,
            open: None,
            idle: None,
            grace: Duration::ZERO,
            up: Time::default(),
            forgetful: false,
            served: Time::default(),
            heard: Time::default(),
            flickered: false,
            misled: false,
            calls: 0,
            troubles: 0,
            id,
        });
    }

    pub fn started(&mut self, host: usize, now: Time) {
        self.each[host].reported = None;
        self.resumed(host, now);
    }

    /// The daemon goes on, after a start or a standstill.
    pub fn resumed(&mut self, host: usize, now: Time) {
        self.each[host].invariants.restarted(now);
        self.each[host].up = now;
        self.each[host].troubles += 1;
    }

    pub fn killed(&mut self, host: usize) {
        self.figures.kills += 1;
        self.stopped(host);
    }

    pub fn stopped(&mut self, host: usize) {
        self.each[host].invariants.stopped();
    }

    pub fn forgot(&mut self, host: usize) {
        self.each[host].forgetful = true;
        self.each[host].invariants.forgot();
    }

    /// It may be drained for more than one reason.
    pub fn many_drains(&mut self, host: usize) {
        let Each { invariants, id, .. } = &mut self.each[host];
        invariants.many_drains(id);
    }

    /// A call has come to nothing, or will have by then.
    pub fn lost(&mut self, host: usize, at: Time) {
        self.each[host].invariants.lost(at);
        self.each[host].troubles += 1;
    }

    /// IMDS says nothing, and nobody knows of a drain.
    pub fn deaf(&mut self, host: usize, now: Time) {
        self.each[host].invariants.refused(now);
    }

    /// The hook is another one from now on: what daemons have read of it is not so any more.
    pub fn hook_changed(&mut self) {
        for host in 0..self.each.len() {
            self.each[host].troubles += 1;
            self.many_drains(host);
        }
    }

    /// What a machine is told.
    pub fn hears(&mut self, host: usize, now: Time, event: &Event) {
        match event {
            Event::Imds(ImdsReading::TargetState(Some(TargetState::InService))) => {
                self.each[host].heard = now;
            }
            Event::Started { journal: Some(journal) } => {
                let hook = journal.drain.as_ref().and_then(|drain| drain.action.hook.as_ref());
                if let Some(hook) = hook {
                    self.each[host].invariants.believes(hook.heartbeat_timeout);
                }
            }
            Event::HooksDescribed { result: Ok(hooks), .. } => {
                let hook = hooks.iter().find(|hook| hook.name == HOOK);
                match hook {
                    Some(hook) => {
                        self.each[host].misled = false;
                        self.each[host].invariants.believes(hook.heartbeat_timeout);
                    }
                    // Whoever was told that there is no hook waits for none.
                    None => {
                        let each = &mut self.each[host];
                        each.misled = true;
                        each.invariants.many_drains(&each.id);
                    }
                }
            }
            _ => {}
        }
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

    /// A machine and the reference disagree.
    pub fn complains(&mut self, host: usize, now: Time, what: &str) {
        self.violations.push(format!("{now}: {}: {what}", self.each[host].id));
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
            // Until the hook is read, the shortest timeout is assumed.
            Effect::Report(Report::DrainStarted { .. }) => each.invariants.believes(TIMEOUT_LEAST),
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
        if is_anothers(happening) {
            return;
        }
        let faults_end = self.faults_end;
        let each = &mut self.each[host];
        if matches!(happening, Happening::ActionExpired { .. }) && (each.flickered || each.misled) {
            each.invariants.refused(at);
        }
        each.invariants.observe(at, happening);
        match happening {
            Happening::ImdsFlipped { target, .. } if target == "InService" => each.served = at,
            Happening::TerminationRequested { .. } => {
                let unheard = each.heard < each.served + WITHDRAWAL;
                let least = if each.forgetful { FORGETFUL_FLICKER } else { FLICKER };
                let shortly = at.since(each.served.max(each.up)) < least;
                each.flickered = each.invariants.is_down() || shortly || unheard;
                each.leaving = Some(at);
                (each.calls, each.troubles) = (0, 0);
            }
            Happening::WaitBegan { expires, .. } => each.open = Some((at, expires.since(at))),
            Happening::AgentDrained { .. } => (each.idle, each.grace) = (Some(at), Duration::ZERO),
            // It may come back.
            Happening::AgentExited { .. } => (each.idle, each.grace) = (Some(at), GRACE),
            Happening::AgentStarted { .. } | Happening::AgentReturned { .. } => each.idle = None,
            Happening::Heartbeat { .. } => self.figures.heartbeats += 1,
            Happening::Throttled => {
                self.figures.throttled += 1;
                each.invariants.refused(at);
                each.troubles += 1;
            }
            Happening::Completed { .. } | Happening::ActionReleased { .. } => {
                self.violations.extend(each.late(at, faults_end));
            }
            Happening::ActionExpired { .. } => {
                self.figures.expired += 1;
                self.violations.extend(each.late(at, faults_end));
            }
            Happening::MessageReceived { about, by, .. } if about != by => self.figures.misdelivered += 1,
            Happening::InstanceTerminated { work_lost, .. } => {
                self.figures.terminated += 1;
                self.figures.work_lost += u64::from(*work_lost);
                self.violations.extend(each.too_many_calls(at));
            }
            Happening::InstancePooled { .. } => self.violations.extend(each.too_many_calls(at)),
            _ => {}
        }
    }

    /// The end of a run: whoever was taken away is gone, or where it was taken to; whoever serves, serves.
    pub fn end(&mut self, world: &World, now: Time) {
        for each in &mut self.each {
            self.violations.append(&mut each.invariants.violations);
            let Some(instance) = world.instance(&each.id) else { continue };
            let wrong = match instance.state {
                LifecycleState::Terminated | LifecycleState::WarmedRunning => continue,
                LifecycleState::InService => instance.agent.state != AgentIs::Serving && !each.forgetful,
                _ => true,
            };
            if wrong {
                let (state, agent) = (instance.state, instance.agent.state);
                self.violations.push(format!("{now}: {} ends in {state:?}, its agent {agent:?}", each.id));
            }
        }
        self.violations.sort();
    }

    pub fn verdict(self) -> (Vec<String>, Figures) {
        (self.violations, self.figures)
    }
}

impl Each {
    /// Liveness: once faults have stopped, an action lasts for one heartbeat timeout at most after it could have been
    /// completed.
    fn late(&mut self, at: Time, faults_end: Time) -> Option<String> {
        let (since, timeout) = self.open.take()?;
        let could = since.max(self.idle?).max(self.up).max(faults_end + LIMIT) + self.grace;
        let late = at > could + timeout && !self.misled && !self.flickered;
        late.then(|| format!("{at}: {}'s action could have been completed at {could}", self.id))
    }

    /// Calls go by what goes wrong and by time, never by the size of the fleet.
    fn too_many_calls(&mut self, at: Time) -> Option<String> {
        let left = self.leaving.take()?;
        let (took, idle) = (at.since(left), self.idle.unwrap_or(at).max(left));
        let by_time =
            idle.since(left).as_secs() / CALL_PERIOD.as_secs() + at.since(idle).as_secs() / RETRY.as_secs();
        let allowed =
            CALLS_MAX + CALLS_BY_TROUBLE * self.troubles + u32::try_from(by_time).unwrap_or(u32::MAX);
        let (calls, troubles) = (self.calls, self.troubles);
        (calls > allowed).then(|| {
            format!("{at}: {} made {calls} Auto Scaling calls in {took:?} with {troubles} troubles", self.id)
        })
    }
}

/// What another hook's action goes through is not our daemon's doing.
fn is_anothers(happening: &Happening) -> bool {
    match happening {
        Happening::WaitBegan { hook, .. }
        | Happening::Completed { hook, .. }
        | Happening::ActionExpired { hook, .. }
        | Happening::ActionReleased { hook, .. } => hook != HOOK,
        _ => false,
    }
}
