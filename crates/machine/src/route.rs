//! Decides what to do with each message of the shared queue.

use super::Machine;
use super::course;
use super::hook::owner_by_name;
use super::message::{Body, LifecycleMessage, Message, Transition};
use super::notice::{Notice, Reason};
use super::queue::Need;
use super::report::Report;

/// The notice id of an action whose message has no token.
pub(super) const NO_TOKEN: &str = "no token";

/// What to do with a message.
enum Owner {
    /// Ours: keep it hidden until its action is over.
    Held,
    /// Ours and done with: delete it.
    Spent,
    /// Not ours: return it.
    Other,
}

/// Processes the messages: keeps our own and returns the others.
pub(super) fn route(machine: &mut Machine, messages: Vec<Message>) {
    let mut others = Vec::new();
    let mut own = 0;
    for message in messages {
        match owner(machine, &message) {
            Owner::Held => own += 1,
            Owner::Spent => {
                own += 1;
                let revision = machine.journal.touch();
                machine.queue.delete(message.receipt, revision);
            }
            Owner::Other => others.push(message),
        }
    }
    let need = machine.queue_need().unwrap_or(Need::Nothing);
    machine.queue.give_back(&mut machine.turn, &others, own, need);
}

fn owner(machine: &mut Machine, message: &Message) -> Owner {
    match &*message.body {
        Body::Lifecycle(told) if told.instance_id == machine.settings.instance_id => {
            let told = LifecycleMessage { sent: message.told_at(told.sent), ..told.clone() };
            on_lifecycle_message(machine, &message.receipt, &told)
        }
        Body::Instance(news) if news.instance_ids.contains(&machine.settings.instance_id) => {
            let before = machine.notices.clone();
            machine.on_news(&news.news, message.told_at(news.sent));
            if machine.notices != before {
                machine.journal.touch();
            }
            // A message about several instances is not ours alone to delete.
            if news.instance_ids.len() == 1 { Owner::Spent } else { Owner::Other }
        }
        Body::Reservation(told) => {
            machine.on_reservation(told, message.told_at(told.sent));
            Owner::Other
        }
        Body::Lifecycle(_) | Body::Instance(_) | Body::Test => Owner::Other,
        Body::Unreadable(why) => {
            let expected = "expected an EventBridge event or a lifecycle hook's notification, with or without an SNS envelope";
            stranger(machine, format!("{why}; {expected}"))
        }
    }
}

/// Reports a message that does not belong in this queue, once per cause. The message is returned.
fn stranger(machine: &mut Machine, why: String) -> Owner {
    if machine.queue.strange.is_news(&why) {
        machine.turn.report(Report::StrangeMessage { why });
    }
    Owner::Other
}

fn on_lifecycle_message(machine: &mut Machine, receipt: &str, message: &LifecycleMessage) -> Owner {
    if message.transition != Transition::Terminating || !is_our_hook(machine, &message.hook) {
        return Owner::Other;
    }
    if message.token.as_ref().is_some_and(|token| machine.finished.contains(token)) {
        return Owner::Spent;
    }
    if message.token.as_ref().is_some_and(|token| machine.disowned.contains(token)) {
        return Owner::Other;
    }
    // Only our clock says that the action is over. Long after its drain, when the daemon listens again, the message may be about
    // a new one.
    if machine.drain.as_ref().is_some_and(|drain| drain.has_outlived(message, machine.turn.now)) {
        return if machine.queue.peeked() { Owner::Other } else { Owner::Spent };
    }
    let before = machine.notices.clone();
    let token = message.token.as_deref().unwrap_or(NO_TOKEN);
    let told = Notice::of_message(Reason::of_message(message), token, message.sent, machine.turn.now);
    machine.notices.tell_action(&mut machine.turn, told);
    let in_force = machine.notices.in_force(&machine.settings, &mut machine.turn);
    course::begin_or_leave(machine, &in_force);
    let Some(drain) = &mut machine.drain else { return Owner::Other };
    if drain.contradicts(&mut machine.turn, message) {
        machine.notices = before;
        let known = drain.action.group().unwrap_or_default();
        let why =
            format!("it names this instance in group {:?}, but Auto Scaling says {known:?}", message.group);
        return stranger(machine, why);
    }
    drain.keep(receipt, message);
    drain.action.on_message(&mut machine.turn, &machine.settings, message);
    machine.queue.hide(receipt.to_owned(), machine.journal.touch());
    Owner::Held
}

/// Whether a message of this hook is ours, or may be while the hooks are unknown.
fn is_our_hook(machine: &Machine, hook: &str) -> bool {
    if let Some(configured) = &machine.settings.hook {
        return configured == hook;
    }
    let known = machine.drain.as_ref().and_then(|drain| drain.action.hook());
    let known = known.map(|hook| hook.name.as_str());
    // If the group's hooks cannot be read, the first message decides the hook, but not with another controller's hook.
    if known.is_none_or(|name| name != hook) && owner_by_name(hook).is_some() {
        return false;
    }
    let Some(drain) = &machine.drain else { return true };
    // One drain serves one hook. Until the hook is known, that is the first one that a message named.
    let named = known.or(drain.message.as_ref().map(|message| message.hook.as_str()));
    drain.action.is_possible() && named.is_none_or(|name| name == hook)
}

/// Returns kept messages that name another hook, now that the hook is known.
pub(super) fn disown_messages(machine: &mut Machine) {
    let Some(drain) = &mut machine.drain else { return };
    let Some(named) = drain.message.as_ref().map(|message| message.hook.as_str()) else { return };
    let chosen = drain.action.hook();
    if chosen.is_some_and(|hook| hook.name == named) && drain.action.is_possible() {
        return;
    }
    let (receipts, token) = drain.forget_messages();
    course::remember(&mut machine.disowned, token);
    drain.action.forget_message(machine.turn.now);
    if machine.notices.has_target_of_action() {
        // Only if the target state also announces the termination. Otherwise this message is its only notice.
        machine.notices.withdraw_action(&mut machine.turn);
    }
    machine.queue.give_back_receipts(&mut machine.turn, receipts);
    machine.journal.touch();
}
