//! One drain, from its first notice until its action is over or, without an action, until its agents are done. `phase` has its
//! phases.

mod phase;

pub use phase::{Finish, Phase};

use serde::{Deserialize, Serialize};

use crate::action::{Action, GroupSource, Wait};
use crate::after::{After, AfterStage};
use crate::agent::AgentTrack;
use crate::effect::{CompletionResult, DrainOrder};
use crate::journal::{ActionRecord, DrainRecord, Ended, JournalTrack, Outcome, Revision};
use crate::message::LifecycleMessage;
use crate::notice::{Notices, Reason};
use crate::operator::Operator;
use crate::report::Report;
use crate::settings::{DrainAt, Settings};
use crate::time::Time;
use crate::turn::Turn;
use crate::watch::Watch;

/// The most receipts that one drain keeps. SQS may deliver a message many times.
const RECEIPTS_MAX: usize = 32;

/// The drain of an instance.
#[derive(Debug)]
pub(super) struct Drain {
    pub started: Time,
    pub phase: Phase,
    pub action: Action,
    pub after: After,
    /// The last message about our action that the daemon believed.
    pub message: Option<OwnMessage>,
    /// Receipt handles of our messages.
    pub receipts: Vec<String>,
    /// The watch over an instance that may stay after its action is over.
    pub watch: Option<Watch>,
    /// The journal revision that must be released before the agents are told, or before an ended drain is watched.
    recorded: Revision,
    /// The deadline set by notices, the action or an operator, as the agents were last told.
    told_bound: Option<Time>,
    /// The outcome that the last run of the daemon decided, if it depends on the agents' answers. It stands until an agent
    /// contradicts it.
    standing: Option<Outcome>,
}

/// What happened before the daemon continues a drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastRun {
    /// The instance has rebooted since the last run of the daemon.
    pub rebooted: bool,
    /// The last run ended the work of an agent.
    pub forced: bool,
}

/// What the daemon keeps of a message about its own action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnMessage {
    /// `LifecycleHookName`
    pub hook: String,
    /// `LifecycleActionToken`. Tells copies of this message from messages of another action.
    pub token: Option<String>,
}

impl Drain {
    /// Starts a drain. `group` and `wait` are what is already known about its action.
    pub fn new(now: Time, group: Option<String>, wait: Wait, journal: &mut JournalTrack) -> Self {
        let recorded = journal.touch();
        Drain::with_action(now, Action::new(group, wait, recorded), recorded)
    }

    /// Starts a drain because a retained instance was released. Auto Scaling runs a new action, for which a heartbeat has
    /// just succeeded.
    pub fn released(
        known: ActionRecord,
        since: Time,
        beat: Time,
        turn: &mut Turn,
        journal: &mut JournalTrack,
    ) -> Self {
        let recorded = journal.touch();
        let action = Action::released(known, since, beat, turn, recorded);
        Drain::with_action(turn.now, action, recorded)
    }

    fn with_action(started: Time, action: Action, recorded: Revision) -> Self {
        Drain {
            started,
            phase: Phase::Noticed,
            action,
            after: After::default(),
            message: None,
            receipts: Vec::new(),
            watch: None,
            recorded,
            told_bound: None,
            standing: None,
        }
    }

    /// Continues the last run's drain. After a reboot, its decisions about the agents no longer count, because their
    /// processes are gone.
    pub fn recover(record: DrainRecord, notices: &Notices, now: Time, last_run: LastRun) -> Self {
        let LastRun { rebooted, forced } = last_run;
        let DrainRecord { started, phase, bound, after, action, message, receipts } = record;
        let started = started.min(now);
        // A deadline that is still in force takes effect by itself. Work that was ended early does not come back.
        let intended = action.completion.intention().map(|intention| intention.outcome);
        let last = intended.or(after.outcome()).filter(|_| !rebooted);
        let standing = last.filter(|outcome| *outcome != Outcome::Deadline || forced);
        let mut drain = Drain {
            started,
            phase,
            action: Action::recover(action, started, now),
            // The intention comes after the steps. One of an older release, which had none, stands as well.
            after: match intended {
                Some(outcome) => After::recover(AfterStage::Over { outcome }),
                None if rebooted => After::default(),
                None => After::recover(after),
            },
            message,
            receipts,
            watch: None,
            recorded: Revision::default(),
            told_bound: bound,
            standing,
        };
        // An instance that stays after its action may be in another action that the journal does not have.
        let stays = |ended: &Ended| ended.ended_an_action() || drain.may_stay(*ended, notices);
        let ended = drain.ended().filter(stays);
        drain.watch = ended.map(|ended| Watch::recover(now, ended.at));
        drain
    }

