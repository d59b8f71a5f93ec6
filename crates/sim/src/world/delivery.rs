//! Lifecycle events on their way, through EventBridge or as a hook's own notification.

use std::time::Duration;

use serde_json::{Value, json};

use machine::Time;

use super::config::Delivery;
use super::error::ApiError;
use super::group::{HookSpec, Transition};
use super::instance::Bound;
use super::message::About;
use super::{Happening, Wake, World};

/// If a group has no rule, its events go to the queue named after it with this suffix, if that exists.
const QUEUE_SUFFIX: &str = "-termination";

/// A message that leaves the world because of [`Delivery::outside`](super::Delivery::outside).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The hook's `NotificationTargetARN`, of a queue or a topic. `None` for EventBridge.
    pub target: Option<String>,
    /// The notification, or the event as EventBridge writes it.
    pub body: String,
}

/// An event that has not yet reached its queue.
#[derive(Debug)]
pub(super) struct OnItsWay {
    queue: String,
    body: String,
    about: Option<About>,
}

impl World {
    /// The messages that were sent to the outside since the last call, in order.
    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }

    /// Changes how events travel from now on.
    pub fn set_delivery(&mut self, now: Time, delivery: Delivery) {
        self.advance(now);
        self.config.delivery = delivery;
    }

    /// Sends an event toward a queue, with the delays, losses and duplicates of EventBridge.
    fn emit(&mut self, queue: &str, body: String, about: Option<About>) {
        let delivery = self.config.delivery;
        if self.rng.f64() < delivery.loss {
            self.log(Happening::MessageLost {
                queue: queue.into(),
                about: about.map(|about| about.instance),
            });
            return;
        }
        let copies = if self.rng.f64() < delivery.duplication { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + self.delay();
            let copy = OnItsWay { queue: queue.to_owned(), body: body.clone(), about: about.clone() };
            self.schedule(at, Wake::Deliver(Box::new(copy)));
        }
    }

    pub(super) fn arrive(&mut self, OnItsWay { queue, body, about }: OnItsWay) {
        // Messages to a deleted queue are lost.
        let _ = self.put_message(&queue, body, about, Duration::ZERO);
    }

    /// A lifecycle action has begun. Notifies the hook's notification target and EventBridge.
    pub(super) fn announce(&mut self, id: &str, hook: &HookSpec, token: &str) {
        let Some(group) = self.instances.get(id).map(|instance| instance.group.clone()) else { return };
        let about = Some(About { instance: id.into(), token: token.into() });
        if let Some(target) = &hook.target {
            let body = self.notification(id, &group, hook, token).to_string();
            self.notify(target, body, about.clone());
        }
        if self.config.delivery.outside {
            let body = self.event(id, &group, hook, token).to_string();
            self.outgoing.push(Outgoing { target: None, body });
        } else if let Some(queue) = self.rule_for(&group, hook) {
            let body = self.event(id, &group, hook, token).to_string();
            self.emit(&queue, body, about);
        }
    }

    /// Sends to a hook's target. Topics of this world have no subscribers.
    fn notify(&mut self, target: &str, body: String, about: Option<About>) {
        if self.config.delivery.outside {
            self.outgoing.push(Outgoing { target: Some(target.to_owned()), body });
        } else if let Some(queue) = queue_of_arn(target) {
            self.emit(queue, body, about);
        }
    }

    /// PutLifecycleHook was called. AWS tests the hook's notification target.
    pub(super) fn send_test_notification(
        &mut self,
        group: &str,
        target: &str,
        role: Option<&str>,
    ) -> Result<(), ApiError> {
        // Topics are not checked.
        if queue_of_arn(target).is_some() && (role.is_none() || self.target_is_gone(target)) {
            return Err(ApiError::validation(format!(
                "Unable to publish test message to notification target {target} using IAM role {}. Please check \
                 your target and role configuration and try to put lifecycle hook again.",
                role.unwrap_or_default()
            )));
        }
        let body = json!({
            "AccountId": self.config.account,
            "RequestId": self.uuid(),
            "AutoScalingGroupARN": self.group(group)?.arn,
            "AutoScalingGroupName": group,
            "Service": "AWS Auto Scaling",
            "Event": "autoscaling:TEST_NOTIFICATION",
            "Time": self.now.to_string(),
        });
        self.notify(target, body.to_string(), None);
        Ok(())
    }

    /// Whether the hook's target is a queue that no longer exists.
    pub(super) fn target_is_gone(&self, target: &str) -> bool {
        let is_gone = |queue| !self.queues.contains_key(queue);
        !self.config.delivery.outside && queue_of_arn(target).is_some_and(is_gone)
    }

    fn rule_for(&self, group: &str, hook: &HookSpec) -> Option<String> {
        if let Some(queue) = self.rules.get(group) {
            return Some(queue.clone());
        }
        let by_name = format!("{group}{QUEUE_SUFFIX}");
        (hook.target.is_none() && self.queues.contains_key(&by_name)).then_some(by_name)
    }

    pub(super) fn delay(&mut self) -> Duration {
        let (min, max) = (self.config.delivery.delay_min, self.config.delivery.delay_max);
        min + max.saturating_sub(min).mul_f64(self.rng.f64())
    }

    /// `Origin` and `Destination`: where the instance comes from and where it goes.
    fn way(&self, id: &str, transition: Transition) -> (&'static str, &'static str) {
        match transition {
            Transition::Launching => ("EC2", "AutoScalingGroup"),
            Transition::Terminating => match self.bound(id) {
                Bound::Out => ("AutoScalingGroup", "EC2"),
                Bound::Pool => ("AutoScalingGroup", "WarmPool"),
                Bound::NewRootVolume => ("AutoScalingGroup", "AutoScalingGroup"),
            },
        }
    }

    /// The event as EventBridge writes it.
    fn event(&mut self, id: &str, group: &str, hook: &HookSpec, token: &str) -> Value {
        let (origin, destination) = self.way(id, hook.transition);
        let kind = match hook.transition {
            Transition::Launching => "launch",
            Transition::Terminating => "terminate",
        };
        let mut detail = json!({
            "LifecycleActionToken": token,
            "AutoScalingGroupName": group,
            "LifecycleHookName": hook.name,
            "EC2InstanceId": id,
            "LifecycleTransition": hook.transition.as_str(),
            "Origin": origin,
            "Destination": destination,
        });
        self.add_rest(&mut detail, id, hook);
        json!({
            "version": "0",
            "id": self.uuid(),
            "detail-type": format!("EC2 Instance-{kind} Lifecycle Action"),
            "source": "aws.autoscaling",
            "account": self.config.account,
            "time": whole_seconds(self.now),
            "region": self.config.region,
            "resources": self.groups.get(group).map(|group| vec![group.arn.clone()]).unwrap_or_default(),
            "detail": detail,
        })
    }

    /// The hook's own notification, which says the same in another format.
    fn notification(&mut self, id: &str, group: &str, hook: &HookSpec, token: &str) -> Value {
        let (origin, destination) = self.way(id, hook.transition);
        let mut body = json!({
            "Origin": origin,
            "LifecycleHookName": hook.name,
            "Destination": destination,
            "AccountId": self.config.account,
            "RequestId": self.uuid(),
            "LifecycleTransition": hook.transition.as_str(),
            "AutoScalingGroupName": group,
            "Service": "AWS Auto Scaling",
            "Time": self.now.to_string(),
            "EC2InstanceId": id,
            "LifecycleActionToken": token,
        });
        self.add_rest(&mut body, id, hook);
        body
    }

    /// The fields that not every message has.
    fn add_rest(&self, fields: &mut Value, id: &str, hook: &HookSpec) {
        if let Some(metadata) = &hook.metadata {
            fields["NotificationMetadata"] = json!(metadata);
        }
        if self.bound(id) == Bound::NewRootVolume {
            fields["Action"] = json!("ReplaceRootVolume");
        }
    }
}

/// RFC 3339 without fractional seconds, as EventBridge and IMDS write it.
pub(super) fn whole_seconds(time: Time) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

fn queue_of_arn(arn: &str) -> Option<&str> {
    arn.starts_with("arn:aws:sqs:").then(|| arn.rsplit(':').next()).flatten()
}
