//! What AWS has of the instance's protection, as far as is known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Correction, Time};

/// After `longest`, the instance is not protected again for this time unless its agents are idle first. An instance refresh
/// looks for an instance that it may replace at least once in this time.
pub(super) const REST: Duration = Duration::from_secs(15 * 60);

/// What AWS has, as far as is known. The journal has what a call may make of it before the call is sent, so that a restarted
/// daemon never believes less than AWS has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Nothing is known: the instance has just come into service, or a call to lift the protection got no answer.
    #[default]
    Unknown,
    /// The instance may be protected: a call was sent, or is about to be.
    Setting {
        /// Since when it may be protected.
        since: Time,
    },
    /// The instance is protected.
    Protected {
        /// Since when.
        since: Time,
    },
    /// The instance may be protected, and has been for `longest`. It must be lifted.
    Yielding,
    /// The instance is not protected.
    Lifted {
        /// It is not protected again before this, because it was protected for `longest`.
        rests_until: Option<Time>,
    },
}

/// A change of the protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Protect,
    Lift(LiftCause),
}

impl Change {
    /// Whether the instance is protected afterwards.
    pub fn protects(self) -> bool {
        self == Change::Protect
    }
}

/// Why a protection is lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiftCause {
    /// The agents have been idle for `idle_for`.
    Idle,
    /// The instance was protected for `longest`.
    Longest,
    /// A drain has begun that Auto Scaling does not know of.
    Notice,
    /// The section `protection` was removed from the configuration.
    Removed,
}

impl Protection {
    /// After a restart. The last run's clock may have been ahead of this one.
    pub(super) fn recovered(self, now: Time) -> Self {
        match self {
            Protection::Setting { since } => Protection::Setting { since: since.min(now) },
            Protection::Protected { since } => Protection::Protected { since: since.min(now) },
            Protection::Lifted { rests_until } => {
                Protection::Lifted { rests_until: rests_until.map(|until| until.min(now + REST)) }
            }
            Protection::Unknown | Protection::Yielding => self,
        }
    }

    /// Moves the times after a correction of the clock.
    pub(crate) fn correct(&mut self, by: Correction) {
        match self {
            Protection::Setting { since } | Protection::Protected { since } => *since = by.apply(*since),
            Protection::Lifted { rests_until } => *rests_until = rests_until.map(|until| by.apply(until)),
            Protection::Unknown | Protection::Yielding => {}
        }
    }

    /// Whether drainhook protected the instance, or may have.
    pub(super) fn may_be_set(self) -> bool {
        match self {
            Protection::Setting { .. } | Protection::Protected { .. } | Protection::Yielding => true,
            Protection::Unknown | Protection::Lifted { .. } => false,
        }
    }

    /// The agents are idle, so the instance need not rest from its protection any longer. Returns whether it did.
    pub(super) fn rests_enough(&mut self) -> bool {
        if let Protection::Lifted { rests_until } = self { rests_until.take().is_some() } else { false }
    }

    /// What may hold once this change was sent.
    pub(super) fn ahead_of(self, change: Change, now: Time) -> Self {
        match (change, self) {
            (Change::Protect, Protection::Setting { .. }) | (Change::Lift(LiftCause::Removed), _) => self,
            (Change::Protect, _) => Protection::Setting { since: now },
            (Change::Lift(LiftCause::Longest), _) => Protection::Yielding,
            (Change::Lift(LiftCause::Idle | LiftCause::Notice), _) => Protection::Unknown,
        }
    }

    /// AWS has made this change.
    pub(super) fn made(self, change: Change, now: Time) -> Self {
        match (change, self) {
            (Change::Protect, Protection::Setting { since }) => Protection::Protected { since },
            (Change::Protect, _) => Protection::Protected { since: now },
            (Change::Lift(LiftCause::Longest), _) => Protection::Lifted { rests_until: Some(now + REST) },
            (Change::Lift(LiftCause::Idle | LiftCause::Notice), _) => {
                Protection::Lifted { rests_until: None }
            }
            (Change::Lift(LiftCause::Removed), _) => Protection::Unknown,
        }
    }
}
