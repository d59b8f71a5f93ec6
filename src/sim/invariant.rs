//! What must hold in every run, whatever happens. Pure, and apart from the world, so that a mistake in the one does not
//! hide in the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::machine::Time;

use super::world::Happening;

/// Watches a run, and remembers what was violated.
#[derive(Debug)]
pub struct Invariants {
    heartbeat_timeout: Duration,
    actions: BTreeMap<String, Action>,
    /// Messages whose action is over, and those that nobody may delete.
    over: BTreeSet<String>,
    deadlines: BTreeMap<String, Time>,
    restarted_at: Option<Time>,
    /// In words, with their times.
    pub violations: Vec<String>,
}

#[derive(Debug)]
struct Action {
    since: Time,
    last_beat: Option<Time>,
}

impl Invariants {
    /// For a world whose terminating hook has this heartbeat timeout.
    pub fn new(heartbeat_timeout: Duration) -> Self {
        Invariants {
            heartbeat_timeout,
            actions: BTreeMap::new(),
            over: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            restarted_at: None,
            violations: Vec::new(),
        }
    }

    /// The daemon was started again: it may send one heartbeat at once.
    pub fn restarted(&mut self, at: Time) {
        self.restarted_at = Some(at);
    }

    /// Takes in what happened next.
    pub fn observe(&mut self, at: Time, happening: &Happening) {
        match happening {
            Happening::WaitBegan { instance, .. } => {
                self.actions.insert(instance.clone(), Action { since: at, last_beat: None });
            }
            Happening::Heartbeat { instance, .. } => self.on_heartbeat(at, instance),
            Happening::Completed { instance, .. } => {
                if self.actions.remove(instance).is_none() {
                    self.violated(at, format!("{instance} was completed without an action, or twice"));
                }
                self.over.insert(instance.clone());
            }
            Happening::ActionExpired { instance, .. } => {
                self.actions.remove(instance);
                self.over.insert(instance.clone());
                self.violated(at, format!("{instance}'s action expired while its daemon was up"));
            }
            Happening::ActionReleased { instance, .. } | Happening::InstanceTerminated { instance, .. } => {
                self.over.insert(instance.clone());
            }
            Happening::MessageDeleted { message, about, .. } => match about {
                Some(instance) if self.over.contains(instance) => {}
                Some(instance) => {
                    self.violated(at, format!("{instance}'s message was deleted before its action was over"));
                }
                None => {
                    self.violated(at, format!("message {message} was deleted, and is nobody's to delete"))
                }
            },
            Happening::AgentDrainRequested { instance, deadline: Some(deadline), .. } => {
                let before = self.deadlines.insert(instance.clone(), *deadline);
                if before.is_some_and(|before| before < *deadline) {
                    self.violated(at, format!("{instance}'s deadline moved later, to {deadline}"));
                }
            }
            // The next drain has a deadline of its own.
            Happening::AgentReturned { instance } => {
                self.deadlines.remove(instance);
            }
            // What can break no invariant.
            _ => {}
        }
    }

    /// One heartbeat per half timeout at most, but for one after a restart; never a gap as long as the timeout.
    fn on_heartbeat(&mut self, at: Time, instance: &str) {
        let timeout = self.heartbeat_timeout;
        let restarted = self.restarted_at.take().is_some();
        let Some(action) = self.actions.get_mut(instance) else {
            return self.violated(at, format!("{instance} sent a heartbeat for no action"));
        };
        let gap = action.last_beat.map(|last| at.since(last));
        let too_soon = gap.is_some_and(|gap| gap < timeout / 2) && !restarted;
        let too_late = at.since(action.last_beat.unwrap_or(action.since)) > timeout;
        action.last_beat = Some(at);
        if too_soon || too_late {
            self.violated(at, format!("{instance}'s heartbeat came {gap:?} after the one before"));
        }
    }

    fn violated(&mut self, at: Time, what: String) {
        self.violations.push(format!("{at}: {what}"));
    }
}

#[cfg(test)]
mod tests {
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
            expires: at(300),
        }
    }

    fn beat() -> Happening {
        Happening::Heartbeat { instance: instance(), hook: "drain".to_owned(), expires: at(0) }
    }

    fn deleted(about: Option<String>) -> Happening {
        Happening::MessageDeleted { queue: "q".to_owned(), message: "m".to_owned(), about }
    }

    fn completed() -> Happening {
        Happening::Completed {
            instance: instance(),
            hook: "drain".to_owned(),
            result: super::super::world::ActionResult::Continue,
        }
    }

    fn violations(run: &[(u64, Happening)]) -> usize {
        let mut invariants = Invariants::new(Duration::from_secs(300));
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

    #[test]
    fn each_violation() {
        assert_eq!(violations(&[(0, wait()), (150, beat()), (299, beat())]), 1, "too soon");
        assert_eq!(violations(&[(0, wait()), (150, beat()), (451, beat())]), 1, "too late");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (9, completed())]), 1, "twice");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (10, beat())]), 1, "after the end");
        assert_eq!(violations(&[(0, wait()), (9, deleted(Some(instance())))]), 1, "too early");
        assert_eq!(violations(&[(0, wait()), (9, completed()), (9, deleted(None))]), 1, "nobody's");
    }
}
