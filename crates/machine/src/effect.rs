//! The machine's outputs that change the world.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::notice::Reason;
use super::process::Process;
use super::time::Time;

/// Identifies an effect within one run of the daemon. Its result carries the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// An action for the shell to perform.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write the journal to disk durably, replacing the old one. Answered by `JournalWritten` or `JournalFailed`.
    WriteJournal {
        /// Identifies the write.
        id: EffectId,
        /// What a restarted daemon needs to continue.
        journal: Box<Journal>,
    },
    /// Send one request to one agent. Answered by `AgentAnswered`, unless canceled.
    AskAgent {
        /// Identifies the request.
        id: EffectId,
        /// The agent's index in the configuration, from 0.
        agent: usize,
        /// The request.
        request: AgentRequest,
    },
    /// Cancel a request to an agent by closing its connection. The agent may have received it. Has no result.
    CancelRequest {
        /// The id of the `AskAgent`.
        id: EffectId,
    },
    /// Ask an agent, or look, whether it is ready to serve. Answered by `ReadyAnswered`.
    AskReady {
        /// Identifies the question.
        id: EffectId,
        /// The agent's index in the configuration, from 0.
        agent: usize,
    },
    /// Ask an agent, or look, how much it has in flight while it serves. Answered by `BusyAnswered`.
    AskBusy {
        /// Identifies the question.
        id: EffectId,
        /// The agent's index in the configuration, from 0.
        agent: usize,
    },
    /// Run the force step of an agent, which ends its work. Answered by `StepEnded`, unless stopped.
    ForceAgent {
        /// Identifies the run.
        id: EffectId,
        /// The agent's index in the configuration, from 0.
        agent: usize,
        /// Why the instance is going, and the agent's deadline, when the machine stops the step.
        order: DrainOrder,
    },
    /// Run one after step. Answered by `StepEnded`, unless stopped.
    RunStep {
        /// Identifies the run.
        id: EffectId,
        /// The step's index in the configuration, from 0.
        step: usize,
        /// Why the instance is going.
        reason: Reason,
        /// When the machine stops the step.
        deadline: Time,
    },
    /// Stop a step that runs. Has no result.
    StopStep {
        /// The id of the `RunStep` or the `ForceAgent`.
        id: EffectId,
    },
    /// RecordLifecycleActionHeartbeat, once. Answered by `HeartbeatAnswered`.
    Heartbeat {
        /// Identifies the attempt.
        id: EffectId,
        /// The action.
        action: ActionName,
        /// The attempt's time limit. Further attempts still fit before the action expires.
        limit: Duration,
    },
    /// CompleteLifecycleAction, once. Answered by `CompletionAnswered`.
    Complete {
        /// Identifies the attempt.
        id: EffectId,
        /// The action.
        action: ActionName,
        /// The result to report.
        result: CompletionResult,
    },
    /// DescribeAutoScalingInstances for this instance. Answered by `InstanceDescribed`.
    DescribeInstance {
        /// Identifies the call.
        id: EffectId,
    },
    /// DescribeLifecycleHooks. Answered by `HooksDescribed`.
    DescribeHooks {
        /// Identifies the call.
        id: EffectId,
        /// The group whose hooks to describe.
        group: String,
    },
    /// SetInstanceProtection for this instance, once. Answered by `ProtectionAnswered`.
    Protect {
        /// Identifies the attempt.
        id: EffectId,
        /// The instance's group.
        group: String,
        /// Whether scale-in must not pick the instance.
        protect: bool,
    },
    /// ReceiveMessage, once. Answered by `MessagesReceived`. Never abandon it: its messages would stay hidden until their
    /// visibility timeout ends.
    ReceiveMessages {
        /// Identifies the call.
        id: EffectId,
        /// `WaitTimeSeconds`: how long SQS may hold the request.
        wait: Duration,
        /// `MaxNumberOfMessages`, 1 to 10.
        most: usize,
        /// Whether to leave the messages visible to others, with a `VisibilityTimeout` of 0.
        peek: bool,
    },
    /// ChangeMessageVisibilityBatch, to return others' messages or to hide our own. Answered by `VisibilitySet`.
    SetVisibility {
        /// Identifies the call.
        id: EffectId,
        /// Receipt handles, each with how long its message stays hidden. At most ten.
        entries: Vec<(String, Duration)>,
    },
    /// DeleteMessage. Answered by `MessageDeleted`.
    DeleteMessage {
        /// Identifies the call.
        id: EffectId,
        /// The receipt handle.
        receipt: String,
    },
    /// DescribeTargetHealth for this instance's target. Answered by `TargetDescribed`.
    DescribeTarget {
        /// Identifies the call.
        id: EffectId,
        /// The target group's index in the configuration, from 0.
        target: usize,
    },
    /// DeregisterTargets. Answered by `TargetDeregistered`.
    DeregisterTarget {
        /// Identifies the call.
        id: EffectId,
        /// The target group's index in the configuration, from 0.
        target: usize,
    },
    /// RegisterTargets. Answered by `TargetRegistered`.
    RegisterTarget {
        /// Identifies the call.
        id: EffectId,
        /// The target group's index in the configuration, from 0.
        target: usize,
    },
}

/// Identifies a lifecycle action of this instance to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionName {
    /// `LifecycleHookName`
    pub hook: String,
    /// `AutoScalingGroupName`
    pub group: String,
}

/// `LifecycleActionResult`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CompletionResult {
    /// The instance goes once the group's other hooks are done.
    Continue,
    /// Auto Scaling does not wait for the group's other hooks. It retains the instance if the group's policy says so.
    Abandon,
}

impl CompletionResult {
    /// The spelling in AWS's API.
    pub fn as_str(self) -> &'static str {
        match self {
            CompletionResult::Continue => "CONTINUE",
            CompletionResult::Abandon => "ABANDON",
        }
    }
}

impl fmt::Display for CompletionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request of the agent protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentRequest {
    /// `POST /drain`
    Drain(DrainOrder),
    /// Tell this process to drain, by a signal that must not be repeated. If another one runs, nothing is sent. The answer is
    /// `Accepted` unless nothing was sent.
    Tell(Process),
    /// `GET /drain`
    Status,
    /// As `Status`, for an agent that is told by a signal. This process was told. Its end is news, so the answer may be held
    /// until then.
    Watch(Process),
    /// `DELETE /drain`
    Return,
}

/// An order to drain: the data for the body of `POST /drain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOrder {
    /// Why the instance is going.
    pub reason: Reason,
    /// The instant after which draining can no longer help.
    pub deadline: Time,
}
