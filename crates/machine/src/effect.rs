//! Everything that the machine can ask the world to do.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::notice::Reason;
use super::time::Time;

/// Names one effect of one run of the daemon; its result comes back under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// Something to be done, outside the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Put this on disk, durably, in place of what was there. Answered by `JournalWritten` or `JournalFailed`.
    WriteJournal {
        /// Names the write.
        id: EffectId,
        /// What a restarted daemon needs to go on.
        journal: Box<Journal>,
    },
    /// Send one request to one agent. Answered by `AgentAnswered`, unless it is canceled.
    AskAgent {
        /// Names the question.
        id: EffectId,
        /// The agent's place in the configuration, from 0.
        agent: usize,
        /// What to send.
        request: AgentRequest,
    },
    /// Give up a request to an agent: close its connection. The agent may have got it, and its answer is not listened
    /// to. Has no result.
    CancelRequest {
        /// The id of the `AskAgent`.
        id: EffectId,
    },
    /// RecordLifecycleActionHeartbeat, once. Answered by `HeartbeatAnswered`.
    Heartbeat {
        /// Names the attempt.
        id: EffectId,
        /// Which action.
        action: ActionName,
        /// How long the attempt may last, so that others still fit before the action expires.
        limit: Duration,
    },
    /// CompleteLifecycleAction, once. Answered by `CompletionAnswered`.
    Complete {
        /// Names the attempt.
        id: EffectId,
        /// Which action.
        action: ActionName,
        /// The result to report.
        result: CompletionResult,
    },
    /// DescribeAutoScalingInstances for this instance. Answered by `InstanceDescribed`.
    DescribeInstance {
        /// Names the question.
        id: EffectId,
    },
    /// DescribeLifecycleHooks. Answered by `HooksDescribed`.
    DescribeHooks {
        /// Names the question.
        id: EffectId,
        /// The group whose hooks are asked for.
        group: String,
    },
    /// ReceiveMessage, once. Answered by `MessagesReceived`; never to be abandoned, since
    /// its messages would stay hidden until their visibility runs out.
    ReceiveMessages {
        /// Names the receive.
        id: EffectId,
        /// How long the queue may hold the request: `WaitTimeSeconds`.
        wait: Duration,
        /// How many messages it may bring, 1 to 10: `MaxNumberOfMessages`.
        most: usize,
    },
    /// ChangeMessageVisibilityBatch: gives others' messages back, or hides our own. Answered by `VisibilitySet`.
    SetVisibility {
        /// Names the call.
        id: EffectId,
        /// Receipt handles, each with how long its message stays hidden. Ten at most.
        entries: Vec<(String, Duration)>,
    },
    /// DeleteMessage. Answered by `MessageDeleted`.
    DeleteMessage {
        /// Names the call.
        id: EffectId,
        /// The receipt handle.
        receipt: String,
    },
}

/// Names a lifecycle action of this instance to AWS.
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
    /// Other hooks may finish; then the instance goes.
    Continue,
    /// Other hooks are not waited for. Keeps the instance where the group's retention policy says so.
    Abandon,
}

impl CompletionResult {
    /// As AWS spells it.
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
    /// `GET /drain`
    Status,
    /// `DELETE /drain`
    Return,
}

/// What the body of `POST /drain` goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOrder {
    /// Why the instance is going.
    pub reason: Reason,
    /// The instant after which draining can no longer help.
    pub deadline: Time,
}
