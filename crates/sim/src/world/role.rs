//! The credentials of the role in every instance's profile, and how they rotate.

use std::time::Duration;

use serde_json::json;

use machine::Time;

use super::delivery::whole_seconds;
use super::error::ApiError;
use super::{World, instance::Instance};

/// The name of the role.
pub const ROLE: &str = "drainhook-simulated";

/// How long credentials that never expire claim to last. AWS's credentials last as long.
const LAST: Duration = Duration::from_secs(6 * 3600);

/// A current or earlier access key of a role's credentials.
#[derive(Debug, Clone)]
pub(super) struct AccessKey {
    instance: String,
    issued: Time,
}

impl World {
    /// The instance whose role got this access key.
    pub fn instance_of_access_key(&self, access_key: &str) -> Option<&str> {
        self.access_keys.get(access_key).map(|key| key.instance.as_str())
    }

    /// Refuses an expired access key. A key that this world did not issue is the caller's own, and valid.
    pub fn check_access_key(&mut self, now: Time, access_key: &str) -> Result<(), ApiError> {
        self.advance(now);
        let Some(last) = self.config.imds.credentials_last else { return Ok(()) };
        match self.access_keys.get(access_key) {
            Some(key) if key.issued + last <= self.now => Err(ApiError {
                status: 403,
                code: "ExpiredToken",
                message: "The security token included in the request is expired".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Issues an access key that is valid from now on.
    pub(super) fn issue_access_key(&mut self, instance: &str) -> String {
        let access_key = format!("ASIA{:016X}", self.rng.u64(..));
        let key = AccessKey { instance: instance.to_owned(), issued: self.now };
        self.access_keys.insert(access_key.clone(), key);
        access_key
    }

    /// New credentials appear well before the old ones expire.
    pub(super) fn rotate_credentials(&mut self, instance: &str) {
        let Some(last) = self.config.imds.credentials_last else { return };
        let current = self.instances.get(instance).and_then(|one| self.key_of(one));
        if current.is_none_or(|key| self.now.since(key.issued) < last / 2) {
            return;
        }
        let access_key = self.issue_access_key(instance);
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.access_keys.push(access_key);
        }
    }

    pub(super) fn forget_access_keys(&mut self, instance: &str) {
        let Some(instance) = self.instances.get_mut(instance) else { return };
        for access_key in instance.access_keys.drain(..) {
            self.access_keys.remove(&access_key);
        }
    }

    /// The current key.
    fn key_of(&self, instance: &Instance) -> Option<&AccessKey> {
        self.access_keys.get(instance.access_keys.last()?)
    }

    /// `iam/security-credentials/ROLE`
    pub(super) fn credentials(&self, instance: &Instance) -> String {
        let key = self.key_of(instance);
        let (updated, expires) = match (self.config.imds.credentials_last, key) {
            (Some(last), Some(key)) => (key.issued, key.issued + last),
            (None, _) | (_, None) => (self.now, self.now + LAST),
        };
        let document = json!({
            "Code": "Success",
            "LastUpdated": whole_seconds(updated),
            "Type": "AWS-HMAC",
            "AccessKeyId": instance.access_keys.last(),
            "SecretAccessKey": "simulated/simulated/simulated/simulated0",
            "Token": "simulated-session-token",
            "Expiration": whole_seconds(expires),
        });
        format!("{document:#}")
    }
}
