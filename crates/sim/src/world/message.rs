//! The life of an SQS message.

use std::sync::Arc;
use std::time::Duration;

use machine::Time;

use super::error::ApiError;
use super::queue::unknown_queue;
use super::receipt::write_receipt;
use super::{Happening, Wake, World};

/// The longest total time that a message can be hidden.
const VISIBILITY_MAX: Duration = Duration::from_secs(43_200);
const RECEIVE_MAX: usize = 10;
const IN_FLIGHT_MAX: usize = 120_000;
const BODY_LEN_MAX: usize = 1024 * 1024;
/// A message that has been received this many times goes to the back of the queue.
const RECEIVES_IN_PLACE: u32 = 3;

/// The instance and action that a message is about.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) instance: Arc<str>,
    /// The token of its lifecycle action. Empty if it is about none.
    pub(super) token: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Message {
    id: Arc<str>,
    body: Arc<str>,
    about: Option<About>,
    sent: Time,
    place: u64,
    visible: bool,
    visible_at: Time,
    /// When the next planned check of its visibility is. An earlier visibility timeout would have ended then.
    looked_at: Time,
    received: Time,
    first_received: Option<Time>,
    receive_count: u32,
    /// The instance that received it last, if known.
    held_by: Option<Arc<str>>,
}

/// A message as ReceiveMessage returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its number in the queue.
    pub number: u64,
    /// `MessageId`
    pub id: Arc<str>,
    /// `ReceiptHandle`
    pub receipt: String,
    /// `Body`
    pub body: Arc<str>,
    /// `SentTimestamp`
    pub sent: Time,
    /// `ApproximateFirstReceiveTimestamp`
    pub first_received: Time,
    /// `ApproximateReceiveCount`
    pub receive_count: u32,
}

impl World {
    /// SendMessage. Returns the message's id.
    pub fn send_message(
        &mut self,
        now: Time,
        queue: &str,
        body: String,
        delay: Duration,
    ) -> Result<Arc<str>, ApiError> {
        self.advance(now);
        if body.is_empty() {
            return Err(ApiError::sender(
                "MissingParameter",
                "The request must contain the parameter MessageBody.",
            ));
        }
        if body.len() > BODY_LEN_MAX {
            return Err(ApiError::sender(
                "InvalidParameterValue",
                format!(
                    "One or more parameters are invalid. Reason: Message must be shorter than {BODY_LEN_MAX} bytes."
                ),
            ));
        }
        self.put_message(queue, body, None, delay).ok_or_else(unknown_queue)
    }

    /// SendMessage, for a message about an instance that the instance may delete.
    pub fn send_message_about(&mut self, now: Time, queue: &str, body: String, instance: &str) {
        self.advance(now);
        let about = About { instance: instance.into(), token: Arc::default() };
        self.put_message(queue, body, Some(about), Duration::ZERO);
    }

    /// ReceiveMessage, without waiting. Returns up to ten visible messages and hides them for `visibility`, or for the
    /// queue's default. `by` is the receiving instance, if known.
    pub fn receive(
        &mut self,
        now: Time,
        queue: &str,
        max: usize,
        visibility: Option<Duration>,
        by: Option<&str>,
    ) -> Result<Vec<ReceivedMessage>, ApiError> {
        self.advance(now);
        if !(1..=RECEIVE_MAX).contains(&max) {
            let rule = "Must be between 1 and 10, if provided.";
            return Err(invalid_value(&max.to_string(), "MaxNumberOfMessages", rule));
        }
        let found = self.queues.get(queue).ok_or_else(unknown_queue)?;
        let visibility = visibility.unwrap_or(found.spec.visibility);
        check_visibility(visibility)?;
        if found.messages.len() - found.visible.len() >= IN_FLIGHT_MAX {
            return Err(ApiError::sender("OverLimit", "Too many messages in flight"));
        }
        let numbers = self.numbers_to_receive(queue, max);
        let by = by.map(Arc::from);
        let mut received = Vec::with_capacity(numbers.len());
        received.extend(
            numbers.into_iter().filter_map(|number| self.hand_out(queue, number, visibility, by.clone())),
        );
        Ok(received)
    }

