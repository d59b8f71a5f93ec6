//! One agent: what it has been told, what it said, and what to ask it next.

use std::time::Duration;

use super::backoff::Backoff;
use super::effect::{AgentRequest, DrainOrder, Effect, EffectId};
use super::event::{AgentAnswer, AgentState, AgentStatus};
use super::journal::{AgentRecord, Outcome};
use super::report::{Progress, Report};
use super::settings::{AgentSettings, OnExit};
use super::time::Time;
use super::timer::Timer;
use super::turn::{Attempts, Turn};

/// Between tries that failed.
const RETRY: Backoff = Backoff::between_ms(200, 5_000);

/// Between tries at an agent that says that it cannot drain.
const RETRY_CANNOT: Duration = Duration::from_secs(10);

/// Between looks at an agent that has drained: it may have been restarted.
const RECHECK: Duration = Duration::from_secs(10);

/// An agent that serves although it was told to drain was restarted; one that says so again and again has a defect.
const SERVING_STILL: u32 = 2;

/// Between questions to an agent that holds its answer until there is news.
const HELD_POLL: Duration = Duration::from_millis(50);

/// What an agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// Whatever it does.
    Nothing,
    /// Drain, on these orders.
    Drain(DrainOrder),
    /// Serve again.
    Return,
}

#[derive(Debug)]
pub(super) struct AgentTrack {
    place: usize,
    settings: AgentSettings,
    pub record: AgentRecord,
    /// The last status it gave.
    pub status: Option<AgentStatus>,
    /// The orders that it has accepted since it was last seen serving.
    accepted: Option<DrainOrder>,
    sent: Option<AgentRequest>,
    drained: bool,
    cannot: bool,
    /// It was told in the last run of the daemon, and has not been heard in this one.
    recovered: bool,
    /// How often in a row it has said that it serves, though it was told to drain.
    serving_still: u32,
    /// Since when nobody has listened, or the path has drained nothing.
    trouble_since: Option<Time>,
    attempts: Attempts,
}

impl AgentTrack {
    pub fn new(place: usize, settings: AgentSettings) -> Self {
        AgentTrack {
            place,
            record: AgentRecord { name: settings.name.clone(), ..AgentRecord::default() },
            settings,
            status: None,
            accepted: None,
            sent: None,
            drained: false,
            cannot: false,
            recovered: false,
            serving_still: 0,
            trouble_since: None,
            attempts: Attempts::default(),
        }
    }

    /// A drain begins: what an earlier one has left behind says nothing about this one.
    pub fn begin(&mut self, now: Time) {
        match self.sent {
            // It is waited for, so that it cannot overtake the drain request, and its answer says nothing any more.
            Some(AgentRequest::Return) => self.sent = None,
            Some(AgentRequest::Drain(_) | AgentRequest::Status) | None => self.attempts.abandon(),
        }
        self.recovered = false;
        self.status = None;
        self.record.told = true;
        self.record.seen_draining = false;
        self.record.soft_deadline = Some(now + self.settings.drain_timeout);
        self.record.extended = Duration::ZERO;
        self.accepted = None;
        self.drained = false;
        self.cannot = false;
        self.serving_still = 0;
        self.trouble_since = None;
        self.attempts.succeeded(now);
    }

    /// The drain is over or withdrawn, and the instance stays.
    pub fn release(&mut self, now: Time) {
        self.attempts.succeeded(now);
    }

    /// Goes on with what the last run of the daemon had begun, with the deadline that it had.
    ///
    /// After a reboot it is another process: where nobody listens, it has not exited but has not started yet.
    pub fn recover(&mut self, record: AgentRecord, now: Time, rebooted: bool) {
        let latest = now + self.settings.drain_timeout + record.extended;
        let soft_deadline = record.soft_deadline.map(|deadline| deadline.min(latest));
        let seen_draining = record.seen_draining && !rebooted;
        self.record = AgentRecord { soft_deadline, seen_draining, ..record };
        self.recovered = true;
    }

    /// The agent serves again, or was never told otherwise.
    fn forget(&mut self) {
        self.record = AgentRecord { name: self.settings.name.clone(), ..AgentRecord::default() };
        self.status = None;
        self.accepted = None;
        self.drained = false;
        self.cannot = false;
        self.recovered = false;
        self.trouble_since = None;
    }

    /// Whether nothing is known of it but what the last run of the daemon knew.
    pub fn is_as_recovered(&self) -> bool {
        self.recovered || self.drained
    }

