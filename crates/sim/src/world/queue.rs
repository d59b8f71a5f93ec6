//! SQS: standard queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use machine::Time;

use super::World;
use super::error::ApiError;
use super::message::Message;

const QUEUE_NAME_LEN_MAX: usize = 80;
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// The longest time that a message can be hidden. A message that no instance has claimed by then will not be claimed.
const TERMINATION_RETENTION: Duration = Duration::from_secs(43_200);

/// The settings of a queue in CreateQueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// The name.
    pub name: String,
    /// `VisibilityTimeout`
    pub visibility: Duration,
    /// `MessageRetentionPeriod`
    pub retention: Duration,
    /// `ReceiveMessageWaitTimeSeconds`
    pub wait: Duration,
    /// `Policy`, as JSON. It is shown but not enforced.
    pub policy: Option<String>,
    /// `RedrivePolicy`, as JSON. It is shown but has no effect.
    pub redrive: Option<String>,
}

impl QueueSpec {
    /// A queue with AWS's defaults.
    pub fn named(name: impl Into<String>) -> Self {
        QueueSpec {
            name: name.into(),
            visibility: Duration::from_secs(30),
            retention: Duration::from_secs(4 * 86_400),
            wait: Duration::ZERO,
            policy: None,
            redrive: None,
        }
    }

    /// The first attribute in which they differ.
    fn difference(&self, other: &QueueSpec) -> Option<&'static str> {
        let same = [
            ("MessageRetentionPeriod", self.retention == other.retention),
            ("Policy", self.policy == other.policy),
            ("ReceiveMessageWaitTimeSeconds", self.wait == other.wait),
            ("RedrivePolicy", self.redrive == other.redrive),
            ("VisibilityTimeout", self.visibility == other.visibility),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(attribute, _)| attribute)
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    /// The name in `spec`, shared by all happenings of the queue.
    pub(super) name: Arc<str>,
    pub(super) spec: QueueSpec,
    pub(super) created: Time,
    pub(super) purged: Option<Time>,
    pub(super) messages: BTreeMap<u64, Message>,
    /// The visible messages, by their place in the queue.
    pub(super) visible: BTreeMap<u64, u64>,
    pub(super) next_number: u64,
}

/// A queue as GetQueueAttributes shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Its settings.
    pub spec: QueueSpec,
    /// `QueueArn`
    pub arn: String,
    /// `CreatedTimestamp`
    pub created: Time,
    /// `ApproximateNumberOfMessages`
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`, including delayed messages.
    pub hidden: usize,
}

impl World {
    /// CreateQueue. Does nothing if the queue exists with the same settings.
    pub fn create_queue(&mut self, now: Time, spec: QueueSpec) -> Result<(), ApiError> {
        self.advance(now);
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if spec.name.is_empty() || spec.name.len() > QUEUE_NAME_LEN_MAX || !spec.name.chars().all(well_formed)
        {
            return Err(ApiError::sender(
                "InvalidParameterValue",
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            ));
        }
        let Some(queue) = self.queues.get(&spec.name) else {
            self.insert_queue(spec);
            return Ok(());
        };
        match queue.spec.difference(&spec) {
            None => Ok(()),
            Some(other) => {
                let message = format!(
                    "A queue already exists with the same name and a different value for attribute {other}"
                );
                Err(ApiError::sender("QueueNameExists", message))
            }
        }
    }

    /// DeleteQueue.
    pub fn delete_queue(&mut self, now: Time, queue: &str) -> Result<(), ApiError> {
        self.advance(now);
        self.queues.remove(queue).map(|_| ()).ok_or_else(unknown_queue)
    }

    /// The names of all queues.
    pub fn queue_names(&self) -> Vec<String> {
        self.queues.keys().cloned().collect()
    }

    /// GetQueueAttributes.
    pub fn describe_queue(&mut self, now: Time, queue: &str) -> Result<QueueView, ApiError> {
        self.advance(now);
        let found = self.queues.get(queue).ok_or_else(unknown_queue)?;
        Ok(QueueView {
            spec: found.spec.clone(),
            arn: self.queue_arn(queue),
            created: found.created,
            visible: found.visible.len(),
            hidden: found.messages.len() - found.visible.len(),
        })
    }

    /// SetQueueAttributes, for all attributes at once.
    pub fn set_queue(&mut self, now: Time, spec: QueueSpec) -> Result<(), ApiError> {
        self.advance(now);
        let found = self.queues.get_mut(&spec.name).ok_or_else(unknown_queue)?;
        found.spec = spec;
        self.version += 1;
        Ok(())
    }

    /// PurgeQueue.
    pub fn purge_queue(&mut self, now: Time, queue: &str) -> Result<(), ApiError> {
        self.advance(now);
        let now = self.now;
        let found = self.queues.get_mut(queue).ok_or_else(unknown_queue)?;
        if found.purged.is_some_and(|purged| now.since(purged) < PURGE_INTERVAL) {
            return Err(ApiError {
                status: 403,
                code: "PurgeQueueInProgress",
                message: format!("Only one PurgeQueue operation on {queue} is allowed every 60 seconds."),
            });
        }
        found.purged = Some(now);
        found.messages.clear();
        found.visible.clear();
        self.version += 1;
        Ok(())
    }

    /// Creates the queue that the first group's EventBridge rule feeds, with suitable settings.
    pub(super) fn insert_termination_queue(&mut self, name: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"events.amazonaws.com"}},"Action":"sqs:SendMessage","Resource":"{}"}}]}}"#,
            self.queue_arn(name)
        );
        self.insert_queue(QueueSpec {
            retention: TERMINATION_RETENTION,
            policy: Some(policy),
            ..QueueSpec::named(name)
        });
    }

    pub(super) fn insert_queue(&mut self, spec: QueueSpec) {
        let queue = Queue {
            name: spec.name.as_str().into(),
            created: self.now,
            purged: None,
            messages: BTreeMap::new(),
            visible: BTreeMap::new(),
            next_number: 0,
            spec,
        };
        self.queues.insert(queue.spec.name.clone(), queue);
    }

    pub(super) fn queue_arn(&self, queue: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{queue}", self.config.region, self.config.account)
    }
}

pub(super) fn unknown_queue() -> ApiError {
    ApiError::sender("QueueDoesNotExist", "The specified queue does not exist.")
}