    /// ChangeMessageVisibility. `visibility` counts from now. Zero makes the message visible.
    pub fn change_visibility(
        &mut self,
        now: Time,
        queue: &str,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), ApiError> {
        self.advance(now);
        check_visibility(visibility)?;
        let (number, receive_count) = self.read_receipt(queue, receipt)?;
        let now = self.now;
        let found = self.queues.get_mut(queue).ok_or_else(unknown_queue)?;
        let current = |message: &&mut Message| message.receive_count == receive_count;
        let Some(message) = found.messages.get_mut(&number).filter(current) else {
            let rule = "Message does not exist or is not available for visibility timeout change.";
            return Err(invalid_value(receipt, "ReceiptHandle", rule));
        };
        // The message is already visible. A recording shows that such a call succeeds. We guess that it changes nothing.
        if message.visible {
            return Ok(());
        }
        if (now + visibility).since(message.received) > VISIBILITY_MAX {
            let rule = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
            return Err(invalid_value(&visibility.as_secs().to_string(), "VisibilityTimeout", rule));
        }
        message.visible_at = now + visibility;
        let queue = found.name.clone();
        if self.config.tells_hand_outs {
            let happening = Happening::VisibilityChanged {
                queue: queue.clone(),
                message: message.id.clone(),
                about: message.about.as_ref().map(|about| about.instance.clone()),
                visible_at: message.visible_at,
            };
            self.log(happening);
        }
        self.schedule(now + visibility, Wake::Visible { queue, message: number });
        self.advance(now);
        Ok(())
    }

    /// DeleteMessage. A receipt handle that is no longer the latest "succeeds" and deletes nothing.
    pub fn delete_message(&mut self, now: Time, queue: &str, receipt: &str) -> Result<(), ApiError> {
        self.advance(now);
        let (number, receive_count) = self.read_receipt(queue, receipt)?;
        let found = self.queues.get_mut(queue).ok_or_else(unknown_queue)?;
        let current = found.messages.get(&number).is_some_and(|one| one.receive_count == receive_count);
        if current && let Some(message) = found.messages.remove(&number) {
            found.visible.remove(&message.place);
            let (about, token) = message.about.clone().map(|about| (about.instance, about.token)).unzip();
            let (queue_name, id, held_by) = (found.name.clone(), message.id.clone(), message.held_by.clone());
            self.log(Happening::MessageDeleted { queue: queue_name, message: id, about, token, held_by });
            self.deleted(queue, number, message);
        }
        Ok(())
    }

    /// A message is deleted. If one of SQS's servers was unavailable at that time, it brings back its copy (developer
    /// guide, "At-least-once delivery").
    fn deleted(&mut self, queue: &str, number: u64, message: Message) {
        let redelivery = self.config.delivery.redelivery;
        if redelivery == 0.0 || self.rng.f64() >= redelivery {
            return;
        }
        let visible_at = self.now + self.delay();
        if let Some(found) = self.queues.get_mut(queue) {
            let queue = found.name.clone();
            found.messages.insert(number, Message { visible: false, visible_at, ..message });
            self.schedule(visible_at, Wake::Visible { queue, message: number });
        }
    }

    /// `None` if the queue does not exist.
    pub(super) fn put_message(
        &mut self,
        queue: &str,
        body: String,
        about: Option<About>,
        delay: Duration,
    ) -> Option<Arc<str>> {
        let id: Arc<str> = self.uuid().into();
        let now = self.now;
        let found = self.queues.get_mut(queue)?;
        let number = found.next_number;
        found.next_number += 1;
        let visible = delay.is_zero();
        if visible {
            found.visible.insert(number, number);
        }
        let message = Message {
            id: id.clone(),
            body: body.into(),
            about: about.clone(),
            sent: now,
            place: number,
            visible,
            visible_at: now + delay,
            looked_at: now,
            received: now,
            first_received: None,
            receive_count: 0,
            held_by: None,
        };
        found.messages.insert(number, message);
        let expires = now + found.spec.retention;
        let queue = found.name.clone();
        if !visible {
            self.schedule(now + delay, Wake::Visible { queue: queue.clone(), message: number });
        }
        self.schedule(expires, Wake::MessageExpired { queue: queue.clone(), message: number });
        let about = about.map(|about| about.instance);
        self.log(Happening::MessageSent { queue, message: id.clone(), about });
        Some(id)
    }

