//! The names that identify the action to AWS, the group and the hook, and how the daemon looks them up.
//!
//! Calls name the hook, group and instance, never a token. See ARCHITECTURE.md, "Why does no call carry the token?".

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

/// Pause after a failed Describe call.
const DESCRIBE_RETRY: Backoff = Backoff::between_ms(1_000, 10_000);

/// Pause before the next question about the instance while a call under way is unanswered.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Pause before the next question about the instance while the group's hooks are unread.
const ASK_AGAIN_UNREAD: Duration = Duration::from_secs(10);

/// After this many failures in a row, or one denial, the daemon no longer expects an answer.
const BLIND_AFTER: u32 = 3;

/// The group that the instance is in. A newer fact replaces an older one of the same or a lower rank, because an instance
/// can be detached from one group and attached to another while the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `AutoScalingGroupName`
    pub name: String,
    /// The source of the name.
    pub by: GroupSource,
}

/// The source of a group's name, least trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSource {
    /// The configuration, the instance's tags or an earlier drain. It may be outdated.
    Before,
    /// A message about this instance's action.
    Message,
    /// DescribeAutoScalingInstances.
    AutoScaling,
}

/// What is known about the group's hooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Lookup {
    /// Not read yet.
    #[default]
    Unread,
    /// The role may not read them. The daemon asks again, because an operator may allow it.
    Denied,
    /// The names of all terminating hooks.
    Read(Vec<String>),
    /// No hook can be completed. Holds the cause.
    Impossible(String),
}

/// What a newly learned group name changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupNews {
    /// Nothing: it is the known group.
    Known,
    /// The group was unknown before.
    Found,
    /// The instance is in a different group. Holds the group known before.
    Moved(String),
    /// Nothing: a more trusted source names another group.
    Contradicted,
}

/// The result of reading the group's hooks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HookNews {
    /// The result is stale, or the call failed.
    None,
    /// The hook to complete.
    Ours(HookFacts),
    /// No hook can be completed. Holds the cause.
    NoneToComplete(String),
}

/// The group and the hook, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub group: Option<Group>,
    /// The hook, as read or with assumed timeouts.
    pub hook: Option<HookFacts>,
    /// A heartbeat succeeded with these names.
    pub proven: bool,
    /// When Auto Scaling last described the instance, if it described it as in service.
    pub in_service_at: Option<Time>,
    lookup: Lookup,
    describe_instance: Attempts,
    describe_hooks: Attempts,
}

impl Names {
    /// Names known from before. Nothing has been asked yet.
    pub fn known(group: Option<Group>, hook: Option<HookFacts>, proven: bool) -> Self {
        Names { group, hook, proven, ..Names::default() }
    }

    /// The names for a call; `None` until both are known.
    pub fn action(&self) -> Option<ActionName> {
        Some(ActionName { hook: self.hook.as_ref()?.name.clone(), group: self.group.as_ref()?.name.clone() })
    }

    /// Whether the hook is unknown and looking it up keeps failing, so that Wait will never be seen.
    pub fn is_blind(&self) -> bool {
        let failures = self.describe_instance.failures.max(self.describe_hooks.failures);
        self.hook.is_none() && failures >= BLIND_AFTER
    }

    /// Whether reading the hooks has failed.
    pub fn is_unreadable(&self) -> bool {
        self.describe_hooks.failures > 0
    }

    /// The hook, once its timeouts were read or reading them failed.
    pub fn timed_hook(&self) -> Option<&HookFacts> {
        self.hook.as_ref().filter(|hook| hook.read || self.is_unreadable())
    }

