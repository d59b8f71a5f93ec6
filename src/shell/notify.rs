//! What the service manager is told (sd_notify), where there is one.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::machine::Time;
use crate::machine::status::{State, Status};

/// Talks to the service manager; without one, to nobody.
#[derive(Debug)]
pub struct Notify {
    /// Half of the time within which the manager wants a sign of life.
    watchdog: Option<Duration>,
    last_line: String,
}

impl Notify {
    /// Finds out what the service manager wants to hear.
    pub fn from_env() -> Self {
        Notify { watchdog: sd_notify::watchdog_enabled().map(|limit| limit / 2), last_line: String::new() }
    }

    /// How often [`alive`](Self::alive) is wanted, in real time.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The daemon runs.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The loop goes round.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The daemon leaves.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The line that `systemctl status` shows; sent where it has changed.
    pub fn status(&mut self, status: &Status, now: Time) {
        let line = line(status, now);
        if line != self.last_line {
            tell(&[NotifyState::Status(&line)]);
            self.last_line = line;
        }
    }
}

/// A manager that does not listen is no reason to stop.
fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

fn line(status: &Status, now: Time) -> String {
    let reason = status.reason.map_or("", |reason| reason.as_str());
    let work = status.in_flight.map_or_else(|| "unknown work".to_owned(), |count| format!("{count}"));
    match status.state {
        State::Serving if status.imds_silent => "serving; IMDS is silent".to_owned(),
        State::Serving => "serving".to_owned(),
        State::Noticed => format!("{reason}: waiting for Terminating:Wait"),
        State::Draining => {
            let left = status.deadline.map_or(0, |deadline| deadline.since(now).as_secs() / 60);
            format!("{reason}: draining, {work} in flight, {left} min left")
        }
        State::Completing => format!("{reason}: completing the lifecycle action"),
        State::Ended => {
            format!("{reason}: drain ended, {}", status.outcome.map_or("", |outcome| outcome.as_str()))
        }
        State::Returning => "telling the agents to serve again".to_owned(),
    }
}
