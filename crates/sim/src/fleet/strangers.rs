//! Messages in the termination queue that no daemon of the fleet may act on. Some are about strangers, and no daemon may
//! delete them. Others are false messages about an instance of the fleet.

use std::time::Duration;

use serde_json::json;

use machine::Time;

use super::{Fleet, ec2, plan};
use crate::world::warning;

const HOUR: Duration = Duration::from_secs(3600);

/// A spot interruption comes two minutes after its warning. The daemon believes the warning for five more minutes.
const FALSE_ALARM: Duration = Duration::from_secs(7 * 60);

impl Fleet {
    /// Puts a useless message into the queue, as another program, a test in the console, a broad rule or another group
    /// would. It stays there until its retention ends.
    pub(super) fn send_stray(&mut self) {
        let Some(queue) = self.world.config().queue.clone() else { return };
        let place = self.rng.usize(..self.hosts.len());
        let ours = self.hosts[place].id.clone();
        let body = match self.rng.u8(..5) {
            0 => "hello".to_owned(),
            1 => json!({ "Event": "autoscaling:TEST_NOTIFICATION", "AutoScalingGroupName": plan::GROUP })
                .to_string(),
            2 => lifecycle(&ours, "EC2_INSTANCE_LAUNCHING", plan::GROUP, NO_TOKEN),
            3 => lifecycle("i-0123456789abcdef", "EC2_INSTANCE_TERMINATING", plan::GROUP, NO_TOKEN),
            // It names two instances, so neither may delete it.
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
    /// Sends a message about an instance that is stale, forged, or contradicted by IMDS.
    pub(super) fn send_false(&mut self, host: usize) {
        let (id, now) = (self.hosts[host].id.clone(), self.now);
        let years = HOUR * 24 * 800;
        let a_while = self.delay(300_000, 3_600_000);
        let body = match self.rng.u8(..9) {
            0 => ec2::spot(&id, now - years),
            1 => ec2::spot(&id, now - a_while),
            2 => self.false_alarm(host, now + a_while),
            3 => warning::interruption(&id, now - a_while, now - a_while / 2),
            4 => lifecycle(&id, "EC2_INSTANCE_TERMINATING", plan::GROUP, &self.token_of_another(host)),
            5 => lifecycle(&id, "EC2_INSTANCE_TERMINATING", "elsewhere", NO_TOKEN),
            6 => {
                let Some(token) = self.hosts[host].tokens.first().cloned() else { return };
                self.hosts[host].has_old_message = true;
                lifecycle(&id, "EC2_INSTANCE_TERMINATING", plan::GROUP, &token)
            }
            // Only IMDS contradicts it.
            7 => self.false_alarm(host, now),
            _ => ec2::health(&id, "arn:aws:health:eu-west-1::event/EC2/OLD/1", now - years, false),
        };
        self.judge.many_drains(host);
        self.judge.costs(host);
        self.send_about(host, body);
    }

    /// A warning of a spot interruption that will not come.
    fn false_alarm(&mut self, host: usize, sent: Time) -> String {
        let until = Some(sent + FALSE_ALARM);
        self.hosts[host].false_alarm = until.max(self.hosts[host].false_alarm);
        ec2::spot(&self.hosts[host].id, sent)
    }

    /// The token of another instance's open action.
    fn token_of_another(&mut self, host: usize) -> String {
        let from = self.rng.usize(..self.hosts.len());
        let order = (0..self.hosts.len()).map(|place| (from + place) % self.hosts.len());
        let open = |place: usize| {
            let instance = self.world.instance(&self.hosts[place].id)?;
            instance.actions.first().map(|action| action.token.clone())
        };
        order.filter(|place| *place != host).find_map(open).unwrap_or_else(|| NO_TOKEN.to_owned())
    }
}

const NO_TOKEN: &str = "00000000-0000-4000-8000-000000000000";

/// The notification of a hook for an instance.
fn lifecycle(instance: &str, transition: &str, group: &str, token: &str) -> String {
    let sent: Time = plan::START;
    json!({
        "LifecycleTransition": format!("autoscaling:{transition}"),
        "LifecycleHookName": plan::HOOK,
        "AutoScalingGroupName": group,
        "EC2InstanceId": instance,
        "LifecycleActionToken": token,
        "Time": sent.to_string(),
    })
    .to_string()
}
