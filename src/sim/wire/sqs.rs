//! SQS over JSON 1.0. Field names follow botocore's service model of 2012-11-05.

use std::fmt::Write as _;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::sim::world::{ApiError, QueueSpec, ReceivedMessage};

use super::aws::{caller, caller_arn, check_credentials, denied, request_id};
use super::http::{Answer, Request};
use super::service::Shared;

const JSON: &str = "application/x-amz-json-1.0";
const WAIT_SECS_MAX: u64 = 20;
const DELAY_SECS_MAX: u64 = 900;
const BATCH_LEN_MAX: usize = 10;

/// Answers one call. `target` is the header that names it.
pub(super) async fn answer(shared: &Shared, target: &str, request: &Request) -> Answer {
    let result = match (target.strip_prefix("AmazonSQS."), serde_json::from_slice(&request.body)) {
        (Some(operation), Ok(input)) => call(shared, operation, &input, request).await,
        (None, _) => Err(unknown_operation(target)),
        (Some(_), Err(error)) => Err(ApiError::sender("SerializationException", error.to_string())),
    };
    let answer = match result {
        Ok(Value::Null) => Answer::new(200, JSON, ""),
        Ok(output) => Answer::new(200, JSON, output.to_string()),
        Err(error) => json_error(&error),
    };
    answer.header("x-amzn-requestid", request_id())
}

async fn call(shared: &Shared, operation: &str, input: &Value, request: &Request) -> Result<Value, ApiError> {
    check_credentials(shared, request)?;
    permit(shared, operation, input, request)?;
    match operation {
        "CreateQueue" => create_queue(shared, input),
        "DeleteQueue" => {
            let queue = queue(input)?;
            shared.with(|world, now| world.delete_queue(now, queue)).map(|()| Value::Null)
        }
        "GetQueueUrl" => {
            let name = text(input, "QueueName")?;
            shared.with(|world, now| world.describe_queue(now, name))?;
            Ok(json!({ "QueueUrl": shared.queue_url(name) }))
        }
        "ListQueues" => Ok(list_queues(shared, input)),
        "GetQueueAttributes" => queue_attributes(shared, input),
        "SetQueueAttributes" => set_queue_attributes(shared, input).map(|()| Value::Null),
        "SendMessage" => send_message(shared, input),
        "ReceiveMessage" => receive_message(shared, input, caller(shared, request).as_deref()).await,
        "ChangeMessageVisibility" => change_visibility(shared, queue(input)?, input).map(|()| Value::Null),
        "ChangeMessageVisibilityBatch" => {
            batch(input, |queue, entry| change_visibility(shared, queue, entry))
        }
        "DeleteMessage" => delete_message(shared, queue(input)?, input).map(|()| Value::Null),
        "DeleteMessageBatch" => batch(input, |queue, entry| delete_message(shared, queue, entry)),
        "PurgeQueue" => {
            let queue = queue(input)?;
            shared.with(|world, now| world.purge_queue(now, queue)).map(|()| Value::Null)
        }
        other => Err(unknown_operation(other)),
    }
}

/// Refuses a call that nobody is allowed. A batch needs the permission of what it does many times; IAM writes actions
/// of SQS in small letters.
fn permit(shared: &Shared, operation: &str, input: &Value, request: &Request) -> Result<(), ApiError> {
    let action = format!("sqs:{}", operation.trim_end_matches("Batch"));
    if !denied(shared, &action) {
        return Ok(());
    }
    let arn = queue(input).ok().map(|queue| {
        let config = shared.with(|world, _| (world.config().region.clone(), world.config().account.clone()));
        format!("arn:aws:sqs:{}:{}:{queue}", config.0, config.1)
    });
    let caller = caller_arn(shared, caller(shared, request).as_deref());
    let action = action.to_lowercase();
    Err(ApiError::access_denied(403, "AccessDeniedException", &caller, &action, arn.as_deref()))
}

