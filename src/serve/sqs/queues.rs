//! SQS calls about queues.

use std::time::Duration;

use serde_json::{Map, Value, json};

use sim::world::{ApiError, QueueSpec};

use super::super::service::Shared;
use super::{VISIBILITY_SECS_MAX, WAIT_SECS_MAX, names, number, queue, text, wants};

const QUEUES_LISTED_MAX: u64 = 1000;
const RETENTION_SECS_MIN: u64 = 60;
const RETENTION_SECS_MAX: u64 = 1_209_600;

pub(super) fn create_queue(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "QueueName")?;
    // An existing queue is compared only by the given attributes, as recorded from AWS.
    let existing = shared.with(|world, now| world.describe_queue(now, name)).ok().map(|view| view.spec);
    let spec = queue_spec(input, existing.unwrap_or_else(|| QueueSpec::named(name)))?;
    shared.with(|world, now| world.create_queue(now, spec))?;
    Ok(json!({ "QueueUrl": shared.queue_url(name) }))
}

pub(super) fn delete_queue(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    shared.with(|world, now| world.delete_queue(now, queue)).map(|()| Value::Null)
}

pub(super) fn purge_queue(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    shared.with(|world, now| world.purge_queue(now, queue)).map(|()| Value::Null)
}

pub(super) fn queue_url(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "QueueName")?;
    shared.with(|world, now| world.describe_queue(now, name))?;
    Ok(json!({ "QueueUrl": shared.queue_url(name) }))
}

pub(super) fn set_queue_attributes(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let queue = queue(input)?;
    let before = shared.with(|world, now| world.describe_queue(now, queue))?.spec;
    let spec = queue_spec(input, before)?;
    shared.with(|world, now| world.set_queue(now, spec)).map(|()| Value::Null)
}

/// A queue's settings, changed by `Attributes`. An empty policy removes the policy.
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
        visibility: attribute("VisibilityTimeout", defaults.visibility, 0..=VISIBILITY_SECS_MAX)?,
        retention: attribute(
            "MessageRetentionPeriod",
            defaults.retention,
            RETENTION_SECS_MIN..=RETENTION_SECS_MAX,
        )?,
        wait: attribute("ReceiveMessageWaitTimeSeconds", defaults.wait, 0..=WAIT_SECS_MAX)?,
        policy: document("Policy", defaults.policy),
        redrive: document("RedrivePolicy", defaults.redrive),
        name: defaults.name,
    })
}

/// Paginates only if the caller sets `MaxResults`, as AWS does.
pub(super) fn list_queues(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
    let prefix = input["QueueNamePrefix"].as_str().unwrap_or_default();
    let size = number(input, "MaxResults", QUEUES_LISTED_MAX)?;
    let names = shared.with(|world, _| world.queue_names());
    let after = input["NextToken"].as_str().unwrap_or_default();
    let left = names.iter().filter(|name| name.starts_with(prefix) && name.as_str() > after);
    let left: Vec<_> = left.collect();
    let page = &left[..left.len().min(size.unwrap_or(QUEUES_LISTED_MAX).max(1) as usize)];
    let mut output = json!({});
    if !page.is_empty() {
        output["QueueUrls"] = page.iter().map(|name| shared.queue_url(name)).collect();
    }
    if let Some(last) = page.last().filter(|_| size.is_some() && page.len() < left.len()) {
        output["NextToken"] = json!(last);
    }
    Ok(output)
}

pub(super) fn queue_attributes(shared: &Shared, input: &Value) -> Result<Value, ApiError> {
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
        ("SqsManagedSseEnabled", "true".to_owned()),
        ("VisibilityTimeout", view.spec.visibility.as_secs().to_string()),
    ];
    let wanted = names(input, "AttributeNames");
    let documents = [("Policy", view.spec.policy), ("RedrivePolicy", view.spec.redrive)];
    let documents = documents.into_iter().filter_map(|(name, text)| Some((name, text?)));
    let chosen = all.into_iter().chain(documents).filter(|(name, _)| wants(&wanted, name));
    let attributes: Map<_, _> = chosen.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    Ok(if attributes.is_empty() { json!({}) } else { json!({ "Attributes": attributes }) })
}
