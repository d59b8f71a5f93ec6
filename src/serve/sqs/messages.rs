//! SQS calls about messages.

use std::fmt::Write as _;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use sim::world::{ApiError, ReceivedMessage};

use super::super::service::Shared;
use super::{VISIBILITY_SECS_MAX, WAIT_SECS_MAX, invalid, missing, names, number, queue, text, wants};

const DELAY_SECS_MAX: u64 = 900;
const BATCH_LEN_MAX: usize = 10;
const BATCH_ID_LEN_MAX: usize = 80;

pub(super) fn send_message(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let (queue, body) = (queue(input)?, text(input, "MessageBody")?);
    let delay = number(input, "DelaySeconds", DELAY_SECS_MAX)?.unwrap_or(0);
    let delay = Duration::from_secs(delay);
    let id = shared.with(|world, now| world.send_message(now, queue, body.to_owned(), delay))?;
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5(body) }))
}

/// Holds the response until a message arrives or the wait is over.
pub(super) async fn receive_message(
    shared: &Shared,
    input: &Value,
    by: Option<&str>,
) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let max = match &input["MaxNumberOfMessages"] {
        Value::Null => 1,
        // The world refuses numbers that are out of range.
        value => value
            .as_u64()
            .and_then(|max| usize::try_from(max).ok())
            .ok_or_else(|| invalid(value, "MaxNumberOfMessages", "Must be between 1 and 10, if provided."))?,
    };
    let visibility = number(input, "VisibilityTimeout", VISIBILITY_SECS_MAX)?.map(Duration::from_secs);
    let wait = match number(input, "WaitTimeSeconds", WAIT_SECS_MAX)? {
        Some(seconds) => Duration::from_secs(seconds),
        None => shared.with(|world, now| world.describe_queue(now, queue))?.spec.wait,
    };
    let mut attributes = names(input, "AttributeNames");
    attributes.extend(names(input, "MessageSystemAttributeNames"));
    let deadline = shared.clock.now() + wait;
    let mut changed = shared.subscribe();
    loop {
        changed.borrow_and_update();
        let (messages, now) = shared.with(|world, now| (world.receive(now, queue, max, visibility, by), now));
        let messages = messages?;
        if !messages.is_empty() {
            let messages: Vec<_> =
                messages.iter().map(|message| write_message(message, &attributes)).collect();
            return Ok(json!({ "Messages": messages }));
        }
        if now >= deadline {
            return Ok(json!({}));
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = shared.clock.sleep_until(deadline) => {}
        }
    }
}

fn write_message(message: &ReceivedMessage, wanted: &[&str]) -> Value {
    let all = [
        ("ApproximateFirstReceiveTimestamp", message.first_received.unix_ms().to_string()),
        ("ApproximateReceiveCount", message.receive_count.to_string()),
        ("SenderId", "AIDASIMULATEDSENDER00".to_owned()),
        ("SentTimestamp", message.sent.unix_ms().to_string()),
    ];
    let chosen = all.into_iter().filter(|(name, _)| wants(wanted, name));
    let attributes: Map<_, _> = chosen.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let mut written = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": md5(&message.body),
        "Body": &*message.body,
    });
    if !attributes.is_empty() {
        written["Attributes"] = Value::Object(attributes);
    }
    written
}

pub(super) fn change_visibility(shared: &Shared, queue: &str, input: &Value) -> Result<Value, ApiError> {
    let receipt = text(input, "ReceiptHandle")?;
    let seconds = number(input, "VisibilityTimeout", VISIBILITY_SECS_MAX)?
        .ok_or_else(|| missing("VisibilityTimeout"))?;
    let visibility = Duration::from_secs(seconds);
    shared.with(|world, now| world.change_visibility(now, queue, receipt, visibility)).map(|()| Value::Null)
}

pub(super) fn delete_message(shared: &Shared, queue: &str, input: &Value) -> Result<Value, ApiError> {
    let receipt = text(input, "ReceiptHandle")?;
    shared.with(|world, now| world.delete_message(now, queue, receipt)).map(|()| Value::Null)
}

/// Calls `one` for every entry. A failed entry does not fail the others.
pub(super) fn batch(
    shared: &Shared,
    input: &Value,
    operation: &str,
    one: impl Fn(&Shared, &str, &Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    check_batch(operation, entries)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = &entry["Id"];
        match one(shared, queue, entry) {
            Ok(_) => successful.push(json!({ "Id": id })),
            // A queue that does not exist fails the whole call.
            Err(error) if error.code == "QueueDoesNotExist" => return Err(error),
            Err(error) => failed.push(json!({
                "Id": id,
                "SenderFault": error.status < 500,
                "Code": error.code,
                "Message": error.message,
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn check_batch(operation: &str, entries: &[Value]) -> Result<(), ApiError> {
    if entries.is_empty() {
        let message = format!("There should be at least one {operation}RequestEntry in the request.");
        return Err(ApiError::sender("EmptyBatchRequest", message));
    }
    if entries.len() > BATCH_LEN_MAX {
        let message = format!(
            "Maximum number of entries per request are {BATCH_LEN_MAX}. You have sent {}.",
            entries.len()
        );
        return Err(ApiError::sender("TooManyEntriesInBatchRequest", message));
    }
    for (index, entry) in entries.iter().enumerate() {
        let id = text(entry, "Id")?;
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.is_empty() || id.len() > BATCH_ID_LEN_MAX || !id.chars().all(well_formed) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at \
                           most 80 letters long.";
            return Err(ApiError::sender("InvalidBatchEntryId", message));
        }
        if entries[..index].iter().any(|earlier| earlier["Id"] == id) {
            return Err(ApiError::sender("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

fn md5(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
