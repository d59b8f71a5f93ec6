//! Reads the body of a queue message, in every format that AWS sends. Pure.
//!
//! It reads the detail-type and detail of an event, or the fields of a notification. Unknown fields are skipped. It reads
//! messages about any instance.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::imds::{NAME_MAX, is_instance_id, time_from};
use crate::text::{cause, is_text, quote, shorten};
use machine::Time;
use machine::message::{
    Body, InstanceMessage, InstanceNews, LifecycleMessage, ReservationMessage, SpotAction, Transition,
};

/// The largest message that is read, in bytes. It is the largest that SQS accepts.
pub const MESSAGE_MAX: usize = 1024 * 1024;

/// The most instances in one message. A message with more is unreadable.
pub const INSTANCES_MAX: usize = 100;

/// The longest token of a lifecycle action, in characters. AWS's tokens have 36.
pub const TOKEN_MAX: usize = 64;

/// How much of a value is quoted in an error, in characters.
const WORD_MAX: usize = 64;

/// The time from an interruption warning to the interruption. Hibernation begins at once.
const WARNING: Duration = Duration::from_secs(120);

/// Detail-types of the warning before the capacity of an instance is reclaimed (EC2 user guide, "Monitor Capacity Blocks using
/// EventBridge" and "Monitor interruptible Capacity Reservations").
const CAPACITY_INTERRUPTIONS: [&str; 2] = [
    "EC2 Capacity Reservation Instance Interruption Warning",
    "EC2 Interruptible Capacity Reservation Instance Interruption Warning",
];

/// Detail-types of the warning before a Capacity Block ends. The EC2 user guide has had both.
const BLOCK_ENDS: [&str; 2] =
    ["Capacity Block Expiration Warning", "Capacity Block Reservation Expiration Warning"];

/// Reads a message. Never fails: a message that cannot be read is [`Body::Unreadable`], with the cause.
pub fn read(body: &str) -> Body {
    read_layer(body, Layer::Queue)
        .unwrap_or_else(|reason| Body::Unreadable(format!("{reason}, in {}", quote(body.as_bytes()))))
}

/// Where the text comes from. SNS wraps a message once, never twice.
#[derive(Clone, Copy)]
enum Layer {
    Queue,
    Sns,
}

/// The fields that tell the formats apart.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Outline {
    detail: Option<IgnoredAny>,
    #[serde(rename = "Type")]
    sns_type: Option<String>,
    #[serde(rename = "Message")]
    sns_message: Option<String>,
    #[serde(rename = "Event")]
    event: Option<String>,
    #[serde(rename = "LifecycleTransition")]
    transition: Option<IgnoredAny>,
}

fn read_layer(body: &str, layer: Layer) -> Result<Body, String> {
    if body.len() > MESSAGE_MAX {
        return Err(format!("{} bytes long; the limit is {MESSAGE_MAX}", body.len()));
    }
    if !body.trim_start().starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    let outline: Outline = parse(body)?;
    if outline.detail.is_some() {
        return read_event(body);
    }
    if let Some(sns_type) = outline.sns_type {
        return read_sns(&sns_type, outline.sns_message, layer);
    }
    if outline.transition.is_some() {
        let Sent { time } = parse(body)?;
        let sent = time.as_deref().and_then(Time::from_rfc3339);
        return parse::<Action>(body)?.read(sent).map(Body::Lifecycle);
    }
    match outline.event.as_deref() {
        Some("autoscaling:TEST_NOTIFICATION") => Ok(Body::Test),
        Some(event) => Err(format!("an unsupported notification, {}", word(event))),
        None => Err("neither an EventBridge event (no detail), a lifecycle notification \
                     (no LifecycleTransition) nor an SNS envelope (no Type)"
            .to_owned()),
    }
}

fn read_sns(sns_type: &str, message: Option<String>, layer: Layer) -> Result<Body, String> {
    match (layer, sns_type, message) {
        (Layer::Sns, _, _) => Err("an SNS envelope within an SNS envelope".to_owned()),
        (Layer::Queue, "Notification", Some(message)) => {
            read_layer(&message, Layer::Sns).map_err(|reason| format!("in an SNS envelope: {reason}"))
        }
        (Layer::Queue, "Notification", None) => Err("an SNS envelope without Message".to_owned()),
        (Layer::Queue, other, _) => Err(format!("an SNS message of type {}", word(other))),
    }
}

