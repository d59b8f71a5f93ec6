//! The lifecycle action: finds it, keeps it alive and completes it.
//!
//! - `names`: the group and the hook that calls name, and how they are looked up.
//! - `wait`: the action's state at AWS, as far as is known.
//! - `heartbeats`, `completion`: what has been decided and sent.
//! - `inquiry`: finds out what `No active Lifecycle Action found` meant.

mod completion;
mod heartbeats;
mod inquiry;
mod names;
mod wait;

pub use completion::Completion;
pub(super) use heartbeats::Heartbeats;
pub use names::{Group, GroupSource};
pub use wait::{Wait, WaitSource};

use std::time::Duration;

use crate::effect::{CompletionResult, EffectId};
use crate::event::{CallError, CallErrorKind, DescribedInstance, Hook};
use crate::heartbeat;
use crate::hook;
use crate::journal::{ActionRecord, HookFacts, Intention, JournalTrack, Outcome, Revision};
use crate::message::LifecycleMessage;
use crate::report::{Call, Report};
use crate::settings::Settings;
use crate::standing::Standing;
use crate::time::Time;
use crate::turn::Turn;
use completion::Completions;
use inquiry::{Inquiry, Known, Verdict};
use names::{GroupNews, HookNews, Names};

/// Pause after a call was denied. An operator may add the permission.
const DENIED_RETRY: Duration = Duration::from_secs(60);

/// A message this much older than the last time that no action was in Wait makes the first heartbeat due at once.
const DOUBT: Duration = Duration::from_secs(5);

/// How the action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// By our completion.
    Completed(Outcome, CompletionResult),
    /// Without us.
    Overtaken,
    /// It never existed: the message was about an older action.
    Stale,
}

/// What the action needs to know about the rest of the drain.
pub(super) struct Situation<'a> {
    pub settings: &'a Settings,
    pub journal: &'a mut JournalTrack,
    /// Whether the group runs or will run an action.
    pub expected: bool,
    /// How the agents' part ended; `None` before that.
    pub done: Option<Outcome>,
    /// The result that an operator's `finish` sets.
    pub finish: Option<CompletionResult>,
}

/// The lifecycle action of a drain.
#[derive(Debug, Default)]
pub(super) struct Action {
    names: Names,
    wait: Wait,
    heartbeats: Heartbeats,
    completions: Completions,
    /// The open question why a call was refused.
    inquiry: Option<Inquiry>,
}

impl Action {
    /// The action of a new drain. `group` and `wait` are what is already known.
    pub fn new(group: Option<String>, wait: Wait, recorded: Revision) -> Self {
        let group = group.map(|name| Group { name, by: GroupSource::Before });
        Action {
            names: Names::known(group, None, false),
            wait,
            completions: Completions::new(Completion::Open, recorded),
            ..Action::default()
        }
    }

    /// Continues the last run's action. Its first heartbeat is due at once, and an intended completion may have been sent.
    pub fn recover(record: ActionRecord, started: Time, now: Time) -> Self {
        let ActionRecord { group, hook, proven, wait, completion } = record;
        Action {
            names: Names::known(group, hook, proven),
            wait: wait.recovered(started, now),
            heartbeats: Heartbeats::at_once(now),
            completions: Completions::new(completion.recovered(), Revision::default()),
            inquiry: None,
        }
    }

    /// Auto Scaling says that the retained instance is in this group, so its release will run this group's hook.
    pub fn found_in_group(&mut self, group: &str) {
        self.names.group = Some(Group { name: group.to_owned(), by: GroupSource::AutoScaling });
    }

    /// The action of a retained instance that was released. A heartbeat sent at `beat` found it. It has been in Wait since
    /// `since` at the earliest.
    pub fn released(
        known: ActionRecord,
        since: Time,
        beat: Time,
        turn: &mut Turn,
        recorded: Revision,
    ) -> Self {
        let ActionRecord { group, hook, .. } = known;
        let mut heartbeats = Heartbeats::default();
        if let Some(hook) = &hook {
            heartbeats.success(turn, beat, hook.heartbeat_timeout);
        }
        Action {
            names: Names::known(group, hook, true),
            wait: Wait::found(since, turn.now, beat),
            heartbeats,
            completions: Completions::new(Completion::Open, recorded),
            inquiry: None,
        }
    }

