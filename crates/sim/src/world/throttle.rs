//! The token bucket that all Auto Scaling calls of an account share.

use machine::Time;

use super::config::Throttle;
use super::error::ApiError;
use super::{Happening, World};

/// How full the bucket is.
#[derive(Debug)]
pub(super) struct Bucket {
    limits: Throttle,
    tokens: f64,
    filled_at: Time,
}

impl Bucket {
    pub(super) fn new(limits: Throttle, now: Time) -> Self {
        Bucket { limits, tokens: f64::from(limits.burst), filled_at: now }
    }

    fn take(&mut self, now: Time) -> bool {
        let gained = now.since(self.filled_at).as_secs_f64() * self.limits.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(self.limits.burst));
        self.filled_at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl World {
    /// Gives the bucket new limits and fills it. `None` admits every call.
    pub fn set_throttle(&mut self, now: Time, limits: Option<Throttle>) {
        self.advance(now);
        self.bucket = limits.map(|limits| Bucket::new(limits, now));
        self.version += 1;
    }

    /// Advances to `now` and takes one call from the account's bucket.
    pub(super) fn admit(&mut self, now: Time) -> Result<(), ApiError> {
        self.advance(now);
        let now = self.now();
        if self.bucket.as_mut().is_none_or(|bucket| bucket.take(now)) {
            return Ok(());
        }
        self.log(Happening::Throttled);
        Err(ApiError::sender("Throttling", "Rate exceeded"))
    }
}
