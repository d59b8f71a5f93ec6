//! One call to AWS, and what goes wrong with it.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::World;
use machine::Time;
use machine::event::{CallError, CallErrorKind};

use super::Fleet;
use super::perform::CALL_LIMIT;

/// What kind of call it is, as far as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Heartbeat,
    Completion,
    Other,
}

/// What is wrong with a host's calls for a whole drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Heartbeats take effect, and the daemon takes each answer for none: a proxy strips what it goes by.
    Doubted,
    /// Calls fail at once: heartbeats alone, or all.
    Fails { with: CallErrorKind, all: bool },
}

/// The credentials that the daemon's clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Credentials {
    #[default]
    Good,
    /// AWS refuses them. The clients that are made after that have good ones.
    Replaced,
    /// There are none that AWS takes before this.
    Missing { until: Time },
}

/// The part of rotations after which there are no good credentials for a while.
const GAP: f64 = 0.3;

impl Fleet {
    /// One call to AWS, and how long its result takes.
    pub(super) fn call<T>(
        &mut self,
        host: usize,
        kind: Kind,
        limit: Duration,
        call: impl FnOnce(&mut World, Time, &str) -> Result<T, CallError>,
    ) -> (Duration, Result<T, CallError>) {
        let limit = limit.clamp(Duration::from_secs(1), CALL_LIMIT);
        if let Some(refused) = self.refuse(host, kind) {
            return (self.delay(5, 60), Err(failed(refused)));
        }
        if self.strikes(Fault::CallUnsent) {
            self.judge.lost(host, self.now);
            return (self.delay(1, 2_000), Err(failed(CallErrorKind::Unsent)));
        }
        let lost = self.strikes(Fault::CallUnanswered);
        if lost && self.rng.bool() {
            self.judge.lost(host, self.now + limit);
            return (limit, Err(failed(CallErrorKind::Unanswered)));
        }
        let result = call(&mut self.world, self.now, &self.hosts[host].id);
        self.digest(Some(host));
        if lost {
            self.judge.lost(host, self.now + limit);
            return (limit, Err(failed(CallErrorKind::Unanswered)));
        }
        if kind == Kind::Heartbeat && self.hosts[host].trouble == Trouble::Doubted {
            self.judge.lost(host, self.now);
            return (self.delay(20, 120), Err(failed(CallErrorKind::Unanswered)));
        }
        (self.delay(20, 120), result)
    }

    /// The call fails before it comes to AWS's model.
    fn refuse(&mut self, host: usize, kind: Kind) -> Option<CallErrorKind> {
        match self.hosts[host].trouble {
            Trouble::Fails { with, all } if all || kind == Kind::Heartbeat => {
                self.judge.lost(host, self.now);
                return Some(with);
            }
            Trouble::Fails { .. } | Trouble::Doubted | Trouble::None => {}
        }
        match self.hosts[host].credentials {
            Credentials::Good => None,
            Credentials::Replaced => {
                self.hosts[host].credentials = Credentials::Good;
                // One more try does it: that excuses no expiry.
                self.judge.costs(host);
                Some(CallErrorKind::Credentials)
            }
            Credentials::Missing { until } if until > self.now => {
                self.judge.lost(host, self.now);
                Some(CallErrorKind::Credentials)
            }
            Credentials::Missing { .. } => {
                self.hosts[host].credentials = Credentials::Good;
                None
            }
        }
    }

    /// The credentials are replaced.
    pub(super) fn rotate_credentials(&mut self, host: usize) {
        self.hosts[host].credentials = if self.rng.f64() < GAP {
            let gap = self.delay(1_000, 120_000);
            Credentials::Missing { until: self.now + gap }
        } else {
            Credentials::Replaced
        };
    }

    /// An instance is being taken away: something may be wrong with its calls until it is gone.
    pub(super) fn trouble_calls(&mut self, host: usize) {
        self.hosts[host].trouble = if self.strikes(Fault::HeartbeatDoubted) {
            Trouble::Doubted
        } else if self.strikes(Fault::CallsFail) {
            let kinds = [
                CallErrorKind::Unsent,
                CallErrorKind::Unanswered,
                CallErrorKind::Rejected,
                CallErrorKind::AccessDenied,
                CallErrorKind::Throttled,
                CallErrorKind::Credentials,
            ];
            Trouble::Fails { with: kinds[self.rng.usize(..kinds.len())], all: self.rng.bool() }
        } else {
            Trouble::None
        };
    }
}

fn failed(kind: CallErrorKind) -> CallError {
    CallError { kind, message: format!("{kind:?}") }
}
