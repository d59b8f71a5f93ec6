//! Target groups that the Auto Scaling group does not manage: the `[[target_group]]` tables.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Problem;
use super::build::Table;
use super::layers::Layers;

/// The most target groups.
pub const TARGET_GROUPS_MAX: usize = 16;

/// The section of target groups.
pub(super) const SECTION: &str = "target_group";

/// The longest ARN of a target group, in bytes. Its name has at most 32.
const ARN_LENGTH_MAX: usize = 256;

/// A target group that the instance leaves when it drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// `TargetGroupArn`
    pub arn: String,
    /// The target, if it is not the instance's id.
    pub target: Option<String>,
    /// The target's port, if it is not the target group's.
    pub port: Option<u16>,
    /// How long a drain waits for the load balancer.
    pub timeout: Duration,
}

impl TargetGroup {
    /// The target group's name, which is in its ARN.
    pub fn name(&self) -> &str {
        self.arn.split('/').nth(1).unwrap_or_default()
    }

    /// The Region, which is in the ARN.
    pub fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }
}

/// Whether this is `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.
pub(super) fn is_arn(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "elasticloadbalancing", region, account, resource] = parts[..] else {
        return false;
    };
    let resource: Vec<&str> = resource.split('/').collect();
    let ["targetgroup", name, id] = resource[..] else { return false };
    text.len() <= ARN_LENGTH_MAX && [partition, region, account, name, id].into_iter().all(is_word)
}

/// The target groups, in order.
pub(super) fn target_groups(layers: &Layers) -> Vec<TargetGroup> {
    let tables = (0..layers.count(SECTION)).map(|place| Table { layers, place, section: SECTION });
    tables
        .filter_map(|table| {
            Some(TargetGroup {
                arn: table.optional("arn")?,
                target: table.optional("target"),
                port: table.optional("port"),
                timeout: table.required("timeout"),
            })
        })
        .collect()
}

/// A problem for each table without an ARN, and for each target that is listed twice.
pub(super) fn check(layers: &Layers) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut targets = BTreeSet::new();
    if let Some(origin) = layers.places(SECTION).first().filter(|_| !cfg!(feature = "target-groups")) {
        problems.push(Problem::NoTargetGroups { origin: origin.clone() });
    }
    for (place, origin) in layers.places(SECTION).iter().enumerate() {
        let text = |key| layers.given.get(&(place, SECTION, key)).map(|given| given.text.clone());
        let origin = origin.clone();
        match text("arn") {
            Some(arn) if !targets.insert((arn.clone(), text("target"), text("port"))) => {
                problems.push(Problem::SameTarget { origin, arn });
            }
            // An ARN that is wrong is a problem already.
            None if !layers.wrong.contains(&(place, SECTION, "arn")) => {
                problems.push(Problem::NoArn { origin })
            }
            Some(_) | None => {}
        }
    }
    problems
}
