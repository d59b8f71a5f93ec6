//! The journal is damaged, or not this daemon's.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use machine::status::State;
use md5::{Digest, Md5};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::daemon::{Daemon, Stage, eventually, journal, written};
use crate::{assert_told, world};

/// The daemon sets a damaged journal aside for an operator to inspect, and logs that. A later drain starts from scratch.
#[tokio::test]
async fn garbage() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let file = journal(&variables);
    let deep = format!("{{\"version\":{}", "[".repeat(10_000));
    let instance = stage.instance();
    let later = format!(
        r#"{{"version":99,"instance_id":"{instance}","served":true,"agents":[],"finished":[],"notices":[],"drain":null}}"#
    );
    let cases: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "truncated or corrupt"),
        (b"\x00\xff\xfe\x1b[31m".to_vec(), "truncated or corrupt"),
        (later.clone().into_bytes(), "truncated or corrupt"),
        (vec![b' '; 1024 * 1024 + 1], "larger than 1048576 bytes"),
        (sealed("null"), "invalid type: null"),
        (sealed("[]"), "invalid length 0"),
        (sealed("{\"version\":\"\x1b\"}"), "control character"),
        (sealed(&deep), "invalid type: sequence"),
        (sealed(&later), "it has version 99; this daemon reads versions 1 to"),
    ];
    for (bytes, words) in cases {
        std::fs::write(&file, &bytes).expect("written");
        let daemon = Daemon::start(&variables).await;
        assert_told(&daemon, &[&["WARN", "the journal is damaged and was set aside as", words]]).await;
        let set_aside = std::fs::read(file.with_extension("damaged.json")).expect("kept");
        assert!(set_aside == bytes, "{words:?}");
        assert_eq!(daemon.status().await.state, State::Serving);
        daemon.kill().await;
    }
    let _daemon = Daemon::start(&variables).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// Adds the correct checksum, so that the daemon gets as far as reading the content.
fn sealed(journal: &str) -> Vec<u8> {
    format!("{journal}\n\"{:x}\"\n", Md5::digest(journal)).into_bytes()
}

/// A user with access to the folder has replaced both names of the journal with links to an important file. The daemon
/// removes the links and leaves the file alone. Regression: a daemon that ran as root in a container overwrote the file.
#[tokio::test]
async fn links_to_an_important_file() {
    let mut stage = Stage::new(50, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    let matters = stage.folder.path().join("matters");
    std::fs::write(&matters, "precious").expect("written");
    for link in [journal(&variables), journal(&variables).with_extension("new")] {
        symlink(&matters, link).expect("a fresh path");
    }
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "the journal was not read, and was set aside as", "symbolic link"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert_eq!(std::fs::read_to_string(&matters).expect("there"), "precious");
    let found = std::fs::symlink_metadata(journal(&variables)).expect("a journal");
    assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
    assert!(written(&variables, &instance).is_some_and(|journal| journal.drain.is_some()));
}

/// Named pipes are in the places of the journal's files. A daemon that opened one would block, and never start.
#[tokio::test]
async fn pipes_instead_of_a_journal() {
    let mut stage = Stage::new(50, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    for pipe in [journal(&variables), journal(&variables).with_extension("new")] {
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fresh path");
    }
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "the journal was not read, and was set aside as", "not a regular file"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert!(written(&variables, &instance).is_some_and(|journal| journal.drain.is_some()));
}

/// Every user can write to the journal's folder, and could plant a journal there. The daemon keeps no journal, drains
/// without one, and logs an error that says what to do. Once the operator has done it, the daemon keeps a journal.
#[tokio::test]
async fn folder_writable_by_others() {
    let mut stage = Stage::new(50, world(3, 60)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    let folder = journal(&variables).parent().expect("a folder").to_owned();
    set_mode(&folder, 0o777);
    std::fs::write(journal(&variables), sealed(&drain_by_an_operator(&instance))).expect("written");
    let daemon = Daemon::start(&variables).await;
    let command = format!("chmod go-w {}", folder.display());
    daemon.logged(&["ERROR", "no journal is kept in", "other users can write to it", &command]).await;
    assert_eq!(daemon.status().await.state, State::Serving, "the other user's journal is believed");
    stage.scale_in();
    daemon.logged(&["WARN", "journal_failed", &command]).await;
    set_mode(&folder, 0o700);
    eventually("a journal", || written(&variables, &instance).is_some_and(|journal| journal.drain.is_some()))
        .await;
    stage.until_ended_well(&[]).await;
}

/// The folder and the journal in it belong to another user.
#[tokio::test]
async fn folder_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can give a folder away");
    }
    let mut stage = Stage::new(50, world(3, 30)).await;
    let variables = stage.variables(&stage.instance());
    let folder = journal(&variables).parent().expect("a folder").to_owned();
    chown(&folder, Some(54_321), None).expect("as root");
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["ERROR", "no journal is kept in", "belongs to uid 54321", "chown"]).await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
    assert!(!journal(&variables).exists());
}

/// The folder is the daemon's, but the file in it is another user's, from before the folder was made safe.
#[tokio::test]
async fn journal_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can give a file away");
    }
    let mut stage = Stage::new(50, world(3, 30)).await;
    let instance = stage.instance();
    let variables = stage.variables(&instance);
    std::fs::write(journal(&variables), sealed(&drain_by_an_operator(&instance))).expect("written");
    chown(journal(&variables), Some(54_321), None).expect("as root");
    let daemon = Daemon::start(&variables).await;
    daemon.logged(&["WARN", "the journal was not read, and was set aside as", "belongs to uid 54321"]).await;
    assert_eq!(daemon.status().await.state, State::Serving, "the other user's journal is believed");
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

/// A journal of this instance with an operator's notice. A daemon that trusts it drains at once.
fn drain_by_an_operator(instance: &str) -> String {
    let kept = include_str!("../fixtures/journals/v1/notice-operator.json");
    let journal = kept.lines().next().expect("two lines");
    let mut journal: serde_json::Value = serde_json::from_str(journal).expect("JSON");
    journal["instance_id"] = instance.into();
    journal["boot_id"] = serde_json::Value::Null;
    journal.to_string()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}
