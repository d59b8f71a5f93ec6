//! Calls to Elastic Load Balancing, without retries.

use std::time::Duration;

use aws_config::SdkConfig;
pub(super) use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::Builder;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealth as Described, TargetHealthDescription,
};

use super::clients::{Clients, setting};
use super::error::{classify, unsent};
use machine::event::{CallError, TargetHealth};
use machine::targets::TargetName;

/// The attribute of a target group that says how long its load balancer drains a target.
const DELAY: &str = "deregistration_delay.timeout_seconds";

/// The client. The SDK for Rust reads the profile's endpoint under another name than AWS documents, as for Auto Scaling.
pub(super) fn client(config: &SdkConfig) -> Client {
    let mut builder = Builder::from(config);
    if let Some(endpoint) = setting(config, "elastic_load_balancing_v2", "AWS_ENDPOINT_URL", "endpoint_url") {
        builder.set_endpoint_url(Some(endpoint));
    }
    Client::from_conf(builder.build())
}

impl Clients {
    /// DescribeTargetHealth, for one target. Also returns its state in ELB's words.
    pub async fn target_health(&self, target: &TargetName) -> Result<(TargetHealth, String), CallError> {
        let call = "elasticloadbalancing:DescribeTargetHealth";
        let request = self.elb()?.describe_target_health().target_group_arn(&target.group);
        let answer = request.targets(description(target)).send().await;
        let answer = answer.map_err(|error| classify(call, &error))?;
        let described = answer.target_health_descriptions().iter();
        let mut of_target =
            described.filter(|one| one.target().and_then(TargetDescription::id) == Some(&target.id));
        let found = of_target.next().and_then(TargetHealthDescription::target_health);
        let state = found.and_then(Described::state).map_or("not listed", |state| state.as_str());
        Ok((health(found), state.to_owned()))
    }

    /// DeregisterTargets, for one target. Succeeds for a target that is not registered.
    pub async fn deregister_target(&self, target: &TargetName) -> Result<(), CallError> {
        let call = "elasticloadbalancing:DeregisterTargets";
        let request = self.elb()?.deregister_targets().target_group_arn(&target.group);
        request.targets(description(target)).send().await.map(drop).map_err(|error| classify(call, &error))
    }

    /// RegisterTargets, for one target.
    pub async fn register_target(&self, target: &TargetName) -> Result<(), CallError> {
        let call = "elasticloadbalancing:RegisterTargets";
        let request = self.elb()?.register_targets().target_group_arn(&target.group);
        request.targets(description(target)).send().await.map(drop).map_err(|error| classify(call, &error))
    }

    /// DescribeTargetGroupAttributes: the deregistration delay; `None` if ELB does not tell it.
    pub async fn deregistration_delay(&self, group: &str) -> Result<Option<Duration>, CallError> {
        let call = "elasticloadbalancing:DescribeTargetGroupAttributes";
        let answer = self.elb()?.describe_target_group_attributes().target_group_arn(group).send().await;
        let answer = answer.map_err(|error| classify(call, &error))?;
        let delay = answer.attributes().iter().find(|attribute| attribute.key() == Some(DELAY));
        let seconds = delay.and_then(|attribute| attribute.value()?.parse().ok());
        Ok(seconds.map(Duration::from_secs))
    }

    fn elb(&self) -> Result<&Client, CallError> {
        self.elb.as_ref().ok_or_else(|| unsent("no target group is configured"))
    }
}

fn description(target: &TargetName) -> TargetDescription {
    let port = target.port.map(i32::from);
    TargetDescription::builder().id(&target.id).set_port(port).build()
}

/// What a target's health means for a drain. Only `unused` and `draining` get no new requests. A target that is `unused` is still
/// registered, unless the reason says otherwise.
fn health(described: Option<&Described>) -> TargetHealth {
    let Some(described) = described else { return TargetHealth::NotRegistered };
    let reason = described.reason().map(|reason| reason.as_str());
    match described.state().map(|state| state.as_str()) {
        Some("unused") if reason == Some("Target.NotRegistered") => TargetHealth::NotRegistered,
        Some("unused") => TargetHealth::Unused,
        Some("draining") => TargetHealth::Draining,
        Some(_) | None => TargetHealth::Registered,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::{
        TargetHealthReasonEnum as Reason, TargetHealthStateEnum as State,
    };

    use super::*;

    #[test]
    fn states() {
        for (state, reason, expected) in [
            ("unused", "Target.NotRegistered", TargetHealth::NotRegistered),
            ("unused", "Target.NotInUse", TargetHealth::Unused),
            ("unused", "Target.InvalidState", TargetHealth::Unused),
            ("draining", "Target.DeregistrationInProgress", TargetHealth::Draining),
            ("initial", "Elb.RegistrationInProgress", TargetHealth::Registered),
            ("healthy", "", TargetHealth::Registered),
            ("unhealthy", "Target.Timeout", TargetHealth::Registered),
            // It is unhealthy, but was not deregistered.
            ("unhealthy.draining", "Target.FailedHealthChecks", TargetHealth::Registered),
            ("unavailable", "Target.HealthCheckDisabled", TargetHealth::Registered),
            ("of-another-year", "", TargetHealth::Registered),
        ] {
            let described =
                Described::builder().state(State::from(state)).reason(Reason::from(reason)).build();
            assert_eq!(health(Some(&described)), expected, "{state} {reason}");
        }
        assert_eq!(health(None), TargetHealth::NotRegistered);
    }
}
