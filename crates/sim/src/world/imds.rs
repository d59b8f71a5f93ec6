//! The metadata service of an instance. Version 2 only.

use std::time::Duration;

use serde_json::json;

use machine::Time;

use super::config::{ImdsMode, LifeCycle};
use super::delivery::whole_seconds;
use super::instance::{Instance, LifecycleState};
use super::role::ROLE;
use super::{Happening, World};

const TOKEN_TTL_MAX: u64 = 21_600;

/// An answer of the metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdsAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, `text/plain`.
    pub body: String,
    /// The remaining life of the token, in seconds, if the request had a valid one.
    pub token_ttl: Option<u64>,
}

impl ImdsAnswer {
    fn found(body: impl Into<String>) -> Self {
        ImdsAnswer { status: 200, body: body.into(), token_ttl: None }
    }

    /// An error, with its page.
    pub fn error(status: u16) -> Self {
        let title = match status {
            400 => "400 - Bad Request",
            401 => "401 - Unauthorized",
            403 => "403 - Forbidden",
            405 => "405 - Method Not Allowed",
            _ => "404 - Not Found",
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 \
             Transitional//EN\"\n\t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html \
             xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{title}</title>\n \
             </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
        );
        ImdsAnswer { status, body, token_ttl: None }
    }
}