    /// The part for the journal.
    pub fn record(&self) -> DrainRecord {
        DrainRecord {
            started: self.started,
            phase: self.phase.clone(),
            bound: self.told_bound,
            after: self.after.record(),
            action: self.action.record(),
            message: self.message.clone(),
            receipts: self.receipts.clone(),
        }
    }

    /// Whether its action must have expired by now, as far as the journal tells. If so, an action that is in Wait now is
    /// another one, for which nothing has been drained. Allows one more timeout, because one heartbeat may have succeeded
    /// without getting into the journal.
    pub fn is_outdated(&self, now: Time) -> bool {
        let timeout = self.action.hook().map(|hook| hook.heartbeat_timeout).unwrap_or_default();
        self.is_under_way() && self.action.expires().is_some_and(|expires| now > expires + timeout)
    }

    /// Whether it has not ended.
    pub fn is_under_way(&self) -> bool {
        self.ended().is_none()
    }

    /// Whether the group runs or will run an action for it, or a completion has been decided or sent.
    pub fn expects_action(&self, notices: &Notices) -> bool {
        notices.expects_action() || self.action.is_committed()
    }

    /// Whether heartbeats or completions probe for its action, or are about to.
    pub fn probes(&self, notices: &Notices) -> bool {
        let action = &self.action;
        let named = action.is_possible() && action.hook().is_some() && action.group().is_some();
        named && self.expects_action(notices)
    }

    /// Since when the watch's heartbeats may have kept a new action alive.
    pub fn probed_since(&self) -> Option<Time> {
        self.watch.as_ref().and_then(Watch::probed_since)
    }

    /// How it ended; `None` before that.
    pub fn ended(&self) -> Option<Ended> {
        self.phase.ended()
    }

    /// When the agents were first told, if they were.
    pub fn told(&self) -> Option<Time> {
        self.phase.told()
    }

    /// The operator's order to end it, if there is one.
    pub fn finish(&self) -> Option<&Finish> {
        if let Phase::Finishing { finish, .. } = &self.phase { Some(finish) } else { None }
    }

    /// The earliest deadline set by the notices in force, the action and an operator's `finish`.
    pub fn bound(&self, notices: &Notices, now: Time) -> Option<Time> {
        let finish = self.finish().map(|finish| finish.at);
        [notices.deadline(self.started, now), self.action.deadline(), finish].into_iter().flatten().min()
    }

    /// The last [`bound`](Self::bound) that the agents were told.
    pub fn told_bound(&self) -> Option<Time> {
        self.told_bound
    }

    /// Records that the agents are told to drain.
    pub fn tell(&mut self, now: Time, journal: &mut JournalTrack) {
        self.phase = Phase::Draining { since: now };
        self.recorded = journal.touch();
    }

    /// Tells the agents whose turn it is: those for which every agent with a lower order has an outcome. A lower one that takes
    /// work again later does not change that.
    pub fn tell_next(
        &mut self,
        agents: &mut [AgentTrack],
        bound: Option<Time>,
        turn: &mut Turn,
        journal: &mut JournalTrack,
    ) {
        // At the drain's bound, no agent has time left, so several turns come at once.
        while let Some(next) = agents.iter().filter(|agent| agent.is_waiting()).map(AgentTrack::order).min() {
            let mut lower = agents.iter().filter(|agent| agent.order() < next);
            if self.told().is_none() || !lower.all(|agent| agent.settled(bound, turn).is_some()) {
                return;
            }
            let of_turn = |agent: &&mut AgentTrack| agent.is_waiting() && agent.order() == next;
            agents.iter_mut().filter(of_turn).for_each(|agent| agent.begin(turn));
            self.recorded = journal.touch();
            let several = agents.iter().any(|agent| agent.order() != next);
            let deadline = latest_deadline(agents, bound);
            turn.report(Report::AgentsTold { order: several.then_some(next), deadline });
        }
    }

