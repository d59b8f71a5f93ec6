//! What the role of an instance may not do.

use super::World;
use super::action::ActionRef;
use super::error::ApiError;
use super::imds::ROLE;

impl World {
    /// Refuses a call that the world's configuration denies, in the words of IAM.
    pub(super) fn permit(&self, call: &str, action: &ActionRef) -> Result<(), ApiError> {
        if !self.config.denied.contains(&call) {
            return Ok(());
        }
        let account = &self.config.account;
        let resource = self.groups.get(&action.group).map_or("*", |group| &group.arn);
        let message = format!(
            "User: arn:aws:sts::{account}:assumed-role/{ROLE} is not authorized to perform: autoscaling:{call} on \
             resource: {resource} because no identity-based policy allows the autoscaling:{call} action"
        );
        Err(ApiError { status: 403, code: "AccessDenied", message })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ActionResult, WorldConfig};
    use super::*;
    use crate::machine::Time;

    #[test]
    fn only_what_is_denied() {
        let start = Time::from_unix_ms(1_764_000_000_000);
        let denied = vec!["CompleteLifecycleAction"];
        let mut world = World::new(WorldConfig { denied, ..WorldConfig::default() }, start);
        let instance = Some(world.instances()[0].id.clone());
        world.set_desired_capacity(start, "workers", 0).expect("valid");
        let wait = start + std::time::Duration::from_secs(3);
        let action = ActionRef { hook: "drain".into(), group: "workers".into(), token: None, instance };
        world.heartbeat(wait, &action).expect("allowed");
        let error = world.complete(wait, &action, ActionResult::Continue).expect_err("denied");
        assert_eq!((error.status, error.code), (403, "AccessDenied"));
        assert!(error.message.contains("perform: autoscaling:CompleteLifecycleAction on resource: arn:"));
    }
}
