//! The table of notices.

use serde::{Deserialize, Serialize};

use super::{Category, Notice, NoticeState, Reason, Source};
use crate::imds::DENIAL;
use crate::report::{NoticeChange, Report};
use crate::settings::Settings;
use crate::time::{Correction, Time};
use crate::timer::Timer;
use crate::turn::Turn;

/// The most rows per source and reason. The limit is per source, so that forged messages cannot crowd out IMDS's rows.
const ROWS_MAX: usize = 16;

/// The notices. One drain serves them all and ends when the last is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(Vec<Notice>);

impl Notices {
    /// Moves the times that our clock measured, after a correction of the clock. AWS's times stay.
    pub(crate) fn correct(&mut self, by: Correction) {
        for row in &mut self.0 {
            row.since = by.apply(row.since);
            if let NoticeState::Held { until } = &mut row.state {
                *until = by.apply(*until);
            }
        }
    }

    /// Every row, in no particular order.
    pub fn rows(&self) -> &[Notice] {
        &self.0
    }

    /// The table after a restart. The last run's clock may have been ahead of this one. The daemon has not asked IMDS
    /// since, so held rows are held anew.
    pub(crate) fn recovered(mut self, now: Time) -> Self {
        for row in &mut self.0 {
            row.since = row.since.min(now);
        }
        self.hold_anew(now);
        self
    }

    /// Gives IMDS the full time again to deny held rows, because the daemon has not asked it for a while.
    pub(crate) fn hold_anew(&mut self, now: Time) {
        for row in &mut self.0 {
            if let NoticeState::Held { until } = &mut row.state {
                *until = now + DENIAL;
            }
        }
    }

    /// Opens held rows that IMDS did not deny in time. Returns whether there were any.
    pub(crate) fn believe(&mut self, now: Time) -> bool {
        let over =
            self.0.iter_mut().filter(|row| matches!(row.state, NoticeState::Held { until } if until <= now));
        over.map(|row| row.state = NoticeState::Open).count() > 0
    }

    /// Applies IMDS's current list of a category.
    pub(crate) fn list(&mut self, turn: &mut Turn, category: Category, listed: Vec<Notice>) {
        self.remove(turn, NoticeChange::Withdrawn, |row| {
            category.covers(row.reason)
                && (row.source == Source::Imds || category.is_complete())
                && !listed.iter().any(|told| told.is(row))
        });
        listed.into_iter().for_each(|told| self.tell(turn, told));
    }

    /// Adds a notice, or updates the row of a repeated one.
    pub(crate) fn tell(&mut self, turn: &mut Turn, told: Notice) {
        let Some(row) = self.0.iter_mut().find(|row| row.is(&told)) else {
            if self.make_room(&told) {
                report(turn, NoticeChange::Appeared, &told);
                self.0.push(told);
            }
            return;
        };
        if told.is_outdated_by(row) {
            return;
        }
        if told.state == NoticeState::Closed || row.state == NoticeState::Closed {
            report(turn, NoticeChange::Withdrawn, row);
            report(turn, NoticeChange::Appeared, &told);
            *row = told;
            return;
        }
        let rescheduled = row.due != told.due;
        // A repeated notice with the same due time keeps its deadline.
        let since = if rescheduled { told.since } else { row.since.min(told.since) };
        let state = match row.state {
            NoticeState::Held { .. } if told.source == Source::Imds => NoticeState::Open,
            state => state,
        };
        *row = Notice { since, state, ..told };
        if rescheduled {
            report(turn, NoticeChange::Rescheduled, row);
        }
    }

    /// Adds the notice of an existing lifecycle action. There is one at a time, so an older message was about an earlier
    /// one.
    pub(crate) fn tell_action(&mut self, turn: &mut Turn, told: Notice) {
        if self.action().is_some_and(|row| told.is_outdated_by(row)) {
            return;
        }
        self.0.retain(|row| !row.is_action() || row.is(&told));
        self.tell(turn, told);
    }

    /// Removes the lifecycle action's notice: there is no action, or it is not ours.
    pub(crate) fn withdraw_action(&mut self, turn: &mut Turn) {
        self.remove(turn, NoticeChange::Withdrawn, Notice::is_action);
    }

    /// Removes the operator's notice. Returns whether there was one.
    pub(crate) fn withdraw_operator(&mut self, turn: &mut Turn) -> bool {
        self.remove(turn, NoticeChange::Withdrawn, |row| row.reason == Reason::Operator)
    }

    /// Makes room for a row by dropping a closed one if necessary. Returns whether there is room.
    fn make_room(&mut self, told: &Notice) -> bool {
        let like = |row: &Notice| row.source == told.source && row.reason == told.reason;
        if self.0.iter().filter(|row| like(row)).count() < ROWS_MAX {
            return true;
        }
        let closed = self.0.iter().position(|row| like(row) && row.state == NoticeState::Closed);
        closed.map(|place| self.0.remove(place)).is_some()
    }

    /// Drops expired rows. Returns whether there were any.
    pub(crate) fn expire(&mut self, turn: &mut Turn) -> bool {
        let now = turn.now;
        for at in self.0.iter().filter_map(|row| row.expires) {
            turn.due(at, Timer::Notice);
        }
        self.remove(turn, NoticeChange::Expired, |row| row.expires.is_some_and(|at| at <= now))
    }

