//! What must hold in every run, whatever happens. Pure, and apart from the world, so that a mistake in the one does not
//! hide in the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::machine::Time;

use super::world::Happening;

/// So long may a daemon take from its start to its first heartbeat: IMDS, the hook and the heartbeat itself are asked one
/// after the other, and none of them may answer at once.
const RESTART: Duration = Duration::from_secs(15);

/// Watches a run, and remembers what was violated.
#[derive(Debug)]
pub struct Invariants {
    transit: Duration,
    /// The heartbeat timeout that the daemon goes by, where it is not the action's: the hook was edited.
    believed: Option<Duration>,
    /// Open actions, by instance and hook.
    actions: BTreeMap<(String, String), Action>,
    /// Tokens of the actions that have not ended: what tells of them may not be deleted.
    tokens: BTreeMap<String, (String, String)>,
    /// Instances that may be drained more than once: deadlines are of one drain.
    drained_again: BTreeSet<String>,
    /// Which instance has received a message last, where that is known, by the message.
    holders: BTreeMap<Arc<str>, Option<Arc<str>>>,
    deadlines: BTreeMap<String, Time>,
    /// The daemon is down.
    down: bool,
    restarted_at: Option<Time>,
    /// So many of the next heartbeats may come early.
    early: u32,
    /// The last call that was refused.
    refused_at: Option<Time>,
    /// In words, with their times.
    pub violations: Vec<String>,
}

#[derive(Debug)]
struct Action {
    since: Time,
    timeout: Duration,
    last_beat: Option<Time>,
}

impl Default for Invariants {
    fn default() -> Self {
        Invariants {
            transit: Duration::ZERO,
            believed: None,
            actions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            drained_again: BTreeSet::new(),
            holders: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            down: false,
            restarted_at: None,
            early: 0,
            refused_at: None,
            violations: Vec::new(),
        }
    }
}

impl Invariants {
    /// A heartbeat may be under way for so long: over a network, and on a busy machine.
    pub fn with_transit(self, transit: Duration) -> Self {
        Invariants { transit, ..self }
    }

    /// The daemon has been stopped.
    pub fn stopped(&mut self) {
        self.down = true;
    }

    /// Whether the daemon is stopped.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// The daemon was started again: it may send one heartbeat at once.
    pub fn restarted(&mut self, at: Time) {
        self.down = false;
        self.may_beat_early();
        self.restarted_at = Some(at);
    }

    /// The instance has stood still: besides, a heartbeat that was under way arrives only now.
    pub fn thawed(&mut self, at: Time) {
        self.restarted(at);
        self.early = 2;
    }

    /// A call was refused, or never reached AWS.
    pub fn refused(&mut self, at: Time) {
        self.refused_at = self.refused_at.max(Some(at));
    }

    /// A call has had no answer, so the next one may come early.
    pub fn lost(&mut self, at: Time) {
        self.refused(at);
        self.may_beat_early();
    }

    /// The daemon may send one heartbeat at once: what it has sent before does not count, or is not known to have arrived.
    pub fn may_beat_early(&mut self) {
        self.early = self.early.max(1);
    }

    /// The daemon has read its hook, and goes by this heartbeat timeout from now on; a heartbeat that is under way has
    /// gone by the one before.
    pub fn believes(&mut self, timeout: Duration) {
        if self.believed.is_some_and(|before| before < timeout) {
            self.may_beat_early();
        }
        self.believed = Some(timeout);
    }

    /// The instance may be drained more than once without a word in between: its daemon's clock has jumped, or its hook
    /// was gone, so that an old message is taken for a new one.
    pub fn many_drains(&mut self, instance: &str) {
        self.drained_again.insert(instance.to_owned());
    }

    /// The daemon has lost its journal, and with it the deadline that it had.
    pub fn forgot(&mut self) {
        self.deadlines.clear();
    }

