//! Who we are, before anything else can be known.

use std::time::Duration;

use super::notify::Notify;
use crate::aws::imds::{Identity, Imds};
use crate::clock::Clock;

/// On Nitro instances the asset tag of the board is the instance's id (EC2 user guide, "Identify EC2 instances").
const DMI_ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// After so long without an answer, the instance's id is looked for elsewhere.
const IMDS_PATIENCE: Duration = Duration::from_secs(60);

/// Between tries.
const RETRY: Duration = Duration::from_secs(2);

/// Finds out who this instance is: from the configuration, from IMDS, or from the firmware's tables. Goes on until it
/// knows.
pub async fn find(
    configured: Option<String>,
    imds: &mut Imds,
    clock: Clock,
    notify: &mut Notify,
) -> Identity {
    let started = clock.now();
    let mut said = false;
    let mut asked_before = false;
    loop {
        notify.alive();
        let error = match (imds.identity().await, &configured) {
            (Ok(identity), None) => return identity,
            (Ok(identity), Some(id)) => return Identity { instance_id: id.clone(), ..identity },
            (Err(_), Some(id)) => return Identity { instance_id: id.clone(), group: None, doubt: None },
            (Err(error), None) => error,
        };
        if !std::mem::replace(&mut asked_before, true) {
            tracing::info!("IMDS does not say yet which instance this is, trying on: {error}");
        }
        if clock.now().since(started) >= IMDS_PATIENCE && !said {
            if let Some(instance_id) = from_firmware() {
                tracing::warn!(
                    instance_id,
                    "IMDS does not answer ({error}); the firmware names this instance"
                );
                return Identity { instance_id, group: None, doubt: None };
            }
            tracing::error!(
                "cannot find out which instance this is: {error}; check the instance's metadata options, or set \
                 instance.id; trying on"
            );
            said = true;
        }
        clock.sleep(RETRY).await;
    }
}

/// What the firmware calls this instance.
pub fn from_firmware() -> Option<String> {
    let tag = std::fs::read_to_string(DMI_ASSET_TAG).ok()?;
    let tag = tag.trim();
    tag.starts_with("i-").then(|| tag.to_owned())
}
