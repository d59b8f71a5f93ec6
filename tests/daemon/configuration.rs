//! A configuration that cannot be used ends the daemon at once, with an exit code of its own.

use std::ffi::OsStr;

use tokio::process::Command;

use crate::support::daemon::{Daemon, Variables};

const EX_CONFIG: i32 = 78;

/// The standard error and the exit code of a daemon with this configuration file.
async fn refused(file: &OsStr, variables: &Variables) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let mut daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(file), variables);
    let code = daemon.exit().await.code();
    // Its last words are read to their end.
    daemon.logged(&["drainhook:"]).await;
    (daemon.log(), code)
}

#[tokio::test]
async fn misspelt_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("drainhook.toml");
    std::fs::write(&file, "[agent]\ndrain_timout = \"1h\"\n").expect("written");
    let (told, code) = refused(file.as_os_str(), &Variables::new()).await;
    assert!(told.contains("drain_timout") && told.contains("`agent.drain_timeout`"), "{told}");
    assert!(told.contains("drainhook.toml"), "{told}");
    assert_eq!(code, Some(EX_CONFIG));
}

#[tokio::test]
async fn missing_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("absent.toml");
    let (told, code) = refused(file.as_os_str(), &Variables::new()).await;
    assert!(told.contains("absent.toml"), "{told}");
    assert_eq!(code, Some(EX_CONFIG));
}

#[tokio::test]
async fn misspelt_variable() {
    let variables = Variables::from([("DRAINHOOK_LIFECYCLE__HOKO", "drain".to_owned())]);
    let (told, code) = refused(OsStr::new("/dev/null"), &variables).await;
    assert!(
        told.contains("DRAINHOOK_LIFECYCLE__HOKO") && told.contains("DRAINHOOK_LIFECYCLE__HOOK"),
        "{told}"
    );
    assert_eq!(code, Some(EX_CONFIG));
}
