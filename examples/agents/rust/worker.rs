//! Receives tasks and works on them.
//!
//! A task is a batch of events for a webhook: `{"url": "http://…", "items": [1, 2, 3]}`. Each item is one POST. Put your own
//! work into `deliver` and `Worker::work`, and keep the rest.

use std::env;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::Message;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::checkpoint::Checkpoints;
use crate::drain::{Drain, Held};

/// Messages per call; SQS's limit.
const RECEIVE_MAX: usize = 10;
const RETRY: Duration = Duration::from_secs(1);

/// The settings, from environment variables.
pub struct Settings {
    /// `WORK_QUEUE_URL`
    pub queue: String,
    /// `CHECKPOINT_DIR`: on a file system that other instances share.
    pub checkpoints: String,
    /// `AGENT_PORT`
    pub port: u16,
    /// `TASKS_MAX`: the most tasks at a time.
    pub tasks_max: usize,
    /// `RECEIVE_SECONDS`: how long a receive waits. A drain waits for a receive that is under way, because it may bring tasks.
    pub receive_secs: i32,
    /// `VISIBILITY_SECONDS`: a message stays hidden this long after its worker has died.
    pub visibility_secs: i32,
    /// `DELIVERY_SECONDS`: the time limit for delivering an item.
    pub delivery_limit: Duration,
    /// `CHECKPOINT_SECONDS`: how long before the deadline the worker stops starting items.
    pub checkpoint_margin: Duration,
    /// `STOP_SECONDS`: the longest drain on SIGTERM. systemd's `TimeoutStopSec` must be longer.
    pub stop_limit: Duration,
}

