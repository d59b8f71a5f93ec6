//! A scripted HTTP server on loopback. All connections share one script. The server can be put in front of another one, and
//! forward the requests that its script does not answer.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod command;
pub mod daemon;
pub mod lossy;
pub mod tls;
pub mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::watch;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes. The connection stays open.
    Bytes(Vec<u8>),
    /// These bytes. Then the connection is closed.
    BytesThenClose(Vec<u8>),
    /// These bytes. Then the connection is reset.
    BytesThenReset(Vec<u8>),
    /// A header and then a body that never ends.
    Endless,
    /// A header that never ends.
    EndlessHead,
    /// `100 Continue`, forever.
    EndlessContinue,
    /// A whole response, one byte at a time, with a pause before each byte.
    Dripping(Vec<u8>, Duration),
    /// The response of the server behind, after a delay.
    Late(Duration),
    /// The response of the server behind, without this header.
    Without(&'static str),
    /// These bytes, once the flag is true.
    Held(watch::Receiver<bool>, Vec<u8>),
    /// Nothing. The connection stays open.
    Silence,
    /// Nothing. The connection is closed.
    Close,
}

/// A whole response.
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

/// A 200 response with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Reply {
    answer(200, &[], body)
}

/// A request that the server has read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The number of its connection, from 0.
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
    /// `http://127.0.0.1:PORT`, or empty for a Unix socket.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// Chooses the reply to a request; `None` forwards it.
type Script = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

/// Shared by all connections of a server.
struct Shared {
    script: Box<Script>,
    /// `HOST:PORT`
    upstream: Option<String>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server on TCP that answers each request as `script` says.
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, move |request| Some(script(request))).await
    }

    /// A server on TCP in front of another. It forwards the requests that `script` has no reply to.
    pub async fn before(
        url: &str,
        script: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(url.trim_start_matches("http://").to_owned()), script).await
    }

    async fn listen(
        upstream: Option<String>,
        script: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::default();
        let shared = Arc::new(Shared { script: Box::new(script), upstream, seen: Arc::clone(&requests) });
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let End::Reset = serve(&mut stream, connection, &shared).await {
                        stream.set_zero_linger().expect("a connection");
                    }
                });
            }
        });
        Server { url, requests }
    }

    /// A server on TCP that answers each request with the next reply. The last reply is repeated forever.
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

    /// A server on a Unix socket that always gives the same reply.
    pub async fn unix(path: &Path, reply: Reply) -> Self {
        Self::on_unix(path, move |_| reply.clone()).await
    }

    /// A server on a Unix socket that answers each request as `script` says.
    pub async fn on_unix(path: &Path, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a fresh path");
        let requests = Arc::default();
        let script = Box::new(move |request: &Request| Some(script(request)));
        let shared = Arc::new(Shared { script, upstream: None, seen: Arc::clone(&requests) });
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { serve(&mut stream, connection, &shared).await });
            }
        });
        Server { url: String::new(), requests }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panics").clone()
    }

    /// How many of the requests so far match.
    pub fn count(&self, such: impl Fn(&Request) -> bool) -> usize {
        self.requests.lock().expect("no panics").iter().filter(|request| such(request)).count()
    }

    /// The request lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.line().to_owned()).collect()
    }
}

/// A URL that refuses connections. The port stays reserved until the test's process ends.
pub async fn closed_port() -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("loopback");
    let url = format!("http://{}", socket.local_addr().expect("bound"));
    std::mem::forget(socket);
    url
}

/// A path for a socket, in a folder that is removed with the test.
pub fn socket_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("agent.sock")
}

/// How a connection ends.
enum End {
    Closed,
    Reset,
}

async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    connection: usize,
    shared: &Shared,
) -> End {
    let stream = &mut BufReader::new(stream);
    while let Some(request) = read_request(stream, connection).await {
        let reply = (shared.script)(&request);
        shared.seen.lock().expect("no panics").push(request.clone());
        let written = match reply {
            None => pass_on(stream, &request, shared, None).await,
            Some(Reply::Late(pause)) => {
                tokio::time::sleep(pause).await;
                pass_on(stream, &request, shared, None).await
            }
            Some(Reply::Without(header)) => pass_on(stream, &request, shared, Some(header)).await,
            Some(Reply::Bytes(bytes)) => stream.write_all(&bytes).await,
            Some(Reply::BytesThenClose(bytes)) => {
                let _ = stream.write_all(&bytes).await;
                return End::Closed;
            }
            Some(Reply::BytesThenReset(bytes)) => {
                let _ = stream.write_all(&bytes).await;
                return End::Reset;
            }
            Some(Reply::Endless) => {
                let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                endless(stream, start, &format!("1000\r\n{}\r\n", " ".repeat(0x1000))).await
            }
            Some(Reply::EndlessHead) => {
                let line = format!("x-more: {}\r\n", "x".repeat(0x1000));
                endless(stream, "HTTP/1.1 200 OK\r\n", &line).await
            }
            Some(Reply::EndlessContinue) => {
                endless(stream, "", &"HTTP/1.1 100 Continue\r\n\r\n".repeat(0x100)).await
            }
            Some(Reply::Dripping(bytes, pause)) => drip(stream, &bytes, pause).await,
            Some(Reply::Held(mut until, bytes)) => {
                let _ = until.wait_for(|reached| *reached).await;
                stream.write_all(&bytes).await
            }
            Some(Reply::Silence) => std::future::pending().await,
            Some(Reply::Close) => return End::Closed,
        };
        if written.is_err() {
            break;
        }
    }
    End::Closed
}

/// How much an endless reply sends. More than every cap under test, but not enough to harm a machine where a cap is broken.
pub const ENDLESS_CHUNKS: usize = 16 * 1024;

async fn endless(stream: &mut (impl AsyncWrite + Unpin), start: &str, again: &str) -> std::io::Result<()> {
    stream.write_all(start.as_bytes()).await?;
    for _ in 0..ENDLESS_CHUNKS {
        stream.write_all(again.as_bytes()).await?;
    }
    Err(std::io::ErrorKind::Other.into())
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        tokio::time::sleep(pause).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// Forwards a request to the server behind, on a new connection, and passes the response on.
async fn pass_on(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    shared: &Shared,
    without: Option<&str>,
) -> std::io::Result<()> {
    let upstream = shared.upstream.as_deref().expect("a server behind");
    let mut behind = BufReader::new(TcpStream::connect(upstream).await?);
    behind.write_all(request.head.as_bytes()).await?;
    behind.write_all(request.body.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(behind.read_u8().await?);
    }
    let head =
        Request { connection: 0, head: String::from_utf8_lossy(&answer).into_owned(), body: String::new() };
    let length = head.header("content-length").expect("the simulator says so");
    let length: usize = length.parse().expect("a length");
    let start = answer.len();
    answer.resize(start + length, 0);
    behind.read_exact(&mut answer[start..]).await?;
    let is_left_out = |line: &&str| {
        let name = line.split_once(':').map(|(name, _)| name);
        without.is_some_and(|left_out| name.is_some_and(|name| name.eq_ignore_ascii_case(left_out)))
    };
    let lines = head.head.split_inclusive("\r\n").filter(|line| !is_left_out(line));
    stream.write_all(lines.collect::<String>().as_bytes()).await?;
    stream.write_all(&answer[start..]).await
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
