//! `drainhook drain --wait`: asks the daemon to drain, and follows it to the end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::output::put_line;
use crate::cli::status::headline;
use crate::cli::{Source, failed, interrupted};
use crate::daemon::client;
use crate::daemon::control::Request;
use machine::journal::Outcome;
use machine::status::{State, Status};

/// Between looks at the daemon, in real time.
const LOOK: Duration = Duration::from_millis(500);

/// How many looks in vain a daemon that is being restarted is given: two minutes, as long as an instance that cannot
/// hear IMDS may take to find out which one it is.
const LOOKS_IN_VAIN_MAX: u32 = 240;

/// Drains, tells what changes, and says whether it went well.
pub async fn run(source: &Source) -> ExitCode {
    let config = match source.load(&[]) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    let socket = &config.control.socket;
    match client::order(socket, Request::Drain).await {
        Ok(what) => put_line(&what),
        Err(error) => return failed(&error),
    }
    tokio::select! {
        code = follow(socket) => code,
        _ = tokio::signal::ctrl_c() => interrupted(
            &"interrupted; the drain continues. To see how it stands: drainhook status. To take it back: drainhook drain --cancel",
        ),
    }
}

async fn follow(socket: &Path) -> ExitCode {
    let mut in_vain = 0;
    let mut told = String::new();
    loop {
        match client::status(socket).await {
            Ok(status) => {
                if in_vain > 0 {
                    eprintln!("drainhook: the daemon answers again");
                    in_vain = 0;
                }
                let line = headline(&status);
                if line != told {
                    put_line(&line);
                    told = line;
                }
                if let Some(code) = end(&status) {
                    return code;
                }
            }
            Err(error) if in_vain == LOOKS_IN_VAIN_MAX => {
                return failed(&format!(
                    "stopped waiting; the drain continues when the daemon restarts; {error}"
                ));
            }
            Err(error) => {
                if in_vain == 0 {
                    eprintln!(
                        "drainhook: {error}; waiting for the daemon, which continues the drain when it restarts"
                    );
                }
                in_vain += 1;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The exit code, once the drain has ended.
fn end(status: &Status) -> Option<ExitCode> {
    match (status.state, status.outcome) {
        (State::Noticed | State::Draining | State::Completing, _) => None,
        (State::Ended, Some(Outcome::Drained)) => Some(ExitCode::SUCCESS),
        (State::Ended, _) => {
            let why = status.last_error.as_ref().map_or("", |error| error.what.as_str());
            let why = if why.is_empty() { String::new() } else { format!("; the last error was: {why}") };
            Some(failed(&format!("the agents did not drain{why}")))
        }
        (State::Serving | State::Returning, _) => {
            Some(failed(&"the drain is no longer under way: it was canceled, or the daemon lost its journal"))
        }
    }
}
