//! Messages in the termination queue that no daemon of the fleet may act on, or delete.

use std::time::Duration;

use serde_json::json;

use super::{Fleet, plan};

impl Fleet {
    /// Somebody puts a message of no use into the queue: another program, a console that tries it out, a rule or a group
    /// beside ours. It stays there until its retention ends.
    pub(super) fn send_stray(&mut self) {
        let Some(queue) = self.world.config().queue.clone() else { return };
        let place = self.rng.usize(..self.hosts.len());
        let ours = self.hosts[place].id.clone();
        let body = match self.rng.u8(..5) {
            0 => "hello".to_owned(),
            1 => json!({ "Event": "autoscaling:TEST_NOTIFICATION", "AutoScalingGroupName": plan::GROUP })
                .to_string(),
            2 => lifecycle(&ours, "EC2_INSTANCE_LAUNCHING"),
            3 => lifecycle("i-0123456789abcdef", "EC2_INSTANCE_TERMINATING"),
            // To all who are named in it, and so nobody's to delete.
            _ => json!({
                "detail-type": "EC2 Instance Rebalance Recommendation",
                "source": "aws.ec2",
                "resources": ["i-0123456789abcdef", "i-0fedcba9876543210"],
                "detail": { "instance-id": "i-0123456789abcdef" },
            })
            .to_string(),
        };
        let sent = self.world.send_message(self.now, &queue, body, Duration::ZERO);
        debug_assert!(sent.is_ok(), "{sent:?}");
        self.digest(None);
    }
}

/// The notification of a hook for an instance.
fn lifecycle(instance: &str, transition: &str) -> String {
    json!({
        "LifecycleTransition": format!("autoscaling:{transition}"),
        "LifecycleHookName": plan::HOOK,
        "AutoScalingGroupName": plan::GROUP,
        "EC2InstanceId": instance,
        "LifecycleActionToken": "00000000-0000-4000-8000-000000000000",
        "Time": plan::START.to_string(),
    })
    .to_string()
}
