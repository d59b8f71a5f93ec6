//! One drain: from the first notice until its action is over or, where there is none, until its agents are done.

use serde::{Deserialize, Serialize};

use crate::action::{Action, GroupSource, Wait};
use crate::agent::AgentTrack;
use crate::effect::{CompletionResult, DrainOrder};
use crate::journal::{ActionRecord, DrainRecord, Ended, JournalTrack, Outcome, Revision};
use crate::message::LifecycleMessage;
use crate::notice::{Notices, Reason};
use crate::operator::Operator;
use crate::report::Report;
use crate::settings::{DrainAt, Settings};
use crate::time::{Correction, Time};
use crate::turn::Turn;
use crate::watch::Watch;

/// Receipts that one drain keeps; SQS may deliver one message many times.
const RECEIPTS_MAX: usize = 32;

/// The drain of an instance.
#[derive(Debug)]
pub(super) struct Drain {
    pub started: Time,
    pub phase: Phase,
    pub action: Action,
    /// What our message said, where one has come: the last that was believed.
    pub message: Option<OwnMessage>,
    /// Receipt handles of our messages.
    pub receipts: Vec<String>,
    /// Looks after an instance that may stay after its action is over.
    pub watch: Option<Watch>,
    /// The revision of the journal that must be out before the agents are told, or a drain that has ended is watched.
    recorded: Revision,
    /// The end that is set from outside, as the agents were last told.
    told_bound: Option<Time>,
    /// The outcome that the last run of the daemon had written down, where the agents' answers decide: it stands until those
    /// that it speaks of have been heard.
    standing: Option<Outcome>,
}

/// The life of a drain. It only ever moves down this list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is a notice, and the agents are not told yet: `lifecycle.drain_at` is `wait`.
    Noticed,
    /// The agents drain.
    Draining {
        /// When they were first told.
        since: Time,
    },
    /// An operator has ended it: only the lifecycle action is still completed.
    Finishing {
        /// When the agents were first told, where they were.
        since: Option<Time>,
        /// What the operator asked for.
        finish: Finish,
    },
    /// It is over, and the notices that it was for are in force: the agents stay drained.
    Ended {
        /// When the agents were first told, where they were.
        since: Option<Time>,
        /// How it ended.
        ended: Ended,
    },
}

impl Phase {
    /// How the drain ended, once it has.
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Phase::Ended { ended, .. } => Some(*ended),
            Phase::Noticed | Phase::Draining { .. } | Phase::Finishing { .. } => None,
        }
    }

    /// The clock was corrected: moves what was reckoned by it.
    pub(super) fn correct(&mut self, by: Correction) {
        match self {
            Phase::Noticed => {}
            Phase::Draining { since } => *since = by.apply(*since),
            Phase::Finishing { since, finish } => {
                *since = since.map(|since| by.apply(since));
                finish.at = by.apply(finish.at);
            }
            Phase::Ended { since, ended } => {
                *since = since.map(|since| by.apply(since));
                ended.at = by.apply(ended.at);
            }
        }
    }

    /// When the agents were first told, where they were.
    pub fn told(&self) -> Option<Time> {
        match self {
            Phase::Draining { since } => Some(*since),
            Phase::Finishing { since, .. } | Phase::Ended { since, .. } => *since,
            Phase::Noticed => None,
        }
    }
}

/// An operator's order to end a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Who asked.
    pub by: Operator,
    /// When.
    pub at: Time,
    /// The result to report to Auto Scaling.
    pub result: CompletionResult,
}

/// What a message about our own action said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnMessage {
    /// `LifecycleHookName`
    pub hook: String,
    /// `LifecycleActionToken`: tells copies of a message from that of another action.
    pub token: Option<String>,
}

impl Drain {
    /// A drain begins. `group` and `wait` are what is known of its action from before.
    pub fn new(now: Time, group: Option<String>, wait: Wait, journal: &mut JournalTrack) -> Self {
        let recorded = journal.touch();
        Drain::with_action(now, Action::new(group, wait, recorded), recorded)
    }

