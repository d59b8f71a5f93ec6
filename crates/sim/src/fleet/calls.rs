//! One call to AWS, and the faults that affect it.

use std::time::Duration;

use crate::fault::Fault;
use crate::world::World;
use machine::Time;
use machine::event::{CallError, CallErrorKind};

use super::Fleet;
use super::perform::CALL_LIMIT;

/// The kinds of call that faults distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Heartbeat,
    Completion,
    Other,
}

/// What is wrong with an instance's calls for a whole drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Heartbeats take effect, but the daemon does not recognize the answers, because a proxy strips what shows that AWS
    /// answered.
    Doubted,
    /// Calls fail at once: only heartbeats, or all calls.
    Fails { with: CallErrorKind, all: bool },
}

/// The state of the credentials that the daemon's clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Credentials {
    #[default]
    Good,
    /// AWS refuses them. The next clients get valid ones.
    Replaced,
    /// AWS accepts none before this time.
    Missing { until: Time },
}

/// The share of rotations after which no credentials are valid for a while.
const GAP: f64 = 0.3;

impl Fleet {
    /// Makes one call to AWS. Returns its result and how long that takes.
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

    /// The error of a call that fails before it reaches AWS's model.
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
                // One retry succeeds, so this excuses no expiry.
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

    /// Replaces the credentials.
    pub(super) fn rotate_credentials(&mut self, host: usize) {
        self.hosts[host].credentials = if self.rng.f64() < GAP {
            let gap = self.delay(1_000, 120_000);
            Credentials::Missing { until: self.now + gap }
        } else {
            Credentials::Replaced
        };
    }

    /// The instance is being terminated. Draws what is wrong with its calls until it is gone.
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
