//! Agents of each kind.

use super::*;

/// A command in each way of writing it, and in ways that do not work.
#[test]
fn commands() {
    let drain = |text: &str, env: &[(&str, &str)]| match config(text, env).agents.remove(0).kind {
        AgentKind::Command(command) => command.drain,
        other => panic!("{other:?}"),
    };
    assert_eq!(drain("[agent]\ncommand = \"/bin/drain\"", &[]), ["/bin/drain"]);
    assert_eq!(drain("[agent]\ncommand = [\"/bin/drain\", \"a b\"]", &[]), ["/bin/drain", "a b"]);
    assert_eq!(drain("", &[("DRAINHOOK_AGENT__COMMAND", "/bin/drain")]), ["/bin/drain"]);
    assert_eq!(drain("", &[("DRAINHOOK_AGENT__COMMAND", "[\"/bin/drain\", \"-q\"]")]), ["/bin/drain", "-q"]);
    for (bad, why) in [
        ("\"/bin/drain --now\"", "but it has spaces; the program and each argument are strings of a list"),
        ("\"drain\"", "but the path of its program is not absolute"),
        ("[\"sh\", \"-c\"]", "but the path of its program is not absolute"),
        ("[]", "but the list is empty"),
        (
            "[\"/bin/drain\", 1]",
            "expected a program with an absolute path, and its arguments, written like [\"/opt",
        ),
        ("[\"/bin/drain\", \"a\\nb\"]", "but it has control characters"),
    ] {
        let told = problems(&format!("[agent]\ncommand = {bad}"), &[]);
        assert!(told.starts_with("test.toml:2: `agent.command` is ") && told.contains(why), "{told}");
    }
}

/// Keys that mean nothing for the agent's kind.
#[test]
fn keys_of_another_kind() {
    for (keys, expected) in [
        (
            "command = \"/bin/drain\"\npoll = \"1s\"",
            "test.toml:3: `agent.poll` means nothing without `agent.url`, `agent.unix` or `agent.unit`; set that, or remove it",
        ),
        (
            "return.command = \"/bin/back\"",
            "test.toml:2: `agent.return.command` means nothing without `agent.command`; set that, or remove it",
        ),
        (
            "user = \"worker\"",
            "test.toml:2: `agent.user` means nothing without `agent.unix`; set that, or remove it",
        ),
        (
            "unix = \"/run/a.sock\"\nallow_host = \"a\"",
            "test.toml:3: `agent.allow_host` means nothing without `agent.url`; set that, or remove it",
        ),
        (
            "unix = \"/run/a.sock\"\ncommand = \"/bin/drain\"",
            "test.toml:3: `agent.command` and `agent.unix` (test.toml:2) both say how the agent is reached; keep one of them",
        ),
    ] {
        assert_eq!(problems(&format!("[agent]\n{keys}"), &[]), expected);
    }
}

/// `--agent` names another kind of agent than the file. The keys of the file's agent that mean nothing for it are dropped.
#[test]
fn flag_of_another_kind() {
    let agent = |text: &str, address: &str| {
        let flags = [Flag::agent(address.to_owned())];
        let loaded = Config::from_layers(Path::new("test.toml"), Some(text), std::iter::empty(), &flags);
        loaded.expect("a good configuration").config.agents.remove(0)
    };
    let url = "[agent]\nurl = \"http://agent.internal\"\nallow_host = \"agent.internal\"\npoll = \"2s\"";
    let on_socket = agent(url, "/run/a.sock");
    assert_eq!(http(&on_socket).address, Address::Unix("/run/a.sock".into()));
    assert_eq!(http(&on_socket).poll, Duration::from_secs(2), "it means the same for every HTTP agent");
    let unix = "[agent]\nunix = \"/run/a.sock\"\nuser = \"worker\"";
    assert_eq!(http(&agent(unix, "127.0.0.1:9")).user, None);
    let command = "[agent]\ncommand = \"/bin/drain\"\nreturn.command = \"/bin/back\"";
    assert_eq!(http(&agent(command, "127.0.0.1:9")).address, Address::Url("http://127.0.0.1:9".into()));
}

