//! What the judge knows about each instance.

use std::time::Duration;

use crate::invariant::Invariants;
use crate::world::{Happening, InstanceView};
use machine::event::{CallErrorKind, ImdsReading, TargetState};
use machine::journal::Outcome;
use machine::message::{Body, Message, Transition};
use machine::settings::AgentSettings;
use machine::{Event, Time};

use super::super::launch;
use super::super::plan::HOOK;
use super::calls::CallsMade;
use super::losses::Loss;
use super::said::Said;
use super::signals::Signals;
use super::volume::Volume;

/// Auto Scaling calls that a drain without faults may make, besides those that depend on its length.
const CALLS_MAX: u32 = 16;

/// Additional calls for each fault.
const CALLS_BY_TROUBLE: u32 = 4;

/// While there is work: heartbeats, one per third of the shortest timeout.
const CALL_PERIOD: Duration = Duration::from_secs(10);

/// When the work is done: the next try of a completion that came too early.
const RETRY: Duration = Duration::from_secs(5);

/// The longest time for an agent to answer. A request from before the end of the faults may take this long.
const LIMIT: Duration = Duration::from_secs(30);

/// The daemon may miss a return to service that is shorter than this: one or two polls, and one poll that it does not
/// believe yet.
const FLICKER: Duration = Duration::from_secs(8);

/// The same for a daemon that lost its journal. Only a message tells it of the way into the pool, and IMDS may lag by a
/// minute.
const FORGETFUL_FLICKER: Duration = Duration::from_secs(68);

/// How long IMDS must say `InService` before a notice is withdrawn.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// How long IMDS may lag behind a message that was the first to announce the termination.
const LAG: Duration = Duration::from_secs(60);

/// A call that is refused this long after the action began was not sent too early.
const KNOWN: Duration = Duration::from_secs(10);

/// The longest time for a heartbeat to reach AWS.
const TRANSIT: Duration = Duration::from_secs(1);

/// One instance.
/// A launch without faults takes less than this, with the return of the agents from a drain.
const LAUNCH: Duration = Duration::from_secs(180);

#[derive(Debug, Default)]
pub(super) struct Each {
    pub invariants: Invariants,
    /// What its agents have said in this life of the daemon.
    pub said: Said,
    pub signals: Signals,
    /// The AWS calls of this life of the daemon.
    pub calls_made: CallsMade,
    /// The heartbeat timeout that its daemon uses, read or assumed.
    pub chosen: Option<Duration>,
    /// When the agents other than the world's finish their work.
    pub busy_until: Time,
    /// A process that got no signal counts as told. Its drain lasts until its deadline.
    pub untold: bool,
    /// The outcome that this life of the daemon has read from its journal or decided.
    pub outcome: Option<Outcome>,
    /// The outcome of the drain that sent the last completion.
    pub completing: Option<Outcome>,
    /// How its action ended.
    pub ended: Option<Loss>,
    /// Its agent has started again since it drained or exited.
    pub started_again: bool,
    /// EC2 took its capacity.
    pub taken_back: Option<Loss>,
    /// When Auto Scaling decided to terminate it.
    pub leaving: Option<Time>,
    /// When our lifecycle action began to wait, and its heartbeat timeout.
    pub open: Option<(Time, Duration)>,
    /// When its agent finished its work.
    pub idle: Option<Time>,
    /// How long the daemon may then wait for the agent to come back.
    pub grace: Duration,
    /// How long its daemon's after steps may take.
    pub steps: Duration,
    /// When its daemon started.
    pub up: Time,
    /// Its daemon lost its journal, and does not know that the agent was told to drain.
    pub forgetful: bool,
    /// When it entered service.
    pub served: Time,
    /// For this long after a message announced the termination, its daemon need not believe `InService`.
    pub lag: Duration,
    /// When IMDS began to say `InService` without interruption, as its daemon heard it.
    pub heard_since: Option<Time>,
    /// When its daemon last had reason to believe that.
    pub believed: Time,
    /// It was in service too briefly for its daemon to notice the new termination.
    pub flickered: bool,
    /// Its daemon asked for the hook while the hook was missing.
    pub misled: bool,
    /// The hook was missing during the termination. The daemon may expect no action until the instance serves again.
    pub hookless: bool,
    /// IMDS or a message has announced the termination to its daemon.
    pub informed: bool,
    /// When a message was the first to announce it.
    pub told: Time,
    /// Whether its root volume is replaced.
    pub volume: Volume,
    /// A heartbeat got no answer, and no later one did. It may have kept the action alive.
    pub doubts: bool,
    /// Its daemon considers the open action expired, because it counts only answered heartbeats. When it finds that the
    /// action still waits, it does not know since when.
    pub lost_track: bool,
    /// How far its clock is ahead of AWS's.
    pub ahead: Duration,
    /// How far its clock is behind AWS's.
    pub behind: Duration,
    /// When its last action ended in the world, or its daemon said that it had.
    pub over: Time,
    pub calls: u32,
    /// How many faults have occurred that may cost calls.
    pub troubles: u32,
    pub id: String,
}

