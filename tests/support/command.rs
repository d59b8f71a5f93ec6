//! Runs one command of the real program to its end.

use std::process::Stdio;

use machine::status::Status;
use serde_json::Value;
use tokio::process::Command;

use super::daemon::{Variables, in_time};

/// The result of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command with only these environment variables.
pub async fn run(variables: &Variables, args: &[&str]) -> Ran {
    let running = Command::new(env!("CARGO_BIN_EXE_drainhook"))
        .args(args)
        .env_clear()
        // Keeps the developer's own AWS configuration out.
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
    /// Asserts that the command succeeded and printed this.
    pub fn done(&self, words: &str) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(self.out.contains(words), "{words:?} is not in {self:?}");
    }

    /// Asserts that the command failed and printed this.
    pub fn failed(&self, words: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains(words), "{words:?} is not in {self:?}");
    }

    /// The JSON objects that it printed, one per line.
    pub fn lines(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.out.lines().map(read).collect()
    }

    /// The object that `status --json` printed.
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}
