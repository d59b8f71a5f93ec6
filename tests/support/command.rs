//! One command of the real program, run to its end.

use std::process::Stdio;

use machine::status::Status;
use serde_json::Value;
use tokio::process::Command;

use super::daemon::{Variables, in_time};

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command, in an environment of these variables only.
pub async fn run(variables: &Variables, args: &[&str]) -> Ran {
    let running = Command::new(env!("CARGO_BIN_EXE_drainhook"))
        .args(args)
        .env_clear()
        // Nothing of the developer's own AWS configuration shall reach it.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .envs(variables)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = in_time(&format!("the end of {args:?}"), running).await.expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ran {
    /// It has done what it was asked, and says so.
    pub fn done(&self, words: &str) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.out.contains(words), "{words:?} is not in {self:?}");
    }

    /// It has failed, and says why.
    pub fn failed(&self, words: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains(words), "{words:?} is not in {self:?}");
    }

    /// What it printed: one JSON object per line.
    pub fn lines(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.out.lines().map(read).collect()
    }

    /// What `status --json` printed.
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}
