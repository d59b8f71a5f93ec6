//! What EC2 says of an instance to its metadata service, and what the service answers.

use std::time::Duration;

use serde_json::json;

use machine::Time;

use super::World;
use super::delivery::whole_seconds;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The notices of an instance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notices {
    interrupted_at: Option<Time>,
    recommended_at: Option<Time>,
    reboots_at: Option<Time>,
}

impl Notices {
    /// `spot/instance-action`
    pub fn interruption(self) -> Option<String> {
        let at = whole_seconds(self.interrupted_at?);
        Some(json!({ "action": "terminate", "time": at }).to_string())
    }

    /// `events/recommendations/rebalance`
    pub fn rebalance(self) -> Option<String> {
        Some(json!({ "noticeTime": whole_seconds(self.recommended_at?) }).to_string())
    }

    /// `events`
    pub fn list(self) -> &'static str {
        if self.recommended_at.is_some() { "maintenance/\nrecommendations/" } else { "maintenance/" }
    }

    /// `events/maintenance/scheduled`
    pub fn maintenance(self) -> String {
        let event = |at: Time| {
            json!([{
                "NotBefore": in_words(at),
                "NotAfter": in_words(at + Duration::from_secs(3600)),
                "Code": "system-reboot",
                "Description": "scheduled reboot",
                "EventId": "instance-event-0123456789abcdef0",
                "State": "active",
            }])
        };
        self.reboots_at.map_or_else(|| "[]".to_owned(), |at| event(at).to_string())
    }
}

/// Such as `21 Jan 2019 09:00:43 GMT`.
fn in_words(at: Time) -> String {
    let text = whole_seconds(at);
    let (date, time) = text.trim_end_matches('Z').split_once('T').unwrap_or_default();
    let mut date = date.split('-').map(|part| part.parse().unwrap_or_default());
    let mut next = || date.next().unwrap_or_default();
    let (year, month, day): (usize, usize, usize) = (next(), next(), next());
    let month = MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or_default();
    format!("{day} {month} {year} {time} GMT")
}

impl World {
    /// EC2 announces that it terminates a spot instance at that time (EC2 user guide, "Spot Instance interruption notices").
    pub fn interrupt_spot(&mut self, now: Time, instance: &str, at: Time) {
        self.change_notices(now, instance, |notices| notices.interrupted_at = Some(at));
    }

    /// EC2 says that a spot instance is at elevated risk (EC2 user guide, "EC2 instance rebalance recommendations").
    pub fn recommend_rebalance(&mut self, now: Time, instance: &str) {
        self.change_notices(now, instance, |notices| notices.recommended_at = Some(now));
    }

    /// EC2 plans to reboot an instance, not before that time (EC2 user guide, "Scheduled events for your instances"). `None`
    /// cancels that.
    pub fn plan_reboot(&mut self, now: Time, instance: &str, at: Option<Time>) {
        self.change_notices(now, instance, |notices| notices.reboots_at = at);
    }

    fn change_notices(&mut self, now: Time, instance: &str, change: impl FnOnce(&mut Notices)) {
        self.advance(now);
        if let Some(instance) = self.instances.get_mut(instance) {
            change(&mut instance.notices);
        }
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = Time::from_rfc3339("2019-01-21T09:00:43Z").expect("a time");
        assert_eq!(in_words(at), "21 Jan 2019 09:00:43 GMT");
    }
}
