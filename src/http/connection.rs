//! Connects to an agent or to IMDS, over TCP or a Unix socket, and sends one request at a time. The connection is kept for
//! the next request. No request is ever written twice.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::{ReadError, causes, read_capped};
use crate::config::user::{ROOT, UNMAPPED, User};

/// How many addresses of a host are tried.
const ADDRESSES_MAX: usize = 4;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host and a port. `localhost` is 127.0.0.1 and is never resolved.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// The user that must listen on it.
        user: Option<User>,
    },
}

impl Target {
    /// A host of a URL, and a port.
    pub fn tcp(host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']);
        // If the hosts file has `::1 localhost` and the agent listens on 127.0.0.1, any local user could listen on [::1]
        // and impersonate the agent.
        let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
        Target::Tcp { host: host.to_owned(), port }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Target::Tcp { host, port } => write!(f, "{host}:{port}"),
            Target::Unix { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Every address refused the connection, or no process has the socket open.
    #[error("connection refused: nothing is listening on {at}")]
    Refused {
        /// Where.
        at: String,
    },
    /// The socket does not exist.
    #[error("no such socket: {at}")]
    NoSocket {
        /// Where.
        at: String,
    },
    /// The host's name does not resolve.
    #[error("cannot resolve the host of {at}: {source}")]
    Resolve {
        /// Where.
        at: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The daemon's user may not connect.
    #[error(
        "cannot connect to {at}: permission denied; let the daemon's user write to the socket and search its folders"
    )]
    Denied {
        /// Where.
        at: String,
    },
    /// Any other failure: no route, no network, a path that is not a socket.
    #[error("cannot connect to {at}: {source}")]
    Other {
        /// Where.
        at: String,
        /// The system's error.
        source: io::Error,
    },
    /// The connection was not made within the limit.
    #[error("cannot connect to {at} within {limit:?}")]
    TimedOut {
        /// Where.
        at: String,
        /// The limit for the whole connection, or for one of the host's addresses.
        limit: Duration,
    },
    /// A user other than `agent.user` listens on the socket. Nothing was sent.
    #[error("{at} belongs to user id {uid}, but agent.user is {user}; nothing was sent{}", unmapped(.uid))]
    WrongUser {
        /// Where.
        at: String,
        /// The user that listens.
        uid: u32,
        /// The configured user.
        user: User,
    },
    /// `agent.user` is not a user of this machine. Nothing was sent.
    #[error("agent.user is {user}, which {}; nothing was sent", causes(.source))]
    UnknownUser {
        /// The configured user.
        user: User,
        /// Why its id was not found.
        source: io::Error,
    },
}

impl ConnectError {
    /// Whether the failure shows that the agent's process has exited.
    pub fn is_gone(&self) -> bool {
        match self {
            ConnectError::Refused { .. } | ConnectError::NoSocket { .. } => true,
            ConnectError::Resolve { .. }
            | ConnectError::Denied { .. }
            | ConnectError::Other { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::WrongUser { .. }
            | ConnectError::UnknownUser { .. } => false,
        }
    }

    fn new(at: &Target, source: io::Error) -> Self {
        let at = at.to_string();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused { at },
            io::ErrorKind::NotFound => ConnectError::NoSocket { at },
            io::ErrorKind::PermissionDenied => ConnectError::Denied { at },
            _ => ConnectError::Other { at, source },
        }
    }
}

fn unmapped(uid: &u32) -> &'static str {
    if *uid == UNMAPPED {
        " (with PrivateUsers=, most users appear as this one, so the user cannot be verified: set PrivateUsers=no in a \
         drop-in of drainhook.service)"
    } else {
        ""
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection was made, and nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or the response is not HTTP.
    #[error("{}", causes(.0))]
    Broken(#[from] hyper::Error),
}

/// A client of one server. Keeps one connection.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    connect_limit: Duration,
    kept: Mutex<Option<SendRequest<String>>>,
}

impl Connection {
    /// Connects with the first request, within this limit, which includes name resolution.
    pub fn new(target: Target, connect_limit: Duration) -> Self {
        Connection { target, connect_limit, kept: Mutex::new(None) }
    }

    /// Where it connects to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request, and reads the head of the response.
    pub async fn send(&self, mut request: Request<String>) -> Result<Answer<'_>, SendError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(Answer::new(self, sender, response)),
                // The server had closed the connection before anything was written.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await?;
        Ok(Answer::new(self, sender, response))
    }

