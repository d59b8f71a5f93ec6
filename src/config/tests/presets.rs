//! Agents with presets.

use super::*;
use crate::preset::{self, Preset};

/// A user pastes what a preset says that they must set, and nothing else. Each preset gives a valid configuration, without a
/// warning, of the kind that it should have.
#[test]
fn every_preset_is_enough() {
    for preset in Preset::all() {
        let must = preset::lines_of(preset::text(preset.name).expect("listed"), "must").join("\n");
        let loaded = load(&format!("[agent]\npreset = \"{}\"\n{must}", preset.name), &[]);
        let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}", preset.name));
        assert_eq!(loaded.warnings(), [""; 0], "{}", preset.name);
        let kind = match loaded.config.agents[0].kind {
            AgentKind::Http(_) => "url",
            AgentKind::Command(_) => "command",
            AgentKind::Unit(_) => "unit",
        };
        assert!(preset.agent.contains_key(kind) || preset.must.contains_key(kind), "{}: {kind}", preset.name);
        let origin = Origin::Preset(preset.name.to_owned());
        let filled_in =
            loaded.origins.iter().filter(|setting| setting.origin == origin).map(|setting| setting.key);
        let filled_in: Vec<_> = filled_in.collect();
        let mut keys = preset.agent.keys();
        assert!(
            keys.all(|key| filled_in.iter().any(|name| name.split('.').next() == Some(key))),
            "{filled_in:?}"
        );
        assert!(!filled_in.contains(&"name") && !filled_in.contains(&"preset"), "{}", preset.name);
    }
}

/// Every key that a preset says the user must set is an error without it, which gives an example to paste.
#[test]
fn what_the_user_must_set() {
    for preset in Preset::all().filter(|preset| !preset.must.is_empty()) {
        let told = problems(&format!("[agent]\npreset = \"{}\"", preset.name), &[]);
        for line in preset::lines_of(preset::text(preset.name).expect("listed"), "must") {
            let (key, _) = line.split_once(" = ").expect("a key");
            let expected =
                format!("test.toml:2: the preset {} needs `agent.{key}`; set it, like {line}", preset.name);
            assert!(told.lines().any(|line| line == expected), "{told}");
        }
    }
}

#[test]
fn the_users_own_keys_win() {
    let file = "[agent]\npreset = \"nginx\"\nunit = \"openresty.service\"";
    let loaded = load(file, &[]).expect("good");
    let AgentKind::Unit(unit) = &loaded.config.agents[0].kind else { panic!("it is a unit") };
    assert_eq!(unit.unit, "openresty.service");
    assert_eq!(unit.drain, UnitDrain::Signal("SIGQUIT".to_owned()));
    assert_eq!(loaded.config.agents[0].preset.as_deref(), Some("nginx"));
    let shown = loaded.to_toml();
    for (key, origin) in
        [("preset", "test.toml:2"), ("unit", "test.toml:3"), ("drain.signal", "preset nginx")]
    {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} = "))).expect("it is set");
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
    // Another way to reach the agent, and another way to tell the unit.
    let unix = config("[agent]\npreset = \"selenium-node\"\nunix = \"/run/node.sock\"", &[]);
    assert_eq!(http(&unix.agents[0]).address, Address::Unix("/run/node.sock".into()));
    assert_eq!(http(&unix.agents[0]).on_exit, OnExit::Drained, "the rest of the preset holds");
    let start = config("[agent]\npreset = \"nginx\"\ndrain.start = \"drain.service\"", &[]);
    let AgentKind::Unit(unit) = &start.agents[0].kind else { panic!("it is a unit") };
    assert_eq!(unit.drain, UnitDrain::Start("drain.service".to_owned()));
    let force =
        config("[agent]\npreset = \"celery\"\nforce.command = \"/bin/abort\"", &[]).agents.remove(0).force;
    assert_eq!(force.map(|force| force.how), Some(ForceKind::Command(vec!["/bin/abort".to_owned()])));
    // The environment is the user's, too.
    let variables = [("DRAINHOOK_AGENT__PRESET", "celery"), ("DRAINHOOK_AGENT__UNIT", "airflow.service")];
    assert_eq!(config("", &variables).agents[0].kind.to_string(), "airflow.service");
}

/// Each of several agents has its own preset, or none.
#[test]
fn several_agents() {
    let file = "[[agent]]\npreset = \"haproxy\"\n[[agent]]\nname = \"plain\"\n[[agent]]\npreset = \"celery\"";
    let agents = config(file, &[]).agents;
    let kinds: Vec<String> = agents.iter().map(|agent| agent.kind.to_string()).collect();
    assert_eq!(kinds, ["haproxy.service", "http://127.0.0.1:8080", "celery.service"]);
    assert_eq!((&agents[1].preset, agents[2].preset.as_deref()), (&None, Some("celery")));
}

#[test]
fn mistakes() {
    for (keys, expected) in [
        (
            "preset = \"celary\"",
            "test.toml:2: unknown preset `celary`; did you mean `celery`? To list all: drainhook presets",
        ),
        ("preset = \"x\"", "test.toml:2: unknown preset `x`. To list all: drainhook presets"),
        (
            "preset = 1",
            "test.toml:2: `agent.preset` is 1 (an integer); expected the name of a preset, written like \"celery\"",
        ),
        (
            "preset = \"celery\"\ncommand = \"/bin/drain\"",
            "test.toml:3: `agent.command` is set, but the preset celery sets `agent.unit`; remove `agent.preset` or `agent.command`",
        ),
    ] {
        assert_eq!(problems(&format!("[agent]\n{keys}"), &[]), expected);
    }
}

/// `--agent` replaces the agent of the file. What its preset filled in goes with it, and so does what it needs.
#[test]
fn flag() {
    for preset in ["celery", "nginx", "nomad-client", "selenium-node"] {
        let flags = [Flag::agent("127.0.0.1:9".to_owned())];
        let text = format!("[agent]\npreset = \"{preset}\"");
        let loaded = Config::from_layers(Path::new("test.toml"), Some(&text), std::iter::empty(), &flags);
        let agent = loaded.expect("a good configuration").config.agents.remove(0);
        assert_eq!(http(&agent).address, Address::Url("http://127.0.0.1:9".into()), "{preset}");
    }
}
