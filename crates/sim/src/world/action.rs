//! Lifecycle actions: how they begin, how heartbeats keep them alive, and how they end.

use std::time::Duration;

use machine::Time;

use super::config::HookOrder;
use super::error::ApiError;
use super::group::{ActionResult, HookSpec, Transition};
use super::instance::Instance;
use super::{Happening, Wake, World};

const TOKEN_LEN: usize = 36;

/// The names by which a caller identifies a lifecycle action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRef {
    /// `LifecycleHookName`
    pub hook: String,
    /// `AutoScalingGroupName`
    pub group: String,
    /// `LifecycleActionToken`
    pub token: Option<String>,
    /// `InstanceId`
    pub instance: Option<String>,
}

#[derive(Debug)]
pub(super) struct Action {
    hook: String,
    transition: Transition,
    token: String,
    began: Time,
    expires: Time,
    /// The end of the global timeout. No heartbeat moves `expires` past it.
    ends: Time,
    heartbeat_timeout: Duration,
    default_result: ActionResult,
    heartbeats: u32,
}

/// What an observer sees of an open lifecycle action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionView {
    /// The hook.
    pub hook: String,
    /// The token.
    pub token: String,
    /// When it began.
    pub began: Time,
    /// When it expires unless another heartbeat comes.
    pub expires: Time,
    /// When it expires in spite of heartbeats.
    pub global_expiry: Time,
    /// How many heartbeats it has received.
    pub heartbeats: u32,
}

impl Action {
    pub(super) fn view(&self) -> ActionView {
        ActionView {
            hook: self.hook.clone(),
            token: self.token.clone(),
            began: self.began,
            expires: self.expires,
            global_expiry: self.ends,
            heartbeats: self.heartbeats,
        }
    }
}

impl World {
    /// RecordLifecycleActionHeartbeat. The action expires one heartbeat timeout from now, but never after its global
    /// timeout.
    pub fn heartbeat(&mut self, now: Time, action: &ActionRef) -> Result<(), ApiError> {
        let found = self.admit(now).and_then(|()| self.find_action(action));
        let (id, index) = found.inspect_err(|error| {
            let why = error.message.clone();
            self.log(Happening::HeartbeatRejected { instance: action.instance.clone(), why });
        })?;
        let now = self.now;
        let Some(action) = self.instances.get_mut(&id).map(|instance| &mut instance.actions[index]) else {
            return Ok(());
        };
        action.expires = (now + action.heartbeat_timeout).min(action.ends);
        action.heartbeats += 1;
        let happening =
            Happening::Heartbeat { instance: id, hook: action.hook.clone(), expires: action.expires };
        self.log(happening);
        Ok(())
    }

    /// CompleteLifecycleAction.
    pub fn complete(&mut self, now: Time, action: &ActionRef, result: ActionResult) -> Result<(), ApiError> {
        let found = self.admit(now).and_then(|()| self.find_action(action));
        let (id, index) = found.inspect_err(|error| {
            let why = error.message.clone();
            self.log(Happening::CompletionRejected { instance: action.instance.clone(), why });
        })?;
        if let Some(action) = self.remove_action(&id, index) {
            self.log(Happening::Completed { instance: id.clone(), hook: action.hook, result });
            self.settle(&id, action.transition, result);
        }
        Ok(())
    }

    /// A call with that name was refused before it reached this model.
    pub fn refused(&mut self, now: Time, call: &str, instance: Option<&str>, why: &str) {
        self.advance(now);
        let (instance, why) = (instance.map(str::to_owned), why.to_owned());
        match call {
            "RecordLifecycleActionHeartbeat" => self.log(Happening::HeartbeatRejected { instance, why }),
            "CompleteLifecycleAction" => self.log(Happening::CompletionRejected { instance, why }),
            _ => {}
        }
    }