    async fn connect(&self) -> Result<SendRequest<String>, SendError> {
        let (at, limit) = (&self.target, self.connect_limit);
        let connecting = async {
            match at {
                Target::Tcp { host, port } => {
                    let stream = connect_tcp(at, host, *port, limit).await?;
                    Ok(handshake(stream).await?)
                }
                Target::Unix { path, user } => {
                    let stream =
                        UnixStream::connect(path).await.map_err(|error| ConnectError::new(at, error))?;
                    if let Some(user) = user {
                        check_peer(at, &stream, user)?;
                    }
                    Ok(handshake(stream).await?)
                }
            }
        };
        let in_time = tokio::time::timeout(limit, connecting).await;
        in_time.unwrap_or_else(|_| Err(ConnectError::TimedOut { at: at.to_string(), limit }.into()))
    }
}

async fn connect_tcp(at: &Target, host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let unresolved = |source| ConnectError::Resolve { at: at.to_string(), source };
    let addresses: Vec<SocketAddr> =
        lookup_host((host, port)).await.map_err(unresolved)?.take(ADDRESSES_MAX).collect();
    let none = || unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    connect_first(at, &addresses, limit).await.map_err(|failed| failed.unwrap_or_else(none))
}

/// Returns the first connection that succeeds. Each address gets an equal share of the time, so an address that drops packets
/// does not use up the others' time.
async fn connect_first(
    at: &Target,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Option<ConnectError>> {
    let mut failed = None;
    for address in addresses {
        let limit = limit / addresses.len() as u32;
        let error = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Avoids waiting for delayed acknowledgments. The connection works without it too.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => ConnectError::new(at, error),
            Err(_) => ConnectError::TimedOut { at: at.to_string(), limit },
        };
        // The agent counts as gone only if every address refuses.
        if failed.as_ref().is_none_or(ConnectError::is_gone) {
            failed = Some(error);
        }
    }
    Err(failed)
}

/// Checks that the configured user or root listens on the socket. systemd opens the sockets of socket-activated services as
/// root, and root can act as any user anyway.
fn check_peer(at: &Target, stream: &UnixStream, user: &User) -> Result<(), ConnectError> {
    let peer = stream.peer_cred().map_err(|error| ConnectError::new(at, error))?;
    let wanted = user.id().map_err(|source| ConnectError::UnknownUser { user: user.clone(), source })?;
    // A user that this namespace does not map could be anyone.
    if peer.uid() != UNMAPPED && (peer.uid() == wanted || peer.uid() == ROOT) {
        Ok(())
    } else {
        Err(ConnectError::WrongUser { at: at.to_string(), uid: peer.uid(), user: user.clone() })
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<String>, hyper::Error>
where
    TokioIo<S>: Read + Write + Unpin,
    S: Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when its sender is dropped or the server closes. The sender reports errors too.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// The head of a response, and its body while that is being read.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    sender: SendRequest<String>,
    home: &'a Connection,
}

impl<'a> Answer<'a> {
    fn new(home: &'a Connection, sender: SendRequest<String>, response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body, sender, home }
    }

    /// Reads the whole body, at most `max` bytes, and keeps the connection for the next request.
    pub async fn read_capped(mut self, max: usize) -> Result<Vec<u8>, ReadError<hyper::Error>> {
        let read = read_capped(&mut self.body, max).await?;
        self.keep();
        Ok(read)
    }

    /// Reads the first part of the body that arrives within `limit`. Keeps the connection if that is the whole body.
    pub async fn read_start(mut self, limit: Duration) -> Option<Vec<u8>> {
        let frame = tokio::time::timeout(limit, self.body.frame()).await.ok()?;
        let start = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
        if self.body.is_end_stream() {
            self.keep();
        }
        start.map(|data| data.to_vec())
    }

    fn keep(self) {
        *self.home.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.sender);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpSocket;

    /// The first address of a host never answers, as if a firewall dropped the packets. The agent listens on the second
    /// one.
    #[tokio::test]
    async fn address_that_drops_packets() {
        let full = TcpSocket::new_v4().expect("a socket");
        full.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let full = full.listen(0).expect("listens");
        let swallows = full.local_addr().expect("bound");
        let _fills_the_backlog = TcpStream::connect(swallows).await.expect("the backlog has one place");
        let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addresses = [swallows, agent.local_addr().expect("bound")];
        let at = Target::tcp("worker.internal", 8080);
        let limit = Duration::from_secs(5);
        let connecting = tokio::time::timeout(limit, connect_first(&at, &addresses, limit));
        let stream = connecting.await.expect("in time").expect("connected");
        assert_eq!(stream.peer_addr().expect("connected"), addresses[1]);
    }
}
