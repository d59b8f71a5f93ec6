//! Tests the agent adapter for HTTP against a scripted server on loopback.

#[path = "agent_http/requests.rs"]
mod requests;
mod support;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use drainhook::agent::http::{Agent, Base, Endpoint};
use drainhook::config::{Method, User};
use machine::Time;
use machine::effect::{AgentRequest, DrainOrder};
use machine::event::{AgentAnswer, AgentState};
use machine::notice::Reason;
use support::{Reply, Server, answer, closed_port, ok, socket_path};

const LIMIT: Duration = Duration::from_secs(30);
const OTHER_USER: u32 = 1000;
const INSTANCE: &str = "i-0123456789abcdef0";
const DRAINING: &str = r#"{"state":"draining","in_flight":3}"#;

fn order() -> AgentRequest {
    AgentRequest::Drain(DrainOrder {
        reason: Reason::AutoscalingTermination,
        deadline: Time::from_unix_ms(1_772_366_400_000),
    })
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::new(Base::Tcp(server.url.clone()))
}

async fn ask(endpoint: Endpoint, request: &AgentRequest) -> AgentAnswer {
    Agent::new(endpoint).expect("well-formed").ask(request, INSTANCE, LIMIT).await
}

async fn ask_server(reply: Reply, request: &AgentRequest) -> AgentAnswer {
    let server = Server::replies([reply]).await;
    ask(endpoint(&server), request).await
}

/// The variant's name, with its text if it has one.
fn kind(answer: &AgentAnswer) -> (&'static str, String) {
    match answer {
        AgentAnswer::Accepted(status) => ("accepted", format!("{status:?}")),
        AgentAnswer::Status { status, .. } => ("status", format!("{status:?}")),
        AgentAnswer::Seen { sight, .. } => ("seen", format!("{sight:?}")),
        AgentAnswer::Returned => ("returned", String::new()),
        AgentAnswer::Unreachable { why, gone: true } => ("gone", why.clone()),
        AgentAnswer::Unreachable { why, gone: false } => ("unreachable", why.clone()),
        AgentAnswer::Unsupported(why) => ("unsupported", why.clone()),
        AgentAnswer::CannotDrain(why) => ("cannot drain", why.clone()),
        AgentAnswer::Busy(why) => ("busy", why.clone()),
        AgentAnswer::Malformed(why) => ("malformed", why.clone()),
    }
}

