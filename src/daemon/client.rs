//! The client of the control socket: how commands talk to this machine's daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::control::{Answer, Request};
use formats::text::printable;
use machine::status::Status;

/// How long the daemon may take to answer, in real time.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest answer, in bytes. The longest status has 16 agents with 64 gauges each.
const ANSWER_MAX: u64 = 1024 * 1024;

/// The longest text in an answer that is shown, in characters.
const TEXT_MAX: usize = 4096;

/// Why there is no usable answer from the daemon.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no socket.
    #[error(
        "cannot reach the daemon: there is no socket {0}; check that the daemon is running (systemctl status drainhook) \
         and uses the same control.socket (drainhook config)"
    )]
    NoSocket(PathBuf),
    /// This user may not open the socket.
    #[error(
        "cannot connect to {0}: permission denied; only root and the daemon's group may connect: use sudo, or join that \
         group"
    )]
    Denied(PathBuf),
    /// The daemon that made the socket is gone.
    #[error("connection refused: no daemon is listening on {0}; start it (systemctl start drainhook)")]
    NotListening(PathBuf),
    /// The daemon refused the request, or is not ready for it. Holds its explanation.
    #[error("{0}")]
    Refused(String),
    /// The connection could not be made, or broke.
    #[error("no answer from the daemon on {0}: {1}; check its log (journalctl -u drainhook)")]
    Broken(PathBuf, io::Error),
    /// Something else answered, or a different version of the daemon.
    #[error(
        "unexpected answer on {0}: {1}; if an older daemon is running, restart it (systemctl restart drainhook)"
    )]
    Malformed(PathBuf, serde_json::Error),
}

/// Asks the daemon for its status.
pub async fn status(socket: &Path) -> Result<Status, AskError> {
    match ask(socket, Request::Status).await? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused(why) => Err(AskError::Refused(why)),
        Answer::Done(_) => Err(mismatched(socket)),
    }
}

/// Asks the daemon to do something, and returns its description of what it did.
pub async fn order(socket: &Path, request: Request) -> Result<String, AskError> {
    match ask(socket, request).await? {
        Answer::Done(what) => Ok(what),
        Answer::Refused(why) => Err(AskError::Refused(why)),
        Answer::Status(_) => Err(mismatched(socket)),
    }
}

fn mismatched(socket: &Path) -> AskError {
    AskError::Malformed(socket.to_owned(), serde::de::Error::custom("the answer to another request"))
}

/// Sends one request, and waits for its answer.
async fn ask(socket: &Path, request: Request) -> Result<Answer, AskError> {
    let path = || socket.to_owned();
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        if answer.is_empty() { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) } else { Ok(answer) }
    };
    let answer = match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound => AskError::NoSocket(path()),
                io::ErrorKind::PermissionDenied => AskError::Denied(path()),
                io::ErrorKind::ConnectionRefused => AskError::NotListening(path()),
                _ => AskError::Broken(path(), error),
            });
        }
        Err(_) => return Err(AskError::Broken(path(), io::ErrorKind::TimedOut.into())),
    };
    let malformed = |error| AskError::Malformed(path(), error);
    let mut answer: Value = serde_json::from_slice(&answer).map_err(malformed)?;
    make_printable(&mut answer);
    serde_json::from_value(answer).map_err(malformed)
}

/// Makes every text in an answer safe for a terminal, because the socket may not be the daemon's.
fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) => *text = printable(text, TEXT_MAX),
        Value::Array(values) => values.iter_mut().for_each(make_printable),
        Value::Object(fields) => {
            let with_printable_names = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                make_printable(&mut value);
                (printable(&name, TEXT_MAX), value)
            });
            *fields = with_printable_names.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
