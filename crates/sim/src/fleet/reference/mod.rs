//! The reference: a second, naive statement of what a daemon may and must do, given what it has heard. Every step of the
//! machine is compared with it. Neither looks into the other.
//!
//! It covers one life of the daemon. What earlier lives did is in the journal that this life starts with.
//!
//! This file records what the daemon was told. `rules` says what follows from that, `once` what follows for agents that are told
//! once per process, `queue` for the queue, `targets` for target groups, `steps` for after steps, `force` for force steps, `launch`
//! for launches, `protection` for busy protection, `turns` for agents that wait for others, `stays` for notices after which the
//! instance may stay, and `listening` for daemons that ask the queue all the time. `known` has the types for all of them.

mod force;
mod known;
mod launch;
mod listening;
mod once;
mod protection;
mod queue;
mod rules;
mod stays;
mod steps;
mod targets;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use machine::action::Completion;
use machine::effect::EffectId;
use machine::event::{CallErrorKind, ImdsReading, LifeCycle, TargetState};
use machine::journal::{Journal, Outcome};
use machine::message::{Body, InstanceNews, Message};
use machine::notice::{Due, Notice, NoticeState, Reason};
use machine::settings::Settings;
use machine::{Event, Time};

use known::{Agent, Call, Completed, Kept, Phase};

/// Clocks are corrected by less than this all the time.
const CLOCK_DRIFT_MS: u64 = 1_000;

/// How long after its scheduled time maintenance is over.
const EXPIRY: Duration = Duration::from_secs(3600);

/// What one life of one daemon may and must do.
#[derive(Debug)]
pub(super) struct Reference {
    settings: Arc<Settings>,
    /// The journal that the disk has accepted, or refused for good. Effects may depend on it.
    kept: Kept,
    /// Journal writes that are under way.
    writes: Vec<(EffectId, Kept)>,
    /// How far the drain has come. It stays `Ended` while its notice is still there.
    drain: Phase,
    /// Calls that are under way.
    calls: Vec<(EffectId, Call)>,
    agents: Vec<Agent>,
    /// What IMDS last said about the target state, and when.
    heard: Option<(Time, TargetState)>,
    /// When EC2 interrupts the instance.
    spot: Option<Time>,
    /// When EC2 begins to terminate the instances of the Capacity Block.
    block: Option<Time>,
    /// IMDS has said that EC2 never interrupts the instance.
    on_demand: bool,
    /// For each maintenance event, when its newest message was sent, and when EC2 acts by that message. `None` if it is
    /// over.
    maintenance: BTreeMap<String, (Time, Option<Due>)>,
    /// The disk refused the last write.
    refused: bool,
    /// The hook's name and heartbeat timeout, once read.
    hook: Option<(String, Duration)>,
    /// The groups that the instance may be in: those that were named since it was last detached.
    groups: BTreeSet<String>,
    /// The clock was set after the journal was written.
    clock_set: bool,
    /// The last DescribeLifecycleHooks. An answer to an earlier one may be about another group.
    hooks_asked: Option<EffectId>,
    /// The role may not complete actions.
    denied: bool,
    /// The role may not send heartbeats.
    beats_denied: bool,
    /// When the drain started.
    began: Time,
    /// When agents were last told to drain, for the first time in a drain.
    told_at: Time,
    /// The orders of the agents that were told in this turn.
    told_orders: Vec<u8>,
    /// The agents that were forced in this turn, and for which deadline.
    forcing: Vec<(usize, Time)>,
    /// When the last successful heartbeat was sent.
    beat: Option<Time>,
    /// Receipts of our messages, those of earlier lives included, with the token of the action that each is about.
    receipts: BTreeMap<String, Option<String>>,
    /// When our newest message was sent. Messages from the future do not count.
    newest: Option<Time>,
    /// When our newest message from the future was sent, by the daemon's clock.
    from_the_future: Option<Time>,
    /// Receipts of our messages that arrived after our action was over.
    spent: BTreeSet<String>,
    /// Receipts of our messages that arrived before the drain ended, while the journal does not yet record the end.
    ending: Vec<String>,
    /// When that drain started.
    ending_began: Time,
    /// Receipts of other instances' messages that have just arrived.
    others: Vec<String>,
    /// How many after steps are over.
    stepped: usize,
    /// Something has changed since an after step last ran, so that the agents may have had no outcome meanwhile. Then every step
    /// runs again.
    unsettled: bool,
    /// An after step was left out in this turn.
    skipped: bool,
    /// The outcome that the previous life wrote down. It stands until an agent is heard.
    standing: Option<Outcome>,
    /// This life started after an action of the instance was over, and has not asked Auto Scaling yet whether another one
    /// is open.
    unseen: bool,
    /// Whether our completion took effect.
    completed: Completed,
    launches: launch::Launches,
    protections: protection::Protections,
    targets: Vec<targets::Target>,
    /// The instance is in standby or in no group.
    away: bool,
    complaints: Vec<String>,
}