#[tokio::test]
async fn drain_request_on_the_wire() {
    let server = Server::replies([answer(202, &[], "")]).await;
    let base = Base::Tcp(format!("{}/admin/", server.url));
    assert_eq!(ask(Endpoint::new(base), &order()).await, AgentAnswer::Accepted(None));
    let [request] = &server.requests()[..] else { panic!("one request") };
    assert_eq!(request.line(), "POST /admin/drain");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    let expected = serde_json::json!({
        "reason": "autoscaling_termination",
        "deadline": "2026-03-01T12:00:00.000Z",
        "instance_id": INSTANCE,
        "notice": "the Auto Scaling group is terminating this instance",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn paths_and_methods() {
    for (method, expected) in [
        (Method::Post, "POST"),
        (Method::Put, "PUT"),
        (Method::Patch, "PATCH"),
        (Method::Get, "GET"),
        (Method::Delete, "DELETE"),
    ] {
        let server = Server::replies([ok(DRAINING)]).await;
        let mut endpoint = endpoint(&server);
        endpoint.drain.method = method;
        endpoint.drain.path = "/pause?wait=0".to_owned();
        endpoint.status_path = "/stats".to_owned();
        let agent = Agent::new(endpoint).expect("well-formed");
        agent.ask(&order(), INSTANCE, LIMIT).await;
        agent.ask(&AgentRequest::Status, INSTANCE, LIMIT).await;
        agent.ask(&AgentRequest::Return, INSTANCE, LIMIT).await;
        let drain = format!("{expected} /pause?wait=0");
        assert_eq!(server.lines(), [drain.as_str(), "GET /stats", "DELETE /drain"]);
        let connections: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections, [0, 0, 0], "one connection is kept");
    }
}

#[tokio::test]
async fn every_row_of_the_answer_table() {
    let (post, get, delete) = (order(), AgentRequest::Status, AgentRequest::Return);
    let cases = [
        (&post, 200, "", "accepted", "None"),
        (&post, 204, "", "accepted", "None"),
        (&post, 202, "ok, draining", "accepted", "None"),
        (&post, 200, "{\"result\":\"ok\"}", "accepted", "None"),
        (&post, 200, "{\"state\":\"going\"}", "accepted", "None"),
        (&post, 200, DRAINING, "accepted", "Draining"),
        (&get, 200, DRAINING, "status", "in_flight: Some(3)"),
        (&get, 200, "", "malformed", "nothing; expected {\"state\""),
        (&get, 204, "", "malformed", "expected"),
        (&get, 200, "OK", "malformed", "\"OK\"; expected"),
        (&get, 200, "<html>", "malformed", "<html>"),
        (&get, 200, "{\"state\":\"going\"}", "malformed", "unknown variant"),
        (&get, 200, "{\"state\":\"drained\",\"in_flight\":-1}", "status", "in_flight: None"),
        (&delete, 204, "", "returned", ""),
        (&delete, 200, "whatever", "returned", ""),
        (&post, 400, "", "unsupported", "400"),
        (&post, 401, "", "unsupported", "401"),
        (&post, 404, "no such page", "unsupported", "404 Not Found with \"no such page\""),
        (&post, 405, "", "unsupported", "405"),
        (&post, 501, "", "unsupported", "501"),
        (&post, 409, "not while leader", "cannot drain", "not while leader"),
        (&post, 408, "", "busy", "408"),
        (&post, 429, "", "busy", "429"),
        (&post, 500, "", "busy", "500"),
        (&post, 503, "", "busy", "503"),
        (&get, 404, "", "unsupported", "404"),
        (&get, 503, "", "busy", "503"),
        (&delete, 404, "", "unsupported", "404"),
        (&post, 301, "", "malformed", "redirect"),
        (&get, 304, "", "malformed", "304"),
    ];
    for (request, status, body, expected, told) in cases {
        let answer = ask_server(answer(status, &[], body), request).await;
        let (kind, text) = kind(&answer);
        assert_eq!(kind, expected, "{request:?} {status} {body}: {text}");
        assert!(text.contains(told), "{request:?} {status} {body}: {text}");
    }
}

/// The agent's address redirects to another server, to collect the token.
#[tokio::test]
async fn redirects_are_not_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "open-sesame").expect("written");
    let elsewhere = Server::replies([ok(DRAINING)]).await;
    let location = format!("{}/elsewhere", elsewhere.url);
    let server = Server::replies([answer(307, &[("location", &location)], "")]).await;
    let endpoint = Endpoint { token_file: Some(token), ..endpoint(&server) };
    let (kind, text) = kind(&ask(endpoint, &order()).await);
    assert_eq!(kind, "malformed");
    assert!(text.contains("/elsewhere") && !text.contains("open-sesame"), "{text}");
    assert_eq!(server.lines(), ["POST /drain"]);
    assert_eq!(elsewhere.lines(), [""; 0]);
}

#[tokio::test]
async fn preference() {
    for (applied, expected) in [("wait", true), ("wait=20", true), ("respond-async", false)] {
        let server = Server::replies([answer(200, &[("Preference-Applied", applied)], DRAINING)]).await;
        let answer = ask(endpoint(&server), &AgentRequest::Status).await;
        assert!(
            matches!(answer, AgentAnswer::Status { waited, .. } if waited == expected),
            "{applied}: {answer:?}"
        );
        assert_eq!(server.requests()[0].header("prefer"), Some("wait=20"));
    }
}

#[tokio::test]
async fn preference_leaves_time_to_answer() {
    let server = Server::replies([ok(DRAINING)]).await;
    let agent = Agent::new(endpoint(&server)).expect("well-formed");
    agent.ask(&AgentRequest::Status, INSTANCE, Duration::from_secs(10)).await;
    agent.ask(&AgentRequest::Status, INSTANCE, Duration::from_secs(1)).await;
    let asked: Vec<Option<String>> =
        server.requests().iter().map(|request| request.header("prefer").map(str::to_owned)).collect();
    assert_eq!(asked, [Some("wait=9".to_owned()), None]);
}

#[tokio::test]
async fn blocking_drain() {
    let blocking = async |reply| {
        let server = Server::replies([reply]).await;
        ask(Endpoint { drain_blocks: true, ..endpoint(&server) }, &order()).await
    };
    for reply in [answer(204, &[], ""), ok("bye"), ok("{\"result\":1}"), ok("{\"in_flight\":0}")] {
        match blocking(reply).await {
            AgentAnswer::Accepted(None) => {}
            other => panic!("{other:?}"),
        }
    }
    // If the agent reports work in flight, a wrong `drain_blocks` must not cut that work off.
    for reply in [ok(DRAINING), ok("{\"in_flight\":3}"), ok("{\"status\":\"waiting\",\"in_flight\":3}")] {
        match blocking(reply).await {
            AgentAnswer::Accepted(Some(status)) => {
                assert_eq!((status.state, status.in_flight), (AgentState::Draining, Some(3)));
            }
            other => panic!("{other:?}"),
        }
    }
    // A truncated 2xx response comes from an agent that did not finish.
    let cut = Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndrai".to_vec());
    assert_eq!(kind(&blocking(cut).await).0, "busy");
}