    fn remove(&mut self, turn: &mut Turn, change: NoticeChange, gone: impl Fn(&Notice) -> bool) -> bool {
        let gone: Vec<Notice> = self.0.extract_if(.., |row| gone(row)).collect();
        gone.iter().for_each(|row| report(turn, change, row));
        !gone.is_empty()
    }

    /// The reasons in force, most pressing first. Sets a timer for the next one to come into force.
    pub(crate) fn in_force(&self, settings: &Settings, turn: &mut Turn) -> Vec<Reason> {
        let starts = |row: &&Notice| row.starts(settings).is_some_and(|at| turn.due(at, Timer::Notice));
        let mut found: Vec<&Notice> = self.0.iter().filter(starts).collect();
        found.sort_by_key(|row| (row.reason.rank(), row.source == Source::Imds));
        found.iter().map(|row| row.reason).collect()
    }

    /// Marks the notices in force as dealt with, because a drain has ended.
    pub(crate) fn settle(&mut self, settings: &Settings, now: Time) {
        for row in self.0.iter_mut().filter(|row| is_in_force(row, settings, now)) {
            row.state = NoticeState::Settled;
        }
    }

    /// Opens settled rows that are no longer in force, so that they count when they next come into force. Returns whether
    /// there were any.
    pub(crate) fn reopen(&mut self, settings: &Settings, now: Time) -> bool {
        let settled = |row: &&mut Notice| row.state == NoticeState::Settled;
        let out_of_force = self.0.iter_mut().filter(settled).filter(|row| !is_in_force(row, settings, now));
        out_of_force.map(|row| row.state = NoticeState::Open).count() > 0
    }

    /// Opens the operator's notice again, because an operator asks for another drain.
    pub(crate) fn reopen_operator(&mut self) {
        for row in self.0.iter_mut().filter(|row| row.reason == Reason::Operator) {
            row.state = NoticeState::Open;
        }
    }

    /// The most pressing reason in force that no drain has dealt with.
    pub(crate) fn open(&self, settings: &Settings, now: Time) -> Option<Reason> {
        let open = self.0.iter().filter(|row| {
            row.state != NoticeState::Settled
                && is_in_force(row, settings, now)
                && !self.repeats_a_message(row)
        });
        open.map(|row| row.reason).min_by_key(|reason| reason.rank())
    }

    /// Whether the row is a target state that only repeats an action already known from a message. When IMDS answers again
    /// after a silence, that must not start a second drain.
    fn repeats_a_message(&self, row: &Notice) -> bool {
        row.source == Source::Imds && self.action().is_some_and(|action| action.reason == row.reason)
    }

    /// The earliest deadline that a notice sets for a drain started at `started`.
    pub(crate) fn deadline(&self, started: Time, now: Time) -> Option<Time> {
        let held = |row: &&Notice| matches!(row.state, NoticeState::Held { until } if until > now);
        let counting = self.0.iter().filter(|row| !held(row));
        counting.filter_map(|row| row.deadline(started)).min()
    }

    /// Whether the group runs or will run a lifecycle action.
    pub fn expects_action(&self) -> bool {
        self.0.iter().any(|row| row.reason.has_action())
    }

    /// The notice of an existing lifecycle action.
    pub(crate) fn action(&self) -> Option<&Notice> {
        self.0.iter().find(|row| row.is_action())
    }

    /// Whether IMDS's target state takes the instance out of service.
    pub(crate) fn has_target(&self) -> bool {
        self.targets().next().is_some()
    }

    /// Whether the table has a target state that IMDS no longer says, if it now says the one for `said`.
    pub(crate) fn has_past_target(&self, said: Option<Reason>) -> bool {
        self.targets().any(|row| Some(row.reason) != said)
    }

    /// Whether IMDS's target state says that the group runs or will run a lifecycle action.
    pub(crate) fn has_target_of_action(&self) -> bool {
        self.targets().any(|row| row.reason.has_action())
    }

    fn targets(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter().filter(|row| row.source == Source::Imds && Category::TargetState.covers(row.reason))
    }

    /// Whether the end of the Capacity Block is known.
    pub(crate) fn has_block_end(&self) -> bool {
        self.0.iter().any(|row| row.reason == Reason::CapacityBlockEnd)
    }

    /// Whether the instance is detached from its group.
    pub(crate) fn has_detachment(&self) -> bool {
        self.0.iter().any(|row| row.reason == Reason::Detachment)
    }

    /// Whether an operator has requested a drain.
    pub(crate) fn has_operator(&self) -> bool {
        self.0.iter().any(|row| row.reason == Reason::Operator)
    }
}

impl FromIterator<Notice> for Notices {
    fn from_iter<T: IntoIterator<Item = Notice>>(rows: T) -> Self {
        Notices(rows.into_iter().collect())
    }
}

fn is_in_force(row: &Notice, settings: &Settings, now: Time) -> bool {
    row.starts(settings).is_some_and(|at| at <= now)
}

/// Reports a change of a row. Closed rows are not reported, because they mean nothing to operators.
fn report(turn: &mut Turn, change: NoticeChange, row: &Notice) {
    if row.state == NoticeState::Closed {
        return;
    }
    turn.report(Report::Notice {
        change,
        source: row.source,
        reason: row.reason,
        id: row.id.clone(),
        deadline: row.deadline(row.since),
    });
}
