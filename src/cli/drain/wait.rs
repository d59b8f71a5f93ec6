//! `drainhook drain --wait`: makes the daemon drain, and waits for the end of the drain.

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

/// How often the daemon's status is requested, in real time.
const LOOK: Duration = Duration::from_millis(500);

/// How many failed requests in a row end the wait. They take two minutes. A daemon that restarts while IMDS is silent may
/// take that long to find its instance id.
const LOOKS_IN_VAIN_MAX: u32 = 240;

/// Drains, and prints each change. The exit code is 0 if the agents have drained.
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
            &"interrupted; the drain continues. To see its progress: drainhook status. To cancel it: drainhook drain --cancel",
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
        (State::Noticed | State::Draining | State::AfterSteps | State::Completing, _) => None,
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