    /// There was no such action. Keeps the group and the hook, and drops the rest.
    pub fn renew(&mut self, now: Time, recorded: Revision) {
        let Names { group, hook, .. } = std::mem::take(&mut self.names);
        *self = Action {
            names: Names::known(group, hook, false),
            wait: Wait::Unexpected { absent_at: Some(now) },
            completions: Completions::new(Completion::Open, recorded),
            ..Action::default()
        };
    }

    /// The part for the journal.
    pub fn record(&self) -> ActionRecord {
        ActionRecord {
            group: self.names.group.clone(),
            hook: self.names.hook.clone(),
            proven: self.names.proven,
            wait: self.wait,
            completion: self.completions.state,
        }
    }

    /// The group, if known.
    pub fn group(&self) -> Option<&str> {
        self.names.group.as_ref().map(|group| group.name.as_str())
    }

    /// The hook, if known.
    pub fn hook(&self) -> Option<&HookFacts> {
        self.names.hook.as_ref()
    }

    /// Why no hook can be completed; `None` if one may be.
    pub fn impossible(&self) -> Option<&str> {
        self.names.impossible()
    }

    /// The earliest time at which the action can have reached Wait; `None` if it is not known to be in Wait.
    pub fn waits_since(&self) -> Option<Time> {
        self.wait.since()
    }

    /// Whether Auto Scaling's last description is no older than `since` and says that the instance is in service.
    pub fn was_in_service(&self, since: Time) -> bool {
        self.names.in_service_at.is_some_and(|at| at >= since)
    }

    /// How many heartbeats succeeded.
    pub fn heartbeats(&self) -> u32 {
        self.heartbeats.succeeded
    }

    /// Whether the message was sent later than the one that announced this action.
    pub fn is_older_than(&self, message: &LifecycleMessage) -> bool {
        self.wait.message_sent().is_some_and(|own| message.sent.is_some_and(|sent| sent > own))
    }

    /// The intention to complete it, once that is decided.
    pub fn intention(&self) -> Option<Intention> {
        self.completions.state.intention()
    }

    /// Whether the hook is unknown and looking it up keeps failing, so that Wait will never be seen.
    pub fn is_blind(&self) -> bool {
        self.names.is_blind()
    }

    /// Whether the queue cannot tell more: hook and Wait are known, or no hook can be completed.
    pub fn is_located(&self) -> bool {
        !self.is_possible() || (self.names.hook.is_some() && self.wait.is_waiting())
    }

    /// When the action expires; `None` if that is unknown.
    pub fn expires(&self) -> Option<Time> {
        self.wait.expires(self.names.hook.as_ref()?)
    }

    /// When the next heartbeat is due; `None` if none will be sent.
    pub fn next_heartbeat(&self) -> Option<Time> {
        let beats = self.is_possible() && self.names.hook.is_some() && self.intention().is_none();
        beats.then(|| self.heartbeats.next_at())
    }

    /// The deadline that the hook's global timeout sets or, while heartbeats are denied, the action's expiry.
    pub fn deadline(&self) -> Option<Time> {
        let hook = self.names.timed_hook()?;
        let global = self.wait.global_deadline(hook)?;
        let expiry = self.expires().filter(|_| self.heartbeats.is_denied());
        let expiry = expiry.map(|expires| expires - heartbeat::attempt_limit(hook.heartbeat_timeout));
        Some(expiry.map_or(global, |expiry| global.min(expiry)))
    }

    /// Whether no completion can have taken effect.
    pub fn can_withdraw(&self) -> bool {
        !self.completions.is_pending() && self.completions.state.unanswered().is_none()
    }