    /// Whether our hook is known to have existed in the group.
    pub fn has_existed(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.read || self.proven)
    }

    /// Why no hook can be completed; `None` if one may be.
    pub fn impossible(&self) -> Option<&str> {
        if let Lookup::Impossible(why) = &self.lookup { Some(why) } else { None }
    }

    /// Records that no hook can be completed.
    pub fn give_up(&mut self, why: String) {
        self.lookup = Lookup::Impossible(why);
    }

    /// Marks group and hook as possibly outdated: they are looked up again if they prove wrong.
    pub fn doubt(&mut self) {
        self.reconsider();
        if let Some(group) = &mut self.group {
            group.by = GroupSource::Before;
        }
    }

    /// Forgets that no hook can be completed, so that the hooks are read again.
    pub fn reconsider(&mut self) {
        if self.impossible().is_some() {
            self.lookup = Lookup::Unread;
        }
    }

    /// Whether our hook is one of the group's. `None` while the hooks are unread and may still be read.
    pub fn is_listed(&self) -> Option<bool> {
        match &self.lookup {
            Lookup::Read(names) => Some(self.hook.as_ref().is_some_and(|hook| names.contains(&hook.name))),
            Lookup::Unread => None,
            Lookup::Denied | Lookup::Impossible(_) => Some(false),
        }
    }

    /// The group's terminating hooks, for an error.
    fn listed(&self) -> String {
        match &self.lookup {
            Lookup::Read(names) if names.is_empty() => "the group has no terminating hook".to_owned(),
            Lookup::Read(names) => format!("the group's terminating hooks are {}", names.join(", ")),
            Lookup::Unread | Lookup::Denied | Lookup::Impossible(_) => {
                "the group's hooks could not be read".to_owned()
            }
        }
    }

    /// Records a group name from this source.
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
        // What was read about the old group's hooks says nothing about the new group's.
        self.hook = None;
        self.proven = false;
        self.lookup = Lookup::Unread;
        self.describe_hooks.abandon();
        self.describe_hooks.succeeded(now);
        GroupNews::Moved(before.name)
    }

    /// Describes the instance if the group is unknown or there is an inquiry, and the group's hooks if ours is unknown or its
    /// timeouts matter.
    pub fn ask(&mut self, turn: &mut Turn, inquires: bool, needs_timeouts: bool) {
        let unread = matches!(self.lookup, Lookup::Unread | Lookup::Denied);
        let reads = unread && (self.hook.is_none() || inquires || needs_timeouts);
        // Read the hooks before the instance: whether ours is listed helps to judge the inquiry.
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

    /// Whether the group has no hook for us and may be outdated itself.
    fn doubts_group(&self) -> bool {
        let confirmed = self.group.as_ref().is_none_or(|group| group.by == GroupSource::AutoScaling);
        self.impossible().is_some() && !confirmed
    }

    /// Processes the result of DescribeAutoScalingInstances. Returns the instance and when the call was sent; `None` if the
    /// result is stale or an error.
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

    /// The error for an instance that is in Wait while calls with our hook's name find no action.
    pub fn wrong_hook(&self) -> String {
        let hook = self.hook.as_ref().map_or("", |hook| hook.name.as_str());
        format!(
            "the instance is in Wait, but not for hook {hook}; {}; set lifecycle.hook to the one that holds this instance",
            self.listed()
        )
    }

    /// Auto Scaling does not know the instance. Returns whether that makes completing impossible.
    pub fn forget_group(&mut self) -> bool {
        if self.doubts_group() {
            self.group = None;
            return false;
        }
        self.group.is_none() && self.impossible().is_none()
    }

    /// Describes the instance again, once a call under way is answered or the hooks are read.
    pub fn ask_again(&mut self, now: Time) {
        let pause = if self.is_listed().is_some() { ASK_AGAIN } else { ASK_AGAIN_UNREAD };
        self.describe_instance.succeeded(now + pause);
    }

    /// Processes the result of DescribeLifecycleHooks. If the call failed, uses the hook that the configuration or a
    /// message names, with assumed timeouts.
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
        self.describe_hooks.succeeded(turn.now);
        let terminating = hooks.iter().filter(|hook| hook.terminating);
        self.lookup = Lookup::Read(terminating.map(|hook| hook.name.clone()).collect());
        let group = self.group.as_ref().map_or("", |group| group.name.as_str());
        hook::choose(settings, group, &hooks).map_or_else(HookNews::NoneToComplete, HookNews::Ours)
    }
}

fn failed(attempts: &mut Attempts, turn: &mut Turn, call: Call, error: CallError) {
    attempts.failed_by(turn, error.kind, DESCRIBE_RETRY, DENIED_RETRY);
    if error.kind == CallErrorKind::AccessDenied {
        attempts.failures = attempts.failures.max(BLIND_AFTER);
    }
    turn.call_failed(call, error, false);
}
