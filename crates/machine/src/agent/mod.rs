//! One agent: which requests it gets and when, and what its answers mean.

mod answers;
mod asked;
mod force;
mod life;
mod order;
mod reports;
mod telling;

use std::time::Duration;

use super::backoff::Backoff;
use super::effect::{AgentRequest, DrainOrder, Effect, EffectId};
use super::event::AgentStatus;
use super::journal::{AgentRecord, JournalTrack, Outcome, Revision};
use super::notice::Reason;
use super::report::{AgentPhase, Progress};
use super::settings::{AgentSettings, Protocol};
use super::time::Time;
use super::timer::Timer;
use super::turn::Turn;
use asked::{Asked, Question};
use force::Force;
pub use force::ForceNews;
use life::Life;
use order::Orders;
use reports::Reports;
use telling::{Step, Telling};

/// Pause after a failed request.
const RETRY: Backoff = Backoff::between_ms(200, 5_000);

/// Pause after the agent said that it cannot drain.
const RETRY_CANNOT: Duration = Duration::from_secs(10);

/// Pause between status requests to a drained agent, which may be restarted.
const RECHECK: Duration = Duration::from_secs(10);

/// The shortest time between two status requests, used for an agent that holds its answer until there is news.
const HELD_POLL: Duration = Duration::from_millis(50);

/// An order sent this long ago has reached the agent or never will.
const ORDER_ON_ITS_WAY: Duration = Duration::from_secs(1);

/// What an agent should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing. It gets no request.
    Nothing,
    /// Drain, by this order.
    Drain(DrainOrder),
    /// Serve again.
    Return,
}

#[derive(Debug)]
pub(super) struct AgentTrack {
    /// Its index in the configuration.
    index: usize,
    settings: AgentSettings,
    life: Life,
    orders: Orders,
    /// Used if it is told once.
    telling: Telling,
    force: Force,
    /// The request under way.
    asked: Option<Asked>,
    /// It gets no request before this.
    next_at: Time,
    /// Failures in a row.
    failures: u32,
    reports: Reports,
}