impl Each {
    pub fn new(id: String, agents: &[AgentSettings]) -> Self {
        let mut invariants = Invariants::default().with_transit(TRANSIT);
        invariants.stopped();
        Each { id, invariants, said: Said::new(agents), ..Each::default() }
    }

    /// Whether a message announces the open action, and with it the replacement of the root volume. Its time is in whole seconds.
    fn replaces(&self, message: &Message) -> bool {
        let Body::Lifecycle(told) = &*message.body else { return false };
        let ours = told.instance_id == self.id && told.hook == HOOK && told.replaces_root_volume;
        let since = self.open.map(|(since, _)| since - Duration::from_secs(1));
        ours && told.sent.zip(since).is_some_and(|(sent, since)| sent > since)
    }

    /// Records an event before its machine handles it.
    pub fn hears(&mut self, now: Time, event: &Event) {
        match event {
            Event::Imds(ImdsReading::TargetState(Some(TargetState::InService))) => {
                let since = *self.heard_since.get_or_insert(now);
                if now >= since + WITHDRAWAL && now >= self.told + self.lag {
                    (self.believed, self.lag, self.informed) = (now, Duration::ZERO, false);
                }
            }
            Event::Imds(ImdsReading::TargetState(state)) => {
                self.heard_since = None;
                // Without its journal, a daemon does not know that the instance has served. It assumes that the instance
                // came from the pool.
                let tells = match state {
                    // These announce no termination.
                    None | Some(TargetState::Standby | TargetState::Detached) => false,
                    Some(TargetState::Warmed(_)) => !self.forgetful,
                    Some(_) => true,
                };
                if tells {
                    (self.informed, self.lag) = (true, Duration::ZERO);
                }
            }
            Event::Imds(ImdsReading::Silent { .. }) => self.heard_since = None,
            Event::MessagesReceived { result: Ok(messages), .. } => {
                let tells = messages.iter().any(|message| match &*message.body {
                    // Another hook's message is given back: it says nothing of our action.
                    Body::Lifecycle(lifecycle) => {
                        lifecycle.instance_id == self.id
                            && lifecycle.transition == Transition::Terminating
                            && lifecycle.hook == HOOK
                    }
                    Body::Instance(_) | Body::Reservation(_) | Body::Test | Body::Unreadable(_) => false,
                });
                if tells && !self.informed {
                    (self.informed, self.lag, self.told) = (true, LAG, now);
                }
                if messages.iter().any(|message| self.replaces(message)) && self.volume.hears() {
                    self.invariants.refused(now);
                }
            }
            Event::Started { journal: Some(journal) } => {
                let hook = journal.drain.as_ref().and_then(|drain| drain.action.hook.as_ref());
                if let Some(hook) = hook {
                    self.invariants.believes(hook.heartbeat_timeout);
                }
            }
            Event::HooksDescribed { result: Ok(hooks), .. } => {
                let hook = hooks.iter().find(|hook| hook.name == HOOK);
                match hook {
                    Some(hook) => {
                        self.misled = false;
                        // What was planned by the longer timeout comes too late now.
                        if self.invariants.believed() > Some(hook.heartbeat_timeout) {
                            self.invariants.refused(now);
                        }
                        self.invariants.believes(hook.heartbeat_timeout);
                    }
                    // A daemon that was told that there is no hook waits for none.
                    None => {
                        self.misled = true;
                        self.invariants.many_drains(&self.id);
                    }
                }
            }
            Event::HeartbeatAnswered { result, .. } => match result {
                Ok(()) => self.doubts = false,
                Err(error) => self.doubts |= error.kind == CallErrorKind::Unanswered,
            },
            _ => {}
        }
        if let Event::AgentAnswered { id, answer } = event {
            self.said.hears(now, *id, answer);
        }
        self.calls_made.hears(event);
    }