impl Reference {
    pub fn new(settings: Arc<Settings>) -> Self {
        Reference {
            kept: Kept::default(),
            writes: Vec::new(),
            drain: Phase::None,
            calls: Vec::new(),
            agents: settings.agents.iter().map(|_| Agent::default()).collect(),
            heard: None,
            spot: None,
            block: None,
            on_demand: false,
            maintenance: BTreeMap::new(),
            refused: false,
            hook: None,
            groups: settings.group.iter().cloned().collect(),
            clock_set: false,
            hooks_asked: None,
            denied: false,
            beats_denied: false,
            began: Time::default(),
            told_at: Time::default(),
            told_orders: Vec::new(),
            forcing: Vec::new(),
            beat: None,
            receipts: BTreeMap::new(),
            newest: None,
            from_the_future: None,
            spent: BTreeSet::new(),
            ending: Vec::new(),
            ending_began: Time::default(),
            others: Vec::new(),
            stepped: 0,
            unsettled: false,
            skipped: false,
            standing: None,
            unseen: false,
            completed: Completed::No,
            launches: launch::Launches::default(),
            protections: protection::Protections::default(),
            targets: settings.targets.iter().map(|_| targets::Target::default()).collect(),
            away: false,
            complaints: Vec::new(),
            settings,
        }
    }

    /// Records an event before the machine handles it.
    pub fn hears(&mut self, now: Time, event: &Event) {
        self.hears_of_protection(now, event);
        if self.hears_of_launch(now, event) {
            return;
        }
        self.hears_of_target(event);
        match event {
            Event::Started { journal } => self.starts(now, journal.as_deref()),
            Event::Imds(ImdsReading::TargetState(Some(state))) => {
                self.heard = Some((now, state.clone()));
                // A drain that is already under way keeps the names that it has.
                if *state == TargetState::Detached && self.drain != Phase::UnderWay {
                    self.groups.clear();
                }
            }
            // With a wrong clock, the time may have passed when the machine hears of it. The machine then does not know it.
            Event::Imds(ImdsReading::Spot(spot)) => {
                let at = spot.map(|spot| spot.at);
                self.spot = at.filter(|at| *at > now || self.spot == Some(*at));
            }
            Event::Imds(ImdsReading::LifeCycle(life_cycle)) => {
                self.on_demand = *life_cycle == LifeCycle::OnDemand;
            }
            Event::JournalWritten { id } | Event::JournalFailed { id, .. } => {
                self.refused = matches!(event, Event::JournalFailed { .. });
                if let Some(kept) = take(&mut self.writes, *id) {
                    self.keeps(kept);
                }
            }
            Event::AgentAnswered { id, answer } => {
                if let Some(Call::Agent(agent)) = take(&mut self.calls, *id)
                    && !std::mem::take(&mut self.agents[agent].overtaken)
                {
                    self.agents[agent].answers(now, answer, &self.settings.agents[agent]);
                    self.unsettled |= !self.agents[agent].says_drained();
                }
            }
            Event::StepEnded { id, .. } => self.step_ends(*id),
            Event::HeartbeatAnswered { id, result } => {
                let sent = take(&mut self.calls, *id);
                match result {
                    Ok(()) => self.beats_denied = false,
                    Err(error) => self.beats_denied |= error.kind == CallErrorKind::AccessDenied,
                }
                if let (Some(Call::Heartbeat(sent)), Ok(())) = (sent, result)
                    && sent >= self.began
                {
                    self.beat = Some(sent);
                }
            }
            Event::CompletionAnswered { id, result } => {
                take(&mut self.calls, *id);
                self.denied = result.as_ref().is_err_and(|error| error.kind == CallErrorKind::AccessDenied);
                match result {
                    Ok(()) => self.completed = Completed::Yes,
                    Err(_) => self.completed = self.completed.or(Completed::Perhaps),
                }
            }
            Event::HooksDescribed { id, result: Ok(hooks) } if self.hooks_asked == Some(*id) => {
                let mut ours = hooks.iter().filter(|hook| hook.terminating);
                let ours =
                    ours.find(|hook| self.settings.hook.as_ref().is_none_or(|name| *name == hook.name));
                self.hook = ours.map(|hook| (hook.name.clone(), hook.heartbeat_timeout));
            }
            Event::InstanceDescribed { result: Ok(Some(instance)), .. } => {
                self.groups.insert(instance.group.clone());
                if !instance.lifecycle_state.ends_with(":Wait") {
                    self.beat = None;
                }
                // It has come back while IMDS was silent.
                let state = &instance.lifecycle_state;
                if state == "InService" || state.starts_with("Pending") {
                    self.heard
                        .take_if(|(_, state)| matches!(state, TargetState::Detached | TargetState::Standby));
                }
            }
            Event::MessagesReceived { id, result } => {
                let peeked = take(&mut self.calls, *id) == Some(Call::Receive { peek: true });
                result.iter().flatten().for_each(|message| self.receives(now, message));
                if peeked {
                    self.others.clear();
                }
            }
            _ => {}
        }
    }