    /// Starts the actions of a transition: of every hook at once, or of the first in a chain.
    pub(super) fn start_actions(&mut self, id: &str, transition: Transition) {
        let Some(instance) = self.instances.get(id) else { return };
        let Some(group) = self.groups.get(&instance.group) else { return };
        let of_transition = group.hooks.values().filter(|hook| hook.transition == transition);
        let mut hooks: Vec<String> = of_transition.map(|hook| hook.name.clone()).collect();
        match self.config.hook_order {
            HookOrder::Concurrent => {
                for hook in &hooks {
                    self.start_action(id, hook);
                }
                self.apply_missing_targets(id);
            }
            HookOrder::Chained => {
                hooks.reverse();
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.hooks_to_run = hooks;
                }
                self.start_next_action(id);
                self.apply_missing_targets(id);
            }
        }
    }

    /// If hooks run in a chain, starts the next one that still exists.
    pub(super) fn start_next_action(&mut self, id: &str) {
        while let Some(hook) = self.instances.get_mut(id).and_then(|instance| instance.hooks_to_run.pop()) {
            if self.start_action(id, &hook) {
                return;
            }
        }
    }

    /// Ends the actions of a deleted hook.
    pub(super) fn release_actions(&mut self, id: &str, hook: &str) {
        let position = |instance: &Instance| instance.actions.iter().position(|action| action.hook == hook);
        let Some(index) = self.instances.get(id).and_then(position) else { return };
        let Some(action) = self.remove_action(id, index) else { return };
        self.log(Happening::ActionReleased { instance: id.to_owned(), hook: action.hook });
        let result = match action.transition {
            Transition::Launching => ActionResult::Abandon,
            Transition::Terminating => ActionResult::Continue,
        };
        self.settle(id, action.transition, result);
    }

    /// Drops the other actions after one was abandoned.
    pub(super) fn drop_actions(&mut self, id: &str) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.hooks_to_run.clear();
        for action in std::mem::take(&mut instance.actions) {
            self.tokens.remove(&number(&action.token));
            self.log(Happening::ActionReleased { instance: id.to_owned(), hook: action.hook });
        }
    }

    /// Expires an action, unless heartbeats have moved its expiry.
    pub(super) fn action_due(&mut self, id: &str, token: &str) {
        let position = |instance: &Instance| instance.actions.iter().position(|action| action.token == token);
        let Some(index) = self.instances.get(id).and_then(position) else { return };
        let Some(expires) = self.instances.get(id).map(|instance| instance.actions[index].expires) else {
            return;
        };
        if expires > self.now {
            let wake = Wake::ActionDue { instance: id.to_owned(), token: token.to_owned() };
            self.schedule(expires, wake);
            return;
        }
        let Some(action) = self.remove_action(id, index) else { return };
        self.log(Happening::ActionExpired {
            instance: id.to_owned(),
            hook: action.hook,
            result: action.default_result,
            global: expires == action.ends,
        });
        self.settle(id, action.transition, action.default_result);
    }

    fn start_action(&mut self, id: &str, hook: &str) -> bool {
        let token = self.uuid();
        let longest = self.config.global_timeout_max;
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let group = self.groups.get(&instance.group);
        let Some(hook) = group.and_then(|group| group.hooks.get(hook)).cloned() else { return false };
        let expires = self.now + hook.heartbeat_timeout;
        let state = instance.state.as_str();
        instance.actions.push(Action {
            hook: hook.name.clone(),
            transition: hook.transition,
            token: token.clone(),
            began: self.now,
            expires,
            ends: self.now + hook.global_timeout().min(longest),
            heartbeat_timeout: hook.heartbeat_timeout,
            default_result: hook.default_result,
            heartbeats: 0,
        });
        self.tokens.insert(number(&token), id.to_owned());
        let wake = Wake::ActionDue { instance: id.to_owned(), token: token.clone() };
        self.schedule(expires, wake);
        self.log(Happening::WaitBegan {
            instance: id.to_owned(),
            hook: hook.name.clone(),
            token: token.clone(),
            state,
            expires,
        });
        self.announce(id, &hook, &token);
        true
    }

    /// If a hook's notification target was deleted, AWS takes the default result at once.
    fn apply_missing_targets(&mut self, id: &str) {
        while let Some(index) = self.action_without_target(id) {
            let Some(action) = self.remove_action(id, index) else { return };
            self.log(Happening::ActionReleased { instance: id.to_owned(), hook: action.hook });
            self.settle(id, action.transition, action.default_result);
        }
    }

    fn action_without_target(&self, id: &str) -> Option<usize> {
        let instance = self.instances.get(id)?;
        let hooks = &self.groups.get(&instance.group)?.hooks;
        let lacks =
            |hook: &HookSpec| hook.target.as_deref().is_some_and(|target| self.target_is_gone(target));
        instance.actions.iter().position(|action| hooks.get(&action.hook).is_some_and(lacks))
    }

    fn remove_action(&mut self, id: &str, index: usize) -> Option<Action> {
        let action = self.instances.get_mut(id)?.actions.remove(index);
        self.tokens.remove(&number(&action.token));
        Some(action)
    }

    /// Finds the open action that a caller means. If both token and instance are given, they must agree.
    fn find_action(&self, wanted: &ActionRef) -> Result<(String, usize), ApiError> {
        self.group(&wanted.group)?;
        if let Some(token) = wanted.token.as_ref().filter(|token| token.len() != TOKEN_LEN) {
            let rule = if token.len() < TOKEN_LEN {
                "Member must have length greater than or equal to 36"
            } else {
                "Member must have length less than or equal to 36"
            };
            return Err(ApiError::constraint(token, "lifecycleActionToken", rule));
        }
        let by_token = wanted.token.as_ref().map(|token| self.tokens.get(&number(token)).cloned());
        let id = match (by_token, &wanted.instance) {
            (Some(owner), Some(instance)) => owner.filter(|owner| owner == instance),
            (Some(owner), None) => owner,
            (None, Some(instance)) => Some(instance.clone()),
            // Guessed: AWS does not document its answer when neither is given.
            (None, None) => {
                return Err(ApiError::validation(
                    "Either InstanceId or LifecycleActionToken must be specified",
                ));
            }
        };
        let is_wanted = |action: &Action| {
            action.hook == wanted.hook && wanted.token.as_ref().is_none_or(|token| *token == action.token)
        };
        let found = id.and_then(|id| {
            let instance = self.instances.get(&id).filter(|instance| instance.group == wanted.group)?;
            Some((id, instance.actions.iter().position(is_wanted)?))
        });
        found.ok_or_else(|| no_active_action(wanted))
    }
}

/// A token as a number, which compares faster than text. A token that no world issued is not found, or differs once the
/// texts are compared.
fn number(token: &str) -> u128 {
    u128::from_str_radix(&token.replace('-', ""), 16).unwrap_or_default()
}

/// AWS's words, recorded for both forms. We guess that a wrong hook name gets the same answer.
fn no_active_action(wanted: &ActionRef) -> ApiError {
    let name = match (&wanted.token, &wanted.instance) {
        (Some(token), _) => format!("token {token}"),
        (None, Some(instance)) => format!("instance ID {instance}"),
        (None, None) => "no name".to_owned(),
    };
    ApiError::validation(format!("No active Lifecycle Action found with {name}"))
}
