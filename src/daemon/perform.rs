//! Performs the machine's effects, each once and within its own time limit. Every result is an event.

use std::sync::Arc;
use std::time::Duration;

use super::journal::Writer;
use crate::agent::Agent;
use crate::agent::step::Steps;
use crate::aws::autoscaling::Whose;
use crate::aws::clients::KeptClients;
use crate::aws::{unsent, within};
use crate::clock::Clock;
use machine::effect::{AgentRequest, DrainOrder, EffectId};
use machine::event::{AgentAnswer, CallError};
use machine::journal::Journal;
use machine::settings::TargetSettings;
use machine::{Effect, Event};

/// Limit for a call to AWS, including clients and credentials, in real time.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The shortest limit for a heartbeat. Under a simulator's clock, the machine's own limit can be too short for a real network.
const HEARTBEAT_LIMIT_MIN: Duration = Duration::from_secs(1);

/// How much longer than the queue's wait a receive may take.
const RECEIVE_GRACE: Duration = Duration::from_secs(10);

/// Performs effects, with these clients.
#[derive(Debug)]
pub struct Performer {
    /// This instance.
    pub instance_id: String,
    /// Converts the machine's time to real time.
    pub clock: Clock,
    /// The agents, in the order of the configuration.
    pub agents: Arc<[Agent]>,
    /// The after steps.
    pub steps: Arc<Steps>,
    /// The targets of target groups, in the order of the configuration.
    pub targets: Arc<[TargetSettings]>,
    /// The termination queue's URL, if one is configured.
    pub queue_url: Option<String>,
    /// Writes the journal, if one is kept.
    pub journal: Option<Writer>,
    /// Makes the calls to AWS.
    pub aws: KeptClients,
}

impl Performer {
    /// Performs one effect.
    pub async fn perform(self: Arc<Self>, effect: Effect) -> Event {
        #[cfg(debug_assertions)]
        let point = super::kill::Point::before(&effect);
        let event = self.attempt(effect).await;
        #[cfg(debug_assertions)]
        point.after();
        event
    }