    /// Checks the notices in a journal.
    fn lists(&mut self, now: Time, journal: &Journal) {
        let told = journal.notices.rows().iter().filter(|row| row.reason == Reason::ScheduledMaintenance);
        for row in told {
            let newest = self.maintenance.get(&row.id).map(|(_, newest)| to_come(*newest, now));
            if newest.is_some_and(|newest| newest != to_come(due(row), now)) {
                self.complain(format!("journaled an older message's time for {}", row.id));
            }
        }
        let of_spot = |reason| matches!(reason, Reason::SpotInterruption | Reason::RebalanceRecommendation);
        if self.on_demand && journal.notices.rows().iter().any(|row| of_spot(row.reason)) {
            self.complain("journaled a spot notice for an on-demand instance");
        }
    }

    /// Once a drain has ended, its messages may be deleted, even during the next drain.
    fn keeps(&mut self, kept: Kept) {
        // The journal of a later drain records that end, too.
        if kept.ended || kept.started.is_none_or(|started| started > self.ending_began) {
            self.spent.extend(self.ending.drain(..));
        }
        self.kept = kept;
        self.clock_set = false;
    }

    fn starts(&mut self, now: Time, journal: Option<&Journal>) {
        self.launches_at_start(now, journal);
        let Some(journal) = journal else { return };
        self.kept = Kept::of(journal);
        self.knows_block(journal);
        self.protections_at_start(journal);
        self.away = journal.notices.rows().iter().any(|row| stays::is_away(row.reason));
        // The daemon drops notices that have expired by its clock, even if its clock is wrong.
        let rows = journal.notices.rows().iter().filter(|row| row.expires.is_none_or(|at| at > now));
        self.maintenance = rows.filter_map(|row| Some((row.id.clone(), (row.sent?, due(row))))).collect();
        self.goes_on_after(self.kept.after);
        self.goes_on_forced();
        self.knows_agents(journal);
        for (agent, told) in self.agents.iter_mut().zip(&self.kept.processes) {
            agent.processes.told = *told;
        }
        self.corrects(journal);
        self.protections.clamp(now);
        let rebooted = journal.boot_id != self.settings.boot_id;
        self.unsettled = self.clock_set || rebooted;
        // The processes that had drained are gone.
        self.standing = self.standing.filter(|_| !rebooted);
        // A deadline is used as written, but is never later than a whole drain from now.
        for (deadline, agent) in self.kept.deadlines.iter_mut().zip(&self.settings.agents) {
            *deadline = deadline.map(|deadline| deadline.min(now + agent.drain_timeout));
        }
        let drain = journal.drain.as_ref();
        self.drain = match drain {
            None => Phase::None,
            Some(drain) if drain.phase.ended().is_some() => Phase::Ended,
            Some(_) => Phase::UnderWay,
        };
        let ended = drain.and_then(|drain| drain.phase.ended());
        self.unseen =
            ended.is_some_and(|ended| ended.result.is_some() || ended.outcome == Outcome::Overtaken);
        let action = drain.map(|drain| &drain.action);
        if action.is_some_and(|action| action.completion != Completion::Open) {
            self.completed = Completed::Perhaps;
        }
        for receipt in drain.into_iter().flat_map(|drain| &drain.receipts) {
            let token = drain.and_then(|drain| drain.message.as_ref()?.token.clone());
            self.receipts.insert(receipt.clone(), token);
            if self.kept.ended {
                self.spent.insert(receipt.clone());
            }
        }
        self.groups.extend(action.and_then(|action| action.group.as_ref()).map(|group| group.name.clone()));
        let hook = action.and_then(|action| action.hook.as_ref());
        self.hook = hook.map(|hook| (hook.name.clone(), hook.heartbeat_timeout));
    }

