//! What becomes of each message of the shared queue.

use super::Machine;
use super::message::{Body, LifecycleMessage, Message, Transition};
use super::notice::{Notice, Reason, Source};
use super::report::Report;

/// The id of an action whose message has no token.
pub(super) const NO_TOKEN: &str = "no token";

/// Receipts that one drain keeps; SQS may deliver one message many times.
const RECEIPTS_MAX: usize = 32;

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
                Body::Instance(news) if news.instance_ids.contains(&self.settings.instance_id) => {
                    let before = self.notices.clone();
                    self.on_news(&news.news, message.sent);
                    if self.notices != before {
                        self.journal.touch();
                    }
                    // A message that names several instances is not ours alone to delete.
                    if news.instance_ids.len() == 1 { Owner::Spent } else { Owner::Other }
                }
                Body::Instance(_) => Owner::Other,
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
        let token = message.token.as_deref().unwrap_or(NO_TOKEN);
        let told = Notice::new(Source::Queue, Reason::of_message(message), token, self.turn.now);
        self.notices.tell_action(&mut self.turn, told);
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
        let Some(drain) = &self.drain else { return true };
        let known = drain.action.record.hook.as_ref().map(|hook| &hook.name);
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
        if self.notices.has_target() {
            // The target state tells of the termination by itself; otherwise this message remains its only notice.
            self.notices.withdraw_action(&mut self.turn);
        }
        self.queue.give_back_receipts(&mut self.turn, receipts);
        self.journal.touch();
    }
}
