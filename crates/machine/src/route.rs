//! What becomes of each message of the shared queue.

use super::Machine;
use super::event::MaintenanceNotice;
use super::event::SpotNotice;
use super::hook::owner_by_name;
use super::message::{Body, InstanceMessage, InstanceNews, LifecycleMessage, Message, Transition};
use super::notice::ActionNotice;
use super::report::Report;

/// Receipts that one drain keeps; SQS may deliver one message many times.
const RECEIPTS_MAX: usize = 32;

/// How long a spot instance has after its warning (EC2 user guide, "Spot Instance interruption notices").
const SPOT_WARNING: std::time::Duration = std::time::Duration::from_secs(120);

/// Whose a message is.
enum Owner {
    /// Ours, and it stays until its action is over.
    Held,
    /// Ours, and it has done its work.
    Spent,
    /// Somebody else's, or nobody's.
    Other,
}

impl Machine {
    pub(super) fn route(&mut self, messages: Vec<Message>) {
        let mut others = Vec::new();
        let mut own = 0;
        for message in messages {
            let owner = match &*message.body {
                Body::Lifecycle(lifecycle) => self.on_lifecycle_message(&message.receipt, lifecycle),
                Body::Instance(news) => self.on_instance_message(news),
                Body::Test => Owner::Other,
                Body::Unreadable(why) => {
                    self.stranger(format!(
                        "{why}; expected an EventBridge event or a hook's notification, in an SNS envelope or not"
                    ));
                    Owner::Other
                }
            };
            match owner {
                Owner::Held => own += 1,
                Owner::Spent => {
                    own += 1;
                    let revision = self.journal.touch();
                    self.queue.delete(message.receipt, revision);
                }
                Owner::Other => others.push(message),
            }
        }
        let draining = self.is_draining();
        self.queue.give_back(&mut self.turn, &others, own, draining);
    }

    fn stranger(&mut self, why: String) {
        if self.queue.strange.is_news(&why) {
            self.turn.report(Report::StrangeMessage { why });
        }
    }

    fn on_lifecycle_message(&mut self, receipt: &str, message: &LifecycleMessage) -> Owner {
        if message.instance_id != self.settings.instance_id || message.transition != Transition::Terminating {
            return Owner::Other;
        }
        if let Some(group) = self.settings.group.clone().filter(|group| *group != message.group) {
            self.stranger(format!(
                "it names this instance and the group {:?}; expected {group:?}: check lifecycle.group",
                message.group
            ));
            return Owner::Other;
        }
        if !self.is_our_hook(&message.hook) {
            return Owner::Other;
        }
        if message.token.as_ref().is_some_and(|token| self.finished.contains(token)) {
            return Owner::Spent;
        }
        if self.drain.as_ref().is_some_and(|drain| drain.has_outlived(message)) {
            return Owner::Spent;
        }
        self.notices.action = Some(ActionNotice::from_message(message));
        let in_force = self.notices.in_force(&self.settings, &mut self.turn);
        self.begin_or_leave(&in_force);
        let Some(drain) = &mut self.drain else { return Owner::Other };
        drain.message_hook = Some(message.hook.clone());
        drain.action.on_message(&mut self.turn, &self.settings, message);
        if drain.receipts.len() < RECEIPTS_MAX && !drain.receipts.iter().any(|kept| kept == receipt) {
            drain.receipts.push(receipt.to_owned());
        }
        self.queue.hide(receipt.to_owned(), self.journal.touch());
        Owner::Held
    }

    /// A message of a hook that is not ours is somebody else's. Until the hooks are known, it may be ours.
    fn is_our_hook(&self, hook: &str) -> bool {
        if let Some(configured) = &self.settings.hook {
            return configured == hook;
        }
        let known = self.drain.as_ref().and_then(|drain| drain.action.record.hook.as_ref());
        let known = known.map(|hook| &hook.name);
        // Where the group's hooks cannot be read, the first message says which to complete.
        if known.is_none_or(|name| name != hook) && owner_by_name(hook).is_some() {
            return false;
        }
        let Some(drain) = &self.drain else { return true };
        // One drain serves one hook: the first that is named, until it is known which it is.
        let named = known.or(drain.message_hook.as_ref());
        drain.action.is_possible() && named.is_none_or(|name| name == hook)
    }

    /// The hook is known now: messages that were taken for ours and name another are given back.
    pub(super) fn disown_messages(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        let Some(named) = drain.message_hook.clone() else { return };
        let chosen = drain.action.record.hook.as_ref();
        if chosen.is_some_and(|hook| hook.name == named) && drain.action.is_possible() {
            return;
        }
        drain.message_hook = None;
        let receipts = std::mem::take(&mut drain.receipts);
        drain.action.forget_message();
        if self.notices.target.is_some() {
            // The target state tells of the termination by itself; otherwise this message remains its only notice.
            self.notices.action = None;
        }
        self.queue.give_back_receipts(&mut self.turn, receipts);
        self.journal.touch();
    }

    fn on_instance_message(&mut self, message: &InstanceMessage) -> Owner {
        if !message.instance_ids.contains(&self.settings.instance_id) {
            return Owner::Other;
        }
        match &message.news {
            InstanceNews::SpotInterruption { action, at } => {
                let at = at.unwrap_or(self.turn.now + SPOT_WARNING);
                self.notices.spot.get_or_insert(SpotNotice { action: *action, at });
            }
            InstanceNews::Rebalance => {
                self.notices.rebalance.get_or_insert(self.turn.now);
            }
            InstanceNews::Maintenance { event_id, closed: true, .. } => {
                self.notices.maintenance.remove(event_id);
            }
            InstanceNews::Maintenance { event_id, code, not_before, closed: false } => {
                self.notices.add_maintenance(MaintenanceNotice {
                    event_id: event_id.clone(),
                    code: code.clone(),
                    not_before: *not_before,
                });
            }
            InstanceNews::StateChange(_) => {}
        }
        // A message that names several instances is not ours alone to delete.
        if message.instance_ids.len() == 1 { Owner::Spent } else { Owner::Other }
    }
}