#[tokio::test]
async fn token_file() {
    let server = Server::replies([ok(DRAINING)]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("token");
    let agent = Agent::new(Endpoint { token_file: Some(path.clone()), ..endpoint(&server) });
    let agent = agent.expect("well-formed");
    let sent = async || kind(&agent.ask(&AgentRequest::Status, INSTANCE, LIMIT).await).0;

    assert_eq!(sent().await, "busy", "there is no file yet");
    std::fs::write(&path, "first\n").expect("written");
    assert_eq!(sent().await, "status");
    std::fs::write(&path, "  second  ").expect("written");
    assert_eq!(sent().await, "status");
    for bad in [" \n".to_owned(), "two words".to_owned(), "x".repeat(16 * 1024 + 1)] {
        std::fs::write(&path, bad).expect("written");
        assert_eq!(sent().await, "busy");
    }
    let requests = server.requests();
    let tokens: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(tokens, [Some("Bearer first"), Some("Bearer second")], "no request is sent without a token");
}

#[tokio::test]
async fn unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = socket_path(&dir);
    let agent = Agent::new(Endpoint::new(Base::Unix(path.clone(), None))).expect("well-formed");
    let absent = agent.ask(&order(), INSTANCE, LIMIT).await;
    assert_eq!(kind(&absent).0, "gone", "{absent:?}");

    let server = Server::unix(&path, ok(DRAINING)).await;
    assert_eq!(kind(&agent.ask(&order(), INSTANCE, LIMIT).await).0, "accepted");
    assert_eq!(server.lines(), ["POST /drain"]);

    // A socket left behind by a process that has exited.
    let left_over = dir.path().join("left-over.sock");
    drop(std::os::unix::net::UnixListener::bind(&left_over).expect("bound"));
    let gone = ask(Endpoint::new(Base::Unix(left_over, None)), &order()).await;
    assert_eq!(kind(&gone).0, "gone", "{gone:?}");
}

#[tokio::test]
async fn nothing_listens() {
    let (kind, text) = kind(&ask(Endpoint::new(Base::Tcp(closed_port().await)), &order()).await);
    assert_eq!(kind, "gone");
    assert!(text.contains("connection refused: nothing is listening on 127.0.0.1:"), "{text}");
}

/// No connection can be made: the host name does not resolve, the socket is not a stream socket, or the path leads through a
/// file. None of these means that the agent has exited.
#[tokio::test]
async fn connections_that_cannot_be_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let datagrams = dir.path().join("datagrams.sock");
    let _bound = std::os::unix::net::UnixDatagram::bind(&datagrams).expect("bound");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let cases = [
        (Base::Tcp("http://no-such-host.invalid:8080".to_owned()), "no-such-host.invalid:8080"),
        (Base::Unix(datagrams, None), "datagrams.sock"),
        (Base::Unix(file.join("below.sock"), None), "below.sock"),
    ];
    for (base, named) in cases {
        let (kind, text) = kind(&ask(Endpoint::new(base), &order()).await);
        assert_eq!(kind, "unreachable", "{text}");
        assert!(text.contains(named), "{text}");
    }
}

/// The hosts file has `::1 localhost`, and the agent is down. Another user listens on the agent's port on [::1]. The daemon
/// does not connect to it, so that user does not see the token.
#[tokio::test]
async fn localhost_is_127_0_0_1() {
    let server = Server::replies([ok(DRAINING)]).await;
    let port = server.url.rsplit(':').next().expect("a port").to_owned();
    let agent =
        Agent::new(Endpoint::new(Base::Tcp(format!("http://localhost:{port}")))).expect("well-formed");
    assert_eq!(kind(&agent.ask(&order(), INSTANCE, LIMIT).await).0, "accepted");
    assert_eq!(server.requests()[0].header("host"), Some(format!("localhost:{port}").as_str()));

    let imposter = std::net::TcpListener::bind("[::1]:0").expect("IPv6 on loopback");
    let port = imposter.local_addr().expect("bound").port();
    let answer = ask(Endpoint::new(Base::Tcp(format!("http://localhost:{port}"))), &order()).await;
    let (kind, text) = kind(&answer);
    assert_eq!(kind, "gone");
    assert!(text.contains(&format!("nothing is listening on 127.0.0.1:{port}")), "{text}");
    imposter.set_nonblocking(true).expect("it is a socket");
    assert!(imposter.accept().is_err(), "the daemon connected to it");
}

