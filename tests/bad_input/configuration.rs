//! With an unusable configuration, the daemon exits at once with code 78.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::command::run;
use crate::support::daemon::{Daemon, Stage, Variables};
use crate::{assert_told, world};

const EX_CONFIG: i32 = 78;

/// The uid of the user `nobody` on Linux.
const NOBODY: u32 = 65_534;

/// The standard error and the exit code of a daemon with this configuration file.
async fn refused(file: &OsStr, variables: &Variables) -> (String, Option<i32>) {
    let ran = run(variables, &["run", "--config", file.to_str().expect("a path in UTF-8")]).await;
    (ran.err, ran.code)
}

#[tokio::test]
async fn misspelled_key() {
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
async fn misspelled_variable() {
    let variables = Variables::from([("DRAINHOOK_LIFECYCLE__HOKO", "drain".to_owned())]);
    let (told, code) = refused(OsStr::new("/dev/null"), &variables).await;
    assert!(
        told.contains("DRAINHOOK_LIFECYCLE__HOKO") && told.contains("DRAINHOOK_LIFECYCLE__HOOK"),
        "{told}"
    );
    assert_eq!(code, Some(EX_CONFIG));
}

fn write(folder: &tempfile::TempDir, text: impl AsRef<[u8]>) -> PathBuf {
    let file = folder.path().join("drainhook.toml");
    std::fs::write(&file, text).expect("written");
    file
}

/// The error for a configuration file with this text. The daemon does not start.
async fn told_of(text: impl AsRef<[u8]>) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(&folder, text);
    let (told, code) = refused(file.as_os_str(), &Variables::new()).await;
    assert_eq!(code, Some(EX_CONFIG), "{told}");
    told
}

/// All errors are reported at once, each with its line and what was expected.
#[tokio::test]
async fn wrong_values() {
    let durations = ["-1s", "0s", "5", "1h30", "", "1.5h", "1 h", "49h", &format!("1{}h", "0".repeat(30))];
    let mut lines = vec![
        ("[[agent]]".to_owned(), ""),
        ("url = \"https://127.0.0.1\"".to_owned(), "agents are local and reached by plain HTTP"),
        ("drain.blocks = \"yes\"".to_owned(), "expected `true` or `false`"),
        ("poll = 5".to_owned(), "is 5 (an integer); expected a duration from 100ms to 1m"),
        ("on_exit = [\"drained\"]".to_owned(), "(an array); expected `failed` or `drained`"),
        ("[lifecycle]".to_owned(), ""),
        ("hook = \"my hook\"".to_owned(), "expected a hook name (letters, digits, `-`, `_`, `/`)"),
        ("group = \"a\\nb\"".to_owned(), "expected the name of an Auto Scaling group"),
        ("on_drained = \"continue\"".to_owned(), "expected `CONTINUE` or `ABANDON`"),
        ("retries = 3".to_owned(), "unknown key `lifecycle.retries`"),
        ("[queue]".to_owned(), ""),
        ("url = \"workers-termination\"".to_owned(), "expected a queue URL such as"),
        ("[instance]".to_owned(), ""),
        ("id = \"0123\"".to_owned(), "expected an instance id"),
        ("[journal]".to_owned(), ""),
        ("dir = \"var/lib\"".to_owned(), "expected an absolute path"),
        ("[agents]".to_owned(), "unknown section `[agents]`; did you mean `[agent]`?"),
    ];
    for duration in durations {
        lines.push(("[[agent]]".to_owned(), ""));
        lines.push((
            format!("drain_timeout = \"{duration}\""),
            "expected a duration from 1s to 48h, written like",
        ));
    }
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let told = told_of(text).await;
    for (number, (line, expected)) in
        lines.iter().enumerate().filter(|(_, (_, expected))| !expected.is_empty())
    {
        let place = format!("drainhook.toml:{}: ", number + 1);
        let found = told.lines().any(|told| told.contains(&place) && told.contains(expected));
        assert!(found, "{place}{line}: {expected}: {told}");
    }
}

