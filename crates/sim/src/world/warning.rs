//! The warnings that EC2 sends about reserved capacity, to EventBridge alone.

use std::time::Duration;

use serde_json::json;

use machine::Time;

use super::World;

/// From the warning to the end of a Capacity Block (EC2 user guide, "Monitor Capacity Blocks using EventBridge").
pub const BLOCK_WARNING: Duration = Duration::from_secs(40 * 60);

/// EC2 begins to terminate the instances this long before the end (the same page).
pub const BLOCK_TERMINATION: Duration = Duration::from_secs(30 * 60);

/// The detail-types that AWS has documented for the warning before the end of a Capacity Block.
pub const BLOCK_WARNINGS: [&str; 2] =
    ["Capacity Block Expiration Warning", "Capacity Block Reservation Expiration Warning"];

impl World {
    /// EC2 warns that it terminates an instance at that time, because it reclaims its capacity. The rule of the account sends that
    /// to the queue.
    pub fn warn_of_interruption(&mut self, now: Time, instance: &str, at: Time) {
        let body = interruption(instance, now, at);
        if let Some(queue) = self.config.queue.clone() {
            self.send_message_about(now, &queue, body, instance);
        }
    }

    /// EC2 warns that a Capacity Block ends at that time, as one message for all of its instances.
    pub fn warn_of_block_end(&mut self, now: Time, detail_type: &str, reservation: &str, ends: Time) {
        let body = block_end(detail_type, reservation, now, ends);
        if let Some(queue) = self.config.queue.clone() {
            let sent = self.send_message(now, &queue, body, Duration::ZERO);
            debug_assert!(sent.is_ok(), "{sent:?}");
        }
    }
}

/// The warning before the capacity of an instance is reclaimed.
pub fn interruption(instance: &str, sent: Time, at: Time) -> String {
    json!({
        "detail-type": "EC2 Capacity Reservation Instance Interruption Warning",
        "source": "aws.ec2",
        "time": sent.to_string(),
        "resources": [format!("arn:aws:ec2:eu-west-1:123456789012:instance/{instance}")],
        "detail": {
            "instance-id": instance,
            "instance-action": "terminate",
            "instance-termination-time": at.to_string(),
            "availability-zone-id": "euw1-az1",
        },
    })
    .to_string()
}

/// The warning before the end of a Capacity Block.
fn block_end(detail_type: &str, reservation: &str, sent: Time, ends: Time) -> String {
    json!({
        "detail-type": detail_type,
        "source": "aws.ec2",
        "time": sent.to_string(),
        "resources": [format!("arn:aws:ec2:eu-west-1:123456789012:capacity-reservation/{reservation}")],
        "detail": {
            "capacity-reservation-id": reservation,
            "end-date": ends.to_string(),
        },
    })
    .to_string()
}
