//! Stands in for `elb` in a build without the feature `target-groups`. The configuration refuses `[[target_group]]` there, so that
//! no drain makes these calls.

use std::time::Duration;

use super::clients::Clients;
use super::error::unsent;
use machine::event::{CallError, TargetHealth};
use machine::targets::TargetName;

fn missing<T>() -> Result<T, CallError> {
    Err(unsent("this drainhook was built without target groups"))
}

#[allow(missing_docs, clippy::unused_async, reason = "as in `elb`")]
impl Clients {
    pub async fn target_health(&self, _: &TargetName) -> Result<(TargetHealth, String), CallError> {
        missing()
    }

    pub async fn deregister_target(&self, _: &TargetName) -> Result<(), CallError> {
        missing()
    }

    pub async fn register_target(&self, _: &TargetName) -> Result<(), CallError> {
        missing()
    }

    pub async fn deregistration_delay(&self, _: &str) -> Result<Option<Duration>, CallError> {
        missing()
    }
}
