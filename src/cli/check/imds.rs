//! Checks the instance metadata service, and reads the instance's identity from it.

use super::part::Part;
use crate::aws::imds::{Identity, Imds, ImdsError, Settings};
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::daemon::identity;
use machine::event::{LifeCycle, TargetState};

const NOT_HEARD: &str = "no notice can reach the daemon; make IMDS answer, or set queue.url";

/// Values of `InstanceLifecycle` for reserved capacity (EC2 API reference, Instance). AWS does not document whether IMDS says them.
const RESERVED: [&str; 2] = ["capacity-block", "interruptible-capacity-reservation"];

/// Requests everything that the daemon needs. The instance id is empty if it is unknown.
pub async fn look(config: &Config, clock: Clock) -> (Part, Identity) {
    let mut imds = Imds::new(Settings::from_env(), clock);
    match imds.identity().await {
        Ok(identity) => {
            let part = answered(config, &mut imds, &identity).await;
            (part, identity)
        }
        Err(error) => {
            let known = config.instance.id.clone().or_else(identity::from_firmware);
            let part = silent(config, &error, known.as_deref());
            (part, Identity { instance_id: known.unwrap_or_default(), group: None, doubt: None })
        }
    }
}

fn silent(config: &Config, error: &ImdsError, known: Option<&str>) -> Part {
    let mut part = Part::ok("IMDS", error.to_string());
    if let ImdsError::Disabled { .. } = error {
        part = part.warning(format!(
            "run aws ec2 modify-instance-metadata-options --instance-id {} --http-endpoint enabled",
            known.unwrap_or("INSTANCE_ID")
        ));
    }
    part = match config.queue.url {
        Some(_) => part.warning(
            "the daemon learns of notices from the queue only; it learns of spot and maintenance notices only if EventBridge \
             rules send them to the queue",
        ),
        None => part.failed(format!("without IMDS and without a queue, {NOT_HEARD}")),
    };
    if known.is_some() { part } else { part.failed("the instance id is unknown; set instance.id") }
}

async fn answered(config: &Config, imds: &mut Imds, identity: &Identity) -> Part {
    let (target, role, life_cycle) = (imds.target_state().await, imds.role().await, imds.life_cycle().await);
    let mut found = identity.instance_id.clone();
    if let Some(group) = &identity.group {
        found.push_str(&format!(", group {group}"));
    }
    if let Ok(Some(target)) = &target {
        found.push_str(&format!(", target lifecycle state {}", word(target)));
    }
    match &role {
        Ok(Some(role)) => found.push_str(&format!(", role {role}")),
        Ok(None) => found.push_str(", no role"),
        Err(error) => found.push_str(&format!(", role unknown ({error})")),
    }
    let mut part = Part::ok("IMDS", found);
    if let Some(id) = config.instance.id.as_ref().filter(|id| **id != identity.instance_id) {
        part = part.failed(format!(
            "instance.id is {id}, which is another instance; while IMDS is silent, the daemon would act as that instance; \
             remove instance.id"
        ));
    }
    if let Ok(Some(LifeCycle::Other(kind))) = &life_cycle
        && RESERVED.contains(&kind.as_str())
        && config.queue.listen == Listen::AtNotice
    {
        part = part.warning(format!(
            "IMDS says {kind}, and EC2 announces the end of reserved capacity only in messages; set queue.listen = \"always\" \
             (docs/install.md, \"Reserved capacity\")"
        ));
    }
    let why = match target {
        Ok(Some(_)) => return part,
        Ok(None) => {
            "IMDS has no autoscaling/target-lifecycle-state; the instance is probably in no Auto Scaling group"
                .to_owned()
        }
        Err(error) => error.to_string(),
    };
    match config.queue.url {
        Some(_) => part.warning(format!("{why}; the daemon learns of notices from the queue instead")),
        None => part.failed(format!("{why}; {NOT_HEARD}")),
    }
}

fn word(target: &TargetState) -> &str {
    match target {
        TargetState::InService => "InService",
        TargetState::Terminated => "Terminated",
        TargetState::Standby => "Standby",
        TargetState::Detached => "Detached",
        TargetState::Warmed(state) | TargetState::Other(state) => state,
    }
}