    /// Whether a call names the wrong action while this instance's action waits. That is the daemon's own mistake and
    /// excuses nothing.
    pub fn names_another(&self, at: Time, happening: &Happening) -> bool {
        let waits = |since: Time| at.since(since) > KNOWN;
        match happening {
            Happening::HeartbeatRejected { why, .. } | Happening::CompletionRejected { why, .. } => {
                let found = why.contains("No active Lifecycle Action");
                self.open.is_some_and(|(since, _)| why.contains("not found") || (found && waits(since)))
            }
            _ => false,
        }
    }

    /// Whether a message is about another instance's action.
    pub fn is_of_another(&self, message: &Message) -> bool {
        matches!(&*message.body, Body::Lifecycle(lifecycle) if lifecycle.instance_id != self.id)
    }

    /// Auto Scaling has decided to terminate it.
    pub fn goes(&mut self, at: Time) {
        // If IMDS has not refuted an earlier message for long enough, the daemon considers this the same termination.
        let unheard = self.believed <= self.served.max(self.told);
        let least = if self.forgetful { FORGETFUL_FLICKER } else { FLICKER };
        let shortly = at.since(self.served.max(self.up)) < least;
        self.flickered = self.invariants.is_down() || shortly || unheard;
        self.leaving = Some(at);
        self.informed = false;
        (self.calls, self.troubles) = (0, 0);
    }

    /// Liveness: once faults have stopped, an action ends at most one heartbeat timeout after it could have been completed.
    pub fn late(&mut self, at: Time, faults_end: Time) -> Option<String> {
        self.over = at;
        let (since, timeout) = self.open.take()?;
        let could = since.max(self.idle?).max(self.busy_until).max(self.up).max(faults_end + LIMIT)
            + self.grace
            + self.steps;
        let late = at > could + timeout && !self.knows_nothing() && !self.untold;
        late.then(|| {
            format!("{at}: {}'s action ended late: it could have been completed at {could}", self.id)
        })
    }

    /// Whether nothing that its daemon could have heard announced the action.
    pub fn knows_nothing(&self) -> bool {
        self.flickered || self.misled || self.hookless || self.volume == Volume::Unheard
    }

    /// Its clock is so far behind that the action seems much younger than it is, and a heartbeat may come too late.
    pub fn is_behind(&self) -> bool {
        self.open.is_some_and(|(_, timeout)| self.behind > timeout / 4)
    }

    /// By its clock, the open action began before the last one ended.
    pub fn is_confused(&self) -> bool {
        self.open.is_some_and(|(since, _)| since < self.over + self.ahead)
    }

    /// The number of calls depends on time and on faults, never on the size of the fleet.
    pub fn too_many_calls(&mut self, at: Time) -> Option<String> {
        let left = self.leaving.take()?;
        let (took, idle) = (at.since(left), self.idle.unwrap_or(at).max(self.busy_until.min(at)).max(left));
        let by_time =
            idle.since(left).as_secs() / CALL_PERIOD.as_secs() + at.since(idle).as_secs() / RETRY.as_secs();
        let allowed =
            CALLS_MAX + CALLS_BY_TROUBLE * self.troubles + u32::try_from(by_time).unwrap_or(u32::MAX);
        let (calls, troubles) = (self.calls, self.troubles);
        (calls > allowed).then(|| {
            format!("{at}: {} made {calls} Auto Scaling calls in {took:?}, with {troubles} faults", self.id)
        })
    }
}

/// Whether an instance in `Pending:Wait` has waited for longer than a launch without faults takes.
pub(super) fn is_late_to_launch(instance: &InstanceView, now: Time) -> bool {
    instance.actions.iter().map(|action| action.began).max().is_some_and(|began| now.since(began) > LAUNCH)
}

/// Whether it is about the action of another hook, which our daemon does not handle.
pub(super) fn is_anothers(happening: &Happening) -> bool {
    match happening {
        Happening::WaitBegan { hook, .. }
        | Happening::Completed { hook, .. }
        | Happening::ActionExpired { hook, .. }
        | Happening::ActionReleased { hook, .. } => hook != HOOK,
        Happening::Heartbeat { hook, .. } => hook == launch::HOOK,
        _ => false,
    }
}