/// The field of a hook's own notification that an event's detail lacks.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Sent {
    #[serde(rename = "Time")]
    time: Option<String>,
}

/// The fields that a hook's own notification and an event's detail share.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Action {
    #[serde(rename = "EC2InstanceId")]
    instance_id: Option<String>,
    auto_scaling_group_name: Option<String>,
    lifecycle_hook_name: Option<String>,
    lifecycle_action_token: Option<String>,
    lifecycle_transition: Option<String>,
    destination: Option<String>,
    action: Option<String>,
}

impl Action {
    fn read(self, sent: Option<Time>) -> Result<LifecycleMessage, String> {
        let transition = match self.lifecycle_transition.as_deref() {
            Some("autoscaling:EC2_INSTANCE_TERMINATING") => Transition::Terminating,
            Some("autoscaling:EC2_INSTANCE_LAUNCHING") => Transition::Launching,
            Some(other) => return Err(format!("an unknown LifecycleTransition, {}", word(other))),
            None => return Err("a lifecycle action without LifecycleTransition".to_owned()),
        };
        Ok(LifecycleMessage {
            instance_id: required(self.instance_id, "EC2InstanceId")?,
            group: required(self.auto_scaling_group_name, "AutoScalingGroupName")?,
            hook: required(self.lifecycle_hook_name, "LifecycleHookName")?,
            token: token(self.lifecycle_action_token)?,
            transition,
            to_warm_pool: self.destination.as_deref() == Some("WarmPool"),
            replaces_root_volume: self.action.as_deref() == Some("ReplaceRootVolume"),
            sent,
        })
    }
}

/// An EventBridge event with a detail of type `D`.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Event<D> {
    /// AWS's examples of events about Capacity Blocks spell it with an underscore.
    #[serde(rename = "detail-type", alias = "detail_type")]
    detail_type: Option<String>,
    source: Option<String>,
    time: Option<String>,
    resources: Option<Resources>,
    detail: D,
}

/// AWS documents a list of ARNs, but its example for a capacity reservation shows a single string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Resources {
    Many(Vec<String>),
    One(String),
    Other(IgnoredAny),
}

impl Resources {
    fn arns(&self) -> &[String] {
        match self {
            Resources::Many(arns) => arns,
            Resources::One(arn) => std::slice::from_ref(arn),
            Resources::Other(_) => &[],
        }
    }
}

/// The fields that tell details apart.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "an object")]
struct DetailOutline {
    #[serde(rename = "LifecycleTransition")]
    transition: Option<IgnoredAny>,
    #[serde(rename = "eventTypeCode")]
    event_type_code: Option<IgnoredAny>,
    instance_id: Option<String>,
    instance_action: Option<String>,
    instance_termination_time: Option<String>,
    state: Option<String>,
    capacity_reservation_id: Option<String>,
    end_date: Option<String>,
}

fn read_event(body: &str) -> Result<Body, String> {
    let event: Event<DetailOutline> = parse(body)?;
    let sent = event.time.as_deref().and_then(Time::from_rfc3339);
    if event.detail.transition.is_some() {
        let event: Event<Action> = parse(body)?;
        return event.detail.read(sent).map(Body::Lifecycle);
    }
    if event.detail.event_type_code.is_some() || event.source.as_deref() == Some("aws.health") {
        return read_health(parse(body)?, sent).map(Body::Instance);
    }
    let detail_type = event.detail_type.unwrap_or_default();
    let detail = event.detail;
    if BLOCK_ENDS.contains(&detail_type.as_str()) {
        let reservation = required(detail.capacity_reservation_id, "detail.capacity-reservation-id")?;
        let ends = detail.end_date.as_deref().and_then(time_from);
        return Ok(Body::Reservation(ReservationMessage { reservation, ends, sent }));
    }
    let DetailOutline { instance_id, instance_action, instance_termination_time, state, .. } = detail;
    let news = match detail_type.as_str() {
        "EC2 Spot Instance Interruption Warning" => {
            spot_news(&required(instance_action, "detail.instance-action")?, sent)?
        }
        interrupted if CAPACITY_INTERRUPTIONS.contains(&interrupted) => InstanceNews::CapacityInterruption {
            at: instance_termination_time.as_deref().and_then(time_from).or(sent.map(|sent| sent + WARNING)),
        },
        "EC2 Instance Rebalance Recommendation" => InstanceNews::Rebalance { at: sent },
        "EC2 Instance State-change Notification" => {
            InstanceNews::StateChange(required(state, "detail.state")?)
        }
        other => return Err(format!("an event with unsupported detail-type {}", word(other))),
    };
    let instance_ids = vec![required(instance_id, "detail.instance-id")?];
    Ok(Body::Instance(InstanceMessage { instance_ids, news, sent }))
}