impl World {
    /// Turns an instance's metadata service on or off, or makes it misbehave.
    pub fn set_imds_mode(&mut self, now: Time, instance: &str, mode: ImdsMode) {
        self.advance(now);
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.imds_mode = mode;
        }
        self.version += 1;
        self.roster_version += 1;
    }

    /// `PUT /latest/api/token`, with the value of the TTL header.
    ///
    /// A TTL of 0 is accepted, and its token is never valid. This was recorded.
    pub fn imds_token(&mut self, now: Time, instance: &str, ttl: Option<&str>) -> ImdsAnswer {
        self.advance(now);
        if self.imds_mode_of(instance) == ImdsMode::Disabled {
            return ImdsAnswer::error(403);
        }
        let ttl = ttl.and_then(|ttl| ttl.parse::<u64>().ok()).filter(|ttl| *ttl <= TOKEN_TTL_MAX);
        let Some(ttl) = ttl else { return ImdsAnswer::error(400) };
        let expires = self.now + Duration::from_secs(ttl);
        let mut answer = ImdsAnswer::found(self.write_token(instance, expires));
        answer.token_ttl = Some(ttl);
        answer
    }

    /// `GET path`, with the value of the token header.
    pub fn imds_get(&mut self, now: Time, instance: &str, token: Option<&str>, path: &str) -> ImdsAnswer {
        self.advance(now);
        if self.imds_mode_of(instance) == ImdsMode::Disabled {
            return ImdsAnswer::error(403);
        }
        let expires = token.and_then(|token| self.read_token(instance, token));
        let Some(expires) = expires.filter(|expires| *expires > self.now) else {
            return ImdsAnswer::error(401);
        };
        if path.contains("/security-credentials/") {
            self.rotate_credentials(instance);
        }
        let found = self.instances.get(instance).and_then(|instance| self.metadata(instance, path));
        if found.is_some() && path.ends_with("/target-lifecycle-state") {
            self.note_watcher(instance);
        }
        let mut answer = found.map_or_else(|| ImdsAnswer::error(404), ImdsAnswer::found);
        answer.token_ttl = Some(expires.since(self.now).as_secs());
        answer
    }

    fn note_watcher(&mut self, instance: &str) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(instance)
            && instance.target_read_at.replace(now).is_none()
        {
            self.version += 1;
        }
    }

    fn imds_mode_of(&self, instance: &str) -> ImdsMode {
        self.instances.get(instance).map_or(ImdsMode::Refuses, |instance| instance.imds_mode)
    }

    /// The content at a path, if it exists.
    fn metadata(&self, instance: &Instance, path: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        if path == "/latest/dynamic/instance-identity/document" {
            return Some(self.identity_document(instance));
        }
        let path = path.strip_prefix("/latest/meta-data")?.trim_start_matches('/');
        let arn = || format!("arn:aws:iam::{}:instance-profile/{ROLE}", self.config.account);
        Some(match path {
            "" => self.top_level(instance),
            "ami-id" => AMI.to_owned(),
            "instance-id" => instance.id.clone(),
            "instance-type" => INSTANCE_TYPE.to_owned(),
            "instance-life-cycle" => instance.life_cycle.as_str().to_owned(),
            "local-ipv4" => PRIVATE_IP.to_owned(),
            "placement" => "availability-zone\nregion".to_owned(),
            "placement/region" => self.config.region.clone(),
            "placement/availability-zone" => instance.zone.clone(),
            "autoscaling" if shows_target(instance) => "target-lifecycle-state".to_owned(),
            "autoscaling/target-lifecycle-state" if shows_target(instance) => instance.imds_target.to_owned(),
            "events" => instance.notices.list().to_owned(),
            "events/maintenance" => "history\nscheduled".to_owned(),
            "events/maintenance/history" => "[]".to_owned(),
            "events/maintenance/scheduled" => instance.notices.maintenance(),
            "events/recommendations/rebalance" => instance.notices.rebalance()?,
            "iam" => "info\nsecurity-credentials/".to_owned(),
            "iam/info" => json!({
                "Code": "Success",
                "LastUpdated": whole_seconds(self.now),
                "InstanceProfileArn": arn(),
                "InstanceProfileId": "AIPASIMULATEDPROFILE0",
            })
            .to_string(),
            "iam/security-credentials" => ROLE.to_owned(),
            "services" => "domain\npartition".to_owned(),
            "services/domain" => "amazonaws.com".to_owned(),
            "services/partition" => "aws".to_owned(),
            "spot/instance-action" => instance.notices.interruption()?,
            "tags" if self.config.imds.tags => "instance/".to_owned(),
            "tags/instance" if self.config.imds.tags => "aws:autoscaling:groupName".to_owned(),
            "tags/instance/aws:autoscaling:groupName" if self.config.imds.tags => instance.group.clone(),
            _ if path.strip_prefix("iam/security-credentials/") == Some(ROLE) => self.credentials(instance),
            _ => return None,
        })
    }

    fn top_level(&self, instance: &Instance) -> String {
        let mut entries = vec!["ami-id"];
        entries.extend(shows_target(instance).then_some("autoscaling/"));
        entries.extend(["events/", "iam/", "instance-id", "instance-life-cycle", "instance-type"]);
        entries.extend(["local-ipv4", "placement/", "services/"]);
        entries.extend(self.config.imds.tags.then_some("tags/"));
        entries.join("\n")
    }

    fn identity_document(&self, instance: &Instance) -> String {
        let document = json!({
            "accountId": self.config.account,
            "architecture": "arm64",
            "availabilityZone": instance.zone,
            "billingProducts": null,
            "devpayProductCodes": null,
            "imageId": AMI,
            "instanceId": instance.id,
            "instanceType": INSTANCE_TYPE,
            "kernelId": null,
            "marketplaceProductCodes": null,
            "pendingTime": whole_seconds(instance.launched_at),
            "privateIp": PRIVATE_IP,
            "ramdiskId": null,
            "region": self.config.region,
            "version": "2017-09-30",
        });
        // The alternate format prints over several lines, as the real document does.
        format!("{document:#}")
    }

    /// A token carries its expiry, and a check that it was issued here and for this instance.
    fn write_token(&self, instance: &str, expires: Time) -> String {
        let mut check = self.config.seed ^ expires.unix_ms().rotate_left(32);
        for byte in instance.bytes() {
            check = (check ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("AQAEA{:016x}{check:016x}simulatedsimulated==", expires.unix_ms())
    }

    fn read_token(&self, instance: &str, token: &str) -> Option<Time> {
        let expires = Time::from_unix_ms(u64::from_str_radix(token.get(5..21)?, 16).ok()?);
        (self.write_token(instance, expires) == token).then_some(expires)
    }

    /// `target-lifecycle-state` as an instance reads it. `None` if it has none.
    pub fn target_state(&self, instance: &str) -> Option<&'static str> {
        self.instances
            .get(instance)
            .filter(|instance| shows_target(instance))
            .map(|instance| instance.imds_target)
    }

    /// `instance-life-cycle` as an instance reads it.
    pub fn life_cycle(&self, instance: &str) -> Option<LifeCycle> {
        self.instances.get(instance).map(|instance| instance.life_cycle)
    }

    /// Makes an instance one that was bought in this way. AWS decides that at the launch.
    pub fn set_life_cycle(&mut self, instance: &str, life_cycle: LifeCycle) {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.life_cycle = life_cycle;
        }
    }

    /// Sets `target-lifecycle-state` to any value.
    pub fn set_target_state(&mut self, now: Time, instance: &str, target: &'static str) {
        self.advance(now);
        let Some(found) = self.instances.get_mut(instance) else { return };
        found.imds_target = target;
        self.log(Happening::ImdsFlipped { instance: instance.to_owned(), target: target.to_owned() });
    }
}

const AMI: &str = "ami-0123456789abcdef0";
const INSTANCE_TYPE: &str = "m7g.large";
const PRIVATE_IP: &str = "10.0.0.10";

fn shows_target(instance: &Instance) -> bool {
    instance.imds_mode != ImdsMode::WithoutTargetState && instance.state != LifecycleState::Terminated
}
