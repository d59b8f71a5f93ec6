//! Looks whether a busy instance could be protected from scale-in: how much each agent has in flight, and the permission.

use super::agent;
use super::part::Part;
use super::within;
use crate::aws::clients::Clients;
use crate::config::{self, Config};
use crate::daemon::settings;
use machine::event::{CallError, CallErrorKind};

/// No instance has this id. AWS checks permissions before the instance, so a permitted call is rejected and changes nothing.
pub(super) const NO_INSTANCE: &str = "i-00000000000000000";

/// A row for each agent. Empty if no protection is configured.
pub async fn work(config: &Config) -> Vec<Part> {
    if !config.protection.when_busy {
        return Vec::new();
    }
    agent::each(config, |agent, instance_id| async move { row(&agent, &instance_id).await }).await
}

async fn row(agent: &config::Agent, instance_id: &str) -> Part {
    let name = &agent.name;
    let asked = match settings::agent(agent, false) {
        Ok(asked) => asked.in_flight(instance_id).await,
        Err(error) => Err(error.to_string()),
    };
    match asked {
        Ok(count) => Part::ok("work", format!("{name}: {count} in flight")),
        Err(why) => Part::ok("work", format!("{name}: {why}")).failed(
            "while its work is unknown, it does not protect the instance, and an idle instance keeps its protection; start the agent, \
             or correct its status",
        ),
    }
}

/// A row for the permission. `None` if no protection is configured.
pub async fn permission(config: &Config, clients: &Clients, group: &str) -> Option<Part> {
    if !config.protection.when_busy {
        return None;
    }
    let call = clients.protect(group, NO_INSTANCE, false);
    let result = within("autoscaling:SetInstanceProtection", call).await;
    let proves =
        |error: &CallError| matches!(error.kind, CallErrorKind::Rejected | CallErrorKind::NoActiveAction);
    let (part, found) = Part::ok("protection", "").tried(result, proves);
    Some(Part { found: found.to_owned(), ..part })
}
