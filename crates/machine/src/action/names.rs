//! What names the action to AWS: the group and its hook, and how they are looked up.
//!
//! Calls name hook, group and instance, never a token. See ARCHITECTURE.md, "Why does no call carry the token?".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DENIED_RETRY;
use crate::backoff::Backoff;
use crate::effect::{ActionName, Effect, EffectId};
use crate::event::{CallError, CallErrorKind, DescribedInstance, Hook};
use crate::hook;
use crate::journal::HookFacts;
use crate::report::Call;
use crate::settings::Settings;
use crate::standing::Standing;
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::{Attempts, Turn};

/// Between questions that were not answered.
const DESCRIBE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// To the next question about the instance, where a call under way has to be answered first.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// To the next question about the instance, where the group's hooks have to be read first.
const ASK_AGAIN_UNREAD: Duration = Duration::from_secs(10);

/// After so many failures in a row, or a denial, a question counts as one that will not be answered.
const BLIND_AFTER: u32 = 3;

/// Which group the instance is in. A fresher fact replaces an older one of the same rank or a lower one: an instance can
/// be detached from a group and attached to another while the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `AutoScalingGroupName`
    pub name: String,
    /// Who says so.
    pub by: GroupSource,
}

/// Who has named the group, the least trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSource {
    /// The configuration, the instance's tags or an earlier drain: it was true once.
    Before,
    /// A message that tells of this instance's action.
    Message,
    /// DescribeAutoScalingInstances.
    AutoScaling,
}

/// What is known of the group's hooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Lookup {
    /// They have not been read yet.
    #[default]
    Unread,
    /// The role may not read them. An operator may allow it.
    Denied,
    /// They have been read: the names of all terminating ones.
    Read(Vec<String>),
    /// No hook can be completed; says why.
    Impossible(String),
}

/// What a fact about the group has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupNews {
    /// It is what was known.
    Known,
    /// The group was not known.
    Found,
    /// The group was thought to be this one, and is another.
    Moved(String),
    /// A better source says otherwise.
    Contradicted,
}

/// What reading the hooks has come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HookNews {
    /// The question was not ours, or there is no answer yet.
    None,
    /// This one is ours.
    Ours(HookFacts),
    /// No hook can be completed; says why.
    NoneToComplete(String),
}

/// Group and hook, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub group: Option<Group>,
    /// The hook: as it was read, or with timeouts that are safe to assume.
    pub hook: Option<HookFacts>,
    /// A heartbeat has succeeded by these names.
    pub proven: bool,
    /// When Auto Scaling said that the instance is in service, if that is what it said last.
    pub in_service_at: Option<Time>,
    lookup: Lookup,
    describe_instance: Attempts,
    describe_hooks: Attempts,
}

impl Names {
    /// Names that are known from before: nothing has been asked yet.
    pub fn known(group: Option<Group>, hook: Option<HookFacts>, proven: bool) -> Self {
        Names { group, hook, proven, ..Names::default() }
    }

    /// What a call is to name, once it can.
    pub fn action(&self) -> Option<ActionName> {
        Some(ActionName { hook: self.hook.as_ref()?.name.clone(), group: self.group.as_ref()?.name.clone() })
    }

    /// Whether nothing is known of the hook, and asking has failed again and again: Wait will never be seen.
    pub fn is_blind(&self) -> bool {
        let failures = self.describe_instance.failures.max(self.describe_hooks.failures);
        self.hook.is_none() && failures >= BLIND_AFTER
    }

    /// Whether the hooks were asked for, and not read.
    pub fn is_unreadable(&self) -> bool {
        self.describe_hooks.failures > 0
    }

    /// The hook, once its timeouts are known, or will not be.
    pub fn timed_hook(&self) -> Option<&HookFacts> {
        self.hook.as_ref().filter(|hook| hook.read || self.is_unreadable())
    }