impl AgentTrack {
    pub fn new(index: usize, settings: AgentSettings) -> Self {
        AgentTrack {
            index,
            settings,
            life: Life::serving(),
            orders: Orders::default(),
            telling: Telling::new(None),
            force: Force::default(),
            asked: None,
            next_at: Time::default(),
            failures: 0,
            reports: Reports::new(),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its order to drain. Agents with a lower one come first.
    pub fn order(&self) -> u8 {
        self.settings.order
    }

    /// A drain starts, and agents with a lower order come first.
    pub fn wait(&mut self, turn: &mut Turn) {
        self.give_way(turn);
        self.life.wait();
        self.reports.begin(self.progress());
    }

    /// Whether it waits for agents with a lower order.
    pub fn is_waiting(&self) -> bool {
        self.life.is_waiting()
    }

    /// A drain starts, or its turn in a drain has come.
    pub fn begin(&mut self, turn: &mut Turn) {
        self.give_way(turn);
        self.life.begin(turn.now + self.settings.drain_timeout);
        self.reports.begin(self.progress());
        self.ask_at(turn.now);
    }

    /// The requests of an earlier drain or return give way to what comes now.
    fn give_way(&mut self, turn: &mut Turn) {
        self.force.reset(turn);
        match &mut self.asked {
            Some(Asked { what: what @ (Question::Return | Question::Overtaken), .. }) => {
                *what = Question::Overtaken;
            }
            // A signal cannot be canceled.
            Some(Asked { what: Question::Tell(..), .. }) => {}
            Some(Asked { what: Question::Drain(..) | Question::Status, .. }) | None => {
                self.telling.look_again();
                self.cancel(turn);
            }
        }
    }

    /// The drain is over or withdrawn, and the instance stays.
    pub fn release(&mut self, turn: &mut Turn) {
        self.ask_at(turn.now);
        if self.is_outdated_by(Question::Return) {
            self.cancel(turn);
        }
        // A process that will not be told must not count as told, not even in the journal.
        if !matches!(&self.asked, Some(Asked { what: Question::Tell(..), .. })) {
            self.telling.look_again();
        }
        self.force.reset(turn);
        self.life.release();
        self.reports.begin(self.progress());
    }

    /// Continues from the last run of the daemon.
    pub fn resume(&mut self, record: &AgentRecord, now: Time, rebooted: bool) {
        self.life.resume(record.stage, now, self.settings.drain_timeout, rebooted);
        self.force = Force::recover(record.forced);
        // The last run may have told it by a signal, and this one in another way.
        if self.is_told_once() {
            self.telling = Telling::new(record.told);
        }
        self.reports.begin(self.progress());
    }

    /// The part for the journal.
    pub fn record(&self) -> AgentRecord {
        let told = self.telling.record();
        let (name, stage) = (self.settings.name.clone(), self.life.stage());
        AgentRecord { name, stage, told, forced: self.force.record() }
    }

    /// The journal's revision that has its [`record`](Self::record).
    pub fn journaled(&mut self, revision: Revision) {
        self.telling.journaled(revision);
    }

    /// It is not time to tell it. The journal must not name a process that is told later, if at all.
    pub fn not_yet(&mut self) {
        self.telling.look_again();
    }

    /// Whether it may have been told to drain, so that it must be told when to serve again.
    pub fn may_be_draining(&self) -> bool {
        self.life.may_be_draining()
    }

    /// Whether nothing contradicts the last run's journal.
    pub fn confirms_last_run(&self) -> bool {
        self.life.confirms_last_run()
    }

    /// Whether it has drained or has not shown since that it has work.
    pub fn may_have_drained(&self) -> bool {
        // The process of an agent that is told once runs until it has drained.
        self.life.confirms_last_run() || (!self.is_told_once() && self.life.has_only_accepted())
    }

    /// An operator gave it more time.
    pub fn extend(&mut self, by: Duration) {
        self.life.extend(by);
    }

    /// Its own deadline or the drain's bound, whichever is earlier. `None` before its turn: its time has not started.
    pub fn deadline(&self, hard: Option<Time>) -> Option<Time> {
        if self.is_waiting() {
            return None;
        }
        [self.life.deadline(), hard].into_iter().flatten().min()
    }

    /// The outcome for this agent; `None` while it is draining.
    pub fn settled(&self, hard: Option<Time>, turn: &mut Turn) -> Option<Outcome> {
        // What its force step ended was not done in time, however it ended.
        let by_itself = |outcome| Some(if self.force.has_started() { Outcome::Deadline } else { outcome });
        if self.life.is_drained() {
            return by_itself(Outcome::Drained);
        }
        if self.life.cannot_drain() {
            return by_itself(Outcome::Failed);
        }
        let grace_over = self.life.unreachable_since().map(|since| since + self.settings.unreachable_grace);
        if self.held_order().is_none() && grace_over.is_some_and(|at| turn.due(at, Timer::Grace)) {
            return by_itself(Outcome::Failed);
        }
        self.deadline(hard).is_some_and(|at| turn.due(at, Timer::Deadline)).then_some(Outcome::Deadline)
    }

    /// Ends the agent's work if its deadline is near. `reason` is why the instance is going; `None` if the drain has an outcome.
    pub fn force(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        reason: Option<Reason>,
        hard: Option<Time>,
    ) {
        let Some(before) = self.settings.force else { return };
        let works = self.life.deadline().is_some() && self.settled(hard, turn).is_none();
        let reason = reason.filter(|_| works);
        let order = reason.zip(self.deadline(hard)).map(|(reason, deadline)| DrainOrder { reason, deadline });
        self.force.decide(turn, journal, (self.index, &self.settings.name), (order, before));
    }

    /// Whether its work was ended in this drain, or may have been in the last run of the daemon.
    pub fn is_forced(&self) -> bool {
        self.force.has_started()
    }

    /// Processes the end of a force step. Returns whether it was this agent's.
    pub fn force_ended(&mut self, turn: &mut Turn, id: EffectId, result: &Result<(), String>) -> bool {
        self.force.ended(turn, &self.settings.name, id, result)
    }

    /// The request under way, if it is an order that may have reached an agent that blocks.
    fn held_order(&self) -> Option<&Asked> {
        self.asked.as_ref().filter(|asked| asked.is_held_order(self.settings.protocol))
    }

    /// Sends the next request and reports progress, if due.
    pub fn decide(&mut self, turn: &mut Turn, journal: &JournalTrack, want: Want) {
        self.tell_progress(turn);
        self.stop_at_deadline(turn);
        if let Want::Drain(order) = &want {
            self.force.stop_in_time(turn, &self.settings.name, order.deadline);
        }
        let Some((what, request)) = self.next_question(turn, journal, want) else { return };
        if let Some(asked) = &mut self.asked {
            asked.prolong(what, self.settings.protocol);
        }
        if self.is_outdated_by(what) {
            self.cancel(turn);
        }
        if self.asked.is_some() || !turn.due(self.next_at, Timer::Agent) {
            return;
        }
        let agent = self.index;
        let id = turn.emit(|id| Effect::AskAgent { id, agent, request });
        self.asked = Some(Asked { id, at: turn.now, what });
    }

    /// The next request.
    fn next_question(
        &mut self,
        turn: &mut Turn,
        journal: &JournalTrack,
        want: Want,
    ) -> Option<(Question, AgentRequest)> {
        let order = match want {
            Want::Nothing => return None,
            // A process that was told ends by itself. Only then can another one be started.
            Want::Return if self.telling.may_run() => return Some((Question::Status, self.telling.look())),
            Want::Return => {
                return self.may_be_draining().then_some((Question::Return, AgentRequest::Return));
            }
            Want::Drain(order) => order,
        };
        let number = self.orders.number(order);
        if self.is_told_once() {
            return match self.telling.step(journal) {
                Step::Look => Some((Question::Status, self.telling.look())),
                Step::Wait => None,
                Step::Tell(process) => Some((Question::Tell(number, process), AgentRequest::Tell(process))),
            };
        }
        let accepted = self.life.accepted_order();
        if self.settings.protocol.blocks() {
            let reports = self.settings.zero_for.is_some();
            if reports && (accepted == Some(number) || self.life.is_drained()) {
                return Some((Question::Status, AgentRequest::Status));
            }
            // If it answered with work in flight, it is told again.
            let runs = self.settings.protocol == Protocol::Running;
            if self.life.is_drained() || (runs && turn.due(order.deadline, Timer::Deadline)) {
                return None;
            }
        } else if accepted == Some(number) {
            return Some((Question::Status, AgentRequest::Status));
        }
        if accepted.is_some_and(|accepted| accepted < number) && self.failures == 0 {
            // New orders do not wait for the next poll.
            self.next_at = turn.now;
        }
        Some((Question::Drain(number, order.deadline), AgentRequest::Drain(order)))
    }

    fn is_told_once(&self) -> bool {
        self.settings.protocol == Protocol::Once
    }

    /// Stops a process whose deadline has come.
    fn stop_at_deadline(&mut self, turn: &mut Turn) {
        let runs = self.settings.protocol == Protocol::Running;
        let deadline = self.held_order().filter(|_| runs).and_then(Asked::deadline);
        if deadline.is_some_and(|deadline| turn.due(deadline, Timer::Deadline)) {
            self.cancel(turn);
        }
    }

    fn is_outdated_by(&self, next: Question) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.what.is_outdated_by(next, self.settings.protocol))
    }