/// A number is written without quotes. Every kind of agent has one.
#[test]
fn order() {
    let order = |text: &str, env: &[(&str, &str)]| config(text, env).agents.remove(0).order;
    assert_eq!(order("", &[]), 1);
    assert_eq!(order("[agent]\ncommand = \"/bin/drain\"\norder = 16", &[]), 16);
    assert_eq!(order("", &[("DRAINHOOK_AGENT__ORDER", "3")]), 3);
    for bad in ["0", "17", "-1", "1.5", "0x2", "\"2\"", "[2]"] {
        let told = problems(&format!("[agent]\norder = {bad}"), &[]);
        assert!(told.starts_with("test.toml:2: `agent.order` is "), "{told}");
        assert!(told.ends_with("expected a whole number from 1 to 16, written without quotes"), "{told}");
    }
    let printed = load("[agent]\norder = 3", &[]).expect("a good configuration").to_toml();
    assert!(printed.contains("\norder = 3 "), "{printed}");
}

/// Two commands whose words differ are two agents, even if they look alike with spaces between.
#[test]
fn two_agents_with_one_command() {
    let two = |first: &str, second: &str| {
        format!("[[agent]]\nname = \"a\"\ncommand = {first}\n[[agent]]\nname = \"b\"\ncommand = {second}")
    };
    config(&two("[\"/bin/drain\", \"a b\"]", "[\"/bin/drain\", \"a\", \"b\"]"), &[]);
    assert_eq!(
        problems(&two("[\"/bin/drain\", \"a\"]", "[\"/bin/drain\", \"a\"]"), &[]),
        "the agents a and b are both drained by [\"/bin/drain\", \"a\"]; change or remove one of them"
    );
}

/// A unit that is stopped, one that is told by a signal, and one that another unit drains.
#[test]
fn units() {
    let unit = |text: &str| match config(&format!("[agent]\nunit = \"a.service\"\n{text}"), &[])
        .agents
        .remove(0)
        .kind
    {
        AgentKind::Unit(unit) => unit,
        other => panic!("{other:?}"),
    };
    assert_eq!(unit("").unit, "a.service");
    assert_eq!(unit("").drain, UnitDrain::Stop);
    assert_eq!(unit("drain.signal = \"SIGQUIT\"").drain, UnitDrain::Signal("SIGQUIT".to_owned()));
    assert_eq!(unit("drain.start = \"b.service\"").drain, UnitDrain::Start("b.service".to_owned()));
    for (keys, expected) in [
        (
            "unit = \"a\"",
            "test.toml:2: `agent.unit` is \"a\"; expected the name of a unit that ends in `.service`, written like \"worker.service\"",
        ),
        (
            "unit = \"a.service\"\ndrain.signal = \"QUIT\"",
            "test.toml:3: `agent.drain.signal` is \"QUIT\"; expected `SIGTERM`, `SIGINT`, `SIGQUIT`, `SIGHUP`, `SIGUSR1`, `SIGUSR2`, \
             `SIGTSTP`, `SIGWINCH`, `SIGPWR` or `SIGALRM`",
        ),
        (
            "unit = \"a.service\"\ndrain.signal = \"SIGQUIT\"\ndrain.start = \"b.service\"",
            "test.toml:4: `agent.drain.start` and `agent.drain.signal` (test.toml:3) both say how the unit drains; keep one of them",
        ),
        (
            "drain.signal = \"SIGQUIT\"",
            "test.toml:2: `agent.drain.signal` means nothing without `agent.unit`; set that, or remove it",
        ),
    ] {
        assert_eq!(problems(&format!("[agent]\n{keys}"), &[]), expected);
    }
}

