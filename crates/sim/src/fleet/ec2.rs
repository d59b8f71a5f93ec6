//! What EC2 does: schedule, move and cancel maintenance, and reclaim capacity.

use std::time::Duration;

use serde_json::json;

use crate::fault::Fault;
use crate::world::{LifeCycle, warning};
use machine::Time;
use machine::event::MaintenanceNotice;

use super::host::Host;
use super::{Fleet, Step};

/// From the warning to the interruption (EC2 user guide: interruptible reservations, and Capacity Blocks).
const CAPACITY_WARNINGS: [Duration; 2] = [Duration::from_secs(120), Duration::from_secs(600)];

/// How long after its scheduled time the daemon believes in maintenance that only a message announced.
const BELIEVED: Duration = Duration::from_secs(3600 + 420);

/// The daemon polls IMDS for maintenance once a minute, and may be down for longer.
const NEWS: Duration = Duration::from_secs(180);

/// Scheduled maintenance of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maintenance {
    /// Its number among the instance's maintenance events.
    number: u32,
    pub not_before: Time,
    /// Only a message announces it.
    by_message: bool,
}

impl Maintenance {
    fn id(self) -> String {
        if self.by_message {
            format!("arn:aws:health:eu-west-1::event/EC2/AWS_EC2_MAINTENANCE_SCHEDULED/{}", self.number)
        } else {
            format!("instance-event-{:017}", self.number)
        }
    }
}

impl Fleet {
    /// EC2 interrupts only spot instances. Half of the instances that it never interrupts are spot instances, too.
    pub(super) fn buy(&mut self, host: usize, interrupted: bool) {
        let Host { id, phase, .. } = &self.hosts[host];
        if interrupted || phase.as_millis().is_multiple_of(2) {
            self.world.set_life_cycle(id, LifeCycle::Spot);
        }
    }

    /// EC2 schedules maintenance. It may move or cancel it later.
    pub(super) fn schedule_maintenance(&mut self, host: usize) {
        if self.hosts[host].maintenance.is_some() {
            return;
        }
        self.hosts[host].maintenances += 1;
        let number = self.hosts[host].maintenances;
        let lead = self.delay(60_000, 1_500_000);
        let by_message = self.rng.f64() < 0.4;
        self.judge.many_drains(host);
        self.set_maintenance(host, Some(Maintenance { number, not_before: self.now + lead, by_message }));
        let change = self.delay(10_000, 400_000);
        self.after(change, Step::MaintenanceChange { host, number });
    }

    /// EC2 moves maintenance earlier or later, cancels it, or keeps it as announced.
    pub(super) fn change_maintenance(&mut self, host: usize, number: u32) {
        let Some(due) = self.scheduled(host, number) else { return };
        let lead = due.not_before.since(self.now);
        match self.rng.u8(..4) {
            0 => self.set_maintenance(host, None),
            1 => self.set_maintenance(host, Some(Maintenance { not_before: self.now + lead / 2, ..due })),
            2 => {
                let later = self.delay(300_000, 3_600_000);
                let not_before = (due.not_before + later).min(self.plan.faults_end().max(due.not_before));
                self.set_maintenance(host, Some(Maintenance { not_before, ..due }));
            }
            _ => {}
        }
    }

    /// Scheduled maintenance is due. Often it is a reboot.
    pub(super) fn maintenance_due(&mut self, host: usize, number: u32) {
        let is_due = self.scheduled(host, number).is_some_and(|due| due.not_before <= self.now);
        if is_due {
            self.set_maintenance(host, None);
            if self.rng.bool() && self.now < self.plan.faults_end() {
                self.strike(host, Fault::Reboot);
            }
        }
    }

    fn scheduled(&self, host: usize, number: u32) -> Option<Maintenance> {
        self.hosts[host].maintenance.filter(|due| due.number == number && !self.hosts[host].gone)
    }