/// Headers and bodies that cannot be sent. Each problem names the header or the placeholder.
#[tokio::test]
async fn requests_that_cannot_be_sent() {
    let text = r#"[agent]
headers = { "X Key" = "a", Host = "b", X-Why = "{reason}", Authorization = "Bearer c", X-Key = { file = "key" } }
drain.body = "{region}"
return.success = [200]
drain.method = "HEAD"
"#;
    let told = told_of(text).await;
    for expected in [
        "drainhook.toml:2: the header `X Key` in `agent.headers` has an invalid name",
        "drainhook.toml:2: the header `Host` in `agent.headers` is reserved for drainhook; remove it",
        "drainhook.toml:2: the header `X-Why` in `agent.headers` cannot use {reason}; it can use {instance_id}",
        "drainhook.toml:2: the header `Authorization` in `agent.headers` is a secret; put the value into a file",
        "drainhook.toml:2: the header `X-Key` in `agent.headers` names a file without an absolute path",
        "drainhook.toml:3: `agent.drain.body` cannot use {region}; it can use {reason}, {deadline} or {instance_id}",
        "drainhook.toml:4: `agent.return.success` is \"200\", but every 2xx means success anyway",
        "drainhook.toml:5: `agent.drain.method` is \"HEAD\"; expected `POST`, `PUT`, `PATCH`, `GET` or `DELETE`",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(!told.contains("Bearer c"), "{told}");
    let body = format!("[agent]\ndrain.body = \"{}\"\n", "x".repeat(4097));
    assert!(told_of(body).await.contains("but it is longer than 4096 bytes"));
}

/// Keys that are valid alone, but not together.
#[tokio::test]
async fn contradictory_keys() {
    let cases = [
        (
            "[agent]\nurl = \"http://127.0.0.1:8080\"\nuser = \"worker\"\n",
            ["`agent.user` means nothing without `agent.unix`", "set that, or remove it"],
        ),
        (
            "[agent]\ncommand = \"/opt/drain\"\non_exit = \"drained\"\n",
            ["`agent.on_exit` means nothing without `agent.url` or `agent.unix`", "remove it"],
        ),
        (
            "[agent]\ncommand = \"/opt/drain\"\nurl = \"http://127.0.0.1:8080\"\n",
            ["`agent.command` and `agent.url`", "keep one of them"],
        ),
        (
            "[agent]\nunix = \"/run/one.sock\"\n[control]\nsocket = \"/run/one.sock\"\n",
            ["`agent.unix` and `control.socket`", "/run/one.sock"],
        ),
    ];
    for (text, expected) in cases {
        let told = told_of(text).await;
        assert!(expected.iter().all(|word| told.contains(word)), "{expected:?}: {told}");
    }
}

#[tokio::test]
async fn not_toml() {
    let cases: [(&[u8], &str); 6] = [
        (b"[log]\nlevel = warn\n", ":2 is not TOML"),
        (b"[log]\n[imds]\n[log]\n", ":3 is not TOML: duplicate key"),
        (b"[log]\nlevel = \"warn\"\nlevel = \"info\"\n", ":3 is not TOML: duplicate key"),
        (b"[agent]\n[[agent]]\n", ":2 is not TOML"),
        (b"<html>\n", ":1 is not TOML"),
        (b"[log]\nlevel = \"\xff\"\n", "it is not text in UTF-8"),
    ];
    for (text, expected) in cases {
        let told = told_of(text).await;
        assert!(told.contains("drainhook.toml") && told.contains(expected), "{expected}: {told}");
    }
}

#[tokio::test]
async fn huge_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(&folder, "");
    std::fs::File::options().write(true).open(&path).expect("there").set_len(100 << 20).expect("a hole");
    let (told, code) = refused(path.as_os_str(), &Variables::new()).await;
    assert!(told.contains("it is larger than 262144 bytes"), "{told}");
    assert_eq!(code, Some(EX_CONFIG));
}

#[tokio::test]
async fn folder_instead_of_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (told, code) = refused(folder.path().as_os_str(), &Variables::new()).await;
    assert!(told.contains("cannot read the configuration file") && told.contains("directory"), "{told}");
    assert_eq!(code, Some(EX_CONFIG));
}