    /// Cancels the request under way, so that its answer cannot count for the next one. An order that was only just sent may
    /// still reach the agent. The next request waits, so that the agent gets the order first.
    fn cancel(&mut self, turn: &mut Turn) {
        if let Some(asked) = self.asked.take() {
            turn.cancel(asked.id);
            self.next_at = match asked.what {
                Question::Drain(..) => turn.now.max(asked.at + ORDER_ON_ITS_WAY),
                Question::Status | Question::Tell(..) | Question::Return | Question::Overtaken => turn.now,
            };
        }
    }

    /// Whether it awaits the result of this effect.
    pub fn awaits(&self, id: EffectId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.id == id)
    }

    /// Resets the failures and makes the next request due at `at`.
    fn ask_at(&mut self, at: Time) {
        self.failures = 0;
        self.next_at = at;
    }

    fn trouble(&mut self, turn: &mut Turn, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.next_at = turn.after(RETRY, self.failures);
        self.reports.trouble(turn, &self.settings.name, why);
    }

    fn tell_progress(&mut self, turn: &mut Turn) {
        // An agent that is returned to service has no more progress to report.
        if self.life.deadline().is_some() {
            self.reports.progress(turn, &self.settings.name, self.progress());
        }
    }

    /// Reports the agent's last progress at the end of the drain.
    pub fn tell_last_progress(&mut self, turn: &mut Turn) {
        if self.life.deadline().is_some() {
            self.reports.last_progress(turn, &self.settings.name, self.progress());
        }
    }

    /// Its progress, for reports and `drainhook status`.
    pub fn progress(&self) -> Progress {
        // A process that runs is draining the agent, whatever became of the last one.
        let runs = self.settings.protocol == Protocol::Running && self.held_order().is_some();
        let phase = match if runs { AgentPhase::Draining } else { self.life.phase() } {
            AgentPhase::Draining | AgentPhase::Serving if self.force.has_started() => AgentPhase::Forced,
            phase => phase,
        };
        Progress { phase, in_flight: self.in_flight() }
    }

    /// Work in flight, as last reported.
    pub fn in_flight(&self) -> Option<u64> {
        if self.life.is_drained() { Some(0) } else { self.life.status().and_then(|status| status.in_flight) }
    }

    /// The last status document, if it still shows the agent's state.
    pub fn status(&self) -> Option<&AgentStatus> {
        self.life.status()
    }
}