    /// Whether our hook is known to have been one of the group's.
    pub fn has_existed(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.read || self.proven)
    }

    /// Why no hook can be completed, where that is so.
    pub fn impossible(&self) -> Option<&str> {
        if let Lookup::Impossible(why) = &self.lookup { Some(why) } else { None }
    }

    /// No hook can be completed.
    pub fn give_up(&mut self, why: String) {
        self.lookup = Lookup::Impossible(why);
    }

    /// Group and hook were right once, and are found out anew where they prove wrong.
    pub fn doubt(&mut self) {
        self.reconsider();
        if let Some(group) = &mut self.group {
            group.by = GroupSource::Before;
        }
    }

    /// There may be a hook to complete after all.
    pub fn reconsider(&mut self) {
        if self.impossible().is_some() {
            self.lookup = Lookup::Unread;
        }
    }

    /// Whether our hook is known to be one of the group's. `None`: it is not known yet.
    pub fn is_listed(&self) -> Option<bool> {
        match &self.lookup {
            Lookup::Read(names) => Some(self.hook.as_ref().is_some_and(|hook| names.contains(&hook.name))),
            Lookup::Unread => None,
            Lookup::Denied | Lookup::Impossible(_) => Some(false),
        }
    }

    /// The group's terminating hooks, for people.
    fn listed(&self) -> String {
        match &self.lookup {
            Lookup::Read(names) if names.is_empty() => "the group has no terminating hook".to_owned(),
            Lookup::Read(names) => format!("the group's terminating hooks are {}", names.join(", ")),
            Lookup::Unread | Lookup::Denied | Lookup::Impossible(_) => {
                "the group's hooks could not be read".to_owned()
            }
        }
    }

    /// A source names the group.
    pub fn learn_group(&mut self, now: Time, name: &str, by: GroupSource) -> GroupNews {
        match &mut self.group {
            Some(known) if known.name == name => {
                known.by = known.by.max(by);
                return GroupNews::Known;
            }
            Some(known) if known.by > by => return GroupNews::Contradicted,
            Some(_) | None => {}
        }
        let before = self.group.replace(Group { name: name.to_owned(), by });
        let Some(before) = before else { return GroupNews::Found };
        // The other group has hooks of its own, and what was answered of the first says nothing of them.
        self.hook = None;
        self.proven = false;
        self.lookup = Lookup::Unread;
        self.describe_hooks.abandon();
        self.describe_hooks.succeeded(now);
        GroupNews::Moved(before.name)
    }

    /// Asks for the instance where the group is not known or something is to be found out, and for the group's hooks where
    /// ours is not known or its timeouts matter.
    pub fn ask(&mut self, turn: &mut Turn, inquires: bool, needs_timeouts: bool) {
        let unread = matches!(self.lookup, Lookup::Unread | Lookup::Denied);
        let reads = unread && (self.hook.is_none() || inquires || needs_timeouts);
        // What the group's hooks are helps to tell what became of ours.
        let first_hooks = reads && self.group.is_some() && !self.is_unreadable();
        let unknown = self.group.is_none() && self.impossible().is_none();
        if (unknown || (inquires && !first_hooks) || self.doubts_group())
            && self.describe_instance.ready(turn, Timer::Describe)
        {
            self.describe_instance.start(turn, |id| Effect::DescribeInstance { id });
        }
        if reads
            && let Some(group) = &self.group
            && self.describe_hooks.ready(turn, Timer::Describe)
        {
            let group = group.name.clone();
            self.describe_hooks.start(turn, |id| Effect::DescribeHooks { id, group });
        }
    }

    /// Whether the group has no hook for us, and may not be the group any more.
    fn doubts_group(&self) -> bool {
        let confirmed = self.group.as_ref().is_none_or(|group| group.by == GroupSource::AutoScaling);
        self.impossible().is_some() && !confirmed
    }

    /// The answer of DescribeAutoScalingInstances, with when it was asked for; `None` if it is stale or failed.
    pub fn on_instance(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        result: Result<Option<DescribedInstance>, CallError>,
    ) -> Option<(Time, Option<DescribedInstance>)> {
        let sent = self.describe_instance.take(id)?;
        match result {
            Ok(instance) => {
                self.describe_instance.succeeded(turn.now);
                let in_service = Standing::of(instance.as_ref()) == Standing::InService;
                self.in_service_at = in_service.then_some(turn.now);
                Some((sent, instance))
            }
            Err(error) => {
                failed(&mut self.describe_instance, turn, Call::DescribeInstance, error);
                None
            }
        }
    }

    /// Why the hook is not the one that waits: the instance waits, and yet the hook's name finds no action.
    pub fn wrong_hook(&self) -> String {
        let hook = self.hook.as_ref().map_or("", |hook| hook.name.as_str());
        format!(
            "the instance waits, but not for hook {hook}: {}; set lifecycle.hook to the one that waits for this instance",
            self.listed()
        )
    }

    /// Auto Scaling knows no such instance. Whether that is news.
    pub fn forget_group(&mut self) -> bool {
        if self.doubts_group() {
            self.group = None;
            return false;
        }
        self.group.is_none() && self.impossible().is_none()
    }

    /// Asks about the instance again, once a call under way has been answered, or once the hooks have been read.
    pub fn ask_again(&mut self, now: Time) {
        let pause = if self.is_listed().is_some() { ASK_AGAIN } else { ASK_AGAIN_UNREAD };
        self.describe_instance.succeeded(now + pause);
    }

    /// The answer of DescribeLifecycleHooks. Where the hooks cannot be read, a hook that the configuration or a message
    /// names is taken with timeouts that are safe to assume.
    pub fn on_hooks(
        &mut self,
        turn: &mut Turn,
        settings: &Settings,
        id: EffectId,
        result: Result<Vec<Hook>, CallError>,
        named: Option<&str>,
    ) -> HookNews {
        if self.describe_hooks.take(id).is_none() {
            return HookNews::None;
        }
        let hooks = match result {
            Ok(hooks) => hooks,
            Err(error) => {
                if error.kind == CallErrorKind::AccessDenied {
                    self.lookup = Lookup::Denied;
                }
                failed(&mut self.describe_hooks, turn, Call::DescribeHooks, error);
                return match settings.hook.as_deref().or(named) {
                    Some(name) if self.hook.is_none() => HookNews::Ours(hook::assume(settings, name)),
                    Some(_) | None => HookNews::None,
                };
            }
        };
        let terminating = hooks.iter().filter(|hook| hook.terminating);
        self.lookup = Lookup::Read(terminating.map(|hook| hook.name.clone()).collect());
        let group = self.group.as_ref().map_or("", |group| group.name.as_str());
        hook::choose(settings, group, &hooks).map_or_else(HookNews::NoneToComplete, HookNews::Ours)
    }
}

fn failed(attempts: &mut Attempts, turn: &mut Turn, call: Call, error: CallError) {
    attempts.failed(turn, DESCRIBE_RETRY);
    if error.kind == CallErrorKind::AccessDenied {
        attempts.next_at = turn.now + DENIED_RETRY;
        attempts.failures = attempts.failures.max(BLIND_AFTER);
    }
    turn.call_failed(call, error, false);
}