/// Another user has put a socket in place of the agent's. The daemon sends it neither the drain request nor the token.
#[tokio::test]
async fn user_of_a_unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = socket_path(&dir);
    let token = dir.path().join("token");
    std::fs::write(&token, "open-sesame").expect("written");
    let server = Server::unix(&path, ok(DRAINING)).await;
    let agent = |user: &str| {
        let base = Base::Unix(path.clone(), Some(user.parse().expect("a user")));
        Agent::new(Endpoint { token_file: Some(token.clone()), ..Endpoint::new(base) }).expect("well-formed")
    };
    let own = rustix::process::getuid().as_raw();
    assert_eq!(kind(&agent(&own.to_string()).ask(&order(), INSTANCE, LIMIT).await).0, "accepted");

    let (unknown, text) = kind(&agent("no-such-user").ask(&order(), INSTANCE, LIMIT).await);
    assert_eq!(unknown, "unreachable");
    assert!(text.contains("agent.user is no-such-user, which is not in /etc/passwd"), "{text}");
    assert_eq!(server.requests().len(), 1, "nothing is sent to another user");

    // Sockets of root are accepted for any agent, so if this test runs as root, another user must listen.
    let other = if own == 0 { OTHER_USER } else { own };
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))
        .expect("the owner may change it");
    let foreign = dir.path().join("foreign.sock");
    let listener = std::thread::spawn({
        let foreign = foreign.clone();
        move || {
            // Changes only this thread. The socket's user is the one that called listen(2).
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(other)).expect("root may");
            std::os::unix::net::UnixListener::bind(foreign).expect("bound")
        }
    });
    let listener = listener.join().expect("no panic");
    let base = Base::Unix(foreign, Some(User::Id(other + 1)));
    let endpoint = Endpoint { token_file: Some(token), ..Endpoint::new(base) };
    let (kind, text) = kind(&ask(endpoint, &order()).await);
    assert_eq!(kind, "unreachable");
    assert!(text.contains(&format!("belongs to user id {other}, but agent.user is {}", other + 1)), "{text}");
    let (mut connected, _) = listener.accept().expect("the daemon connected to it");
    let mut sent = String::new();
    connected.read_to_string(&mut sent).expect("the daemon has hung up");
    assert_eq!(sent, "");
}

#[tokio::test]
async fn endless_responses() {
    for request in [order(), AgentRequest::Status] {
        let (kind, text) = kind(&ask_server(Reply::Endless, &request).await);
        assert_eq!(kind, "malformed");
        assert!(text.contains("65536"), "{text}");
    }
    for request in [order(), AgentRequest::Status] {
        let (kind, text) = kind(&ask_server(Reply::EndlessHead, &request).await);
        assert_eq!(kind, "busy", "{text}");
    }
    let oversized = ok(format!("{{\"state\":\"drained\"{}}}", " ".repeat(64 * 1024)));
    assert_eq!(kind(&ask_server(oversized, &AgentRequest::Status).await).0, "malformed");
}

#[tokio::test]
async fn no_answer_in_time() {
    let dripping = Reply::Dripping(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Duration::from_millis(100));
    for reply in [Reply::Silence, Reply::EndlessContinue, dripping] {
        let server = Server::replies([reply]).await;
        let agent = Agent::new(endpoint(&server)).expect("well-formed");
        let answer = agent.ask(&order(), INSTANCE, Duration::from_millis(200)).await;
        assert_eq!(kind(&answer).0, "busy", "{answer:?}");
    }
}

#[tokio::test]
async fn refusal_whose_body_never_arrives() {
    let header_only = Reply::Bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n".to_vec());
    assert_eq!(kind(&ask_server(header_only, &order()).await).0, "unsupported");
}

#[tokio::test]
async fn connection_that_breaks() {
    assert_eq!(kind(&ask_server(Reply::Close, &order()).await).0, "busy");
    let not_http = Reply::BytesThenClose(b"220 mail.example.com ESMTP\r\n".to_vec());
    assert_eq!(kind(&ask_server(not_http, &order()).await).0, "busy");
}

#[tokio::test]
async fn agent_that_restarts_between_requests() {
    // The kept connection breaks on its second request. The third request opens a new one.
    let server = Server::replies([ok(DRAINING), Reply::Close, ok(DRAINING)]).await;
    let agent = Agent::new(endpoint(&server)).expect("well-formed");
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(kind(&agent.ask(&AgentRequest::Status, INSTANCE, LIMIT).await).0);
    }
    assert_eq!(kinds, ["status", "busy", "status"]);
    assert_eq!(server.requests().len(), 3, "nothing is sent twice");
    assert_eq!(server.requests()[2].connection, 1);
}
