//! Command-line flags, the last layer.

use super::*;

#[test]
fn flags_override_everything() {
    let env = [("DRAINHOOK_AGENT__DRAIN_TIMEOUT".to_owned(), "2h".to_owned())];
    let flag = |name, flag, text: &str| Flag { section: "agent", name, flag, text: text.to_owned() };
    let load = |text, flags: &[Flag]| {
        Config::from_layers(Path::new("test.toml"), Some(text), env.clone().into_iter(), flags)
    };
    let flags = [flag("url", "--agent", "http://localhost:9"), flag("drain_timeout", "--timeout", "30s")];
    let loaded = load("[agent]\nunix = \"/run/worker.sock\"", &flags).expect("the flag replaces the socket");
    assert_eq!(http(&loaded.config.agents[0]).address, Address::Url("http://localhost:9".into()));
    assert_eq!(loaded.config.agents[0].drain_timeout, Duration::from_secs(30));
    assert!(loaded.to_toml().contains("# --timeout"), "{}", loaded.to_toml());

    let wrong = load("", &[flag("url", "--agent", "http://10.0.0.1")]).expect_err("not loopback").to_string();
    assert!(wrong.starts_with("--agent: ") && wrong.contains("allow_host"), "{wrong}");
    let two = "[[agent]]\nname = \"a\"\n[[agent]]\nname = \"b\"\nurl = \"http://localhost:1\"";
    let wrong = load(two, &flags[..1]).expect_err("two agents").to_string();
    assert!(wrong.contains("--agent") && wrong.contains("several"), "{wrong}");
}
