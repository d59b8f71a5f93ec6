//! `drainhook config`.

use crate::support::command::run;
use crate::support::daemon::Variables;

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
    // What it prints is a configuration.
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
