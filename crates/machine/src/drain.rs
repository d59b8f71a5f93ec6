//! One drain: from the first notice until its action is over or, where there is none, until its agents are done.

use super::action::{ActionTrack, Situation};
use super::agent::AgentTrack;
use super::effect::{CompletionResult, DrainOrder};
use super::journal::{ActionRecord, DrainRecord, Ended, FINISHED_MAX, Outcome};
use super::message::LifecycleMessage;
use super::notice::{Notice, Notices, Reason, Source};
use super::report::Report;
use super::route::NO_TOKEN;
use super::settings::DrainAt;
use super::time::Time;
use super::watch::Watch;
use super::{JournalTrack, Machine};

#[derive(Debug)]
pub(super) struct Drain {
    pub started: Time,
    /// When the agents were first told.
    pub told: Option<Time>,
    /// The earliest end that anything but the agents' own time sets, by what was in force when it was last looked at.
    pub hard_deadline: Option<Time>,
    pub forced: Option<CompletionResult>,
    /// When an operator asked to end the drain.
    pub finished_at: Option<Time>,
    pub action: ActionTrack,
    /// Receipt handles of our messages.
    pub receipts: Vec<String>,
    /// The hook that our message named.
    pub message_hook: Option<String>,
    pub ended: Option<Ended>,
    pub watch: Option<Watch>,
    /// The revision of the journal that must be out before the agents are told, or a drain that has ended is watched.
    pub recorded: u64,
}

impl Drain {
    fn new(now: Time, mut action: ActionTrack, journal: &mut JournalTrack) -> Self {
        let recorded = journal.touch();
        action.intention_revision = recorded;
        Drain {
            started: now,
            told: None,
            hard_deadline: None,
            forced: None,
            finished_at: None,
            action,
            receipts: Vec::new(),
            message_hook: None,
            ended: None,
            watch: None,
            recorded,
        }
    }

    /// Goes on with the drain of the last run.
    pub fn recover(record: DrainRecord, notices: &Notices, now: Time) -> Self {
        let stays = |ended: &Ended| stays(ended.outcome, ended.result, notices, &record.action);
        let watch = record.ended.filter(stays).map(|_| Watch::new(now));
        let mut drain = Drain {
            started: record.started.min(now),
            told: record.told,
            hard_deadline: None,
            forced: record.forced,
            finished_at: record.finished_at,
            action: ActionTrack::recover(record.action, record.started, now),
            receipts: record.receipts,
            message_hook: record.message_hook,
            ended: record.ended,
            watch,
            recorded: 0,
        };
        drain.hard_deadline = drain.bound(notices, now);
        drain
    }

    /// The earliest end that anything but the agents' own time sets, by what is in force now.
    fn bound(&self, notices: &Notices, now: Time) -> Option<Time> {
        let bounds = [self.finished_at, notices.deadline(self.started, now), self.action.hard_deadline()];
        bounds.into_iter().flatten().min()
    }

    /// What outlives the daemon.
    pub fn record(&self) -> DrainRecord {
        DrainRecord {
            started: self.started,
            told: self.told,
            forced: self.forced,
            finished_at: self.finished_at,
            action: self.action.record.clone(),
            receipts: self.receipts.clone(),
            message_hook: self.message_hook.clone(),
            ended: self.ended,
        }
    }

    /// Whether an action of ours waits to be completed.
    pub fn awaits_completion(&self) -> bool {
        let action = &self.action;
        self.ended.is_none()
            && action.is_possible()
            && (action.record.wait_since.is_some() || !action.can_withdraw())
    }

    /// Whether the message is that of the action that has ended, and came only after that.
    pub fn has_outlived(&self, message: &LifecycleMessage) -> bool {
        let ended = self.ended.filter(Ended::ended_an_action);
        // Of two messages AWS's clock says which is the newer; of a message and the end of a drain, only ours does.
        ended.is_some_and(|ended| message.sent.is_some_and(|sent| sent <= ended.at))
            && !self.action.is_older_than(message)
    }

    /// The outcome that the last run had written down stands until the agents that it speaks of have been heard.
    fn standing(&self, agents: &[AgentTrack]) -> Option<Outcome> {
        let outcome = self.action.record.intention?.outcome;
        agents.iter().all(AgentTrack::is_as_recovered).then_some(outcome)
    }