    /// A drain begins because a retained instance is released: Auto Scaling runs a new action, for which a heartbeat has
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
            message: None,
            receipts: Vec::new(),
            watch: None,
            recorded,
            told_bound: None,
            standing: None,
        }
    }

    /// Goes on with the drain of the last run. What it had written down of its agents says nothing after a reboot, which
    /// none of them has outlived.
    pub fn recover(record: DrainRecord, notices: &Notices, now: Time, rebooted: bool) -> Self {
        let DrainRecord { started, phase, bound, action, message, receipts } = record;
        let started = started.min(now);
        // A deadline that is still in force says so itself.
        let last = action.completion.intention().filter(|_| !rebooted).map(|intention| intention.outcome);
        let standing = last.filter(|outcome| *outcome != Outcome::Deadline);
        let mut drain = Drain {
            started,
            phase,
            action: Action::recover(action, started, now),
            message,
            receipts,
            watch: None,
            recorded: Revision::default(),
            told_bound: bound,
            standing,
        };
        // An instance that outlives the daemon after its action may run another action that the journal does not have.
        let stays = |ended: &Ended| ended.ended_an_action() || drain.may_stay(*ended, notices);
        let ended = drain.ended().filter(stays);
        drain.watch = ended.map(|ended| Watch::recover(now, ended.at));
        drain
    }

    /// What outlives the daemon.
    pub fn record(&self) -> DrainRecord {
        DrainRecord {
            started: self.started,
            phase: self.phase.clone(),
            bound: self.told_bound,
            action: self.action.record(),
            message: self.message.clone(),
            receipts: self.receipts.clone(),
        }
    }

    /// Whether its action must be over by now: as far as the journal tells, it was last kept alive longer ago than it lives.
    /// What waits now is another one, for which nothing has been drained. One heartbeat may have succeeded that the journal
    /// does not have.
    pub fn is_outdated(&self, now: Time) -> bool {
        let timeout = self.action.hook().map(|hook| hook.heartbeat_timeout).unwrap_or_default();
        self.is_under_way() && self.action.expires().is_some_and(|expires| now > expires + timeout)
    }

    /// Whether it is under way: it has not ended.
    pub fn is_under_way(&self) -> bool {
        self.ended().is_none()
    }

    /// Whether the group runs an action for it, or will; or one must be seen to its end.
    pub fn expects_action(&self, notices: &Notices) -> bool {
        notices.expects_action() || self.action.is_committed()
    }

    /// Whether calls to Auto Scaling look for its action, or are about to.
    pub fn probes(&self, notices: &Notices) -> bool {
        let action = &self.action;
        let named = action.is_possible() && action.hook().is_some() && action.group().is_some();
        named && self.expects_action(notices)
    }

    /// Since when the watch over its end may have kept a new action alive.
    pub fn probed_since(&self) -> Option<Time> {
        self.watch.as_ref().and_then(Watch::probed_since)
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<Ended> {
        self.phase.ended()
    }

    /// When the agents were first told, where they were.
    pub fn told(&self) -> Option<Time> {
        self.phase.told()
    }

    /// What an operator has ordered, where one has ended it.
    pub fn finish(&self) -> Option<&Finish> {
        if let Phase::Finishing { finish, .. } = &self.phase { Some(finish) } else { None }
    }

    /// The end that is set from outside: by the notices in force, the action and an operator.
    pub fn bound(&self, notices: &Notices, now: Time) -> Option<Time> {
        let finish = self.finish().map(|finish| finish.at);
        [notices.deadline(self.started, now), self.action.deadline(), finish].into_iter().flatten().min()
    }

    /// The agents are told to drain.
    pub fn tell(&mut self, now: Time, journal: &mut JournalTrack) {
        self.phase = Phase::Draining { since: now };
        self.recorded = journal.touch();
    }

    /// An operator ends it. A second order changes the result, and gives the agents no more time.
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

    /// The agents' own time is longer now. They hear of it once it is written down, so that a restart does not move it back.
    pub fn extended(&mut self, journal: &mut JournalTrack) {
        self.recorded = journal.touch();
    }

    /// It ends.
    pub fn end(&mut self, ended: Ended, notices: &Notices, journal: &mut JournalTrack) -> Revision {
        self.phase = Phase::Ended { since: self.told(), ended };
        self.watch = self.may_stay(ended, notices).then(|| Watch::new(ended.at));
        self.recorded = journal.touch();
        self.recorded
    }

    /// Whether what is decided here is out, so that it may be acted on.
    pub fn is_recorded(&self, journal: &JournalTrack) -> bool {
        journal.is_released(self.recorded)
    }

    /// Takes the end that is set from outside now. People and agents hear of a new deadline, the agents once it is in the
    /// journal.
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

    /// A message about our own action: it is kept to be deleted.
    pub fn keep(&mut self, receipt: &str, message: &LifecycleMessage) {
        self.message = Some(OwnMessage { hook: message.hook.clone(), token: message.token.clone() });
        if self.receipts.len() < RECEIPTS_MAX && !self.receipts.iter().any(|kept| kept == receipt) {
            self.receipts.push(receipt.to_owned());
        }
    }

    /// What was taken for our messages is not ours, or is over: hands out their receipts and the token.
    pub fn forget_messages(&mut self) -> (Vec<String>, Option<String>) {
        let token = self.message.take().and_then(|message| message.token);
        (std::mem::take(&mut self.receipts), token)
    }

    /// Whether an action of ours waits to be completed.
    pub fn awaits_completion(&self) -> bool {
        self.is_under_way() && self.action.awaits_completion()
    }

    /// Whether the message is that of the action that has ended, and came only after that.
    pub fn has_outlived(&self, message: &LifecycleMessage) -> bool {
        let ended = self.ended().filter(Ended::ended_an_action);
        // Of two messages AWS's clock says which is the newer; of a message and the end of a drain, only ours does.
        ended.is_some_and(|ended| message.sent.is_some_and(|sent| sent <= ended.at))
            && !self.action.is_older_than(message)
    }

    /// Whether a message names another group than Auto Scaling does.
    pub fn contradicts(&mut self, turn: &mut Turn, message: &LifecycleMessage) -> bool {
        !self.action.learn_group(turn, &message.group, GroupSource::Message)
    }

    /// What an agent is to be told, once it is time to tell it.
    pub fn order(&self, agent: &AgentTrack, reason: Option<Reason>) -> Option<DrainOrder> {
        self.told()?;
        let reason = reason.unwrap_or(Reason::AutoscalingTermination);
        Some(DrainOrder { reason, deadline: agent.deadline(self.told_bound)? })
    }

    /// Whether the instance may stay after its action is over. Of a group whose hooks were not read it is not known whether
    /// another one keeps the instance.
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

    /// Whether the agents are to be told now.
    pub fn is_time(&self, settings: &Settings, in_force: &[Reason]) -> bool {
        if self.phase != Phase::Noticed {
            return false;
        }
        // Behind a load balancer: it has stopped routing to the agents, or that will never be known.
        settings.drain_at == DrainAt::Notice
            || self.action.waits_since().is_some()
            || !self.action.is_possible()
            || (!settings.queue && self.action.is_blind())
            || in_force.iter().any(|reason| !reason.has_action())
    }

    /// How it has ended, once it has for every agent: as badly as for the worst off; or as an operator has ended it.
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
                    // Every agent is asked, so that the machine wakes for the earliest.
                    worst = worst.zip(agent.settled(bound, turn)).map(|(worst, this)| worst.max(this));
                }
                worst.or(standing)
            }
        }
    }
}

/// When the last agent's time is up.
pub(super) fn latest_deadline(agents: &[AgentTrack], bound: Option<Time>) -> Option<Time> {
    agents.iter().filter_map(|agent| agent.deadline(bound)).max()
}
