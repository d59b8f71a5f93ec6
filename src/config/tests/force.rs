//! The force step.

use super::*;

fn force(text: &str) -> Option<Force> {
    config(&format!("[agent]\n{text}"), &[]).agents.remove(0).force
}

#[test]
fn each_kind() {
    assert_eq!(force(""), None);
    let before = Duration::from_secs(30);
    let signal = force("unit = \"a.service\"\nforce.signal = \"SIGQUIT\"");
    assert_eq!(signal, Some(Force { before, how: ForceKind::Signal("SIGQUIT".into()) }));
    let command = ForceKind::Command(vec!["/bin/a".into(), "b".into()]);
    for kind in ["unit = \"a.service\"", "command = \"/bin/drain\"", "unix = \"/run/a.sock\"", ""] {
        let text = format!("{kind}\nforce = {{ before = \"2m\", command = [\"/bin/a\", \"b\"] }}");
        assert_eq!(force(&text), Some(Force { before: 4 * before, how: command.clone() }), "{kind}");
    }
    let request = Request {
        method: Method::Put,
        path: "/abort".into(),
        body: Template::new("{reason}"),
        success: vec![404],
    };
    let text =
        "force.path = \"/abort\"\nforce.method = \"PUT\"\nforce.body = \"{reason}\"\nforce.success = [404]";
    assert_eq!(force(text), Some(Force { before, how: ForceKind::Request(request) }));
    let method = |force: Option<Force>| force.and_then(|force| force.request().map(|request| request.method));
    assert_eq!(method(force("force.path = \"/abort\"")), Some(Method::Post));
}

#[test]
fn mistakes() {
    for (text, expected) in [
        (
            "force.before = \"1m\"",
            "test.toml:2: `agent.force.before` means nothing without `agent.force.path` or `agent.force.command`; set that, or remove it",
        ),
        (
            "force.body = \"x\"",
            "test.toml:2: `agent.force.body` means nothing without `agent.force.path`; set that, or remove it",
        ),
        (
            "force.signal = \"SIGTERM\"",
            "test.toml:2: `agent.force.signal` means nothing without `agent.unit`; set that, or remove it",
        ),
        (
            "command = \"/bin/a\"\nforce.path = \"/abort\"",
            "test.toml:3: `agent.force.path` means nothing without `agent.url` or `agent.unix`; set that, or remove it",
        ),
        (
            "force.path = \"/abort\"\nforce.command = \"/bin/a\"",
            "test.toml:2: `agent.force.path` and `agent.force.command` (test.toml:3) both say what the force step is; \
             keep one of them",
        ),
        (
            "drain_timeout = \"30s\"\nforce.path = \"/abort\"",
            "test.toml:3: `agent.force.before` (30s) must be less than `agent.drain_timeout` (30s), or the agent would have \
             no time to drain",
        ),
        (
            "force.path = \"/abort\"\nforce.body = \"{token}\"",
            "test.toml:3: `agent.force.body` cannot use {token}; it can use {reason}, {deadline} or {instance_id}",
        ),
        ("force.path = \"abort\"", "test.toml:2: `agent.force.path` is \"abort\"; expected"),
        ("force.before = \"0s\"", "test.toml:2: `agent.force.before` is \"0s\"; expected"),
    ] {
        let told = problems(&format!("[agent]\n{text}"), &[]);
        assert!(told.starts_with(expected), "{text}:\n{told}\n{expected}");
    }
}