    /// What an agent is to be told, once it is time to tell it.
    pub fn order(&self, agent: &AgentTrack, reason: Option<Reason>) -> Option<DrainOrder> {
        self.told?;
        let reason = reason.unwrap_or(Reason::AutoscalingTermination);
        let deadline = agent.deadline(self.hard_deadline)?;
        Some(DrainOrder { reason, deadline })
    }
}

/// Whether the instance may stay after its action is over.
fn stays(
    outcome: Outcome,
    result: Option<CompletionResult>,
    notices: &Notices,
    action: &ActionRecord,
) -> bool {
    let kept = matches!(
        notices.action().map(|action| action.reason),
        Some(Reason::WarmPool | Reason::RootVolumeReplacement)
    );
    let others = action.hook.as_ref().is_some_and(|hook| hook.has_others || !hook.read);
    kept || others || result == Some(CompletionResult::Abandon) || outcome == Outcome::Overtaken
}

impl Machine {
    /// Begins a drain at a new notice, and leaves one when the last notice is withdrawn.
    pub(super) fn begin_or_leave(&mut self, in_force: &[Reason]) {
        if self.notices.reopen(&self.settings, self.turn.now) {
            self.journal.touch();
        }
        let fresh = self.notices.is_open(&self.settings, self.turn.now);
        let ended = self.drain.as_ref().map(|drain| drain.ended.is_some());
        match (ended, in_force.first()) {
            (None, Some(reason)) => self.begin(*reason),
            (Some(true), Some(reason)) if fresh => self.begin(*reason),
            (Some(_), None) => self.leave(),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn begin(&mut self, reason: Reason) {
        self.turn.forget_denials();
        let known = self.drain.take().and_then(|drain| drain.action.record.group);
        let group = self.settings.group.clone().or(known);
        let action = ActionTrack::new(group, self.imds.in_service_at);
        self.drain = Some(Drain::new(self.turn.now, action, &mut self.journal));
        self.turn.report(Report::DrainStarted { reason });
    }

    /// A retained instance is released: Auto Scaling runs a new action, whose heartbeat has just succeeded.
    pub(super) fn begin_released(&mut self, since: Time, beat: Time) {
        let known = self.drain.take().map(|drain| drain.action.record).unwrap_or_default();
        let reason = Reason::AutoscalingTermination;
        let told = Notice::new(Source::AutoScaling, reason, NO_TOKEN, self.turn.now);
        self.notices.tell_action(&mut self.turn, told);
        self.begin(Reason::AutoscalingTermination);
        if let Some(drain) = &mut self.drain {
            let record = ActionRecord {
                group: known.group,
                hook: known.hook,
                wait_since: Some(since),
                proven: true,
                ..ActionRecord::default()
            };
            drain.action = ActionTrack::recover(record, since, self.turn.now);
            drain.action.beaten(&mut self.turn, beat);
            drain.action.intention_revision = drain.recorded;
        }
    }

    /// No notice is in force any more: the instance stays.
    fn leave(&mut self) {
        let Some(drain) = &self.drain else { return };
        if drain.ended.is_none() {
            if !drain.action.can_withdraw() {
                return;
            }
            self.end(Outcome::Withdrawn, None);
        }
        if self.agents.iter().any(|agent| agent.record.told) {
            self.turn.report(Report::AgentsReturned);
        }
        for agent in &mut self.agents {
            agent.release(self.turn.now);
        }
        self.drain = None;
        self.returned = self.journal.touch();
    }

    /// Ends the drain, with or without a completed action.
    pub(super) fn end(&mut self, outcome: Outcome, result: Option<CompletionResult>) {
        let now = self.turn.now;
        // What was read while the action waited says nothing of the time after.
        self.imds.settle();
        let reasons = self.notices.in_force(&self.settings, &mut self.turn);
        let Some(drain) = &mut self.drain else { return };
        drain.ended = Some(Ended { at: now, outcome, result });
        let stays = stays(outcome, result, &self.notices, &drain.action.record);
        drain.watch = stays.then(|| Watch::new(now));
        let revision = self.journal.touch();
        drain.recorded = revision;
        for receipt in &drain.receipts {
            self.queue.delete(receipt.clone(), revision);
        }
        let token = drain.action.record.token.clone();
        self.turn.report(Report::DrainEnded {
            outcome,
            reason: reasons.first().copied(),
            result,
            took: now.since(drain.started),
            heartbeats: drain.action.heartbeats,
        });
        self.notices.settle(&self.settings, now);
        self.finish_token(token);
    }

    fn finish_token(&mut self, token: Option<String>) {
        let Some(token) = token.filter(|token| !self.finished.contains(token)) else { return };
        if self.finished.len() == FINISHED_MAX {
            self.finished.remove(0);
        }
        self.finished.push(token);
    }

    /// The message spoke of an action that was over before it came: as if it had not.
    pub(super) fn forget_stale_action(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        self.turn.report(Report::StaleMessage);
        let revision = self.journal.touch();
        for receipt in drain.receipts.drain(..) {
            self.queue.delete(receipt, revision);
        }
        drain.message_hook = None;
        let record = std::mem::take(&mut drain.action.record);
        drain.action = ActionTrack::new(record.group, Some(self.turn.now));
        drain.action.record.hook = record.hook;
        drain.action.intention_revision = revision;
        let token = record.token;
        self.notices.withdraw_action(&mut self.turn);
        self.finish_token(token);
    }

    /// Moves the drain under way on: the deadline, the moment to tell the agents, the action, the end.
    pub(super) fn drive_action(&mut self, in_force: &[Reason]) {
        let Machine { settings, notices, agents, drain, journal, turn, .. } = self;
        let Some(drain) = drain else { return };
        if drain.ended.is_some() {
            if let Some(watch) = &mut drain.watch
                && journal.is_released(drain.recorded)
            {
                watch.decide(turn, &drain.action.record);
            }
            return;
        }
        let hard = drain.bound(notices, turn.now);
        if hard != drain.hard_deadline {
            let before = latest_deadline(agents, drain.hard_deadline);
            drain.hard_deadline = hard;
            // Agents hear of it once what sets it is written down, so that a restart does not move it back.
            drain.recorded = journal.touch();
            let moved = latest_deadline(agents, hard).filter(|deadline| Some(*deadline) != before);
            if let (Some(_), Some(deadline)) = (drain.told, moved) {
                turn.report(Report::DeadlineMoved { deadline });
            }
        }
        if drain.told.is_none()
            && (settings.drain_at == DrainAt::Notice || is_time(drain, in_force, settings.queue))
        {
            drain.told = Some(turn.now);
            drain.recorded = journal.touch();
            agents.iter_mut().for_each(|agent| agent.begin(turn.now));
            turn.report(Report::AgentsTold { deadline: latest_deadline(agents, hard) });
        }
        let done = drain.told.and_then(|_| outcome(agents, hard, turn)).or_else(|| drain.standing(agents));
        let expected = notices.expects_action() || drain.action.is_committed();
        let forced = drain.forced;
        drain.action.decide(turn, &mut Situation { settings, journal, expected, done, forced });
        if let Some(outcome) = done.filter(|_| !expected || !drain.action.is_possible()) {
            self.end(outcome, None);
        }
    }
}

/// When the last agent's time is up.
pub(super) fn latest_deadline(agents: &[AgentTrack], hard: Option<Time>) -> Option<Time> {
    agents.iter().filter_map(|agent| agent.deadline(hard)).max()
}

/// Whether agents behind a load balancer are to be told: it has stopped routing to them, or that will never be known.
fn is_time(drain: &Drain, in_force: &[Reason], queue: bool) -> bool {
    drain.action.record.wait_since.is_some()
        || !drain.action.is_possible()
        || (!queue && drain.action.is_blind())
        || in_force.iter().any(|reason| !reason.has_action())
}

/// How the drain has ended, once it has for every agent: as badly as for the worst off.
fn outcome(agents: &[AgentTrack], hard: Option<Time>, turn: &mut super::Turn) -> Option<Outcome> {
    let mut worst = Some(Outcome::Drained);
    for agent in agents {
        // Every agent is asked, so that the machine wakes for the earliest.
        worst = worst.zip(agent.settled(hard, turn)).map(|(worst, this)| worst.max(this));
    }
    worst
}