    /// An operator gives it more time.
    pub fn extend(&mut self, by: Duration) {
        self.record.soft_deadline = self.record.soft_deadline.map(|deadline| deadline + by);
        self.record.extended += by;
    }

    /// Its own deadline, or the drain's where that is earlier.
    pub fn deadline(&self, hard: Option<Time>) -> Option<Time> {
        [self.record.soft_deadline, hard].into_iter().flatten().min()
    }

    /// How the drain has ended for this agent, if it has.
    pub fn settled(&self, hard: Option<Time>, turn: &mut Turn) -> Option<Outcome> {
        if self.drained {
            return Some(Outcome::Drained);
        }
        if self.cannot {
            return Some(Outcome::Failed);
        }
        let grace_over = self.trouble_since.map(|since| since + self.settings.unreachable_grace);
        if grace_over.is_some_and(|at| turn.due(at, Timer::Grace)) {
            return Some(Outcome::Failed);
        }
        self.deadline(hard).is_some_and(|at| turn.due(at, Timer::Deadline)).then_some(Outcome::Deadline)
    }

    /// Sends the next request, if one is due.
    pub fn decide(&mut self, turn: &mut Turn, want: Want) {
        let request = match want {
            Want::Nothing => return,
            Want::Return if !self.record.told => return,
            Want::Return => AgentRequest::Return,
            Want::Drain(order) if self.accepted.as_ref() == Some(&order) => {
                if self.settings.blocks {
                    return;
                }
                AgentRequest::Status
            }
            // An agent that answers when it has drained is told once; its request ends by the deadline it was given.
            Want::Drain(_) if self.settings.blocks && self.drained => return,
            Want::Drain(order) => {
                if self.accepted.is_some() && self.attempts.failures == 0 {
                    // New orders do not wait for the next poll.
                    self.attempts.next_at = turn.now;
                }
                AgentRequest::Drain(order)
            }
        };
        if self.is_outdated_by(&request) {
            self.attempts.abandon();
        }
        if !self.attempts.ready(turn, Timer::Agent) {
            return;
        }
        let agent = self.place;
        self.sent = Some(request);
        self.attempts.start(turn, |id| Effect::AskAgent { id, agent, request });
    }

    /// Whether what is being asked need not be waited for before this is sent: an agent may hold the answer to a
    /// status request for long, and to a drain request until it has drained.
    fn is_outdated_by(&self, next: &AgentRequest) -> bool {
        match (&self.sent, next) {
            (Some(AgentRequest::Status), AgentRequest::Drain(_) | AgentRequest::Return) => true,
            (Some(AgentRequest::Drain(_)), AgentRequest::Return) => self.settings.blocks,
            (Some(_), AgentRequest::Drain(_) | AgentRequest::Status | AgentRequest::Return) | (None, _) => {
                false
            }
        }
    }

    /// Whether the result of this effect is waited for.
    pub fn awaits(&self, id: EffectId) -> bool {
        self.attempts.awaits(id)
    }

    /// Takes an answer in; `true` says that something has changed which must outlive the daemon.
    pub fn answered(&mut self, turn: &mut Turn, id: EffectId, answer: AgentAnswer) -> bool {
        let (Some(sent_at), Some(sent)) = (self.attempts.take(id), self.sent.take()) else { return false };
        let before = (self.record.clone(), self.progress());
        if !matches!(answer, AgentAnswer::Unreachable { .. } | AgentAnswer::Unsupported(_)) {
            self.trouble_since = None;
        }
        match answer {
            AgentAnswer::Accepted(status) => self.on_accepted(turn, sent, sent_at, status),
            AgentAnswer::Status { status, waited } => {
                // Only this says that all is well: one that accepts and has no status is not asked without a pause.
                self.attempts.failures = 0;
                self.on_status(turn, sent_at, status, waited);
            }
            AgentAnswer::Returned => self.forget(),
            AgentAnswer::Unreachable { why, gone } => self.on_unreachable(turn, &sent, why, gone),
            AgentAnswer::Unsupported(why) => self.on_unsupported(turn, &sent, why),
            AgentAnswer::CannotDrain(why) => {
                self.cannot = !matches!(sent, AgentRequest::Return);
                self.trouble(turn, why);
                self.attempts.next_at = turn.now + RETRY_CANNOT;
            }
            AgentAnswer::Busy(why) | AgentAnswer::Malformed(why) => self.trouble(turn, why),
        }
        let (record, progress) = before;
        // Of one that was returned to service nothing more is asked.
        if progress != self.progress() && self.record.told {
            turn.report(Report::AgentProgress {
                agent: self.settings.name.clone(),
                progress: self.progress(),
            });
        }
        record != self.record
    }

