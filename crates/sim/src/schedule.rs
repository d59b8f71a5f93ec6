//! Planned steps in order of time. Steps that are due at the same time keep the order in which they were planned.
//!
//! A fleet has many plans for the far future and few for the next second. Only the near ones are kept in order, so that
//! they fit into the processor's cache.

use std::collections::BTreeMap;

use machine::Time;

const SLOT_MS: u64 = 1024;

/// Identifies a planned step: when it is due, and a unique number.
pub type Due = (Time, u64);

/// The planned steps.
#[derive(Debug)]
pub struct Schedule<T> {
    near: BTreeMap<Due, T>,
    /// All slots from `far_from` on, unsorted.
    far: BTreeMap<u64, Vec<(Due, T)>>,
    far_from: u64,
    planned: u64,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Schedule { near: BTreeMap::new(), far: BTreeMap::new(), far_from: 0, planned: 0 }
    }
}

impl<T> Schedule<T> {
    /// Plans a step.
    pub fn plan(&mut self, at: Time, what: T) -> Due {
        self.planned += 1;
        let due = (at, self.planned);
        if slot(at) < self.far_from {
            self.near.insert(due, what);
        } else {
            self.far.entry(slot(at)).or_default().push((due, what));
            self.draw_near();
        }
        due
    }

    /// Cancels a planned step. Does nothing if the step was already taken.
    pub fn take_back(&mut self, due: &Due) {
        if let Some(planned) = self.far.get_mut(&slot(due.0)) {
            planned.retain(|(other, _)| other != due);
        } else {
            self.near.remove(due);
            self.draw_near();
        }
    }

    /// When the first step is due.
    pub fn next_at(&self) -> Option<Time> {
        self.near.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first step if it is due by that time.
    pub fn pop_due(&mut self, by: Time) -> Option<(Time, T)> {
        let first = self.near.first_entry().filter(|first| first.key().0 <= by)?;
        let ((at, _), what) = first.remove_entry();
        self.draw_near();
        Some((at, what))
    }

    /// Sorts the next slot once the current one is empty.
    fn draw_near(&mut self) {
        while self.near.is_empty()
            && let Some((slot, planned)) = self.far.pop_first()
        {
            self.near.extend(planned);
            self.far_from = slot + 1;
        }
    }
}

fn slot(at: Time) -> u64 {
    at.unix_ms() / SLOT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_unix_ms(ms)
    }

    fn all(schedule: &mut Schedule<u32>) -> Vec<u32> {
        std::iter::from_fn(|| schedule.pop_due(at(u64::MAX)).map(|(_, what)| what)).collect()
    }

    #[test]
    fn by_time_and_then_as_planned() {
        let mut schedule = Schedule::default();
        for (what, ms) in [(5, 90_000), (1, 7), (6, 90_000), (4, 60_000), (2, 7), (3, 3_000)] {
            schedule.plan(at(ms), what);
        }
        assert_eq!(schedule.next_at(), Some(at(7)));
        assert_eq!(all(&mut schedule), [1, 2, 3, 4, 5, 6]);
        assert_eq!(schedule.next_at(), None);
    }

    #[test]
    fn steps_planned_meanwhile() {
        let mut schedule = Schedule::default();
        schedule.plan(at(5_000), 3);
        assert_eq!(schedule.pop_due(at(4_999)), None);
        for (what, ms) in [(1, 10), (4, 5_000), (2, 4_999), (5, 9_000)] {
            schedule.plan(at(ms), what);
        }
        assert_eq!(schedule.pop_due(at(10)), Some((at(10), 1)));
        schedule.plan(at(11), 6);
        assert_eq!(all(&mut schedule), [6, 2, 3, 4, 5]);
    }

    #[test]
    fn steps_taken_back() {
        let mut schedule = Schedule::default();
        let due = [5, 6, 7_000, 7_001, 50_000].map(|ms| schedule.plan(at(ms), ms as u32));
        for taken in [0, 2, 4] {
            schedule.take_back(&due[taken]);
        }
        assert_eq!(schedule.next_at(), Some(at(6)));
        schedule.take_back(&due[1]);
        assert_eq!(schedule.next_at(), Some(at(7_001)));
        assert_eq!(all(&mut schedule), [7_001]);
        schedule.take_back(&due[3]);
        assert_eq!(schedule.next_at(), None);
    }
}