    /// Records an operator's order to end it. A second order changes the result but gives the agents no more time.
    pub fn finish_by(
        &mut self,
        by: Operator,
        at: Time,
        result: CompletionResult,
        journal: &mut JournalTrack,
    ) {
        let at = self.finish().map_or(at, |finish| finish.at.min(at));
        let finish = Finish { by, at, result };
        self.phase = Phase::Finishing { since: self.told(), finish };
        self.recorded = journal.touch();
    }

    /// Records that the agents got more time. They are told once that is journaled, so that a restart does not undo it.
    pub fn extended(&mut self, journal: &mut JournalTrack) {
        self.recorded = journal.touch();
    }

    /// Ends it. Returns the journal revision that has the end.
    pub fn end(&mut self, ended: Ended, notices: &Notices, journal: &mut JournalTrack) -> Revision {
        self.phase = Phase::Ended { since: self.told(), ended };
        self.watch = self.may_stay(ended, notices).then(|| Watch::new(ended.at));
        self.recorded = journal.touch();
        self.recorded
    }

    /// Whether the journal has what was decided here, so that it may be acted on.
    pub fn is_recorded(&self, journal: &JournalTrack) -> bool {
        journal.is_released(self.recorded)
    }

    /// Takes over the current [`bound`](Self::bound). A changed deadline is reported, and told to the agents once it is
    /// journaled.
    pub fn announce(
        &mut self,
        bound: Option<Time>,
        agents: &[AgentTrack],
        turn: &mut Turn,
        journal: &mut JournalTrack,
    ) {
        let before = std::mem::replace(&mut self.told_bound, bound);
        if before == bound {
            return;
        }
        self.recorded = journal.touch();
        let deadline = latest_deadline(agents, bound);
        if let Some(deadline) = deadline.filter(|_| self.told().is_some())
            && latest_deadline(agents, before) != Some(deadline)
        {
            turn.report(Report::DeadlineMoved { deadline });
        }
    }

    /// Keeps a message about our own action, to be deleted when the action is over.
    pub fn keep(&mut self, receipt: &str, message: &LifecycleMessage) {
        self.message = Some(OwnMessage { hook: message.hook.clone(), token: message.token.clone() });
        if self.receipts.len() < RECEIPTS_MAX && !self.receipts.iter().any(|kept| kept == receipt) {
            self.receipts.push(receipt.to_owned());
        }
    }

    /// Forgets messages that turned out not to be ours, or to be about an action that is over. Returns their receipts and
    /// the token.
    pub fn forget_messages(&mut self) -> (Vec<String>, Option<String>) {
        let token = self.message.take().and_then(|message| message.token);
        (std::mem::take(&mut self.receipts), token)
    }

    /// Whether our action is in Wait or a completion may have taken effect.
    pub fn awaits_completion(&self) -> bool {
        self.is_under_way() && self.action.awaits_completion()
    }

    /// Whether the message is about the action that has already ended.
    pub fn has_outlived(&self, message: &LifecycleMessage, now: Time) -> bool {
        let ended = self.ended().filter(Ended::ended_an_action);
        // AWS's clock orders two messages. A message and the end of a drain can only be compared by our clock, and not at all if
        // that was wrong when the drain ended.
        let after = |ended: Ended| message.sent.is_some_and(|sent| sent <= ended.at) && ended.at <= now;
        ended.is_some_and(after) && !self.action.is_older_than(message)
    }

