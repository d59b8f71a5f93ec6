//! Notifies the service manager (sd_notify), if there is one.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use machine::Time;
use machine::status::{ImdsAnswers, State, Status};

use crate::telemetry::debug;

/// Notifies the service manager, if there is one.
///
/// It never blocks: a manager that does not read must not delay a drain.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// Half of the manager's watchdog time.
    watchdog: Option<Duration>,
    ready_told: bool,
    last_line: String,
}

impl Notify {
    /// Finds the service manager by `NOTIFY_SOCKET`.
    pub fn from_env() -> Self {
        let socket = connect().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot reach the service manager: {error}");
            None
        });
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Notify { socket, watchdog, ready_told: false, last_line: String::new() }
    }

    /// How often [`alive`](Self::alive) must be called, in real time; `None` without a watchdog.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says that the loop is running. The first call also says that the daemon is ready.
    pub fn alive(&mut self) {
        self.ready_told = self.ready_told || self.tell(&NotifyState::Ready);
        if self.watchdog.is_some() {
            self.tell(&NotifyState::Watchdog);
        }
    }

    /// Says that the daemon is stopping.
    pub fn stopping(&self) {
        self.tell(&NotifyState::Stopping);
    }

    /// Sends the line that `systemctl status` shows, if it changed.
    pub fn status(&mut self, status: &Status, now: Time) {
        let line = line(status, now);
        if line != self.last_line && self.tell(&NotifyState::Status(&line)) {
            self.last_line = line;
        }
    }

    fn tell(&self, state: &NotifyState) -> bool {
        let Some(socket) = &self.socket else { return true };
        let sent = socket.send(state.to_string().as_bytes());
        if let Err(error) = &sent {
            debug::say(format_args!("cannot notify the service manager: {error}"));
        }
        sent.is_ok()
    }
}

fn connect() -> io::Result<Option<UnixDatagram>> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
    let address = match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(Some(socket))
}

fn line(status: &Status, now: Time) -> String {
    let reason = status.reason.map_or("", |reason| reason.as_str());
    let work = status.in_flight.map_or_else(|| "unknown work".to_owned(), |count| format!("{count}"));
    match status.state {
        State::Serving if status.imds != ImdsAnswers::Heard => "serving; IMDS is silent".to_owned(),
        State::Serving => "serving".to_owned(),
        State::Noticed => format!("{reason}: waiting for Terminating:Wait"),
        State::Draining => {
            let left = status.deadline.map_or(0, |deadline| deadline.since(now).as_secs() / 60);
            format!("{reason}: draining, {work} in flight, {left} min left")
        }
        State::AfterSteps => match &status.step {
            Some(step) => format!("{reason}: running after step {} of {}", step.number, step.of),
            None => format!("{reason}: about to run an after step"),
        },
        State::Completing => format!("{reason}: completing the lifecycle action"),
        State::Ended => {
            format!("{reason}: drain ended, {}", status.outcome.map_or("", |outcome| outcome.as_str()))
        }
        State::Returning => "telling the agents to serve again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_does_not_read_cannot_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(&path).expect("connected");
        socket.set_nonblocking(true).expect("set");
        let notify =
            Notify { socket: Some(socket), watchdog: None, ready_told: false, last_line: String::new() };
        let told = (0..10_000).take_while(|_| notify.tell(&NotifyState::Watchdog)).count();
        assert!((1..10_000).contains(&told), "{told}");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("the first one");
        assert_eq!(&buffer[..length], b"WATCHDOG=1");
    }
}
