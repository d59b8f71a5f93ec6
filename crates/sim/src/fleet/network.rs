//! A daemon's calls, as the adapters and AWS answer them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::world::{
    self, ActionRef, ActionResult, AgentMode, AgentView, ApiError, ReceivedMessage, Transition, World,
};
use formats::message;
use machine::Time;
use machine::effect::{ActionName, AgentRequest, CompletionResult, DrainOrder};
use machine::event::{
    AgentAnswer, AgentState, AgentStatus, CallError, CallErrorKind, DescribedInstance, Hook,
};
use machine::message::{Body, Message};

use super::perform::Take;

/// RecordLifecycleActionHeartbeat.
pub(super) fn heartbeat(
    world: &mut World,
    now: Time,
    by: &str,
    action: &ActionName,
) -> Result<(), CallError> {
    world.heartbeat(now, &action_ref(action, by)).map_err(|error| call_error(&error))
}

/// CompleteLifecycleAction.
pub(super) fn complete(
    world: &mut World,
    now: Time,
    by: &str,
    action: &ActionName,
    result: CompletionResult,
) -> Result<(), CallError> {
    world.complete(now, &action_ref(action, by), action_result(result)).map_err(|error| call_error(&error))
}

/// DescribeAutoScalingInstances.
pub(super) fn describe_instance(
    world: &mut World,
    now: Time,
    by: &str,
) -> Result<Option<DescribedInstance>, CallError> {
    let found = world.describe_instances(now, &[by.to_owned()]).map_err(|error| call_error(&error))?;
    Ok(found.into_iter().next().map(|instance| DescribedInstance {
        group: instance.group,
        lifecycle_state: instance.state.as_str().to_owned(),
    }))
}

/// DescribeLifecycleHooks.
pub(super) fn describe_hooks(world: &mut World, now: Time, group: &str) -> Result<Vec<Hook>, CallError> {
    let hooks = world.describe_hooks(now, group, &[]).map_err(|error| call_error(&error))?;
    let world = &*world;
    let read = |hook: &world::HookSpec| Hook {
        name: hook.name.clone(),
        terminating: hook.transition == Transition::Terminating,
        heartbeat_timeout: hook.heartbeat_timeout,
        global_timeout: world.global_timeout(hook),
        default_result: match hook.default_result {
            ActionResult::Continue => CompletionResult::Continue,
            ActionResult::Abandon => CompletionResult::Abandon,
        },
        notification_target: hook.target.clone(),
    };
    Ok(hooks.iter().map(read).collect())
}

/// ReceiveMessage, if there is something to receive.
pub(super) fn receive(
    world: &mut World,
    now: Time,
    by: &str,
    queue: &str,
    take: Take,
) -> Result<Vec<ReceivedMessage>, CallError> {
    let visibility = take.peek.then_some(Duration::ZERO);
    world.receive(now, queue, take.most, visibility, Some(by)).map_err(|error| call_error(&error))
}

/// The bodies of the queue's messages by their numbers. Each is parsed once, however many daemons receive it.
#[derive(Debug, Default)]
pub(super) struct Bodies(Vec<Option<Arc<Body>>>);

impl Bodies {
    pub fn read(&mut self, received: ReceivedMessage) -> Message {
        let number = received.number as usize;
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        let body = self.0[number].get_or_insert_with(|| message::read(&received.body).into());
        Message { receipt: received.receipt, sent: Some(received.sent), body: body.clone() }
    }
}

/// Classifies an error of AWS, as the adapters do.
pub(super) fn call_error(error: &ApiError) -> CallError {
    let kind = match error.code {
        "ValidationError" if error.message.contains("No active Lifecycle Action found") => {
            CallErrorKind::NoActiveAction
        }
        "Throttling" => CallErrorKind::Throttled,
        "AccessDenied" | "AccessDeniedException" => CallErrorKind::AccessDenied,
        _ => CallErrorKind::Rejected,
    };
    CallError { kind, message: error.to_string() }
}

/// One request to the agent. `None` if it is not answered.
pub(super) fn ask_agent(
    world: &mut World,
    now: Time,
    instance: &str,
    request: &AgentRequest,
) -> Option<AgentAnswer> {
    let agent = world.agent(instance);
    match agent.as_ref().map_or(AgentMode::Refuses, |agent| agent.mode) {
        AgentMode::Answers => {}
        AgentMode::Refuses => {
            return Some(AgentAnswer::Unreachable { why: "connection refused".to_owned(), gone: true });
        }
        AgentMode::Fails(status) => return Some(AgentAnswer::Busy(format!("answered {status}"))),
        AgentMode::Hangs => return None,
    }
    Some(match request {
        AgentRequest::Drain(order) => {
            let answer = world.agent_post(now, instance, order_body(instance, order).as_bytes());
            match answer.status {
                // An agent that exits at once says nothing more.
                200..=299 => {
                    let answers = |agent: &AgentView| agent.mode == AgentMode::Answers;
                    AgentAnswer::Accepted(world.agent(instance).filter(answers).map(status))
                }
                status => AgentAnswer::Malformed(format!("answered {status}: {}", answer.body)),
            }
        }
        AgentRequest::Tell(_) => AgentAnswer::Busy("it is no unit".to_owned()),
        AgentRequest::Return => {
            world.agent_delete(now, instance);
            AgentAnswer::Returned
        }
        AgentRequest::Status | AgentRequest::Watch(_) => {
            let status = status(agent?);
            AgentAnswer::Status { waited: status.state != AgentState::Serving, status }
        }
    })
}

fn order_body(instance: &str, order: &DrainOrder) -> String {
    json!({
        "reason": order.reason.as_str(),
        "deadline": order.deadline.to_string(),
        "instance_id": instance,
        "notice": order.reason.sentence(),
    })
    .to_string()
}

fn status(agent: AgentView) -> AgentStatus {
    AgentStatus {
        state: match agent.state {
            world::AgentState::Serving => AgentState::Serving,
            world::AgentState::Draining => AgentState::Draining,
            world::AgentState::Drained => AgentState::Drained,
        },
        in_flight: Some(u64::from(agent.in_flight)),
        gauges: std::collections::BTreeMap::new(),
        detail: None,
    }
}

fn action_ref(action: &ActionName, by: &str) -> ActionRef {
    ActionRef {
        hook: action.hook.clone(),
        group: action.group.clone(),
        token: None,
        instance: Some(by.to_owned()),
    }
}

fn action_result(result: CompletionResult) -> ActionResult {
    match result {
        CompletionResult::Continue => ActionResult::Continue,
        CompletionResult::Abandon => ActionResult::Abandon,
    }
}
