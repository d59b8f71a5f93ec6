//! What must hold in every run. This module shares no code with the world, so that a mistake in one does not hide a mistake
//! in the other. Pure.

use std::time::Duration;

use machine::Time;

use super::world::Happening;

/// The longest time from the daemon's start to its first heartbeat. The daemon calls IMDS, reads the hook and sends the
/// heartbeat in turn, and each may fail at first.
const RESTART: Duration = Duration::from_secs(15);

/// Watches a run and collects the violations.
#[derive(Debug)]
pub struct Invariants {
    transit: Duration,
    /// The heartbeat timeout that the daemon uses. It differs from the action's if the hook was edited.
    believed: Option<Duration>,
    /// The open actions. There are few at a time, and a list takes less memory than a map in a large fleet.
    actions: Vec<Action>,
    /// Instances that may be drained more than once. Each drain has its own deadline.
    drained_again: Vec<String>,
    /// The deadline that each instance's agent was told.
    deadlines: Vec<(String, Time)>,
    /// Whether the daemon is down.
    down: bool,
    restarted_at: Option<Time>,
    /// How many of the next heartbeats may come early.
    early: u32,
    /// When a call was last refused.
    refused_at: Option<Time>,
    /// The daemon may not know its hook, because a call was throttled or the daemon was restarted. Until AWS answers, it
    /// assumes timeouts, and its deadline may follow from one of them.
    assumes: bool,
    /// The violations, in words, with their times.
    pub violations: Vec<String>,
}

#[derive(Debug)]
struct Action {
    instance: String,
    hook: String,
    /// A message with this token must not be deleted before the action is over.
    token: String,
    since: Time,
    timeout: Duration,
    last_beat: Option<Time>,
}

impl Default for Invariants {
    fn default() -> Self {
        Invariants {
            transit: Duration::ZERO,
            believed: None,
            actions: Vec::new(),
            drained_again: Vec::new(),
            deadlines: Vec::new(),
            down: false,
            restarted_at: None,
            early: 0,
            refused_at: None,
            assumes: false,
            violations: Vec::new(),
        }
    }
}

impl Invariants {
    /// Allows for the time that a heartbeat is under way, over a network and on a busy machine.
    pub fn with_transit(self, transit: Duration) -> Self {
        Invariants { transit, ..self }
    }

    /// The daemon was stopped.
    pub fn stopped(&mut self) {
        self.down = true;
    }

    /// Whether the daemon is down.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// The daemon was restarted. It may send one heartbeat at once.
    pub fn restarted(&mut self, at: Time) {
        self.down = false;
        self.may_beat_early();
        self.restarted_at = Some(at);
        // It reads the hook again, and the call may fail.
        self.assumes = true;
    }

    /// The instance was frozen and runs again. In addition to the one after a restart, a heartbeat that was under way may
    /// arrive.
    pub fn thawed(&mut self, at: Time) {
        self.restarted(at);
        self.early = 2;
    }

    /// A call was refused, or never reached AWS.
    pub fn refused(&mut self, at: Time) {
        self.refused_at = self.refused_at.max(Some(at));
    }

    /// A call got no answer, so the next one may come early.
    pub fn lost(&mut self, at: Time) {
        self.refused(at);
        self.may_beat_early();
    }

    /// The daemon may send one heartbeat at once: its earlier ones do not count, or it does not know whether they arrived.
    pub fn may_beat_early(&mut self) {
        self.early = self.early.max(1);
    }

    /// The daemon ignores the answer to a heartbeat that is under way and sends another at once. This happens when its
    /// group changes, or when a drain starts while the daemon still watches the end of the last one.
    pub fn counts_anew(&mut self) {
        self.early = self.early.max(2);
    }

    /// The daemon has read its hook and uses this heartbeat timeout from now on. A heartbeat that is under way was timed by
    /// the previous one.
    pub fn believes(&mut self, timeout: Duration) {
        if self.believed.is_some_and(|before| before < timeout) {
            self.may_beat_early();
        }
        self.believed = Some(timeout);
    }

    /// The heartbeat timeout that the daemon has read.
    pub fn believed(&self) -> Option<Duration> {
        self.believed
    }

    /// The instance may be drained more than once without a sign in between. Its daemon's clock jumped, or its hook was
    /// missing, and an old message looks new.
    pub fn many_drains(&mut self, instance: &str) {
        if !self.is_drained_again(instance) {
            self.drained_again.push(instance.to_owned());
        }
    }

    /// The daemon says that a drain has ended. The next one has its own deadline.
    pub fn drain_ended(&mut self, instance: &str) {
        self.forget_deadline(instance);
    }

    /// The daemon lost its journal and the deadline in it.
    pub fn forgot(&mut self) {
        self.deadlines.clear();
    }

