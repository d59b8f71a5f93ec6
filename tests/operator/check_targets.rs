//! `drainhook check`: target groups.

use std::time::Duration;

use sim::world::{Happening, WorldConfig};

use crate::check::{expect, row};
use crate::support::daemon::Stage;
use crate::support::world::target_group;
use crate::world;

const PART: &str = "target group";

async fn stage(config: WorldConfig) -> (Stage, String) {
    let target_groups = vec![target_group("web", Duration::from_secs(240))];
    let stage = Stage::new(1, WorldConfig { target_groups, ..config }).await;
    let arn = stage.target_group();
    (stage, arn)
}

#[tokio::test]
async fn registered() {
    let (stage, arn) = stage(world(3, 30)).await;
    let arn = ("DRAINHOOK_TARGET_GROUP__ARN", arn.as_str());
    let ran = expect(&stage, &[arn], PART, "ok", "").await;
    let found = format!("web: {} is initial, deregistration delay 4m", stage.instance());
    assert_eq!(row(&ran, PART)["found"], found);
    let short = [arn, ("DRAINHOOK_TARGET_GROUP__TIMEOUT", "2m")];
    expect(&stage, &short, PART, "warning", "a drain waits for only 2m of the deregistration delay").await;
    let port = [arn, ("DRAINHOOK_TARGET_GROUP__PORT", "8080")];
    expect(&stage, &port, PART, "warning", "the load balancer sends no requests to this target").await;
}

/// It does not exist.
#[tokio::test]
async fn unknown() {
    let (stage, arn) = stage(world(3, 30)).await;
    let arn = arn.replace("/web/", "/elsewhere/");
    expect(&stage, &[("DRAINHOOK_TARGET_GROUP__ARN", &arn)], PART, "failed", "check target_group.arn").await;
}

/// The role may not take the target out, or not put it back.
#[tokio::test]
async fn permission_missing() {
    for action in ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"] {
        let (mut stage, arn) = stage(WorldConfig { denied: vec![action.to_owned()], ..world(3, 30) }).await;
        let advice = format!("allow {action} in the role's policy");
        expect(&stage, &[("DRAINHOOK_TARGET_GROUP__ARN", &arn)], PART, "failed", &advice).await;
        assert!(stage.is_target(), "nothing has changed");
        assert_eq!(stage.count(|one| matches!(one, Happening::TargetDeregistered { .. })), 0);
    }
}

/// It is in another Region, or may not be read.
#[tokio::test]
async fn wrong() {
    let denied = vec!["elasticloadbalancing:DescribeTargetHealth".to_owned()];
    let (stage, arn) = stage(WorldConfig { denied, ..world(3, 30) }).await;
    let of = |arn: &str| [("DRAINHOOK_TARGET_GROUP__ARN", arn.to_owned())];
    for (arn, advice) in [
        (
            arn.replace("eu-west-1", "us-east-1"),
            "the daemon calls Region eu-west-1; correct target_group.arn, or AWS_REGION",
        ),
        (arn, "allow elasticloadbalancing:DescribeTargetHealth in the role's policy"),
    ] {
        let [(name, value)] = of(&arn);
        expect(&stage, &[(name, &value)], PART, "failed", advice).await;
    }
}

/// Auto Scaling manages it. Without a table, that is said. With one, the check fails.
#[tokio::test]
async fn managed() {
    let (stage, arn) = stage(WorldConfig { managed: vec!["web".to_owned()], ..world(3, 30) }).await;
    let ran = expect(&stage, &[], PART, "ok", "").await;
    assert!(
        row(&ran, PART)["found"].to_string().contains("web: managed by the Auto Scaling group"),
        "{ran:?}"
    );
    let arn = [("DRAINHOOK_TARGET_GROUP__ARN", arn.as_str())];
    expect(&stage, &arn, PART, "failed", "remove this [[target_group]]").await;
}
