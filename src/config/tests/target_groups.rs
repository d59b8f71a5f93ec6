//! The target groups.

use super::*;

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

/// The name and the Region come from the ARN.
#[test]
fn read_from_its_arn() {
    let groups = config(&format!("[[target_group]]\narn = \"{ARN}\""), &[]).target_groups;
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((group.name(), group.region()), ("web", "eu-west-1"));
    assert_eq!((group.port, &group.target, group.timeout), (None, &None, Duration::from_secs(300)));
    let variables = [("DRAINHOOK_TARGET_GROUP__ARN", ARN), ("DRAINHOOK_TARGET_GROUP__PORT", "8080")];
    assert_eq!(config("", &variables).target_groups[0].port, Some(8080));
    assert_eq!(config("", &[]).target_groups, []);
}

#[test]
fn mistakes() {
    let group = format!("[[target_group]]\narn = \"{ARN}\"\n");
    for (text, expected) in [
        (
            "[[target_group]]\nport = 80".to_owned(),
            "test.toml:1: this target group has no `arn`; set it, or remove the table".to_owned(),
        ),
        (
            group.repeat(2),
            format!("test.toml:3: the target group {ARN} is listed twice with the same target and port; remove one of the tables"),
        ),
        (group.repeat(17), "test.toml:1: 17 target groups are configured; expected at most 16".to_owned()),
        (
            format!("{group}port = 0"),
            "test.toml:3: `target_group.port` is \"0\"; expected a port from 1 to 65535, written without quotes".to_owned(),
        ),
        (
            format!("{group}target = \"web-1\""),
            "test.toml:3: `target_group.target` is \"web-1\"; expected an IP address".to_owned(),
        ),
    ] {
        assert_eq!(problems(&text, &[]), expected);
    }
    // One target group may have two targets on one instance.
    config(&format!("{group}{group}port = 8080"), &[]);
    for arn in
        ["web", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/1", &ARN[..60]]
    {
        let told = problems(&format!("[[target_group]]\narn = \"{arn}\""), &[]);
        assert!(told.contains("expected the ARN of a target group, written like"), "{told}");
    }
}

/// What `drainhook config` prints can be loaded again.
#[test]
fn printed() {
    let text = format!(
        "[[target_group]]\narn = \"{ARN}\"\n[[target_group]]\narn = \"{ARN}\"\nport = 81\ntarget = \"10.0.0.1\""
    );
    let printed = load(&text, &[]).expect("a good configuration").to_toml();
    assert_eq!(config(&printed, &[]).target_groups, config(&text, &[]).target_groups, "{printed}");
}