    /// Whether a completion is under way.
    pub fn is_completing(&self) -> bool {
        self.completions.is_pending()
    }

    /// Whether a completion has been decided or sent, so that the drain must follow the action to its end.
    pub fn is_committed(&self) -> bool {
        self.intention().is_some() || !self.can_withdraw()
    }

    /// Whether there may be a hook to complete.
    pub fn is_possible(&self) -> bool {
        self.names.impossible().is_none()
    }

    /// Whether our action is in Wait or a completion may have taken effect.
    pub fn awaits_completion(&self) -> bool {
        self.is_possible() && (self.wait.is_waiting() || !self.can_withdraw())
    }

    /// Decides the next calls.
    pub fn decide(&mut self, turn: &mut Turn, situation: &mut Situation) {
        if !situation.expected {
            self.wait.unexpect();
        } else if self.wait.expect(turn.now) {
            // What was learned for an earlier notice, such as that the instance was in no group, may be outdated.
            self.names.doubt();
        }
        if !situation.expected {
            return;
        }
        self.know_hook(turn, situation.settings);
        let needs_timeouts = self.needs_timeouts(turn);
        self.names.ask(turn, self.inquiry.is_some(), needs_timeouts);
        if !self.is_possible() {
            return;
        }
        let Some(timeout) = self.names.hook.as_ref().map(|hook| hook.heartbeat_timeout) else { return };
        self.intend(turn, situation);
        if !self.completions.is_recorded(situation.journal) {
            return;
        }
        match self.intention() {
            Some(intention) => self.completions.send(turn, self.names.action(), intention.result),
            None => self.send_heartbeat(turn, timeout),
        }
    }

    /// Uses the configured hook before it is read, with assumed timeouts. Plans the first heartbeat.
    fn know_hook(&mut self, turn: &mut Turn, settings: &Settings) {
        if let Some(name) = &settings.hook
            && self.names.hook.is_none()
            && self.names.group.is_some()
            && self.is_possible()
        {
            self.adopt(turn, hook::assume(settings, name));
        }
        if let Some(hook) = &self.names.hook {
            self.heartbeats.plan_first(&self.wait, hook.heartbeat_timeout);
        }
    }

    /// Whether the hook's timeouts must be read now: the next heartbeat is due soon by the assumed timeout, or the timeouts
    /// were read for an earlier action or by an earlier run and may have changed.
    fn needs_timeouts(&self, turn: &mut Turn) -> bool {
        let Some(hook) = self.names.hook.as_ref().filter(|_| self.intention().is_none()) else {
            return false;
        };
        hook.read || self.heartbeats.is_near(turn, hook.heartbeat_timeout)
    }

    fn intend(&mut self, turn: &mut Turn, situation: &mut Situation) {
        let wanted = situation.done.map(|outcome| Intention {
            outcome,
            result: situation.finish.unwrap_or_else(|| situation.settings.result_for(outcome)),
        });
        if self.completions.intend(turn.now, situation.journal, wanted)
            && let Some(Intention { outcome, result }) = wanted
        {
            turn.report(Report::Completing { outcome, result });
        }
    }

    fn send_heartbeat(&mut self, turn: &mut Turn, timeout: Duration) {
        if self.names.group.is_some() {
            self.heartbeats.send(turn, self.names.action(), timeout);
        }
    }

    /// Records a group name. Returns `false` if a more trusted source names another group.
    pub fn learn_group(&mut self, turn: &mut Turn, group: &str, by: GroupSource) -> bool {
        match self.names.learn_group(turn.now, group, by) {
            GroupNews::Known | GroupNews::Found => true,
            GroupNews::Contradicted => false,
            GroupNews::Moved(before) => {
                turn.report(Report::GroupChanged { before, now: group.to_owned() });
                // Refusals for the old group's name mean nothing.
                self.inquiry = None;
                self.heartbeats.plan_at(turn.now);
                self.completions.start_anew(turn.now);
                true
            }
        }
    }