    /// Whether a message names a different group than Auto Scaling does.
    pub fn contradicts(&mut self, turn: &mut Turn, message: &LifecycleMessage) -> bool {
        // An ended drain is over in the group where it began. What it knows of that group's hook finds a retained instance's
        // release.
        if !self.is_under_way() && self.action.group().is_some_and(|group| group != message.group) {
            return true;
        }
        !self.action.learn_group(turn, &message.group, GroupSource::Message)
    }

    /// The order for an agent; `None` before it is time to tell it.
    pub fn order(&self, agent: &AgentTrack, reason: Option<Reason>) -> Option<DrainOrder> {
        self.told()?;
        let reason = reason.unwrap_or(Reason::AutoscalingTermination);
        Some(DrainOrder { reason, deadline: agent.deadline(self.told_bound)? })
    }

    /// Whether it has ended, and Auto Scaling is asked until it says what becomes of the instance.
    pub fn is_watched(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::goes_on)
    }

    /// Whether the instance may stay after its action is over. If the group's hooks were not read, another hook may keep it.
    fn may_stay(&self, ended: Ended, notices: &Notices) -> bool {
        let kept = matches!(
            notices.action().map(|action| action.reason),
            Some(Reason::WarmPool | Reason::RootVolumeReplacement)
        );
        let others = self.action.hook().is_some_and(|hook| hook.has_others || !hook.read);
        kept || others
            || ended.result == Some(CompletionResult::Abandon)
            || ended.outcome == Outcome::Overtaken
    }

    /// Whether to tell the agents now.
    pub fn is_time(&self, settings: &Settings, in_force: &[Reason]) -> bool {
        if self.phase != Phase::Noticed {
            return false;
        }
        // With `drain_at = "wait"`: the load balancer has stopped routing to the agents, or the daemon can never find out.
        settings.drain_at == DrainAt::Notice
            || self.action.waits_since().is_some()
            || !self.action.is_possible()
            || (!settings.queue && self.action.is_blind())
            || in_force.iter().any(|reason| !reason.has_action())
    }

    /// Whether no agent has shown that it has work since the last outcome, or a completion under way makes that too late. An
    /// agent that was told a new deadline, or was not heard since a restart, may still have drained.
    pub fn stands(&self, agents: &[AgentTrack], bound: Option<Time>, turn: &mut Turn) -> bool {
        let mut agents = agents.iter();
        self.action.is_completing()
            || agents.all(|agent| agent.may_have_drained() || agent.settled(bound, turn).is_some())
    }

    /// Whether the agents were told to drain, and neither an operator nor an intention to complete the action has ended that.
    pub fn has_time_to_leave(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. }) && self.action.intention().is_none()
    }

    /// Whether the agents were told, and nothing has been decided by their outcome yet. `outcome` is the one by now.
    pub fn waits_for_agents(&self, outcome: Option<Outcome>) -> bool {
        let decided = outcome.is_some() || self.after.is_begun() || self.action.is_committed();
        self.told().is_some() && !decided
    }

    /// The outcome, once every agent has one: the worst of theirs. `Finished` if an operator ended it.
    pub fn outcome(
        &mut self,
        agents: &[AgentTrack],
        bound: Option<Time>,
        turn: &mut Turn,
    ) -> Option<Outcome> {
        if !agents.iter().all(AgentTrack::confirms_last_run) {
            self.standing = None;
        }
        let standing = self.standing;
        match &self.phase {
            Phase::Noticed => None,
            Phase::Finishing { .. } => Some(Outcome::Finished),
            Phase::Ended { ended, .. } => Some(ended.outcome),
            Phase::Draining { .. } => {
                let mut worst = Some(Outcome::Drained);
                for agent in agents {
                    // Ask every agent, even if one has no outcome yet: each sets its timer.
                    worst = worst.zip(agent.settled(bound, turn)).map(|(worst, this)| worst.max(this));
                }
                worst.or(standing)
            }
        }
    }
}

/// The latest deadline of any agent.
pub(super) fn latest_deadline(agents: &[AgentTrack], bound: Option<Time>) -> Option<Time> {
    agents.iter().filter_map(|agent| agent.deadline(bound)).max()
}