/// What the daemon may do to the units: exactly what it does.
#[test]
fn rule_for_polkit() {
    assert_eq!(polkit_rule(&config("", &[])), None);
    let units = "[[agent]]\nunit = \"stopped.service\"\n[[agent]]\nunit = \"forced.service\"\n\
                 force.signal = \"SIGQUIT\"\n[[agent]]\nunit = \"told.service\"\ndrain.signal = \"SIGQUIT\"\n\
                 [[agent]]\nunit = \"drained.service\"\ndrain.start = \"drain\\\\x2d.service\"\n";
    let rule = polkit_rule(&config(units, &[])).expect("there are units");
    let lines: Vec<&str> = rule.lines().map(str::trim).filter(|line| line.starts_with('"')).collect();
    assert_eq!(
        lines,
        [
            r#""drain\\x2d.service": ["start", "stop"],"#,
            r#""drained.service": ["start"],"#,
            r#""forced.service": ["kill", "start", "stop"],"#,
            r#""stopped.service": ["start", "stop"],"#,
            r#""told.service": ["kill", "start", "stop"],"#,
        ]
    );
}

#[test]
fn url_and_unix() {
    let text = problems("[agent]\nurl = \"http://localhost\"", &[("DRAINHOOK_AGENT__UNIX", "/run/a.sock")]);
    assert_eq!(
        text,
        "DRAINHOOK_AGENT__UNIX: `agent.unix` and `agent.url` (test.toml:2) both say how the agent is reached; \
         keep one of them"
    );
    let config = config("[agent]\nunix = \"/run/a.sock\"", &[]);
    assert_eq!(http(&config.agents[0]).address, Address::Unix("/run/a.sock".into()));
    assert_eq!(config.agents[0].name, "/run/a.sock");
}

#[test]
fn several_agents() {
    let text = "[[agent]]\nname = \"a\"\n[[agent]]\nunix = \"/run/b.sock\"\npoll = \"2s\"";
    let config = config(text, &[]);
    let names: Vec<_> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["a", "/run/b.sock"]);
    assert_eq!(http(&config.agents[0]).poll, Duration::from_secs(1));
    assert_eq!(http(&config.agents[1]).poll, Duration::from_secs(2));
    let problem = problems(text, &[("DRAINHOOK_AGENT__POLL", "1s")]);
    assert!(problem.starts_with("DRAINHOOK_AGENT__POLL is set, but the file has several"), "{problem}");
    let same_name = "[[agent]]\nname = \"a\"\n[[agent]]\nname = \"a\"\nunix = \"/run/b.sock\"";
    assert_eq!(
        problems(same_name, &[]),
        "two agents have the name a; set a different `name` for one of them"
    );
    let count = problems(&"[[agent]]\n".repeat(AGENTS_MAX + 1), &[]);
    assert!(count.contains("17 agents are configured; expected 1 to 16"), "{count}");
    assert!(problems("agent = []", &[]).contains("0 agents"));
    assert!(problems("agent = [1]", &[]).contains("`agent` is an integer"));
}

#[test]
fn one_agent_in_an_array_takes_variables() {
    let config = config("[[agent]]\npoll = \"2s\"", &[("DRAINHOOK_AGENT__POLL", "3s")]);
    assert_eq!(http(&config.agents[0]).poll, Duration::from_secs(3));
}

#[test]
fn every_choice_has_an_effect() {
    for key in keys::KEYS {
        let value::Kind::Choice(choices) = key.kind else { continue };
        // An agent of a kind that the key means something for.
        let unit = key.section == "agent" && !keys::applies(key.name, "url");
        let text = match key.name {
            _ if unit => "[agent]\nunit = \"a.service\"",
            "force.method" => "[agent]\nforce.path = \"/abort\"",
            "listen" => "[queue]\nurl = \"https://sqs.eu-west-1.amazonaws.com/123456789012/q\"",
            _ => "",
        };
        let configs: Vec<_> = choices.iter().map(|word| config(text, &[(&key.variable(), word)])).collect();
        for (index, config) in configs.iter().enumerate() {
            assert!(!configs[..index].contains(config), "{} = {}", key.path(), choices[index]);
        }
    }
}