    pub(super) fn message_visible(&mut self, queue: &str, number: u64) {
        let now = self.now;
        let Some(queue) = self.queues.get_mut(queue) else { return };
        let hidden = |message: &&mut Message| !message.visible;
        let Some(message) = queue.messages.get_mut(&number).filter(hidden) else { return };
        if message.visible_at > now {
            if message.looked_at <= now {
                message.looked_at = message.visible_at;
                let (at, queue) = (message.visible_at, queue.name.clone());
                self.schedule(at, Wake::Visible { queue, message: number });
            }
            return;
        }
        if message.receive_count >= RECEIVES_IN_PLACE {
            message.place = queue.next_number;
            queue.next_number += 1;
        }
        message.visible = true;
        queue.visible.insert(message.place, number);
    }

    pub(super) fn message_expired(&mut self, queue: &str, number: u64) {
        let Some(found) = self.queues.get_mut(queue) else { return };
        let Some(message) = found.messages.remove(&number) else { return };
        found.visible.remove(&message.place);
        let queue = found.name.clone();
        self.log(Happening::MessageExpired { queue, message: message.id });
    }

    /// Mostly the oldest messages, and sometimes others, as in a standard queue.
    fn numbers_to_receive(&mut self, queue: &str, max: usize) -> Vec<u64> {
        let out_of_order = self.rng.f64() < self.config.delivery.reordering;
        let Some(found) = self.queues.get(queue) else { return Vec::new() };
        let places = found.visible.first_key_value().zip(found.visible.last_key_value());
        let Some(((first, _), (last, _))) = places else { return Vec::new() };
        let from = if out_of_order { self.rng.u64(*first..=*last) } else { *first };
        let from_there = found.visible.range(from..).chain(found.visible.range(..from));
        from_there.take(max).map(|(_, number)| *number).collect()
    }

    fn hand_out(
        &mut self,
        queue: &str,
        number: u64,
        visibility: Duration,
        by: Option<Arc<str>>,
    ) -> Option<ReceivedMessage> {
        let now = self.now;
        let seed = self.config.seed;
        let found = self.queues.get_mut(queue)?;
        let message = found.messages.get_mut(&number)?;
        message.receive_count += 1;
        message.received = now;
        message.visible_at = now + visibility;
        if !visibility.is_zero() {
            message.visible = false;
            found.visible.remove(&message.place);
        }
        let received = ReceivedMessage {
            number,
            id: message.id.clone(),
            receipt: write_receipt(seed, queue, number, message.receive_count),
            body: message.body.clone(),
            sent: message.sent,
            first_received: *message.first_received.get_or_insert(now),
            receive_count: message.receive_count,
        };
        message.held_by.clone_from(&by);
        let about = message.about.as_ref().map(|about| about.instance.clone());
        let queue = found.name.clone();
        // Nearly every message is made visible before its timeout ends, so one check serves many receives.
        if message.looked_at <= now || message.looked_at > message.visible_at {
            message.looked_at = message.visible_at;
            self.schedule(now + visibility, Wake::Visible { queue: queue.clone(), message: number });
        }
        if self.config.tells_hand_outs {
            self.log(Happening::MessageReceived {
                queue,
                message: received.id.clone(),
                about,
                by,
                receive_count: received.receive_count,
            });
        }
        Some(received)
    }
}

fn check_visibility(visibility: Duration) -> Result<(), ApiError> {
    if visibility <= VISIBILITY_MAX {
        return Ok(());
    }
    let rule = "Must be >= 0 and <= 43200, if provided.";
    Err(invalid_value(&visibility.as_secs().to_string(), "VisibilityTimeout", rule))
}

/// SQS's words for a parameter outside its range, as clients have reported them.
fn invalid_value(value: &str, parameter: &str, reason: &str) -> ApiError {
    let message = format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
    ApiError::sender("InvalidParameterValue", message)
}