fn spot_news(action: &str, sent: Option<Time>) -> Result<InstanceNews, String> {
    let (action, warning) = match action {
        "terminate" => (SpotAction::Terminate, WARNING),
        "stop" => (SpotAction::Stop, WARNING),
        "hibernate" => (SpotAction::Hibernate, Duration::ZERO),
        other => return Err(format!("an unknown instance-action, {}", word(other))),
    };
    Ok(InstanceNews::SpotInterruption { action, at: sent.map(|sent| sent + warning) })
}

/// The detail of an AWS Health event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Health {
    event_arn: Option<String>,
    service: Option<String>,
    event_type_code: Option<String>,
    event_type_category: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    status_code: Option<String>,
    affected_entities: Option<Vec<Entity>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Entity {
    entity_value: Option<String>,
}

fn read_health(event: Event<Health>, sent: Option<Time>) -> Result<InstanceMessage, String> {
    let Event { detail, resources, .. } = event;
    if let Some(service) = detail.service.filter(|service| service != "EC2") {
        return Err(format!("an AWS Health event for service {}, not EC2", word(&service)));
    }
    if let Some(category) = detail.event_type_category.filter(|category| category != "scheduledChange") {
        return Err(format!("an AWS Health event of category {}, not scheduledChange", word(&category)));
    }
    let named = detail.affected_entities.into_iter().flatten().filter_map(|entity| entity.entity_value);
    let mut instance_ids: Vec<String> = named.filter_map(|value| instance_id(&value)).collect();
    if instance_ids.is_empty() {
        instance_ids =
            resources.iter().flat_map(Resources::arns).filter_map(|arn| instance_id(arn)).collect();
    }
    match instance_ids.len() {
        0 => return Err("an AWS Health event that names no instance".to_owned()),
        1..=INSTANCES_MAX => {}
        many => {
            return Err(format!("an AWS Health event about {many} instances; the limit is {INSTANCES_MAX}"));
        }
    }
    let news = InstanceNews::Maintenance {
        event_id: required(detail.event_arn, "detail.eventArn")?,
        code: required(detail.event_type_code, "detail.eventTypeCode")?,
        not_before: detail.start_time.as_deref().and_then(time_from),
        ends: detail.end_time.as_deref().and_then(time_from),
        closed: detail.status_code.as_deref() == Some("closed"),
    };
    Ok(InstanceMessage { instance_ids, news, sent })
}

/// The instance id in a bare id or an instance's ARN.
fn instance_id(text: &str) -> Option<String> {
    let id = text.rsplit_once("instance/").map_or(text, |(_, id)| id);
    is_instance_id(id).then(|| id.to_owned())
}

fn required(field: Option<String>, name: &str) -> Result<String, String> {
    let value = field.filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is missing"))?;
    text(value, name, NAME_MAX)
}

fn token(field: Option<String>) -> Result<Option<String>, String> {
    let token = field.filter(|token| !token.is_empty());
    token.map(|token| text(token, "LifecycleActionToken", TOKEN_MAX)).transpose()
}

fn text(value: String, name: &str, max: usize) -> Result<String, String> {
    if is_text(&value, max) {
        return Ok(value);
    }
    Err(format!("{name} is {}; expected at most {max} printable characters", word(&value)))
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| {
        let what = if error.is_data() { "unexpected content" } else { "not JSON" };
        format!("{what}: {}", cause(&error))
    })
}

/// A value from the message, safe for a log line.
fn word(text: &str) -> String {
    format!("{:?}", shorten(text, WORD_MAX))
}

#[cfg(test)]
mod tests;