impl Settings {
    pub fn from_environment() -> Result<Self, String> {
        Ok(Settings {
            queue: env::var("WORK_QUEUE_URL").map_err(|error| format!("WORK_QUEUE_URL: {error}"))?,
            checkpoints: setting("CHECKPOINT_DIR", "/var/lib/worker".to_owned())?,
            port: setting("AGENT_PORT", 8080)?,
            tasks_max: setting("TASKS_MAX", 4)?,
            receive_secs: setting("RECEIVE_SECONDS", 10)?,
            visibility_secs: setting("VISIBILITY_SECONDS", 60)?,
            delivery_limit: Duration::from_secs(setting("DELIVERY_SECONDS", 10)?),
            checkpoint_margin: Duration::from_secs(setting("CHECKPOINT_SECONDS", 15)?),
            stop_limit: Duration::from_secs(setting("STOP_SECONDS", 60)?),
        })
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    let Ok(text) = env::var(name) else { return Ok(default) };
    text.parse().map_err(|_| format!("{name} is {text:?}, which is not a valid value"))
}

#[derive(Deserialize)]
struct Task {
    url: String,
    items: Vec<Value>,
}

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("not a task: {0}")]
    Task(#[from] serde_json::Error),
    #[error("cannot deliver an item: {0:?}")]
    Delivery(#[from] reqwest::Error),
    #[error("cannot read or write the checkpoint: {0}")]
    Checkpoint(#[from] io::Error),
    #[error("a call to the queue failed: {}", DisplayErrorContext(.0))]
    Queue(#[from] aws_sdk_sqs::Error),
}

/// How a task ended.
enum Outcome {
    Done,
    /// There was not enough time.
    Checkpointed,
}

/// The queue worker.
pub struct Worker {
    settings: Settings,
    sqs: aws_sdk_sqs::Client,
    http: reqwest::Client,
    drain: Drain,
    checkpoints: Checkpoints,
    free: Arc<Semaphore>,
}

impl Worker {
    pub fn new(settings: Settings, sqs: aws_sdk_sqs::Client, drain: Drain) -> io::Result<Self> {
        let checkpoints = Checkpoints::new(settings.checkpoints.clone().into())?;
        let http =
            reqwest::Client::builder().timeout(settings.delivery_limit).build().map_err(io::Error::other)?;
        let free = Arc::new(Semaphore::new(settings.tasks_max));
        Ok(Worker { settings, sqs, http, drain, checkpoints, free })
    }

    /// Receives tasks unless a drain is under way, and processes each in its own tokio task.
    pub async fn receive_forever(self: Arc<Self>) {
        loop {
            let permits = self.free_places().await;
            let taking = self.drain.take().await;
            let messages = match self.receive(permits.len()).await {
                Ok(messages) => messages,
                Err(error) => {
                    eprintln!("cannot receive tasks, retrying: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            for (message, permit) in messages.into_iter().zip(permits) {
                let (held, begin) = taking.hold();
                let worker = Arc::clone(&self);
                tokio::spawn(async move {
                    worker.process(&message, begin, held).await;
                    drop(permit);
                });
            }
        }
    }

    /// Waits for at least one free place. Takes at most as many as a receive can fill.
    async fn free_places(&self) -> Vec<OwnedSemaphorePermit> {
        let mut permits = Vec::from_iter(Arc::clone(&self.free).acquire_owned().await);
        while permits.len() < RECEIVE_MAX
            && let Ok(permit) = Arc::clone(&self.free).try_acquire_owned()
        {
            permits.push(permit);
        }
        permits
    }

    async fn receive(&self, count: usize) -> Result<Vec<Message>, WorkError> {
        let request = self.sqs.receive_message().queue_url(&self.settings.queue);
        let request =
            request.max_number_of_messages(count as i32).visibility_timeout(self.settings.visibility_secs);
        let answer = request.wait_time_seconds(self.settings.receive_secs).send().await;
        Ok(answer.map_err(aws_sdk_sqs::Error::from)?.messages.unwrap_or_default())
    }

    /// Handles one task to its end: done and deleted, or given back with its checkpoint.
    async fn process(&self, message: &Message, begin: bool, mut held: Held) {
        let id = message.message_id().unwrap_or_default();
        match self.settle(id, message, begin).await {
            Ok(Outcome::Done) => held.outcome = "tasks_done",
            Ok(Outcome::Checkpointed) => held.outcome = "tasks_given_back",
            Err(error) => {
                eprintln!("task {id} failed; it is received again when its visibility timeout ends: {error}")
            }
        }
    }

    async fn settle(&self, id: &str, message: &Message, begin: bool) -> Result<Outcome, WorkError> {
        let receipt = message.receipt_handle().unwrap_or_default();
        let outcome = if begin {
            tokio::select! {
                outcome = self.work(id, message.body().unwrap_or_default()) => outcome?,
                never = self.extend(receipt) => never,
            }
        } else {
            Outcome::Checkpointed
        };
        match outcome {
            Outcome::Done => {
                let delete = self.sqs.delete_message().queue_url(&self.settings.queue);
                delete.receipt_handle(receipt).send().await.map_err(aws_sdk_sqs::Error::from)?;
                self.checkpoints.forget(id)?;
            }
            Outcome::Checkpointed => self.hide(receipt, 0).await?,
        }
        Ok(outcome)
    }

    /// Delivers the items that earlier tries did not deliver.
    async fn work(&self, id: &str, body: &str) -> Result<Outcome, WorkError> {
        let task: Task = serde_json::from_str(body)?;
        for delivered in self.checkpoints.load(id)?..task.items.len() {
            if self.drain.ends_within(self.settings.checkpoint_margin) {
                self.checkpoints.save(id, delivered)?;
                return Ok(Outcome::Checkpointed);
            }
            let key = format!("{id}/{delivered}");
            if let Err(error) = self.deliver(&task.url, &task.items[delivered], key).await {
                self.checkpoints.save(id, delivered)?;
                return Err(error.into());
            }
        }
        Ok(Outcome::Done)
    }

    /// One step of a task. It may be repeated after a crash, so the receiver gets a key to recognize it.
    async fn deliver(&self, url: &str, item: &Value, key: String) -> reqwest::Result<()> {
        let request = self.http.post(url).header("Content-Type", "application/json");
        let request = request.header("Idempotency-Key", key).body(item.to_string());
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Keeps a message hidden from other workers until the future is dropped.
    async fn extend<T>(&self, receipt: &str) -> T {
        let secs = self.settings.visibility_secs;
        loop {
            tokio::time::sleep(Duration::from_secs(secs.unsigned_abs().into()) / 3).await;
            if let Err(error) = self.hide(receipt, secs).await {
                eprintln!("cannot extend a message's visibility timeout: {error}");
            }
        }
    }

    /// Hides a message from other workers for this long; 0 gives it back.
    async fn hide(&self, receipt: &str, secs: i32) -> Result<(), WorkError> {
        let change = self.sqs.change_message_visibility().queue_url(&self.settings.queue);
        let change = change.receipt_handle(receipt).visibility_timeout(secs);
        change.send().await.map_err(aws_sdk_sqs::Error::from)?;
        Ok(())
    }
}
