//! Finds out which instance this is, before the machine starts.

use std::time::Duration;

use super::notify::Notify;
use crate::aws::imds::{Identity, Imds};
use crate::clock::Clock;
use formats::imds::is_instance_id;

/// On Nitro instances the asset tag of the board is the instance's id (EC2 user guide, "Identify EC2 instances").
const DMI_ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// How long to wait for IMDS before the id is looked for elsewhere.
const IMDS_PATIENCE: Duration = Duration::from_secs(60);

/// The pause between tries.
const RETRY: Duration = Duration::from_secs(2);

/// The instance's identity, and its source.
#[derive(Debug)]
pub struct Known {
    /// The instance's identity.
    pub identity: Identity,
    /// Where it comes from.
    pub source: Source,
}

/// Where an identity comes from. Sources other than IMDS are used only until IMDS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The metadata service.
    Imds,
    /// `instance.id`, which may have been left in an image.
    Configuration,
    /// The firmware's tables.
    Firmware,
}

/// Identifies the instance from IMDS, or else from the configuration or the firmware's tables. Retries until it succeeds.
pub async fn find(configured: Option<&str>, imds: &mut Imds, clock: Clock, notify: &mut Notify) -> Known {
    let started = clock.now();
    let mut said = false;
    let mut asked_before = false;
    loop {
        notify.alive();
        let error = match (imds.identity().await, configured) {
            (Ok(identity), configured) => {
                if let Some(id) = configured.filter(|id| *id != identity.instance_id) {
                    contradicted(Source::Configuration, id, &identity.instance_id);
                }
                return Known { identity, source: Source::Imds };
            }
            (Err(error), Some(id)) => {
                tracing::warn!("IMDS does not answer ({error}); using instance.id {id} until it does");
                return without_group(id.to_owned(), Source::Configuration);
            }
            (Err(error), None) => error,
        };
        if !std::mem::replace(&mut asked_before, true) {
            tracing::info!("IMDS has not named this instance yet; retrying: {error}");
        }
        if clock.now().since(started) >= IMDS_PATIENCE && !said {
            if let Some(instance_id) = from_firmware() {
                tracing::warn!(
                    instance_id,
                    "IMDS does not answer ({error}); using the instance id in the firmware until it does"
                );
                return without_group(instance_id, Source::Firmware);
            }
            tracing::error!(
                "cannot identify this instance: {error}; check the instance's metadata options, or set \
                 instance.id; retrying"
            );
            said = true;
        }
        clock.sleep(RETRY).await;
    }
}

fn without_group(instance_id: String, source: Source) -> Known {
    Known { identity: Identity { instance_id, group: None, doubt: None }, source }
}

/// Logs that IMDS contradicts the assumed instance id.
pub fn contradicted(source: Source, assumed: &str, by_imds: &str) {
    match source {
        Source::Configuration => tracing::error!(
            "instance.id is {assumed}, but IMDS says that this instance is {by_imds}; using IMDS; remove instance.id \
             (was it left in an image?)"
        ),
        Source::Imds | Source::Firmware => {
            tracing::error!(
                "the firmware names this instance {assumed}, but IMDS says that it is {by_imds}; using IMDS"
            );
        }
    }
}

/// The instance id in the firmware's tables.
pub fn from_firmware() -> Option<String> {
    let tag = std::fs::read_to_string(DMI_ASSET_TAG).ok()?;
    let tag = tag.trim();
    is_instance_id(tag).then(|| tag.to_owned())
}
