//! Elastic Load Balancing: target groups and their targets. A target's requests are not simulated.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::Time;

use super::error::ApiError;
use super::{Happening, Wake, World};

/// The deregistration delay that ELB allows (TargetGroupAttribute, `deregistration_delay.timeout_seconds`).
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// How long a new target is `initial`.
const INITIAL: Duration = Duration::from_secs(5);

/// The longest name of a target group.
const NAME_LEN_MAX: usize = 32;

/// The settings of a target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroupSpec {
    /// `TargetGroupName`
    pub name: String,
    /// `Port`: the port of targets that are registered without one.
    pub port: u16,
    /// `deregistration_delay.timeout_seconds`
    pub delay: Duration,
}

/// A target group as DescribeTargetGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroupView {
    /// `TargetGroupArn`
    pub arn: String,
    /// Its settings.
    pub spec: TargetGroupSpec,
}

/// A target as a call names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRef {
    /// `Id`
    pub id: String,
    /// `Port`, if it is not the target group's.
    pub port: Option<u16>,
}

/// A target as DescribeTargetHealth shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    /// `Id`
    pub id: String,
    /// `Port`
    pub port: u16,
    /// `TargetHealth`
    pub health: Health,
}

/// The health of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It was registered a moment ago.
    Initial,
    /// It gets requests.
    Healthy,
    /// It was deregistered, and its deregistration delay has not passed.
    Draining,
    /// It is not registered.
    Unused,
}

impl Health {
    /// `TargetHealth.State`
    pub fn state(self) -> &'static str {
        match self {
            Health::Initial => "initial",
            Health::Healthy => "healthy",
            Health::Draining => "draining",
            Health::Unused => "unused",
        }
    }

    /// `TargetHealth.Reason`
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Health::Initial => Some("Elb.RegistrationInProgress"),
            Health::Healthy => None,
            Health::Draining => Some("Target.DeregistrationInProgress"),
            Health::Unused => Some("Target.NotRegistered"),
        }
    }
}

#[derive(Debug)]
pub(super) struct TargetGroup {
    view: TargetGroupView,
    /// By id and port. A target stays until it is unused.
    targets: BTreeMap<(String, u16), Target>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Registered { since: Time },
    Draining { until: Time },
}

impl Target {
    fn health(self, now: Time) -> Health {
        match self {
            Target::Registered { since } if now < since + INITIAL => Health::Initial,
            Target::Registered { .. } => Health::Healthy,
            Target::Draining { .. } => Health::Draining,
        }
    }
}

impl World {
    /// CreateTargetGroup. Returns `TargetGroupArn`.
    pub fn create_target_group(&mut self, now: Time, spec: TargetGroupSpec) -> Result<String, ApiError> {
        self.advance(now);
        let well_formed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if spec.name.is_empty() || spec.name.len() > NAME_LEN_MAX || !spec.name.chars().all(well_formed) {
            // The rule is AWS's. The words are guessed.
            let rule = "can only contain characters that are alphanumeric characters or hyphens(-)";
            return Err(ApiError::validation(format!("Target group name '{}' {rule}", spec.name)));
        }
        if self.target_groups.values().any(|group| group.view.spec.name == spec.name) {
            let message = format!(
                "A target group with the same name '{}' exists, but with different settings",
                spec.name
            );
            return Err(ApiError::sender("DuplicateTargetGroupName", message));
        }
        Ok(self.insert_target_group(spec))
    }

    pub(super) fn insert_target_group(&mut self, spec: TargetGroupSpec) -> String {
        let (region, account) = (&self.config.region, &self.config.account);
        let number = self.target_groups.len() + 1;
        let name = &spec.name;
        let arn = format!("arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{number:016x}");
        let view = TargetGroupView { arn: arn.clone(), spec };
        self.target_groups.insert(arn.clone(), TargetGroup { view, targets: BTreeMap::new() });
        self.version += 1;
        arn
    }

    /// DescribeTargetGroups, in order of creation.
    pub fn target_groups(&self) -> Vec<TargetGroupView> {
        let mut views: Vec<_> = self.target_groups.values().map(|group| group.view.clone()).collect();
        views.sort_by(|a, b| a.arn.rsplit('/').next().cmp(&b.arn.rsplit('/').next()));
        views
    }