    /// If the boot time has changed within one boot, the clock was set. Times that the daemon took from its own clock move
    /// with it. Times that came from AWS do not.
    fn corrects(&mut self, journal: &Journal) {
        let same_boot = journal.boot_id.is_some() && journal.boot_id == self.settings.boot_id;
        let Some((before, after)) = journal.booted_at.zip(self.settings.booted_at).filter(|_| same_boot)
        else {
            return;
        };
        let set = |time: Time| {
            Time::from_unix_ms((time.unix_ms() + after.unix_ms()).saturating_sub(before.unix_ms()))
        };
        if before.unix_ms().abs_diff(after.unix_ms()) >= CLOCK_DRIFT_MS {
            self.kept.deadlines = Kept::own_deadlines(journal).into_iter().map(|at| at.map(set)).collect();
            self.kept.started = self.kept.started.map(set);
            self.protections.move_times(set);
            self.clock_set = true;
        }
    }

    /// Messages overtake each other. The one that was sent last counts.
    fn hears_of_maintenance(&mut self, news: &InstanceNews, sent: Time) {
        let InstanceNews::Maintenance { event_id, not_before, closed, .. } = news else { return };
        let said = (!closed).then(|| not_before.map_or(Due::Unknown, Due::At));
        let newest = self.maintenance.entry(event_id.clone()).or_insert((sent, said));
        if sent >= newest.0 {
            *newest = (sent, said);
        }
    }

    fn receives(&mut self, now: Time, message: &Message) {
        let receipt = message.receipt.clone();
        match &*message.body {
            Body::Lifecycle(body) if body.instance_id == self.settings.instance_id => {
                if self.drain == Phase::Ended {
                    self.spent.insert(receipt.clone());
                }
                self.receipts.insert(receipt, body.token.clone());
                self.groups.insert(body.group.clone());
                self.newest = self.newest.max(body.sent.filter(|sent| *sent <= now));
                self.from_the_future = self.from_the_future.max(body.sent.filter(|sent| *sent > now));
            }
            // It names this instance alone, so the machine handles it.
            Body::Instance(news) if news.instance_ids == [self.settings.instance_id.clone()] => {
                let sent = message.told_at(news.sent).unwrap_or(now);
                self.hears_of_maintenance(&news.news, sent);
                self.spent.insert(receipt.clone());
                self.receipts.insert(receipt, None);
            }
            Body::Reservation(told) => {
                self.hears_of_block(now, told);
                self.others.push(receipt);
            }
            Body::Lifecycle(_) | Body::Instance(_) | Body::Test | Body::Unreadable(_) => {
                self.others.push(receipt)
            }
        }
    }
}

/// When EC2 acts, by a maintenance notice. `None` if that is over.
fn due(row: &Notice) -> Option<Due> {
    (row.state != NoticeState::Closed).then_some(row.due)
}

/// Drops a time that is past.
fn to_come(due: Option<Due>, now: Time) -> Option<Due> {
    due.filter(|due| !matches!(due, Due::At(at) if *at + EXPIRY < now))
}

/// Removes the entry with that id. The list is short.
fn take<T>(under_way: &mut Vec<(EffectId, T)>, id: EffectId) -> Option<T> {
    let place = under_way.iter().position(|(other, _)| *other == id)?;
    Some(under_way.remove(place).1)
}