fn create_queue(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "QueueName")?;
    let spec = queue_spec(input, QueueSpec::named(name))?;
    shared.with(|world, now| world.create_queue(now, spec))?;
    Ok(json!({ "QueueUrl": shared.queue_url(name) }))
}

fn set_queue_attributes(shared: &Shared, input: &Value) -> Result<(), ApiError> {
    let queue = queue(input)?;
    let before = shared.with(|world, now| world.describe_queue(now, queue))?.spec;
    let spec = queue_spec(input, before)?;
    shared.with(|world, now| world.set_queue(now, spec))
}

/// A queue's settings with what `Attributes` changes of them. An empty policy takes a policy away.
fn queue_spec(input: &Value, defaults: QueueSpec) -> Result<QueueSpec, ApiError> {
    let attribute = |attribute: &str, default: Duration, range: std::ops::RangeInclusive<u64>| {
        let Some(text) = input["Attributes"][attribute].as_str() else { return Ok(default) };
        let seconds = text.parse().ok().filter(|seconds| range.contains(seconds));
        seconds.map(Duration::from_secs).ok_or_else(|| {
            ApiError::sender("InvalidAttributeValue", format!("Invalid value for the parameter {attribute}."))
        })
    };
    let document = |attribute: &str, default: Option<String>| match input["Attributes"][attribute].as_str() {
        Some("") => None,
        Some(text) => Some(text.to_owned()),
        None => default,
    };
    Ok(QueueSpec {
        visibility: attribute("VisibilityTimeout", defaults.visibility, 0..=43_200)?,
        retention: attribute("MessageRetentionPeriod", defaults.retention, 60..=1_209_600)?,
        wait: attribute("ReceiveMessageWaitTimeSeconds", defaults.wait, 0..=WAIT_SECS_MAX)?,
        policy: document("Policy", defaults.policy),
        redrive: document("RedrivePolicy", defaults.redrive),
        name: defaults.name,
    })
}

fn list_queues(shared: &Shared, input: &Value) -> Value {
    let prefix = input["QueueNamePrefix"].as_str().unwrap_or_default();
    let names = shared.with(|world, _| world.queue_names());
    let urls: Vec<_> =
        names.iter().filter(|name| name.starts_with(prefix)).map(|name| shared.queue_url(name)).collect();
    if urls.is_empty() { json!({}) } else { json!({ "QueueUrls": urls }) }
}

fn queue_attributes(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let view = shared.with(|world, now| world.describe_queue(now, queue))?;
    let created = (view.created.unix_ms() / 1000).to_string();
    let all = [
        ("ApproximateNumberOfMessages", view.visible.to_string()),
        ("ApproximateNumberOfMessagesDelayed", "0".to_owned()),
        ("ApproximateNumberOfMessagesNotVisible", view.hidden.to_string()),
        ("CreatedTimestamp", created.clone()),
        ("DelaySeconds", "0".to_owned()),
        ("LastModifiedTimestamp", created),
        ("MaximumMessageSize", "1048576".to_owned()),
        ("MessageRetentionPeriod", view.spec.retention.as_secs().to_string()),
        ("QueueArn", view.arn),
        ("ReceiveMessageWaitTimeSeconds", view.spec.wait.as_secs().to_string()),
        ("VisibilityTimeout", view.spec.visibility.as_secs().to_string()),
    ];
    let wanted = names(input, "AttributeNames");
    let documents = [("Policy", view.spec.policy), ("RedrivePolicy", view.spec.redrive)];
    let documents = documents.into_iter().filter_map(|(name, text)| Some((name, text?)));
    let chosen = all.into_iter().chain(documents).filter(|(name, _)| wants(&wanted, name));
    let attributes: Map<_, _> = chosen.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    Ok(if attributes.is_empty() { json!({}) } else { json!({ "Attributes": attributes }) })
}

fn send_message(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let (queue, body) = (queue(input)?, text(input, "MessageBody")?);
    let delay = number(input, "DelaySeconds", DELAY_SECS_MAX)?.unwrap_or(0);
    let delay = Duration::from_secs(delay);
    let id = shared.with(|world, now| world.send_message(now, queue, body.to_owned(), delay))?;
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5(body) }))
}

