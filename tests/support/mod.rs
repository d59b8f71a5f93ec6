//! A scripted HTTP server on loopback: each connection serves answers from one script, in order.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod command;
pub mod daemon;
pub mod lossy;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, and then the connection is closed.
    BytesThenClose(Vec<u8>),
    /// A header and then a body that never ends.
    Endless,
    /// No answer, ever, on an open connection.
    Silence,
    /// The connection is closed without an answer.
    Close,
}

/// A whole answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}

/// 200 with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Reply {
    answer(200, &[], body)
}

/// A request that the server has read.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// The request line and the headers.
    pub head: String,
    /// The body, as text.
    pub body: String,
}

impl Request {
    /// `GET /drain`, without the version.
    pub fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.rsplit_once(' ').map_or(line, |(line, _)| line)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server. Its task ends with the test's runtime.
#[derive(Debug)]
pub struct Server {
    /// `http://127.0.0.1:PORT`, or empty on a unix socket.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

impl Server {
    /// A server on TCP that answers each request as `script` says.
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::default();
        let (script, seen) = (Arc::new(script), Arc::clone(&requests));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, script.clone() as Arc<Script>, Arc::clone(&seen)));
            }
        });
        Server { url, requests }
    }

    /// A server on TCP that answers the first request with the first reply, and so on; the last goes on for ever.
    pub async fn replies(replies: impl Into<Vec<Reply>>) -> Self {
        let replies = Mutex::new((0, replies.into()));
        Self::start(move |_| {
            let mut replies = replies.lock().expect("no panics");
            let reply = replies.1[replies.0.min(replies.1.len() - 1)].clone();
            replies.0 += 1;
            reply
        })
        .await
    }

    /// A server on a unix socket that always answers the same.
    pub async fn unix(path: &Path, reply: Reply) -> Self {
        let listener = UnixListener::bind(path).expect("a fresh path");
        let requests = Arc::default();
        let seen = Arc::clone(&requests);
        let script: Arc<Script> = Arc::new(move |_: &Request| reply.clone());
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Server { url: String::new(), requests }
    }

    /// What has been asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panics").clone()
    }

    /// The request lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.line().to_owned()).collect()
    }
}

/// A URL where nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// A path for a socket, in a directory that goes with the test.
pub fn socket_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("agent.sock")
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    while let Some(request) = read_request(&mut stream, connection).await {
        let reply = script(&request);
        seen.lock().expect("no panics").push(request);
        let written = match reply {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await,
            Reply::BytesThenClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Endless => endless(&mut stream).await,
            Reply::Silence => std::future::pending().await,
            Reply::Close => return,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Endless for every cap that is tested, and yet no danger to the machine that runs a test without its cap.
const ENDLESS_CHUNKS: usize = 16 * 1024;

async fn endless(stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    for _ in 0..ENDLESS_CHUNKS {
        stream.write_all(chunk.as_bytes()).await?;
    }
    Err(std::io::ErrorKind::Other.into())
}

pub async fn read_request(stream: &mut (impl AsyncRead + Unpin), connection: usize) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a header in ASCII");
    let mut request = Request { connection, head, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8(body).expect("a body in UTF-8");
    Some(request)
}