    fn on_accepted(
        &mut self,
        turn: &mut Turn,
        sent: AgentRequest,
        sent_at: Time,
        status: Option<AgentStatus>,
    ) {
        self.cannot = false;
        let AgentRequest::Drain(order) = sent else { return self.attempts.succeeded(turn.now) };
        self.accepted = Some(order);
        if self.settings.blocks {
            // It answers when the work is done.
            self.record.seen_draining = true;
            self.recovered = false;
            self.drained = true;
            self.status = status;
            return self.attempts.succeeded(turn.now);
        }
        match status {
            Some(status) => self.on_status(turn, sent_at, status, false),
            None => {
                // One that has nothing left to do may exit before it is asked.
                self.record.seen_draining = true;
                self.attempts.next_at = turn.now;
            }
        }
    }

    fn on_status(&mut self, turn: &mut Turn, sent_at: Time, status: AgentStatus, waited: bool) {
        self.cannot = false;
        self.recovered = false;
        // One that holds its answer until there is news is asked at once, unless it only says that it does.
        let news = self.status.as_ref() != Some(&status) || turn.now.since(sent_at) >= self.settings.poll;
        let poll = if waited && news { HELD_POLL } else { self.settings.poll.max(HELD_POLL) };
        self.attempts.next_at = (sent_at + poll).max(turn.now);
        self.drained = status.state == AgentState::Drained;
        match status.state {
            // It was restarted and has forgotten its orders.
            AgentState::Serving => {
                self.accepted = None;
                self.record.seen_draining = false;
                self.serving_still = self.serving_still.saturating_add(1);
                if self.serving_still == SERVING_STILL {
                    let why = "it was told to drain, accepted that, and says again that it is serving; it is told \
                               again until its deadline: only `draining` and `drained` say that it takes no more work";
                    let agent = self.settings.name.clone();
                    turn.report(Report::AgentTrouble { agent, why: why.to_owned(), first: true });
                }
            }
            AgentState::Draining => self.record.seen_draining = true,
            AgentState::Drained => {
                self.record.seen_draining = true;
                self.attempts.next_at = turn.now + RECHECK;
            }
        }
        if status.state != AgentState::Serving {
            self.serving_still = 0;
        }
        self.status = Some(status);
    }

    fn on_unreachable(&mut self, turn: &mut Turn, sent: &AgentRequest, why: String, gone: bool) {
        // Whoever listens next is a new process and has no orders.
        self.accepted = None;
        if matches!(sent, AgentRequest::Return) {
            return self.trouble(turn, why);
        }
        if gone && self.record.seen_draining && self.settings.on_exit == OnExit::Drained {
            self.drained = true;
        }
        if self.drained {
            // It has drained and exited: nothing is wrong.
            self.attempts.succeeded(turn.now + RECHECK);
            return;
        }
        let why = if gone && self.record.seen_draining && self.settings.on_exit == OnExit::Failed {
            format!(
                "{why}; it was draining: if it exits when it has drained, set agent.on_exit to \"drained\""
            )
        } else {
            why
        };
        self.trouble_since.get_or_insert(turn.now);
        self.trouble(turn, why);
    }

    fn on_unsupported(&mut self, turn: &mut Turn, sent: &AgentRequest, why: String) {
        self.trouble(turn, why);
        match sent {
            // It offers no way back: it serves again when it is restarted.
            AgentRequest::Return => self.forget(),
            AgentRequest::Drain(_) | AgentRequest::Status => {
                self.accepted = None;
                self.trouble_since.get_or_insert(turn.now);
            }
        }
    }

    fn trouble(&mut self, turn: &mut Turn, why: String) {
        self.attempts.failed(turn, RETRY);
        // The first of a row is news, the rest is detail.
        let first = self.attempts.failures == 1;
        turn.report(Report::AgentTrouble { agent: self.settings.name.clone(), why, first });
    }

    /// What people are told of it.
    pub fn progress(&self) -> Progress {
        Progress {
            state: self.status.as_ref().map(|status| status.state),
            in_flight: self.in_flight(),
            drained: self.drained,
        }
    }

    /// Work in flight, as last reported.
    pub fn in_flight(&self) -> Option<u64> {
        if self.drained { Some(0) } else { self.status.as_ref().and_then(|status| status.in_flight) }
    }
}