/// Root can read every file, so this daemon runs as another user.
#[tokio::test]
async fn file_of_another_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    allow(folder.path(), 0o755);
    let file = write(&folder, "[log]\nlevel = \"warn\"\n");
    allow(&file, 0o000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    if rustix::process::getuid().is_root() {
        // The user `nobody` may not have access to the developer's folders.
        let copy = folder.path().join("drainhook");
        std::fs::copy(env!("CARGO_BIN_EXE_drainhook"), &copy).expect("copied");
        command = Command::new(copy);
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(&file), &Variables::new());
    let code = daemon.exit().await.code();
    daemon
        .logged(&["drainhook: cannot read the configuration file", "drainhook.toml: Permission denied"])
        .await;
    assert_eq!(code, Some(EX_CONFIG));
}

/// An empty file is valid: every key has a default.
#[tokio::test]
async fn empty_file() {
    let mut stage = Stage::new(100, world(3, 30)).await;
    let file = write(&stage.folder, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_drainhook"));
    let variables = stage.variables(&stage.instance());
    let mut daemon = Daemon::spawn_as(command.args(["run", "--config"]).arg(file), &variables);
    daemon.told("STATUS=serving").await;
    stage.scale_in();
    stage.until_ended_well(&[]).await;
}

#[tokio::test]
async fn wrong_variables() {
    let cases = [
        ("DRAINHOOK_AGENT_URL", "http://127.0.0.1:1", "did you mean `DRAINHOOK_AGENT__URL`?"),
        ("DRAINHOOK_agent__url", "http://127.0.0.1:1", "did you mean `DRAINHOOK_AGENT__URL`?"),
        ("DRAINHOOK_AGENT__URL", "http://10.0.0.1:8080", "names the host 10.0.0.1, which is not loopback"),
        ("DRAINHOOK_AGENT__URL", "", "expected an `http://` URL"),
        ("DRAINHOOK_AGENT__DRAIN_TIMEOUT", "3600", "expected a duration from 1s to 48h"),
        ("DRAINHOOK_LIFECYCLE__HOOK", "my hook", "expected a hook name"),
        ("DRAINHOOK_NEVER__HEARD", "x", "unknown key `never.heard`"),
    ];
    for (name, value, expected) in cases {
        let (told, code) =
            refused(OsStr::new("/dev/null"), &Variables::from([(name, value.to_owned())])).await;
        let found = told.lines().any(|line| line.contains(name) && line.contains(expected));
        assert!(found, "{name}: {told}");
        assert_eq!(code, Some(EX_CONFIG));
    }
}

#[tokio::test]
async fn variable_is_not_text() {
    // The harness can only set text, so a shell sets this variable.
    let binary = env!("CARGO_BIN_EXE_drainhook");
    let script = format!("DRAINHOOK_JOURNAL__DIR=$(printf '/var/lib/\\377') exec '{binary}' run");
    let mut daemon = Daemon::spawn_as(Command::new("/bin/sh").args(["-c", &script]), &Variables::new());
    let code = daemon.exit().await.code();
    daemon.logged(&["DRAINHOOK_JOURNAL__DIR", "not text in UTF-8"]).await;
    assert_eq!(code, Some(EX_CONFIG));
}

/// The SDK reads this variable, but the daemon must report what is wrong with it. The agent drains anyway.
#[tokio::test]
async fn wrong_region() {
    let mut stage = Stage::new(100, world(1, 5)).await;
    let daemon = stage.daemon_with(&[("AWS_REGION", "eu west 1")]).await;
    stage.scale_in();
    stage.until("the agent's end", crate::support::daemon::drained).await;
    assert_told(
        &daemon,
        &[&["call_failed", "eu west 1", "is not an AWS Region; expected one such as eu-west-1"]],
    )
    .await;
}

#[tokio::test]
async fn wrong_endpoints() {
    // In real time, because a simulated clock is refused if AWS is not on loopback.
    let mut stage = Stage::new(1, world(1, 2)).await;
    let daemon = stage.daemon_with(&[("AWS_ENDPOINT_URL", "not a URL")]).await;
    stage.scale_in();
    stage.until("the agent's end", crate::support::daemon::drained).await;
    assert_told(&daemon, &[&["call_failed", "autoscaling:", "it was not sent", "endpoint"]]).await;
}
