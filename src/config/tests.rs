use super::*;

mod after;
mod flags;
mod force;
mod ignored;
mod kinds;
mod launch;
mod presets;
mod probes;
mod protection;
mod queue;
mod requests;
mod target_groups;

fn load(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_layers(Path::new("test.toml"), Some(text), env, &[])
}

fn config(text: &str, env: &[(&str, &str)]) -> Config {
    load(text, env).expect("a good configuration").config
}

/// The problems, as the user reads them.
fn problems(text: &str, env: &[(&str, &str)]) -> String {
    load(text, env).expect_err("a bad configuration").to_string()
}

fn http(agent: &Agent) -> &HttpAgent {
    match &agent.kind {
        AgentKind::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

fn headers(headers: &[(&str, HeaderText)]) -> Vec<Header> {
    let header = |(name, value): &(&str, HeaderText)| Header {
        name: name.parse().expect("a name"),
        value: value.clone(),
    };
    headers.iter().map(header).collect()
}

#[test]
fn defaults() {
    let config = config("", &[]);
    let agent = &config.agents[0];
    assert_eq!(config.agents.len(), 1);
    let http = http(agent);
    assert_eq!(http.address, Address::Url("http://127.0.0.1:8080".into()));
    assert_eq!(agent.name, "http://127.0.0.1:8080");
    assert_eq!(agent.drain_timeout, Duration::from_secs(3600));
    assert_eq!(http.on_exit, OnExit::Failed);
    assert_eq!((http.drain.path.as_str(), http.status_path.as_str()), ("/drain", "/drain"));
    assert_eq!((http.drain.method, http.drain_blocks), (Method::Post, false));
    assert_eq!(config.queue.url, None);
    assert_eq!(config.lifecycle.on_failed, CompletionResult::Continue);
    let Lifecycle { on_rebalance, on_standby, on_detachment, heartbeat_timeout, .. } = config.lifecycle;
    assert_eq!([on_rebalance, on_standby, on_detachment], [OnNotice::Ignore; 3], "the instance may stay");
    assert_eq!(heartbeat_timeout, None);
    assert_eq!(config.control.socket, Path::new("/run/drainhook/drainhook.sock"));
    assert_eq!(config.log, Log { format: LogFormat::Auto, level: tracing::Level::INFO });
    assert_eq!(config.simulation.clock, None);
}

#[test]
fn every_key_reaches_the_configuration() {
    let text = r#"
        [[agent]]
        url = "http://agent.internal:8080"
        allow_host = "agent.internal"
        name = "worker"
        drain_timeout = "50m"
        order = 2
        unreachable_grace = "30s"
        on_exit = "drained"
        poll = "500ms"
        token_file = "/etc/worker.token"
        status.path = "/admin/status"
        ready.path = "/ready"
        return = { method = "PATCH", path = "/admin/start", body = "{instance_id}", success = [410] }
        [agent.drain]
        path = "/admin/stop"
        method = "PUT"
        blocks = true
        body = '{"why":"{reason}"}'
        success = [409, 304]
        [agent.headers]
        X-Team = "blue"
        X-Key = { file = "/etc/worker.key" }
        [[agent]]
        unix = "/run/runner.sock"
        user = "runner"
        drain.path = "/stop"
        [[agent]]
        preset = "docker-container"
        command = ["/opt/builder/drain", "--wait"]
        drain_timeout = "20m"
        return.command = "/opt/builder/resume"
        ready.command = "/opt/builder/ready"
        [queue]
        url = "https://sqs.eu-west-1.amazonaws.com/123456789012/workers-termination"
        listen = "always"
        [lifecycle]
        hook = "drain"
        group = "workers"
        capacity_reservation = "cr-0123456789abcdef0"
        drain_at = "wait"
        on_drained = "ABANDON"
        on_deadline = "ABANDON"
        on_failed = "ABANDON"
        on_rebalance = "drain"
        on_standby = "drain"
        on_detachment = "drain"
        heartbeat_timeout = "5m"
        [launch]
        hook = "warm-up"
        times = 5
        timeout = "15m"
        [protection]
        when_busy = false
        busy_for = "1m"
        idle_for = "10m"
        longest = "3h"
        [imds]
        poll = "2s"
        [aws]
        allow_http = ["localstack", "10.0.0.1"]
        [instance]
        id = "i-0123456789abcdef0"
        [[after]]
        command = ["/usr/bin/flush-logs", "--all"]
        [[after]]
        command = "/opt/deregister"
        timeout = "2m"
        [[target_group]]
        arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"
        target = "10.0.0.1"
        port = 8080
        timeout = "10m"
        [control]
        socket = "/tmp/d.sock"
        [journal]
        dir = "/tmp/d"
        [log]
        format = "json"
        level = "trace"
        [simulation]
        clock = "1764000000000x60"
    "#;
    let config = config(text, &[]);
    let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/workers-termination";
    let expected = Config {
        agents: vec![
            Agent {
                name: "worker".into(),
                preset: None,
                drain_timeout: Duration::from_secs(3000),
                unreachable_grace: Duration::from_secs(30),
                order: 2,
                kind: AgentKind::Http(Box::new(HttpAgent {
                    address: Address::Url("http://agent.internal:8080".into()),
                    on_exit: OnExit::Drained,
                    poll: Duration::from_millis(500),
                    drain: Request {
                        method: Method::Put,
                        path: "/admin/stop".into(),
                        body: Body::Text(Template::new("{\"why\":\"{reason}\"}")),
                        success: vec![409, 304],
                    },
                    back: Request {
                        method: Method::Patch,
                        path: "/admin/start".into(),
                        body: Template::new("{instance_id}"),
                        success: vec![410],
                    },
                    status_path: "/admin/status".into(),
                    headers: headers(&[
                        ("X-Key", HeaderText::File("/etc/worker.key".into())),
                        ("X-Team", HeaderText::Text(Template::new("blue"))),
                    ]),
                    drain_blocks: true,
                    token_file: Some("/etc/worker.token".into()),
                    user: None,
                })),
                force: None,
                ready: Ready::Request("/ready".into()),
                probe: None,
            },
            Agent {
                name: "/run/runner.sock".into(),
                preset: None,
                drain_timeout: Duration::from_secs(3600),
                unreachable_grace: Duration::from_secs(60),
                order: 1,
                kind: AgentKind::Http(Box::new(HttpAgent {
                    address: Address::Unix("/run/runner.sock".into()),
                    on_exit: OnExit::Failed,
                    poll: Duration::from_secs(1),
                    drain: Request {
                        method: Method::Post,
                        path: "/stop".into(),
                        body: Body::Document,
                        success: vec![],
                    },
                    back: Request {
                        method: Method::Delete,
                        path: "/stop".into(),
                        body: Template::default(),
                        success: vec![],
                    },
                    status_path: "/stop".into(),
                    headers: vec![],
                    drain_blocks: false,
                    token_file: None,
                    user: "runner".parse().ok(),
                })),
                force: None,
                ready: Ready::Request("/health".into()),
                probe: None,
            },
            Agent {
                name: "/opt/builder/drain".into(),
                preset: Some("docker-container".into()),
                drain_timeout: Duration::from_secs(1200),
                unreachable_grace: Duration::from_secs(60),
                order: 1,
                kind: AgentKind::Command(CommandAgent {
                    drain: vec!["/opt/builder/drain".into(), "--wait".into()],
                    back: Some(vec!["/opt/builder/resume".into()]),
                }),
                force: None,
                ready: Ready::Command(vec!["/opt/builder/ready".into()]),
                probe: None,
            },
        ],
        after: vec![
            Step {
                command: vec!["/usr/bin/flush-logs".into(), "--all".into()],
                timeout: Duration::from_secs(30),
            },
            Step { command: vec!["/opt/deregister".into()], timeout: Duration::from_secs(120) },
        ],
        target_groups: vec![TargetGroup {
            arn: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"
                .into(),
            target: Some("10.0.0.1".into()),
            port: Some(8080),
            timeout: Duration::from_secs(600),
        }],
        queue: Queue { url: Some(queue.into()), listen: Listen::Always },
        lifecycle: Lifecycle {
            hook: Some("drain".into()),
            group: Some("workers".into()),
            drain_at: DrainAt::Wait,
            on_drained: CompletionResult::Abandon,
            on_deadline: CompletionResult::Abandon,
            on_failed: CompletionResult::Abandon,
            on_rebalance: OnNotice::Drain,
            on_standby: OnNotice::Drain,
            on_detachment: OnNotice::Drain,
            capacity_reservation: Some("cr-0123456789abcdef0".into()),
            heartbeat_timeout: Some(Duration::from_secs(300)),
        },
        launch: Launch { hook: Some("warm-up".into()), times: 5, timeout: Duration::from_secs(900) },
        protection: Protection {
            when_busy: false,
            busy_for: Duration::from_secs(60),
            idle_for: Duration::from_secs(600),
            longest: Duration::from_secs(10_800),
        },
        imds: Imds { poll: Duration::from_secs(2) },
        aws: Aws { allow_http: vec!["localstack".into(), "10.0.0.1".into()] },
        instance: Instance { id: Some("i-0123456789abcdef0".into()) },
        control: Control { socket: "/tmp/d.sock".into() },
        journal: Journal { dir: "/tmp/d".into() },
        log: Log { format: LogFormat::Json, level: tracing::Level::TRACE },
        simulation: Simulation { clock: Scale::try_from("1764000000000x60".to_owned()).ok() },
    };
    assert_eq!(config, expected);
}

#[test]
fn environment_overrides_file() {
    let text = "[agent]\ndrain_timeout = \"50m\"\npoll = \"2s\"";
    let loaded =
        load(text, &[("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "2h"), ("DRAINHOOK_BIN", "x"), ("PATH", "y")])
            .expect("a good configuration");
    assert_eq!(loaded.config.agents[0].drain_timeout, Duration::from_secs(7200));
    let of = |key| loaded.origins.iter().find(|setting| setting.key == key).expect("every key is listed");
    assert_eq!(of("drain_timeout").origin, Origin::Variable("DRAINHOOK_AGENT__DRAIN_TIMEOUT".into()));
    assert_eq!(of("drain_timeout").value.as_deref(), Some("2h"));
    assert_eq!(of("poll").origin, Origin::File("test.toml".into(), 3));
    assert_eq!(of("on_exit").origin, Origin::Default);
}

#[test]
fn flags_from_the_environment() {
    assert!(http(&config("", &[("DRAINHOOK_AGENT__DRAIN__BLOCKS", "true")]).agents[0]).drain_blocks);
    let text = problems("", &[("DRAINHOOK_AGENT__DRAIN__BLOCKS", "1")]);
    assert!(
        text.starts_with("DRAINHOOK_AGENT__DRAIN__BLOCKS: `agent.drain.blocks` is \"1\"; expected"),
        "{text}"
    );
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert_eq!(
        problems("[agent]\n\ndrain_timout = \"1h\"", &[]),
        "test.toml:3: unknown key `agent.drain_timout`; did you mean `agent.drain_timeout`?"
    );
    assert_eq!(
        problems("[lifecycle]\ndrain_timeout = \"1h\"", &[]),
        "test.toml:2: unknown key `lifecycle.drain_timeout`; did you mean `agent.drain_timeout`?"
    );
    assert_eq!(
        problems("", &[("DRAINHOOK_LIFECYLE__HOK", "drain")]),
        "DRAINHOOK_LIFECYLE__HOK: unknown key `lifecyle.hok`; did you mean `DRAINHOOK_LIFECYCLE__HOOK`?"
    );
    assert_eq!(
        problems("[agents]\nurl = \"x\"", &[]),
        "test.toml:1: unknown section `[agents]`; did you mean `[agent]`?"
    );
    assert_eq!(problems("[agent]\nzzzzz = 1", &[]), "test.toml:2: unknown key `agent.zzzzz`");
}

#[test]
fn wrong_types_and_values() {
    assert_eq!(
        problems("[agent]\npoll = 5", &[]),
        "test.toml:2: `agent.poll` is 5 (an integer); \
         expected a duration from 100ms to 1m, written like \"500ms\", \"90s\" or \"1h30m\""
    );
    assert_eq!(
        problems("[agent]\ndrain.blocks = \"true\"", &[]),
        "test.toml:2: `agent.drain.blocks` is \"true\"; expected `true` or `false`, written without quotes"
    );
    assert_eq!(
        problems("[lifecycle]\non_failed = \"abandon\"", &[]),
        "test.toml:2: `lifecycle.on_failed` is \"abandon\"; expected `CONTINUE` or `ABANDON`"
    );
    assert_eq!(
        problems("queue = 1", &[]),
        "test.toml:1: `queue` is an integer; expected a table, written `[queue]`"
    );
    let bad = [
        ("-1s", "AGENT__DRAIN_TIMEOUT"),
        ("0s", "AGENT__DRAIN_TIMEOUT"),
        ("49h", "AGENT__DRAIN_TIMEOUT"),
        ("61m", "AGENT__UNREACHABLE_GRACE"),
        ("50ms", "IMDS__POLL"),
        ("29s", "LIFECYCLE__HEARTBEAT_TIMEOUT"),
    ];
    for (text, key) in bad {
        let problems = problems("", &[(&format!("DRAINHOOK_{key}"), text)]);
        assert!(problems.contains(&format!("is \"{text}\"; expected a duration from")), "{problems}");
    }
}

#[test]
fn several_problems_at_once() {
    let text =
        problems("[agent]\npoll = 5\nurll = \"x\"\n[log]\nlevel = \"loud\"", &[("DRAINHOOK_IMDS__POLL", "")]);
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn https_and_remote_agents() {
    let url = |url: &str, more: &str| format!("[agent]\nurl = \"{url}\"\n{more}");
    let text = problems(&url("https://127.0.0.1", ""), &[]);
    assert!(text.contains("agents are local and reached by plain HTTP"), "{text}");
    assert_eq!(
        problems(&url("http://agent.internal:80", ""), &[]),
        "test.toml:2: `agent.url` names the host agent.internal, which is not loopback; \
         if the agent is on that host, allow it by name: allow_host = \"agent.internal\""
    );
    for remote in ["http://10.0.0.1", "http://0.0.0.0", "http://[fe80::1]", "http://localhost.example.com"] {
        assert!(
            problems(&url(remote, "allow_host = \"agent.internal\""), &[]).contains("not loopback"),
            "{remote}"
        );
    }
    for local in [
        "http://localhost:80",
        "http://LOCALHOST",
        "http://127.8.9.1",
        "http://[::1]:80",
        "http://[::ffff:127.0.0.1]",
    ] {
        config(&url(local, ""), &[]);
    }
    config(&url("http://agent.internal", "allow_host = \"Agent.Internal\""), &[]);
    config(&url("http://[fd00::1]:80", "allow_host = \"fd00::1\""), &[]);
}

#[test]
fn files() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("drainhook.toml");
    let load = |path: &Path| Config::load(Some(path), std::iter::empty(), &[]);
    assert!(matches!(load(&path), Err(ConfigError::Unreadable { .. })), "the user named this file");
    assert!(matches!(layers::read_file_if_there(&path), Ok(None)), "the default file need not exist");
    assert!(matches!(load(dir.path()), Err(ConfigError::Unreadable { .. })), "a folder");
    assert!(matches!(layers::read_file_if_there(dir.path()), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, "[imds]\npoll = \"7s\"").expect("written");
    assert_eq!(load(&path).expect("a good file").config.imds.poll, Duration::from_secs(7));
    std::fs::write(&path, [0xff, 0xfe]).expect("written");
    assert!(matches!(load(&path), Err(ConfigError::Unreadable { .. })), "not UTF-8");
    // The size limit falls within a character.
    std::fs::write(&path, format!(" {}", "é".repeat(128 * 1024))).expect("written");
    let told = load(&path).expect_err("too large").to_string();
    assert!(told.contains("larger than 262144 bytes"), "{told}");
}

#[test]
fn not_toml() {
    assert!(problems("[agent]\n\nurl = http", &[]).starts_with("test.toml:3 is not TOML: "));
}

#[test]
fn printed_configuration_round_trip() {
    for text in [
        "",
        "[agent]\nunix = \"/run/a \\\"b.sock\"\n[lifecycle]\nhook = \"h\"",
        "[[agent]]\nname=\"a\"\n[[agent]]\nname = \"b\"\nurl = \"http://localhost:1\"",
    ] {
        let loaded = load(text, &[]).expect("a good configuration");
        let printed = loaded.to_toml();
        assert_eq!(config(&printed, &[]), loaded.config, "{printed}");
    }
    let printed = load("[log]\nlevel = \"warn\"", &[]).expect("a good configuration").to_toml();
    assert!(printed.contains("\nlevel = \"warn\" "), "{printed}");
    assert!(printed.contains("# test.toml:2"), "{printed}");
    assert!(printed.contains("# hook "), "{printed}");
    assert!(!printed.contains("simulation"), "{printed}");
}

#[test]
fn fifo_queues() {
    let told = problems("[queue]\nurl = \"https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo\"", &[]);
    assert!(told.contains("FIFO"), "{told}");
}

#[test]
fn at_most_fifty_problems() {
    let keys = |count: usize| (0..count).map(|n| format!("k{n} = 1\n")).collect::<String>();
    let text = problems(&format!("[agent]\n{}", keys(50)), &[]);
    assert_eq!(text.lines().count(), 50);
    assert!(!text.contains("more problems"), "{text}");
    let text = problems(&format!("[agent]\n{}", keys(500)), &[]);
    assert_eq!(text.lines().count(), 51);
    assert!(text.ends_with("there are more problems than these 50; fix these first"), "{text}");
}

#[test]
fn problems_are_short_and_on_one_line() {
    let long = "x".repeat(10_000);
    let escapes = "\u{1b}[31m\u{202e}";
    let env = [
        ("DRAINHOOK_AGENT__URL", long.as_str()),
        ("DRAINHOOK_AGENT__NAME", escapes),
        (&format!("DRAINHOOK_AGENT__{long}"), "1"),
        (&format!("DRAINHOOK_{escapes}__{escapes}"), "1"),
    ];
    let text = problems(&format!("[agent]\n{long} = 1\n\"\\u001b\" = 1\n[{long}]\n[\"\\u202e\"]"), &env);
    assert_eq!(text.lines().count(), 8, "{text}");
    for line in text.lines() {
        assert!(line.len() < 500, "{line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}
