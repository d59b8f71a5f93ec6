//! `drainhook presets`.

use crate::support::command::run;
use crate::support::daemon::Variables;

#[tokio::test]
async fn list_and_one() {
    let none = Variables::new();
    let list = run(&none, &["presets"]).await;
    assert_eq!(
        (list.code, list.out.as_str()),
        (Some(0), include_str!("expected/presets.txt")),
        "{}",
        list.err
    );
    let one = run(&none, &["presets", "celery"]).await;
    assert_eq!(
        (one.code, one.out.as_str()),
        (Some(0), include_str!("expected/preset-celery.toml")),
        "{}",
        one.err
    );

    let json = run(&none, &["presets", "--json"]).await;
    assert_eq!(json.lines().len(), list.out.lines().count());
    let celery = run(&none, &["presets", "celery", "--json"]).await.lines().remove(0);
    assert_eq!((&celery["name"], &celery["agent"]["unit"]), (&"celery".into(), &"celery.service".into()));
    assert_eq!(celery["requires"][0]["property"], "KillMode");

    let typo = run(&none, &["presets", "celary"]).await;
    assert!(typo.code == Some(2) && typo.err.contains("'celery'"), "{typo:?}");
}

/// Users paste what the command prints. The comments stay comments, and the keys are a valid configuration.
#[tokio::test]
async fn every_page_is_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    let path = file.display().to_string();
    for preset in run(&Variables::new(), &["presets", "--json"]).await.lines() {
        let name = preset["name"].as_str().expect("a name");
        let page = run(&Variables::new(), &["presets", name]).await.out;
        assert!(page.lines().all(|line| line.chars().count() <= 100 || !line.starts_with("# ")), "{page}");
        std::fs::write(&file, &page).expect("written");
        let ran = run(&Variables::new(), &["config", "--config", &path]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
        assert!(ran.out.contains(&format!("preset = \"{name}\"")), "{}", ran.out);
        let key = if page.contains("# The agent is a systemd unit.") {
            "unit = "
        } else if page.contains("# A command drains the agent.") {
            "command = ["
        } else {
            assert!(page.contains("# HTTP requests drain the agent."), "{page}");
            "url = "
        };
        assert!(page.lines().any(|line| line.trim_start_matches('#').starts_with(key)), "{page}");
    }
}
