//! The other end of the control socket: how commands ask the daemon of this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::control::{Answer, Request};
use formats::text::printable;

/// How long the daemon may take to answer, in real time: it does so between two effects.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Bytes in an answer. The longest says how each of 16 agents stands, with 64 gauges each.
const ANSWER_MAX: u64 = 1024 * 1024;

/// The longest text of an answer that is shown, in characters.
const TEXT_MAX: usize = 4096;

/// Why the daemon has not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no socket.
    #[error(
        "no daemon answers: there is no socket {0}; is the daemon running (systemctl status drainhook), and with the \
         same control.socket (drainhook config)?"
    )]
    NoSocket(PathBuf),
    /// The socket is open to others.
    #[error(
        "cannot connect to {0}: permission denied; the socket is open to root and to the daemon's own group: use sudo, \
         or join that group"
    )]
    Denied(PathBuf),
    /// The daemon that made the socket is gone.
    #[error("connection refused: no daemon is listening on {0}; start it (systemctl start drainhook)")]
    NobodyListens(PathBuf),
    /// The connection could not be made, or broke.
    #[error("the daemon has not answered on {0}: {1}; its log may say why (journalctl -u drainhook)")]
    Broken(PathBuf, io::Error),
    /// Something else answered, or another version.
    #[error(
        "{0} has answered what no daemon of this version answers: {1}; is it an older daemon? restart it \
         (systemctl restart drainhook)"
    )]
    Malformed(PathBuf, serde_json::Error),
}

/// Sends one request, and waits for its answer.
pub async fn ask(socket: &Path, request: Request) -> Result<Answer, AskError> {
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
                io::ErrorKind::ConnectionRefused => AskError::NobodyListens(path()),
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

/// Makes every text of an answer fit for a terminal: the socket may not be a daemon's.
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
