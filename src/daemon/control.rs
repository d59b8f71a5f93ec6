//! The control socket. Each request and each answer is one line of JSON.
//!
//! Anyone who can open the socket can send every command. The socket has mode 0660 and belongs to the daemon's user and
//! group. The log says which user sent which command.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::user;
use crate::telemetry::debug;
use formats::text::cause;
use machine::effect::CompletionResult;
use machine::operator::{Command, Operator};
use machine::status::Status;

/// The longest request, in bytes, with its newline.
const LINE_MAX: u64 = 4096;

/// How many connections are served at once.
const CONNECTIONS_MAX: usize = 16;

/// How many requests may wait for the loop.
pub const REQUESTS_MAX: usize = 16;

/// How long a client may send nothing, or not read its answer, in real time.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Report what the daemon is doing.
    Status,
    /// Start a drain.
    Drain,
    /// Withdraw an earlier `Drain`.
    Cancel,
    /// Give the drain under way more time.
    Extend {
        /// How much more.
        seconds: u64,
    },
    /// End the drain under way.
    Finish {
        /// The result to report.
        result: CompletionResult,
    },
}

impl Request {
    /// The command for the machine; `None` for `Status`.
    pub fn command(self) -> Option<Command> {
        match self {
            Request::Status => None,
            Request::Drain => Some(Command::Drain),
            Request::Cancel => Some(Command::Cancel),
            Request::Extend { seconds } => Some(Command::Extend(Duration::from_secs(seconds))),
            Request::Finish { result } => Some(Command::Finish(result)),
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To `status`.
    Status(Box<Status>),
    /// The request was carried out. Says what was done.
    Done(String),
    /// The request was refused. Says why.
    Refused(String),
}

/// The operator, the request, and where the answer goes.
pub type Asked = (Operator, Request, oneshot::Sender<Answer>);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another daemon holds the socket.
    #[error("another daemon is already running on {0}; run only one per instance")]
    Taken(String),
    /// The socket could not be created.
    #[error("cannot listen on {0}: {1}; status, drain, extend and finish will not reach this daemon")]
    Bind(String, io::Error),
}

/// The control socket. Clones share it. While one exists, no other daemon can take its place.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Held>);

#[derive(Debug)]
struct Held {
    socket: UnixListener,
    _lock: OwnedFd,
}

/// Listens at that path. Replaces the socket of a daemon that is gone.
pub async fn listen(path: &Path) -> Result<Listener, ControlError> {
    let name = || path.display().to_string();
    let failed = |error| ControlError::Bind(name(), error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let lock = match lock(path) {
        Ok(lock) => lock,
        Err(Errno::WOULDBLOCK) => return Err(ControlError::Taken(name())),
        Err(error) => return Err(failed(error.into())),
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the path exists and is not a socket",
            )));
        }
        Ok(_) if is_alive(path).await.map_err(failed)? => return Err(ControlError::Taken(name())),
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    // A umask, because between bind and chmod anyone could connect.
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let socket = UnixListener::bind(path).map_err(failed);
    rustix::process::umask(before);
    Ok(Listener(Arc::new(Held { socket: socket?, _lock: lock })))
}

/// Locks a file beside the socket for the life of the process. The socket alone does not show whether its daemon is alive:
/// a busy daemon looks like a dead one.
fn lock(path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(PathBuf::from(name), flags, Mode::RUSR | Mode::WUSR)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Whether a process listens on the socket. Covers a daemon that takes no lock, and one whose backlog is full.
async fn is_alive(path: &Path) -> io::Result<bool> {
    match UnixStream::connect(path).await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(false),
            io::ErrorKind::WouldBlock => Ok(true),
            _ => Err(error),
        },
    }
}

/// Accepts connections forever.
pub async fn serve(listener: Listener, requests: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.0.socket.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, requests).await {
                        debug::say(format_args!("control connection: {error}"));
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Most likely out of file descriptors.
                tracing::warn!(%error, "cannot accept a connection on the control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The process at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: u32,
    pid: Option<i32>,
}

async fn converse(stream: UnixStream, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let peer = Peer { uid: peer.uid(), pid: peer.pid() };
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LINE_MAX);
        let read = limited.read_until(b'\n', &mut line);
        let length = tokio::time::timeout(IDLE_LIMIT, read).await.map_err(io::Error::other)??;
        if length == 0 {
            return Ok(());
        }
        let ended = line.ends_with(b"\n");
        let answer = if ended || (length as u64) < LINE_MAX {
            answer(peer, &line, &requests).await
        } else {
            Answer::Refused(format!(
                "the request is too long: expected one line of JSON of at most {LINE_MAX} bytes"
            ))
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        // A client that does not read its answers must not keep its place.
        tokio::time::timeout(IDLE_LIMIT, writer.write_all(&text)).await.map_err(io::Error::other)??;
        if !ended {
            return Ok(());
        }
    }
}