    /// Takes in what happened next.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        match happening {
            Happening::WaitBegan { instance, hook, token, expires, .. } => {
                let (name, timeout) = ((instance.clone(), hook.clone()), expires.since(at));
                self.tokens.insert(token.clone(), name.clone());
                self.actions.insert(name, Action { since: at, timeout, last_beat: None });
            }
            Happening::Heartbeat { instance, hook, .. } => self.on_heartbeat(at, instance, hook),
            Happening::HeartbeatRejected { .. } | Happening::CompletionRejected { .. } => self.refused(at),
            Happening::Completed { instance, hook, .. } => self.on_completion(at, instance, hook),
            Happening::ActionExpired { instance, hook, .. } => {
                if let Some(action) = self.end(instance, hook) {
                    self.on_expiry(at, instance, action.timeout);
                }
            }
            Happening::ActionReleased { instance, hook } => {
                self.end(instance, hook);
            }
            Happening::InstanceTerminated { instance, .. } => {
                self.tokens.retain(|_, (of, _)| of != instance);
            }
            Happening::MessageReceived { message, by, .. } => match self.holders.get_mut(message) {
                Some(holder) => holder.clone_from(by),
                None => drop(self.holders.insert(message.clone(), by.clone())),
            },
            Happening::MessageDeleted { message, about, token, .. } => match about {
                Some(instance) if self.is_held_by_another(message, instance) => {
                    self.violated(at, format!("{instance}'s message was deleted by another instance"));
                }
                Some(instance) if token.as_ref().is_some_and(|token| self.tokens.contains_key(&**token)) => {
                    self.violated(at, format!("{instance}'s message was deleted before its action was over"));
                }
                Some(_) => {}
                None => {
                    self.violated(at, format!("message {message} was deleted, and is nobody's to delete"))
                }
            },
            Happening::AgentDrainRequested { instance, deadline: Some(deadline), .. } => {
                let before = self.deadlines.insert(instance.clone(), *deadline);
                let later = before.is_some_and(|before| before < *deadline);
                if later && !self.drained_again.contains(instance) {
                    self.violated(at, format!("{instance}'s deadline moved later, to {deadline}"));
                }
            }
            // The next drain has a deadline of its own.
            Happening::AgentReturned { instance } | Happening::InstanceInService { instance } => {
                self.deadlines.remove(instance);
            }
            Happening::InstanceRetained { instance } | Happening::InstancePooled { instance } => {
                self.drained_again.insert(instance.clone());
            }
            // What can break no invariant.
            _ => {}
        }
    }

    fn on_completion(&mut self, at: Time, instance: &str, hook: &str) {
        if self.end(instance, hook).is_none() {
            self.violated(at, format!("{instance} was completed without an action, or twice"));
        }
    }

    /// An action is over.
    fn end(&mut self, instance: &str, hook: &str) -> Option<Action> {
        let name = (instance.to_owned(), hook.to_owned());
        self.tokens.retain(|_, of| *of != name);
        self.actions.remove(&name)
    }

    fn is_held_by_another(&self, message: &str, instance: &str) -> bool {
        let holder = self.holders.get(message).and_then(Option::as_deref);
        holder.is_some_and(|holder| holder != instance)
    }

    /// One heartbeat per half timeout at most, but for one after a restart; never a gap as long as the timeout.
    fn on_heartbeat(&mut self, at: Time, instance: &str, hook: &str) {
        let may_be_early = self.early > 0;
        self.early = self.early.saturating_sub(1);
        let Some(action) = self.actions.get_mut(&(instance.to_owned(), hook.to_owned())) else {
            return self.violated(at, format!("{instance} sent a heartbeat for no action"));
        };
        let timeout = action.timeout.min(self.believed.unwrap_or(action.timeout));
        let gap = action.last_beat.map(|last| at.since(last));
        let too_soon = gap.is_some_and(|gap| gap + self.transit < timeout / 2) && !may_be_early;
        let too_late = at.since(action.last_beat.unwrap_or(action.since)) > action.timeout;
        action.last_beat = Some(at);
        if too_soon || too_late {
            self.violated(at, format!("{instance}'s heartbeat came {gap:?} after the one before"));
        }
    }

    /// An action expires only when no call got through, or the daemon was down, for the last half of its timeout; or
    /// when that is shorter than the one that the daemon has read.
    fn on_expiry(&mut self, at: Time, instance: &str, timeout: Duration) {
        let half = |since: Option<Time>| since.is_some_and(|since| at.since(since) < timeout / 2);
        let restarted = self.restarted_at.is_some_and(|since| at.since(since) < RESTART.max(timeout / 10));
        let misled = self.believed.is_some_and(|believed| believed > timeout);
        if !self.down && !misled && !restarted && !half(self.refused_at) {
            self.violated(at, format!("{instance}'s action expired while its daemon was up"));
        }
    }

    fn violated(&mut self, at: Time, what: String) {
        self.violations.push(format!("{at}: {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::ActionResult;
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_unix_ms(seconds * 1000)
    }

    fn instance() -> String {
        "i-1".to_owned()
    }

    fn wait() -> Happening {
        Happening::WaitBegan {
            instance: instance(),
            hook: "drain".to_owned(),
            token: "t".to_owned(),
            state: "Terminating:Wait",
            expires: at(300),
        }
    }

    fn beat() -> Happening {
        Happening::Heartbeat { instance: instance(), hook: "drain".to_owned(), expires: at(0) }
    }

    fn deleted(about: Option<String>) -> Happening {
        let token = about.as_ref().map(|_| "t".into());
        Happening::MessageDeleted {
            queue: "q".into(),
            message: "m".into(),
            about: about.map(Arc::from),
            token,
        }
    }

    fn completed() -> Happening {
        Happening::Completed {
            instance: instance(),
            hook: "drain".to_owned(),
            result: ActionResult::Continue,
        }
    }

    fn violations(run: &[(u64, Happening)]) -> usize {
        let mut invariants = Invariants::default();
        for (seconds, happening) in run {
            invariants.observe(at(*seconds), happening);
        }
        invariants.violations.len()
    }

    #[test]
    fn a_good_run() {
        let run =
            [(0, wait()), (150, beat()), (320, beat()), (400, completed()), (401, deleted(Some(instance())))];
        assert_eq!(violations(&run), 0);
    }

    fn expired() -> Happening {
        let (instance, hook) = (instance(), "drain".to_owned());
        Happening::ActionExpired { instance, hook, result: ActionResult::Abandon, global: false }
    }

    fn refused() -> Happening {
        Happening::CompletionRejected { instance: None, why: "denied".to_owned() }
    }

    #[test]
    fn each_violation() {
        assert_eq!(violations(&[(0, wait()), (150, beat()), (299, beat())]), 1, "too soon");
        assert_eq!(violations(&[(0, wait()), (150, beat()), (451, beat())]), 1, "too late");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (9, completed())]), 1, "twice");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (10, beat())]), 1, "after the end");
        assert_eq!(violations(&[(0, wait()), (9, deleted(Some(instance())))]), 1, "too early");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (9, deleted(None))]), 1, "nobody's");
        assert_eq!(violations(&[(0, wait()), (300, expired())]), 1, "expired");
        assert_eq!(violations(&[(0, wait()), (9, refused()), (300, expired())]), 1, "refused long before");
    }

    #[test]
    fn message_of_another() {
        let received = |by: &str| Happening::MessageReceived {
            queue: "q".into(),
            message: "m".into(),
            about: Some(instance().into()),
            by: Some(by.into()),
            receive_count: 1,
        };
        for (by, expected) in [("i-1", 0), ("i-2", 1)] {
            let run = [(0, wait()), (1, received(by)), (9, completed()), (10, deleted(Some(instance())))];
            assert_eq!(violations(&run), expected, "{by}");
        }
    }

    #[test]
    fn expiry_that_nobody_could_prevent() {
        assert_eq!(violations(&[(0, wait()), (200, refused()), (300, expired())]), 0, "refused");
        let mut invariants = Invariants::default();
        invariants.observe(at(0), &wait());
        invariants.stopped();
        invariants.observe(at(300), &expired());
        assert!(invariants.violations.is_empty(), "down: {:?}", invariants.violations);
    }

    #[test]
    fn second_action_of_an_instance() {
        let run = [(0, wait()), (9, completed()), (400, wait()), (410, deleted(Some(instance())))];
        assert_eq!(violations(&run), 1, "its own action is not over");
    }

    #[test]
    fn transit() {
        let mut invariants = Invariants::default().with_transit(Duration::from_secs(2));
        for (seconds, happening) in [(0, wait()), (150, beat()), (299, beat()), (440, beat())] {
            invariants.observe(at(seconds), &happening);
        }
        assert_eq!(invariants.violations.len(), 1, "{:?}", invariants.violations);
    }
}
