//! What the judge remembers of each instance.

use std::time::Duration;

use crate::invariant::Invariants;
use crate::world::Happening;
use machine::event::{CallErrorKind, ImdsReading, TargetState};
use machine::journal::Outcome;
use machine::message::{Body, Message, Transition};
use machine::{Event, Time};

use super::super::plan::HOOK;
use super::calls::CallsMade;
use super::said::Said;

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

/// An instance that is in service for so short a time may be so unseen: a poll or two, and one that is not believed.
const FLICKER: Duration = Duration::from_secs(8);

/// Who has lost its journal knows of its way into the pool by a message alone, which IMDS may lag behind for a minute.
const FORGETFUL_FLICKER: Duration = Duration::from_secs(68);

/// For so long must `InService` be heard before a notice is taken back.
const WITHDRAWAL: Duration = Duration::from_secs(3);

/// Where a message alone has told of it, also so long after the message: IMDS may lag behind.
const LAG: Duration = Duration::from_secs(60);

/// A call that is refused so long after an action has begun was not sent too early.
const KNOWN: Duration = Duration::from_secs(10);

/// A heartbeat is under way for so long at most, to AWS.
const TRANSIT: Duration = Duration::from_secs(1);

/// One instance.
#[derive(Debug, Default)]
pub(super) struct Each {
    pub invariants: Invariants,
    /// What its agents have said in this life of the daemon.
    pub said: Said,
    /// The calls of this life of the daemon.
    pub calls_made: CallsMade,
    /// The heartbeat timeout that its daemon goes by, read or assumed.
    pub chosen: Option<Duration>,
    /// Until when agents beside the world's have work.
    pub busy_until: Time,
    /// How the drain is about to end, by what this life of the daemon has read or decided.
    pub outcome: Option<Outcome>,
    /// Since when it is being taken away.
    pub leaving: Option<Time>,
    /// Our lifecycle action: since when it waits, and its heartbeat timeout.
    pub open: Option<(Time, Duration)>,
    /// Since when its agent has no work left.
    pub idle: Option<Time>,
    /// For how long it is waited for after that.
    pub grace: Duration,
    /// Since when its daemon is up.
    pub up: Time,
    /// It has lost its journal, and so does not know that its agent was told to drain.
    pub forgetful: bool,
    /// Since when it is in service.
    pub served: Time,
    /// For so long after a message has told that it goes, its daemon need not believe that it is in service.
    pub lag: Duration,
    /// Since when its daemon has heard nothing else.
    pub heard_since: Option<Time>,
    /// When its daemon last had reason to believe that.
    pub believed: Time,
    /// It was in service too shortly for its daemon to know that it goes once more.
    pub flickered: bool,
    /// It was told that there is no hook, while there was none.
    pub misled: bool,
    /// The hook was gone while it was being taken away, and so it may expect no action until it serves again.
    pub hookless: bool,
    /// It has been told, by IMDS or by a message, that it goes.
    pub informed: bool,
    /// When a message was the first to tell it so.
    pub told: Time,
    /// A heartbeat was not answered, and none has been since: it may have kept the action alive.
    pub doubts: bool,
    /// Its daemon has taken the action that waits for one that must have expired, by the heartbeats that were answered. When
    /// it finds that the action waits, it does not know since when.
    pub lost_track: bool,
    /// By so much its clock is ahead of AWS's.
    pub ahead: Duration,
    /// By so much it is behind.
    pub behind: Duration,
    /// When its last action ended, or its daemon said so.
    pub over: Time,
    pub calls: u32,
    /// How often something has gone wrong that may cost calls.
    pub troubles: u32,
    pub id: String,
}

impl Each {
    pub fn new(id: String, blocks: &[bool]) -> Self {
        let mut invariants = Invariants::default().with_transit(TRANSIT);
        invariants.stopped();
        Each { id, invariants, said: Said::new(blocks), ..Each::default() }
    }

    /// What a machine is told.
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
                // A daemon that does not know that it has served takes the pool for where it comes from.
                let tells = match state {
                    None => false,
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
                    Body::Instance(_) | Body::Test | Body::Unreadable(_) => false,
                });
                if tells && !self.informed {
                    (self.informed, self.lag, self.told) = (true, LAG, now);
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
                        // What was planned by a longer one comes too late now.
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
            self.said.hears(*id, answer);
        }
        self.calls_made.hears(event);
    }

    /// A call that names the wrong action, while this instance's waits, is its daemon's own doing and excuses nothing.
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

    /// Whether a message tells of another instance's action.
    pub fn is_of_another(&self, message: &Message) -> bool {
        matches!(&*message.body, Body::Lifecycle(lifecycle) if lifecycle.instance_id != self.id)
    }

    /// Auto Scaling has decided to take it away.
    pub fn goes(&mut self, at: Time) {
        // What a message has told of before, and IMDS has not refuted for long enough, is this termination to its daemon.
        let unheard = self.believed <= self.served.max(self.told);
        let least = if self.forgetful { FORGETFUL_FLICKER } else { FLICKER };
        let shortly = at.since(self.served.max(self.up)) < least;
        self.flickered = self.invariants.is_down() || shortly || unheard;
        self.leaving = Some(at);
        self.informed = false;
        (self.calls, self.troubles) = (0, 0);
    }

    /// Liveness: once faults have stopped, an action lasts for one heartbeat timeout at most after it could have been
    /// completed.
    pub fn late(&mut self, at: Time, faults_end: Time) -> Option<String> {
        self.over = at;
        let (since, timeout) = self.open.take()?;
        let could =
            since.max(self.idle?).max(self.busy_until).max(self.up).max(faults_end + LIMIT) + self.grace;
        let late = at > could + timeout && !self.knows_nothing();
        late.then(|| format!("{at}: {}'s action could have been completed at {could}", self.id))
    }

    /// Nothing that it could have heard tells it of the action.
    pub fn knows_nothing(&self) -> bool {
        self.flickered || self.misled || self.hookless
    }

    /// By its clock, the action that waits is so much younger than it is that its heartbeat may come too late.
    pub fn is_behind(&self) -> bool {
        self.open.is_some_and(|(_, timeout)| self.behind > timeout / 4)
    }

    /// By its clock, the action that waits began before the last one ended.
    pub fn is_confused(&self) -> bool {
        self.open.is_some_and(|(since, _)| since < self.over + self.ahead)
    }

    /// Calls go by what goes wrong and by time, never by the size of the fleet.
    pub fn too_many_calls(&mut self, at: Time) -> Option<String> {
        let left = self.leaving.take()?;
        let (took, idle) = (at.since(left), self.idle.unwrap_or(at).max(self.busy_until.min(at)).max(left));
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