    /// A message says that our action is in Wait. The caller has checked that it is ours.
    pub fn on_message(&mut self, turn: &mut Turn, settings: &Settings, message: &LifecycleMessage) {
        if self.wait.is_refuted(message.sent) {
            return;
        }
        // The hook may have been created or renamed since the group's hooks were read.
        self.names.reconsider();
        if self.names.hook.is_none() && self.names.is_unreadable() {
            self.adopt(turn, hook::assume(settings, &message.hook));
        }
        if self.wait.is_waiting() {
            return self.wait.told_again(turn.now, message.sent);
        }
        let sent = message.sent.unwrap_or(turn.now);
        let absent = self.wait.absent_at().unwrap_or_default();
        // The message is old, IMDS lags or a clock is off. The action may have been in Wait for long.
        if sent > turn.now || sent + DOUBT < absent {
            self.heartbeats.hurry();
        }
        // An old message must not make a new action look old.
        let since = sent.max(absent).min(turn.now);
        self.begin_wait(turn, since, WaitSource::Message { sent: message.sent });
    }

    /// Forgets what a message of another hook said, unless a heartbeat has proven it.
    pub fn forget_message(&mut self, now: Time) {
        if self.wait.is_waiting() && !self.names.proven {
            self.wait = Wait::default();
            self.wait.expect(now);
        }
    }

    /// Processes the group's hooks. Returns whether the journal must be written.
    pub fn on_hooks(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: Result<Vec<Hook>, CallError>,
        named: Option<&str>,
    ) -> bool {
        match self.names.on_hooks(turn, settings, id, result, named) {
            HookNews::None => return false,
            HookNews::Ours(facts) => self.adopt(turn, facts),
            // Our hook worked before and was deleted since. Keep it: the refusal of the next call leads to an inquiry.
            HookNews::NoneToComplete(_)
                if self.names.has_existed() && (self.names.proven || self.intention().is_some()) => {}
            HookNews::NoneToComplete(why) => self.give_up(turn, why),
        }
        true
    }

    /// Processes the result of a heartbeat. Returns whether the journal must be written.
    pub fn on_heartbeat(&mut self, turn: &mut Turn, id: EffectId, result: Result<(), CallError>) -> bool {
        let Some(sent) = self.heartbeats.take(id) else { return false };
        let Some(timeout) = self.names.hook.as_ref().map(|hook| hook.heartbeat_timeout) else {
            return false;
        };
        let Err(error) = result else {
            if !self.wait.is_waiting() {
                let since = self.wait.earliest().unwrap_or(sent);
                self.begin_wait(turn, since, WaitSource::Heartbeat);
            }
            self.wait.beaten(sent);
            self.names.proven = true;
            // The action is active, which settles any open question about an earlier refusal.
            self.inquiry = None;
            self.heartbeats.success(turn, sent, timeout);
            turn.report(Report::HeartbeatSent { expires: self.expires() });
            return true;
        };
        let refused = matches!(error.kind, CallErrorKind::NoActiveAction | CallErrorKind::Rejected);
        if refused && !self.wait.is_waiting() {
            self.wait.absent(sent);
            self.heartbeats.nothing_waits_yet(sent, timeout);
        } else {
            self.heartbeats.failure(turn, sent, timeout, error.kind);
        }
        if refused {
            self.inquire(Call::Heartbeat, sent, turn.now, error.kind);
        }
        self.tell_failure(turn, Call::Heartbeat, error);
        false
    }

    /// Processes the result of a completion. Returns `Some` if the action is over.
    pub fn on_completion(
        &mut self,
        turn: &mut Turn,
        journal: &mut JournalTrack,
        id: EffectId,
        result: Result<(), CallError>,
    ) -> Option<Over> {
        let sent = self.completions.take(id)?;
        let intention = self.intention()?;
        let Err(error) = result else { return Some(Over::Completed(intention.outcome, intention.result)) };
        self.completions.failure(turn, journal, error.kind);
        if matches!(error.kind, CallErrorKind::NoActiveAction | CallErrorKind::Rejected) {
            self.inquire(Call::Complete, sent, turn.now, error.kind);
        }
        self.tell_failure(turn, Call::Complete, error);
        None
    }