/// Holds the answer until a message arrives or the wait is over.
async fn receive_message(shared: &Shared, input: &Value, by: Option<&str>) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let max = input["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
    let visibility = number(input, "VisibilityTimeout", 43_200)?.map(Duration::from_secs);
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

fn change_visibility(shared: &Shared, queue: &str, input: &Value) -> Result<(), ApiError> {
    let receipt = text(input, "ReceiptHandle")?;
    let seconds = number(input, "VisibilityTimeout", 43_200)?.ok_or_else(|| missing("VisibilityTimeout"))?;
    shared.with(|world, now| world.change_visibility(now, queue, receipt, Duration::from_secs(seconds)))
}

fn delete_message(shared: &Shared, queue: &str, input: &Value) -> Result<(), ApiError> {
    let receipt = text(input, "ReceiptHandle")?;
    shared.with(|world, now| world.delete_message(now, queue, receipt))
}

/// Does `one` for every entry; an entry's failure is its own.
fn batch(input: &Value, one: impl Fn(&str, &Value) -> Result<(), ApiError>) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    check_batch(entries)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let id = &entry["Id"];
        match one(queue, entry) {
            Ok(()) => successful.push(json!({ "Id": id })),
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

fn check_batch(entries: &[Value]) -> Result<(), ApiError> {
    if entries.is_empty() {
        return Err(ApiError::sender(
            "EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ));
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
        if entries[..index].iter().any(|earlier| earlier["Id"] == id) {
            return Err(ApiError::sender("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

/// The queue's name: the last part of its URL, whatever host the caller reached it by.
fn queue(input: &Value) -> Result<&str, ApiError> {
    let url = text(input, "QueueUrl")?;
    Ok(url.rsplit('/').next().unwrap_or(url))
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    input[name].as_str().ok_or_else(|| missing(name))
}

fn missing(name: &str) -> ApiError {
    ApiError::sender("MissingParameter", format!("The request must contain the parameter {name}."))
}

fn number(input: &Value, name: &str, max: u64) -> Result<Option<u64>, ApiError> {
    let value = &input[name];
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().filter(|number| *number <= max);
    number.map(Some).ok_or_else(|| {
        // As clients have reported it for WaitTimeSeconds.
        let why = format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be >= 0 and <= {max}, if provided."
        );
        ApiError::sender("InvalidParameterValue", why)
    })
}

fn names<'a>(input: &'a Value, field: &str) -> Vec<&'a str> {
    input[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn wants(wanted: &[&str], name: &str) -> bool {
    wanted.iter().any(|one| *one == name || *one == "All")
}

fn md5(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn unknown_operation(name: &str) -> ApiError {
    ApiError::sender("UnknownOperationException", format!("The operation {name} is not simulated."))
}

/// An error in the shape of JSON 1.0, with the header that keeps the code of the older Query protocol.
fn json_error(error: &ApiError) -> Answer {
    let query_code = match error.code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "PurgeQueueInProgress" => "AWS.SimpleQueueService.PurgeQueueInProgress",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "QueueNameExists" => "QueueAlreadyExists",
        "AccessDeniedException" => "AccessDenied",
        other => other,
    };
    // Errors that the service model does not name come from the framework under it; that prefix is guessed.
    let namespace = match error.code {
        "AccessDeniedException"
        | "InvalidParameterValue"
        | "MissingParameter"
        | "SerializationException"
        | "UnknownOperationException" => "com.amazon.coral.service",
        _ => "com.amazonaws.sqs",
    };
    let body = json!({ "__type": format!("{namespace}#{}", error.code), "message": error.message });
    let fault = if error.status < 500 { "Sender" } else { "Receiver" };
    Answer::new(error.status, JSON, body.to_string())
        .header("x-amzn-query-error", format!("{query_code};{fault}"))
}