    /// Records the next happening.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        match happening {
            Happening::WaitBegan { instance, hook, token, expires, .. } => {
                self.actions.push(Action {
                    instance: instance.clone(),
                    hook: hook.clone(),
                    token: token.clone(),
                    since: at,
                    timeout: expires.since(at),
                    last_beat: None,
                });
            }
            Happening::Heartbeat { instance, hook, .. } => self.on_heartbeat(at, instance, hook),
            Happening::Throttled => self.assumes = true,
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
                self.actions.retain(|action| action.instance != *instance);
            }
            Happening::MessageDeleted { message, about, token, held_by, .. } => match about {
                Some(instance) if held_by.as_ref().is_some_and(|holder| holder != instance) => {
                    self.violated(at, format!("{instance}'s message was deleted by another instance"));
                }
                Some(instance)
                    if self.actions.iter().any(|action| token.as_deref() == Some(&*action.token)) =>
                {
                    self.violated(at, format!("{instance}'s message was deleted before its action was over"));
                }
                Some(_) => {}
                None => {
                    self.violated(at, format!("message {message} was deleted, but it is about no instance"))
                }
            },
            Happening::AgentDrainRequested { instance, deadline: Some(deadline), .. } => {
                let before = self.forget_deadline(instance);
                self.deadlines.push((instance.clone(), *deadline));
                let later = before.is_some_and(|before| before < *deadline);
                if later && !self.is_drained_again(instance) && !std::mem::take(&mut self.assumes) {
                    self.violated(at, format!("{instance}'s deadline moved later, to {deadline}"));
                }
            }
            // The next drain has its own deadline.
            Happening::AgentReturned { instance } | Happening::InstanceInService { instance } => {
                self.forget_deadline(instance);
            }
            Happening::InstanceRetained { instance } | Happening::InstancePooled { instance } => {
                self.many_drains(instance);
            }
            // Nothing else can violate an invariant.
            _ => {}
        }
    }

    fn on_completion(&mut self, at: Time, instance: &str, hook: &str) {
        if self.end(instance, hook).is_none() {
            self.violated(at, format!("{instance} was completed with no action open, or twice"));
        }
    }

    /// Ends an action.
    fn end(&mut self, instance: &str, hook: &str) -> Option<Action> {
        let is_it = |action: &mut Action| action.instance == instance && action.hook == hook;
        self.actions.extract_if(.., is_it).last()
    }

    fn is_drained_again(&self, instance: &str) -> bool {
        self.drained_again.iter().any(|other| other == instance)
    }

    fn forget_deadline(&mut self, instance: &str) -> Option<Time> {
        let place = self.deadlines.iter().position(|(other, _)| other == instance)?;
        Some(self.deadlines.swap_remove(place).1)
    }

    /// At most one heartbeat per half timeout, except after a restart, and never a gap as long as the timeout.
    fn on_heartbeat(&mut self, at: Time, instance: &str, hook: &str) {
        let may_be_early = self.early > 0;
        self.early = self.early.saturating_sub(1);
        let mut actions = self.actions.iter_mut().rev();
        let Some(action) = actions.find(|action| action.instance == instance && action.hook == hook) else {
            return self.violated(at, format!("{instance} sent a heartbeat with no action open"));
        };
        let timeout = action.timeout.min(self.believed.unwrap_or(action.timeout));
        let gap = action.last_beat.map(|last| at.since(last));
        let too_soon = gap.is_some_and(|gap| gap + self.transit < timeout / 2) && !may_be_early;
        let too_late = at.since(action.last_beat.unwrap_or(action.since)) > action.timeout;
        action.last_beat = Some(at);
        if too_soon || too_late {
            self.violated(at, format!("{instance}'s heartbeat came {gap:?} after the previous one"));
        }
    }

    /// An action may expire only if no call got through, or the daemon was down, for the last half of its timeout, or if
    /// the action's timeout is shorter than the one that the daemon has read.
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
    use std::sync::Arc;

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
        deleted_by(about, None)
    }

    fn deleted_by(about: Option<String>, by: Option<&str>) -> Happening {
        let token = about.as_ref().map(|_| "t".into());
        Happening::MessageDeleted {
            queue: "q".into(),
            message: "m".into(),
            about: about.map(Arc::from),
            token,
            held_by: by.map(Arc::from),
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
        assert_eq!(
            violations(&[(0, wait()), (9, completed()), (9, deleted(None))]),
            1,
            "a stranger's message"
        );
        assert_eq!(violations(&[(0, wait()), (300, expired())]), 1, "expired");
        assert_eq!(
            violations(&[(0, wait()), (9, refused()), (300, expired())]),
            1,
            "the refusal was too long ago"
        );
    }

    #[test]
    fn message_of_another() {
        for (by, expected) in [("i-1", 0), ("i-2", 1)] {
            let run = [(0, wait()), (9, completed()), (10, deleted_by(Some(instance()), Some(by)))];
            assert_eq!(violations(&run), expected, "{by}");
        }
    }

    #[test]
    fn expiry_while_calls_are_refused_or_the_daemon_is_down() {
        assert_eq!(violations(&[(0, wait()), (200, refused()), (300, expired())]), 0, "refused");
        let mut invariants = Invariants::default();
        invariants.observe(at(0), &wait());
        invariants.stopped();
        invariants.observe(at(300), &expired());
        assert!(invariants.violations.is_empty(), "the daemon was down: {:?}", invariants.violations);
    }

    #[test]
    fn second_action_of_an_instance() {
        let run = [(0, wait()), (9, completed()), (400, wait()), (410, deleted(Some(instance())))];
        assert_eq!(violations(&run), 1, "this instance's action is not over");
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