async fn answer(peer: Peer, line: &[u8], requests: &mpsc::Sender<Asked>) -> Answer {
    let request = match read(line) {
        Ok(request) => request,
        Err(why) => {
            return Answer::Refused(format!(
                "malformed request: {why}; expected JSON such as {{\"command\":\"status\"}}"
            ));
        }
    };
    let mut by = Operator { uid: peer.uid, name: None };
    if let Some(command) = request.command() {
        by.name = user::name_of(peer.uid);
        let process = peer.pid.map_or_else(String::new, |pid| format!(", pid {pid},"));
        tracing::info!(%by, pid = peer.pid, %command, "{by}{process} ordered: drainhook {command}");
    }
    let (sender, answer) = oneshot::channel();
    let stopping = || Answer::Refused("the daemon is stopping".to_owned());
    if requests.send((by, request, sender)).await.is_err() {
        return stopping();
    }
    answer.await.unwrap_or_else(|_| stopping())
}

fn read(line: &[u8]) -> Result<Request, String> {
    // Serde would also accept a list.
    if line.trim_ascii_start().starts_with(b"[") {
        return Err("got a list".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| cause(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    async fn served(folder: &Path) -> (std::path::PathBuf, mpsc::Receiver<Asked>) {
        let path = folder.join("control.sock");
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        tokio::spawn(serve(listen(&path).await.expect("bound"), sender));
        (path, receiver)
    }

    async fn ask(path: &Path, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.expect("connected");
        stream.write_all(line).await.expect("sent");
        stream.shutdown().await.expect("half-closed");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        text
    }

    #[test]
    fn a_command_reaches_the_loop() {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let (path, mut receiver) = served(folder.path()).await;
            let asking =
                tokio::spawn(async move { ask(&path, b"{\"command\":\"extend\",\"seconds\":90}\n").await });
            let (_, request, reply) = receiver.recv().await.expect("a request");
            assert_eq!(request.command(), Some(Command::Extend(Duration::from_secs(90))));
            reply.send(Answer::Done("deadline is later".to_owned())).expect("the client waits");
            assert_eq!(asking.await.expect("answered"), "{\"done\":\"deadline is later\"}\n");
        });
    }

    #[test]
    fn bad_requests_are_refused() {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let (path, _receiver) = served(folder.path()).await;
            let endless = vec![b'x'; LINE_MAX as usize];
            let lines: [&[u8]; 4] = [b"hello\n", b"{\"command\":\"dance\"}\n", b"{\"command\":", &endless];
            for line in lines {
                let answer = ask(&path, line).await;
                assert!(answer.starts_with("{\"refused\":"), "{answer}");
            }
        });
    }

    #[test]
    fn links_are_not_followed() {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let (path, target) = (folder.path().join("control.sock"), folder.path().join("target"));
            for link in [&path, &folder.path().join("control.sock.lock")] {
                // The first try makes the lock.
                let _ = std::fs::remove_file(link);
                std::os::unix::fs::symlink(&target, link).expect("a fresh path");
                assert!(matches!(listen(&path).await, Err(ControlError::Bind(..))), "{}", link.display());
                assert!(!target.exists(), "made through {}", link.display());
                std::fs::write(&target, "precious").expect("written");
                assert!(matches!(listen(&path).await, Err(ControlError::Bind(..))), "{}", link.display());
                assert_eq!(std::fs::read(&target).expect("there"), b"precious");
                std::fs::remove_file(&target).expect("there");
                std::fs::remove_file(link).expect("there");
            }
        });
    }

    #[test]
    fn socket_mode_and_succession() {
        block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("control.sock");
            let first = listen(&path).await.expect("bound");
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o660);
            assert!(matches!(listen(&path).await, Err(ControlError::Taken(_))));
            drop(first);
            assert!(folder.path().join("control.sock.lock").exists());
            listen(&path).await.expect("replaces the socket of a daemon that is gone");
        });
    }
}
