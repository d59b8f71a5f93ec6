//! Settings that drainhook would otherwise ignore silently.

use super::*;

/// The warnings about these variables, as the log and `drainhook check` print them.
fn warnings(env: &[(&str, &str)]) -> Vec<String> {
    load("", env).expect("a good configuration").warnings()
}

#[test]
fn variables_that_set_no_key() {
    for (variable, expected) in [
        ("DRAINHOOK_DRAIN_TIMEOUT", "did you mean DRAINHOOK_AGENT__DRAIN_TIMEOUT?"),
        ("DRAINHOOK_DRAIN_TIMOUT", "did you mean DRAINHOOK_AGENT__DRAIN_TIMEOUT?"),
        ("DRAINHOOK_LIFECYLE_HOK", "did you mean DRAINHOOK_LIFECYCLE__HOOK?"),
        ("drainhook_drain_timeout", "did you mean DRAINHOOK_AGENT__DRAIN_TIMEOUT?"),
        ("drainhook_agent__url", "did you mean DRAINHOOK_AGENT__URL?"),
        ("drainhook_agent_url", "did you mean DRAINHOOK_AGENT__URL?"),
        ("Drainhook_Agent__Urll", "did you mean DRAINHOOK_AGENT__URL?"),
        ("DRAINHOOK_URL", "did you mean DRAINHOOK_AGENT__URL or DRAINHOOK_QUEUE__URL?"),
        ("DRAINHOOK_POLL", "did you mean DRAINHOOK_AGENT__POLL or DRAINHOOK_IMDS__POLL?"),
        ("DRAINHOOK_LOG", "did you mean DRAINHOOK_LOG__FORMAT or DRAINHOOK_LOG__LEVEL?"),
        ("DRAINHOOK_CONFIG", "pass --config FILE"),
        ("drainhook_config", "pass --config FILE"),
        ("DRAINHOOK_CONFIG_FILE", "pass --config FILE"),
        ("DRAINHOOK_AGENT", "the variable of a key is DRAINHOOK_<SECTION>__<KEY>"),
        ("DRAINHOOK_VERSION", "the variable of a key is DRAINHOOK_<SECTION>__<KEY>"),
    ] {
        assert_eq!(warnings(&[(variable, "2h")]), [format!("{variable} means nothing; {expected}")]);
    }
}

#[test]
fn variables_of_other_programs() {
    let names = [
        "PATH",
        "DRAIN_TIMEOUT",
        // The unit sets this one, and the daemon reads it.
        "DRAINHOOK_BOOT_ID",
        // Kubernetes sets these for a service named drainhook-agent.
        "DRAINHOOK_AGENT_SERVICE_HOST",
        "DRAINHOOK_AGENT_SERVICE_PORT",
        "DRAINHOOK_AGENT_SERVICE_PORT_HTTP",
        "DRAINHOOK_AGENT_PORT",
        "DRAINHOOK_AGENT_PORT_8080_TCP_ADDR",
    ];
    assert_eq!(warnings(&names.map(|name| (name, "x"))), [""; 0]);
}