    async fn attempt(&self, effect: Effect) -> Event {
        let instance_id = self.instance_id.as_str();
        match effect {
            Effect::WriteJournal { id, journal } => self.write_journal(id, *journal).await,
            Effect::AskAgent { id, agent, request } => self.ask_agent(id, agent, request).await,
            Effect::AskReady { id, agent } => {
                Event::ReadyAnswered { id, result: self.agents[agent].is_ready(instance_id).await }
            }
            Effect::AskBusy { id, agent } => {
                Event::BusyAnswered { id, result: self.agents[agent].in_flight(instance_id).await }
            }
            Effect::ForceAgent { id, agent, order } => {
                Event::StepEnded { id, result: self.agents[agent].force(&order, instance_id).await }
            }
            Effect::RunStep { id, step, reason, deadline } => {
                let told = DrainOrder { reason, deadline };
                Event::StepEnded { id, result: self.steps.run(step, &told, instance_id).await }
            }
            Effect::Heartbeat { id, action, limit } => {
                let limit = self.clock.real(limit).clamp(HEARTBEAT_LIMIT_MIN, CALL_LIMIT);
                let call = self
                    .aws
                    .call(|aws| async move { aws.heartbeat(&action, Whose::Instance(instance_id)).await });
                let result = within(limit, "RecordLifecycleActionHeartbeat", call).await;
                Event::HeartbeatAnswered { id, result }
            }
            Effect::Complete { id, action, result } => {
                let call = self.aws.call(|aws| async move {
                    aws.complete(&action, Whose::Instance(instance_id), result).await
                });
                let result = within(CALL_LIMIT, "CompleteLifecycleAction", call).await;
                Event::CompletionAnswered { id, result }
            }
            Effect::DescribeInstance { id } => {
                let call = self.aws.call(|aws| async move { aws.describe_instance(instance_id).await });
                let result = within(CALL_LIMIT, "DescribeAutoScalingInstances", call).await;
                Event::InstanceDescribed { id, result }
            }
            Effect::DescribeHooks { id, group } => {
                let call = self.aws.call(|aws| async move { aws.describe_hooks(&group).await });
                let result = within(CALL_LIMIT, "DescribeLifecycleHooks", call).await;
                Event::HooksDescribed { id, result }
            }
            Effect::Protect { id, group, protect } => {
                let call =
                    self.aws.call(|aws| async move { aws.protect(&group, instance_id, protect).await });
                let result = within(CALL_LIMIT, "SetInstanceProtection", call).await;
                Event::ProtectionAnswered { id, result }
            }
            Effect::ReceiveMessages { id, wait, most, peek } => {
                let call =
                    self.aws.call(|aws| async move { aws.receive(self.queue()?, wait, most, peek).await });
                let result = within(wait + RECEIVE_GRACE, "ReceiveMessage", call).await;
                Event::MessagesReceived { id, result }
            }
            Effect::SetVisibility { id, entries } => {
                let call =
                    self.aws.call(|aws| async move { aws.set_visibility(self.queue()?, &entries).await });
                let result = within(CALL_LIMIT, "ChangeMessageVisibilityBatch", call).await;
                Event::VisibilitySet { id, result }
            }
            Effect::DeleteMessage { id, receipt } => {
                let call = self.aws.call(|aws| async move { aws.delete(self.queue()?, &receipt).await });
                let result = within(CALL_LIMIT, "DeleteMessage", call).await;
                Event::MessageDeleted { id, result }
            }
            Effect::DescribeTarget { id, target } => {
                let of = &self.targets[target];
                let call = self.aws.call(|aws| async move { Ok(aws.target_health(&of.target).await?.0) });
                let result = within(CALL_LIMIT, "DescribeTargetHealth", call).await;
                Event::TargetDescribed { id, result: about(of, result) }
            }
            Effect::DeregisterTarget { id, target } => {
                let of = &self.targets[target];
                let call = self.aws.call(|aws| async move { aws.deregister_target(&of.target).await });
                let result = within(CALL_LIMIT, "DeregisterTargets", call).await;
                Event::TargetDeregistered { id, result: about(of, result) }
            }
            Effect::RegisterTarget { id, target } => {
                let of = &self.targets[target];
                let call = self.aws.call(|aws| async move { aws.register_target(&of.target).await });
                let result = within(CALL_LIMIT, "RegisterTargets", call).await;
                Event::TargetRegistered { id, result: about(of, result) }
            }
            // `UnderWay` handles cancellations itself, so this result is never used.
            Effect::CancelRequest { id } => {
                Event::AgentAnswered { id, answer: AgentAnswer::Busy("canceled".to_owned()) }
            }
            Effect::StopStep { id } => Event::StepEnded { id, result: Err("stopped".to_owned()) },
        }
    }

    fn queue(&self) -> Result<&str, CallError> {
        self.queue_url.as_deref().ok_or_else(|| unsent("no queue is configured: set queue.url"))
    }

    async fn write_journal(&self, id: EffectId, journal: Journal) -> Event {
        let Some(writer) = &self.journal else {
            return Event::JournalFailed { id, why: "no journal is kept".to_owned() };
        };
        match writer.write(journal).await {
            Ok(()) => Event::JournalWritten { id },
            Err(error) => Event::JournalFailed { id, why: error.to_string() },
        }
    }

    async fn ask_agent(&self, id: EffectId, agent: usize, request: AgentRequest) -> Event {
        let left = match &request {
            AgentRequest::Drain(order) => self.clock.real(order.deadline.since(self.clock.now())),
            AgentRequest::Tell(_) | AgentRequest::Status | AgentRequest::Watch(_) | AgentRequest::Return => {
                Duration::ZERO
            }
        };
        Event::AgentAnswered { id, answer: self.agents[agent].ask(&request, &self.instance_id, left).await }
    }
}

/// Names the target group in the error of a call.
fn about<T>(of: &TargetSettings, result: Result<T, CallError>) -> Result<T, CallError> {
    result.map_err(|error| CallError {
        message: format!("target group {}: {}", of.name, error.message),
        ..error
    })
}
