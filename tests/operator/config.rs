//! `drainhook config`.

use crate::check::expect;
use crate::support::command::run;
use crate::support::daemon::{Stage, Variables};
use crate::world;

#[tokio::test]
async fn origins() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    std::fs::write(&file, "[agent]\ndrain_timeout = \"50m\"\n\n[lifecycle]\nhook = \"drain\"\n")
        .expect("written");
    let path = file.display().to_string();
    let variables = Variables::from([("DRAINHOOK_LIFECYCLE__HOOK", "backup".to_owned())]);
    let ran = run(&variables, &["config", "--config", &path]).await;
    assert_eq!(ran.out.replace(&path, "FILE"), include_str!("expected/config.toml"), "{ran:?}");
    assert_eq!(ran.code, Some(0));
    // The printed configuration can be loaded again.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &ran.out).expect("written");
    let again = run(&Variables::new(), &["config", "--config", &again.display().to_string()]).await;
    let values = |out: &str| {
        out.lines()
            .map(|line| line.split(" #").next().map(str::trim_end).map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again.out), values(&ran.out));

    let json = run(&variables, &["config", "--json", "--config", &path]).await;
    let hook = json.lines().into_iter().find(|line| line["section"] == "lifecycle" && line["key"] == "hook");
    let hook = hook.expect("every key is there");
    assert_eq!((&hook["value"], &hook["origin"]), (&"backup".into(), &"DRAINHOOK_LIFECYCLE__HOOK".into()));
}

#[tokio::test]
async fn bad_configuration() {
    let variables = Variables::from([("DRAINHOOK_AGENT__DRAIN_TIMOUT", "1h".to_owned())]);
    for args in [&["config"] as &[&str], &["status"], &["drain"], &["check"]] {
        let ran = run(&variables, args).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(78), ""), "{args:?}");
        assert!(ran.err.contains("did you mean `DRAINHOOK_AGENT__DRAIN_TIMEOUT`?"), "{ran:?}");
    }
}

/// An operator set three variables that set no key. The daemon starts, and every command that uses the settings warns and
/// names the right variable.
#[tokio::test]
async fn variables_that_set_no_key() {
    let ignored = [
        ("DRAINHOOK_DRAIN_TIMEOUT", "2h", "did you mean DRAINHOOK_AGENT__DRAIN_TIMEOUT?"),
        ("drainhook_agent__url", "http://127.0.0.1:1", "did you mean DRAINHOOK_AGENT__URL?"),
        ("DRAINHOOK_CONFIG", "/etc/worker.toml", "pass --config FILE"),
    ];
    let settings = ignored.map(|(name, value, _)| (name, value));
    let warnings = ignored.map(|(name, _, hint)| format!("{name} means nothing; {hint}"));

    let stage = Stage::new(1, world(1, 5)).await;
    let daemon = stage.daemon_with(&settings).await;
    for warning in &warnings {
        daemon.logged(&["WARN", warning]).await;
        expect(&stage, &settings, "configuration", "warning", warning).await;
    }
    let variables = settings.map(|(name, value)| (name, value.to_owned())).into();
    for (args, code) in [
        (&["config"] as &[&str], 0),
        (&["config", "--json"], 0),
        (&["drain", "--agent", "/nothing.sock", "--timeout", "1s"], 1),
    ] {
        let ran = run(&variables, args).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        for warning in &warnings {
            assert!(ran.err.contains(&format!("drainhook: warning: {warning}\n")), "{ran:?}");
        }
    }
}

/// A key is outside of any section. Then two agents have the same address.
#[tokio::test]
async fn likely_mistakes_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    let path = file.display().to_string();
    for (text, expected) in [
        ("drain_timeout = \"1h\"\n\n[agent]\n", "drainhook.toml:1: drain_timeout belongs in [agent]"),
        (
            "[[agent]]\nname = \"worker\"\n[[agent]]\nname = \"runner\"\nurl = \"http://localhost:8080/\"\n",
            "the agents worker and runner are both drained by http://127.0.0.1:8080/drain; ",
        ),
    ] {
        std::fs::write(&file, text).expect("written");
        for command in ["run", "config", "check"] {
            let ran = run(&Variables::new(), &[command, "--config", &path]).await;
            assert_eq!((ran.code, ran.out.as_str()), (Some(78), ""), "{ran:?}");
            assert!(ran.err.contains(expected), "{ran:?}");
        }
    }
}
