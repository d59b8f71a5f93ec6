//! The programs of `--offer` and `--restart`.

use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use tokio::process::Command;

use crate::cli::output::word;

/// A program and its arguments. It runs without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    program: String,
    arguments: Vec<String>,
}

impl FromStr for Program {
    type Err = &'static str;

    /// Splits the words as a POSIX shell does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = shlex::split(text).ok_or("a quote is not closed")?.into_iter();
        let program = words.next().ok_or("it is empty")?;
        Ok(Program { program, arguments: words.collect() })
    }
}

impl Program {
    /// Runs it to its end, and returns its exit code. Its standard error goes to that of this process. The error names the
    /// program.
    pub async fn run(&self, limit: Duration) -> Result<i32, String> {
        let program = word(&self.program);
        let mut command = Command::new(&self.program);
        // An agent that it starts in the background would keep a pipe open, so none is read.
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        // In a group of its own, so that Ctrl-C does not reach an agent that it has started.
        let child = command.process_group(0).kill_on_drop(true).status();
        match tokio::time::timeout(limit, child).await {
            Ok(Ok(status)) => status.code().ok_or_else(|| format!("{program} was ended by a signal")),
            Ok(Err(error)) => Err(format!("cannot run {program}: {error}")),
            Err(_) => Err(format!("{program} did not exit within {limit:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let program = "systemctl restart 'my worker'".parse::<Program>().expect("good");
        assert_eq!(program.program, "systemctl");
        assert_eq!(program.arguments, ["restart", "my worker"]);
        assert_eq!("'open".parse::<Program>(), Err("a quote is not closed"));
        assert_eq!(" ".parse::<Program>(), Err("it is empty"));
    }
}