    /// Replaces the scheduled maintenance.
    pub(super) fn set_maintenance(&mut self, host: usize, next: Option<Maintenance>) {
        let before = std::mem::replace(&mut self.hosts[host].maintenance, next);
        if before == next || self.hosts[host].gone {
            return;
        }
        self.tell(host, || format!("maintenance: {next:?}"));
        self.judge.may_extend(host);
        if let Some(before) = before {
            let heard = if before.by_message { BELIEVED + before.not_before.since(self.now) } else { NEWS };
            let (at, until) = (before.not_before, self.now + heard);
            // The daemon may also believe a time from an earlier move, because messages overtake each other.
            let earlier = self.hosts[host].before_move.filter(|(_, until)| *until > self.now);
            let (at, until) = earlier.map_or((at, until), |(first, last)| (at.min(first), until.max(last)));
            self.hosts[host].before_move = Some((at, until));
        }
        if let Some(due) = next {
            self.at(due.not_before, Step::MaintenanceDue { host, number: due.number });
        }
        match next.or(before) {
            Some(told) if told.by_message => {
                let until = Some(told.not_before + BELIEVED);
                self.hosts[host].believes_until = until.max(self.hosts[host].believes_until);
                self.send_health(host, told, next.is_none());
            }
            _ => self.plan_poll(host, self.now),
        }
    }

    /// The maintenance that IMDS lists.
    pub(super) fn listed_maintenance(&self, host: usize) -> Vec<MaintenanceNotice> {
        let listed = self.hosts[host].maintenance.filter(|due| !due.by_message);
        let notice = |due: Maintenance| MaintenanceNotice {
            event_id: due.id(),
            code: "system-reboot".to_owned(),
            not_before: Some(due.not_before),
        };
        listed.map(notice).into_iter().collect()
    }

    fn send_health(&mut self, host: usize, due: Maintenance, closed: bool) {
        if self.strikes(Fault::EventLost) {
            return self.tell(host, || "the message about the maintenance is lost".to_owned());
        }
        let body = health(&self.hosts[host].id, &due.id(), due.not_before, closed);
        self.send_about(host, body);
    }

    /// Puts a message about an instance into the queue. The instance may delete it.
    pub(super) fn send_about(&mut self, host: usize, body: String) {
        let Some(queue) = self.world.config().queue.clone() else { return };
        let id = self.hosts[host].id.clone();
        self.tell(host, || format!("message sent: {body}"));
        self.world.send_message_about(self.now, &queue, body, &id);
        self.digest(None);
    }

    /// Whether EC2 has announced that it interrupts the instance.
    pub(super) fn is_taken_back(&self, host: usize) -> bool {
        self.hosts[host].spot.is_some() || self.hosts[host].capacity.is_some()
    }

    /// EC2 reclaims the instance's capacity. Only a message announces it.
    pub(super) fn take_capacity(&mut self, host: usize) {
        let warning = CAPACITY_WARNINGS[self.rng.usize(..CAPACITY_WARNINGS.len())];
        let at = self.now + warning;
        self.judge.many_drains(host);
        self.hosts[host].capacity = Some(at);
        let body = warning::interruption(&self.hosts[host].id, self.now, at);
        self.send_about(host, body);
        self.at(at, Step::TakeBack { host });
    }
}

/// An AWS Health event that schedules a change.
pub(super) fn health(instance: &str, event: &str, not_before: Time, closed: bool) -> String {
    json!({
        "detail-type": "AWS Health Event",
        "source": "aws.health",
        "resources": [instance],
        "detail": {
            "eventArn": event,
            "service": "EC2",
            "eventTypeCode": "AWS_EC2_SYSTEM_REBOOT_MAINTENANCE_SCHEDULED",
            "eventTypeCategory": "scheduledChange",
            "statusCode": if closed { "closed" } else { "upcoming" },
            "startTime": not_before.to_string(),
            "affectedEntities": [{ "entityValue": instance }],
        },
    })
    .to_string()
}

/// A spot interruption warning that was sent at that time.
pub(super) fn spot(instance: &str, sent: Time) -> String {
    json!({
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "time": sent.to_string(),
        "resources": [format!("arn:aws:ec2:eu-west-1a:instance/{instance}")],
        "detail": { "instance-id": instance, "instance-action": "terminate" },
    })
    .to_string()
}