    fn inquire(&mut self, call: Call, sent: Time, now: Time, kind: CallErrorKind) {
        self.inquiry = Inquiry::of(&self.wait, call, sent, now, kind).or(self.inquiry);
    }

    fn tell_failure(&self, turn: &mut Turn, call: Call, error: CallError) {
        let early = error.kind == CallErrorKind::NoActiveAction && !self.wait.is_waiting();
        turn.call_failed(call, error, early);
    }

    /// Processes the description of the instance. Returns `Some` if the action is over.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Option<DescribedInstance>, CallError>,
    ) -> Option<Over> {
        let (sent, instance) = self.names.on_instance(turn, id, result)?;
        match &instance {
            Some(instance) => {
                self.learn_group(turn, &instance.group, GroupSource::AutoScaling);
            }
            None if self.names.forget_group() => {
                self.give_up(turn, "this instance is not in an Auto Scaling group".to_owned());
            }
            None => {}
        }
        // A description requested before the refusal does not explain it.
        let inquiry = self.inquiry.take_if(|inquiry| inquiry.asked_at <= sent)?;
        let known = Known {
            proven: self.names.proven,
            listed: self.names.is_listed(),
            hearsay: self.wait.is_hearsay(),
            unanswered: self.completions.state.unanswered(),
            completing: self.completions.is_pending(),
            beating_since: self.heartbeats.pending_since(),
        };
        match inquiry.verdict(Standing::of(instance.as_ref()), known) {
            Verdict::Over(over) => return Some(over),
            Verdict::Pending => {
                self.inquiry = Some(inquiry);
                self.names.ask_again(turn.now);
            }
            Verdict::TooEarly => {
                self.wait.described_absent(turn.now);
                // An action that is not in Wait has not been completed.
                self.completions.state.refuted();
            }
            Verdict::Waits if self.wait.is_waiting() => {}
            Verdict::Waits => {
                let since = self.wait.earliest().unwrap_or(turn.now);
                self.begin_wait(turn, since, WaitSource::Description);
                // The heartbeat was refused before Wait was known. Try it again.
                self.heartbeats.due_now(turn.now);
            }
            Verdict::Confirmed => {
                self.wait.confirm(turn.now);
                self.heartbeats.due_now(turn.now);
                self.completions.due_now(turn.now);
            }
            Verdict::WrongHook => self.give_up(turn, self.names.wrong_hook()),
        }
        None
    }

    fn give_up(&mut self, turn: &mut Turn, why: String) {
        turn.report(Report::HookImpossible { why: why.clone() });
        self.names.give_up(why);
        self.inquiry = None;
    }

    /// Uses this hook from now on.
    fn adopt(&mut self, turn: &mut Turn, facts: HookFacts) {
        if self.names.hook.as_ref() == Some(&facts) {
            return;
        }
        turn.report(Report::HookChosen { hook: facts.clone() });
        let assumed = self.names.hook.as_ref().is_some_and(|hook| !hook.read);
        self.heartbeats.plan_anew(turn, &self.wait, facts.heartbeat_timeout, assumed);
        self.names.hook = Some(facts);
    }

    /// Records that the action is in Wait.
    fn begin_wait(&mut self, turn: &mut Turn, since: Time, by: WaitSource) {
        self.wait.begin(turn.now, since, by);
        self.completions.start_anew(turn.now);
        // Without a hook there is no timeout yet. The first heartbeat is due as soon as there is one.
        match self.names.hook.as_ref().map(|hook| hook.heartbeat_timeout) {
            Some(timeout) => self.heartbeats.plan(turn, since, timeout),
            None => self.heartbeats.plan_at(since),
        }
        turn.report(Report::WaitBegan { since, by });
    }
}