#[test]
fn warnings_about_variables_are_few_and_short() {
    let names: Vec<_> = (0..500).map(|n| format!("DRAINHOOK_{n:03}{}", "\u{1b}x".repeat(1000))).collect();
    let warnings = warnings(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    assert_eq!(warnings.len(), 51);
    for warning in &warnings {
        assert!(warning.len() < 500 && !warning.contains(char::is_control), "{warning:?}");
    }
    assert_eq!(warnings[50], "450 more DRAINHOOK_ variables mean nothing");
}

#[test]
fn keys_outside_their_section() {
    assert_eq!(problems("drain_timeout = \"1h\"", &[]), "test.toml:1: drain_timeout belongs in [agent]");
    assert_eq!(
        problems("\nurl = \"http://localhost\"\n[agent]\n", &[]),
        "test.toml:2: url belongs in [agent] or [queue]"
    );
    assert_eq!(
        problems("drain_blocks = true", &[]),
        "test.toml:1: unknown key `drain_blocks`; did you mean `agent.drain.blocks`?"
    );
    assert_eq!(
        problems("[drain]\nblocks = true", &[]),
        "test.toml:1: unknown section `[drain]`; did you mean `[agent.drain]`?"
    );
    assert_eq!(problems("allow_http = [\"a\"]", &[]), "test.toml:1: allow_http belongs in [aws]");
    assert_eq!(
        problems("drain_timout = \"1h\"", &[]),
        "test.toml:1: unknown key `drain_timout`; did you mean `agent.drain_timeout`?"
    );
    assert_eq!(problems("zzz = 1", &[]), "test.toml:1: unknown key `zzz`");
    assert_eq!(
        problems("[lifecycle]\nurl = \"x\"", &[]),
        "test.toml:2: unknown key `lifecycle.url`; did you mean `agent.url` or `queue.url`?"
    );
    assert_eq!(
        problems("[[agents]]\nurl = \"x\"", &[]),
        "test.toml:1: unknown section `[agents]`; did you mean `[agent]`?"
    );
    config("agent.drain_timeout = \"1h\"", &[]);
}

#[test]
fn two_agents_at_one_address() {
    let two = |first: &str, second: &str| {
        format!("[[agent]]\nname = \"worker\"\n{first}\n[[agent]]\nname = \"runner\"\n{second}")
    };
    let url = |url: &str| format!("url = \"{url}\"");
    assert_eq!(
        problems(&two(&url("http://127.0.0.1:8080"), &url("http://localhost:8080/")), &[]),
        "the agents worker and runner are both drained by http://127.0.0.1:8080/drain; \
         change or remove one of them"
    );
    assert_eq!(
        problems(&two("unix = \"/run/a.sock\"", "unix = \"/run//a.sock\""), &[]),
        "the agents worker and runner are both drained by /drain on /run/a.sock; \
         change or remove one of them"
    );
    assert_eq!(
        problems("[[agent]]\n[[agent]]", &[]),
        "the agents [[agent]] 1 and [[agent]] 2 are both drained by http://127.0.0.1:8080/drain; \
         change or remove one of them"
    );
    for (first, second) in [
        ("http://127.0.0.1", "http://LOCALHOST:80/"),
        ("http://127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080"),
        ("http://localhost:8080/a/", "http://127.1:8080/./a"),
    ] {
        let told = problems(&two(&url(first), &url(second)), &[]);
        assert!(told.starts_with("the agents worker and runner are both drained by "), "{told}");
    }
    let a_path_each = two("drain.path = \"/worker/drain\"", "drain.path = \"/runner/drain\"");
    for good in [
        two(&url("http://127.0.0.1:8080"), &url("http://127.0.0.1:8081")),
        two(&url("http://127.0.0.1:8080"), &url("http://[::1]:8080")),
        two(&url("http://127.0.0.1:8080/a"), &url("http://127.0.0.1:8080/b")),
        two("unix = \"/run/a.sock\"", "unix = \"/run/b.sock\""),
        a_path_each,
    ] {
        config(&good, &[]);
    }
    // Both addresses are wrong and fall back to the default. Only the mistakes are reported.
    let told = problems(&two("urll = \"http://localhost:1\"", &url("https://localhost:2")), &[]);
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn one_underscore_too_few() {
    for variable in ["DRAINHOOK_AGENT_URL", "DRAINHOOK_agent_url"] {
        let text = problems("", &[(variable, "http://localhost")]);
        assert_eq!(
            text,
            format!("{variable}: unknown key `agent.url`; did you mean `DRAINHOOK_AGENT__URL`?")
        );
    }
    // Kubernetes sets such variables for a service named drainhook or drainhook-agent.
    config("", &[("DRAINHOOK_PORT", "tcp://10.0.0.1:80"), ("DRAINHOOK_AGENT_SERVICE_HOST", "10.0.0.1")]);
}

#[test]
fn variables_are_upper_case() {
    let text = problems("", &[("DRAINHOOK_agent__url", "http://localhost")]);
    assert!(text.contains("did you mean `DRAINHOOK_AGENT__URL`?"), "{text}");
}
