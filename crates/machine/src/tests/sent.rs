//! Messages of the termination queue.

use super::super::Time;
use super::super::message::*;
use super::bench::INSTANCE;

/// A termination message of hook `drain` for this instance, sent now.
pub fn lifecycle(token: &str, sent: Time) -> LifecycleMessage {
    LifecycleMessage {
        instance_id: INSTANCE.to_owned(),
        group: "workers".to_owned(),
        hook: "drain".to_owned(),
        token: Some(token.to_owned()),
        transition: Transition::Terminating,
        to_warm_pool: false,
        replaces_root_volume: false,
        sent: Some(sent),
    }
}

pub fn message(receipt: &str, body: Body) -> Message {
    Message { receipt: receipt.to_owned(), sent: None, body: body.into() }
}

/// A message with this news about the instance.
pub fn news(receipt: &str, news: InstanceNews) -> Message {
    let instance_ids = vec![INSTANCE.to_owned()];
    message(receipt, Body::Instance(InstanceMessage { instance_ids, news, sent: None }))
}

/// The same, in a message sent at this time.
pub fn news_sent(receipt: &str, sent: Time, told: InstanceNews) -> Message {
    Message { sent: Some(sent), ..news(receipt, told) }
}

/// Maintenance at this time, as AWS Health announces it.
pub fn health(not_before: Time) -> InstanceNews {
    InstanceNews::Maintenance {
        event_id: "arn:aws:health:eu-west-1::event/EC2/AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED/1".to_owned(),
        code: "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED".to_owned(),
        not_before: Some(not_before),
        ends: None,
        closed: false,
    }
}

/// The same maintenance, over or called off.
pub fn health_closed(not_before: Time) -> InstanceNews {
    let mut news = health(not_before);
    if let InstanceNews::Maintenance { closed, .. } = &mut news {
        *closed = true;
    }
    news
}