    /// ModifyTargetGroupAttributes, for the deregistration delay. Targets that drain keep theirs.
    pub fn set_deregistration_delay(
        &mut self,
        now: Time,
        arn: &str,
        delay: Duration,
    ) -> Result<(), ApiError> {
        self.advance(now);
        let group = self.target_groups.get_mut(arn).ok_or_else(not_found)?;
        if delay > DELAY_MAX {
            // Guessed.
            return Err(ApiError::validation(
                "deregistration_delay.timeout_seconds must be between 0 and 3600",
            ));
        }
        group.view.spec.delay = delay;
        self.version += 1;
        Ok(())
    }

    /// RegisterTargets. A target that drains is registered again.
    pub fn register_target(&mut self, now: Time, arn: &str, target: &TargetRef) -> Result<(), ApiError> {
        self.advance(now);
        let key = self.target_key(arn, target)?;
        if target.id.starts_with("i-") && self.instances.get(&target.id).is_none() {
            let message = format!(
                "The following targets are not in a running state and cannot be registered: '{}'",
                target.id
            );
            return Err(ApiError::sender("InvalidTarget", message));
        }
        let since = self.now;
        let group = self.target_groups.get_mut(arn).ok_or_else(not_found)?;
        if !matches!(group.targets.get(&key), Some(Target::Registered { .. })) {
            group.targets.insert(key, Target::Registered { since });
            let (instance, group) = (target.id.clone(), group.view.spec.name.clone());
            self.log(Happening::TargetRegistered { instance, group });
        }
        Ok(())
    }

    /// DeregisterTargets. Succeeds for a target that is not registered.
    pub fn deregister_target(&mut self, now: Time, arn: &str, target: &TargetRef) -> Result<(), ApiError> {
        self.advance(now);
        let key = self.target_key(arn, target)?;
        let now = self.now;
        let group = self.target_groups.get_mut(arn).ok_or_else(not_found)?;
        if let Some(registered @ Target::Registered { .. }) = group.targets.get_mut(&key) {
            let until = now + group.view.spec.delay;
            *registered = Target::Draining { until };
            let (instance, group) = (target.id.clone(), group.view.spec.name.clone());
            self.log(Happening::TargetDeregistered { instance, group, until });
            self.schedule(until, Wake::TargetUnused { arn: arn.to_owned(), target: key });
        }
        Ok(())
    }

    /// DescribeTargetHealth. Returns all targets if `targets` is empty.
    pub fn describe_targets(
        &mut self,
        now: Time,
        arn: &str,
        targets: &[TargetRef],
    ) -> Result<Vec<TargetView>, ApiError> {
        self.advance(now);
        let group = self.target_groups.get(arn).ok_or_else(not_found)?;
        let view = |(id, port): &(String, u16)| {
            let target = group.targets.get(&(id.clone(), *port));
            let health = target.map_or(Health::Unused, |target| target.health(self.now));
            TargetView { id: id.clone(), port: *port, health }
        };
        if targets.is_empty() {
            return Ok(group.targets.keys().map(view).collect());
        }
        targets.iter().map(|target| Ok(view(&self.target_key(arn, target)?))).collect()
    }

    fn target_key(&self, arn: &str, target: &TargetRef) -> Result<(String, u16), ApiError> {
        let group = self.target_groups.get(arn).ok_or_else(not_found)?;
        Ok((target.id.clone(), target.port.unwrap_or(group.view.spec.port)))
    }

    /// The deregistration delay of a target may have passed.
    pub(super) fn target_unused(&mut self, arn: &str, key: &(String, u16)) {
        let now = self.now;
        let Some(group) = self.target_groups.get_mut(arn) else { return };
        if matches!(group.targets.get(key), Some(Target::Draining { until }) if *until <= now) {
            group.targets.remove(key);
            let (instance, group) = (key.0.clone(), group.view.spec.name.clone());
            self.log(Happening::TargetUnused { instance, group });
        }
    }

    /// ELB removes an instance that is gone.
    pub(super) fn forget_targets(&mut self, instance: &str) {
        for group in self.target_groups.values_mut() {
            group.targets.retain(|(id, _), _| id != instance);
        }
    }
}

fn not_found() -> ApiError {
    ApiError::sender("TargetGroupNotFound", "One or more target groups not found")
}
