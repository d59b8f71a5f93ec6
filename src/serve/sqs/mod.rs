//! Serves SQS in JSON 1.0: `queues` and `messages`. Field names follow botocore's service model of 2012-11-05.

mod messages;
mod queues;

use serde_json::{Value, json};

use sim::world::ApiError;

use super::aws::{caller, caller_arn, check_credentials, denied, request_id};
use super::http::{Answer, Request};
use super::service::Shared;
use messages::{batch, change_visibility, delete_message, receive_message, send_message};
use queues::{
    create_queue, delete_queue, list_queues, purge_queue, queue_attributes, queue_url, set_queue_attributes,
};

const JSON: &str = "application/x-amz-json-1.0";
const WAIT_SECS_MAX: u64 = 20;
const VISIBILITY_SECS_MAX: u64 = 43_200;

/// The API's version, which every call in the Query protocol names.
pub(super) const VERSION: &str = "2012-11-05";

/// The handler of a call.
pub(super) enum Call {
    /// Responds at once.
    Plain(fn(&Shared, &Value) -> Result<Value, ApiError>),
    /// ReceiveMessage, which may wait.
    Receive,
}

/// Every call that is served, with its handler.
pub(super) const CALLS: &[(&str, Call)] = &[
    ("ChangeMessageVisibility", Call::Plain(|shared, input| change_visibility(shared, queue(input)?, input))),
    (
        "ChangeMessageVisibilityBatch",
        Call::Plain(|shared, input| batch(shared, input, "ChangeMessageVisibilityBatch", change_visibility)),
    ),
    ("CreateQueue", Call::Plain(create_queue)),
    ("DeleteMessage", Call::Plain(|shared, input| delete_message(shared, queue(input)?, input))),
    (
        "DeleteMessageBatch",
        Call::Plain(|shared, input| batch(shared, input, "DeleteMessageBatch", delete_message)),
    ),
    ("DeleteQueue", Call::Plain(delete_queue)),
    ("GetQueueAttributes", Call::Plain(queue_attributes)),
    ("GetQueueUrl", Call::Plain(queue_url)),
    ("ListQueues", Call::Plain(list_queues)),
    ("PurgeQueue", Call::Plain(purge_queue)),
    ("ReceiveMessage", Call::Receive),
    ("SendMessage", Call::Plain(send_message)),
    ("SetQueueAttributes", Call::Plain(set_queue_attributes)),
];

/// Answers one call. `target` is the header that names the call.
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
    match CALLS.iter().find(|(name, _)| *name == operation) {
        Some((_, Call::Plain(answer))) => answer(shared, input),
        Some((_, Call::Receive)) => receive_message(shared, input, caller(shared, request).as_deref()).await,
        None => Err(unknown_operation(operation)),
    }
}

/// Refuses a call whose action is denied. A batch call needs the permission of the single call. SQS's denials name the action
/// in lowercase.
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

/// The queue's name, which is the last part of its URL. The host does not matter.
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
    // The wording that clients reported for WaitTimeSeconds.
    let rule = format!("Must be >= 0 and <= {max}, if provided.");
    number.map(Some).ok_or_else(|| invalid(value, name, &rule))
}

fn invalid(value: &Value, name: &str, rule: &str) -> ApiError {
    let why = format!("Value {value} for parameter {name} is invalid. Reason: {rule}");
    ApiError::sender("InvalidParameterValue", why)
}

fn names<'a>(input: &'a Value, field: &str) -> Vec<&'a str> {
    input[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn wants(wanted: &[&str], name: &str) -> bool {
    wanted.iter().any(|one| *one == name || *one == "All")
}

fn unknown_operation(name: &str) -> ApiError {
    let served = CALLS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let message = format!("There is no operation {name}; this simulator serves {served}");
    ApiError::sender("UnknownOperationException", message)
}

/// The error for clients that use SQS's Query protocol, as all SDKs did until November 2023.
pub(super) fn query_protocol() -> ApiError {
    let message = "this simulator speaks SQS only in JSON, not in the Query protocol: use a client that speaks JSON, such as \
                   botocore 1.31.81 or newer";
    ApiError::sender("InvalidAction", message)
}

/// An error in JSON 1.0, with the header that carries the Query protocol's error code.
fn json_error(error: &ApiError) -> Answer {
    let query_code = match error.code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "PurgeQueueInProgress" => "AWS.SimpleQueueService.PurgeQueueInProgress",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "InvalidBatchEntryId" => "AWS.SimpleQueueService.InvalidBatchEntryId",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "QueueNameExists" => "QueueAlreadyExists",
        "AccessDeniedException" => "AccessDenied",
        other => other,
    };
    let kind = match error.code {
        "InvalidParameterValue" => "InvalidParameterValueException",
        "MissingParameter" => "MissingRequiredParameterException",
        other => other,
    };
    // Errors outside the service model come from AWS's framework. Its prefix here is guessed.
    let namespace = match error.code {
        "AccessDeniedException"
        | "InvalidParameterValue"
        | "MissingParameter"
        | "SerializationException"
        | "UnknownOperationException" => "com.amazon.coral.service",
        _ => "com.amazonaws.sqs",
    };
    let body = json!({ "__type": format!("{namespace}#{kind}"), "message": error.message });
    let fault = if error.status < 500 { "Sender" } else { "Receiver" };
    Answer::new(error.status, JSON, body.to_string())
        .header("x-amzn-query-error", format!("{query_code};{fault}"))
}
