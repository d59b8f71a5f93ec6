//! Requests with headers, bodies and success codes of their own.

use drainhook::agent::http::{Agent, Base, Endpoint};
use drainhook::config::{self, Body, Header, HeaderText, Method, Template};
use machine::effect::AgentRequest;
use machine::event::{AgentAnswer, AgentState};

use crate::support::{Server, answer, ok, socket_path};
use crate::{DRAINING, INSTANCE, LIMIT, ask, endpoint, kind, order};

fn text(text: &str) -> Body {
    Body::Text(Template::new(text))
}

fn text_header(name: &str, value: &str) -> Header {
    Header { name: name.parse().expect("a name"), value: HeaderText::Text(Template::new(value)) }
}

/// An agent with an interface of its own, such as Trino's. Every request has its headers, and each has its own body.
#[tokio::test]
async fn headers_and_bodies() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = socket_path(&dir);
    let tcp = Server::replies([ok("")]).await;
    let unix = Server::unix(&path, ok("")).await;
    for (server, base) in [(&tcp, Base::Tcp(tcp.url.clone())), (&unix, Base::Unix(path.clone(), None))] {
        let mut endpoint = Endpoint::new(base);
        endpoint.headers = vec![text_header("x-trino-user", "drainhook on {instance_id}")];
        endpoint.drain.body =
            text(r#"{"state":"DRAINING","by":"{deadline}","why":"{reason}","id":"{instance_id}"}"#);
        endpoint.back = config::Request {
            method: Method::Put,
            path: "/v1/info/state".to_owned(),
            body: Template::new("\"ACTIVE\""),
            success: vec![],
        };
        let agent = Agent::new(endpoint).expect("well-formed");
        for request in [order(), AgentRequest::Status, AgentRequest::Return] {
            agent.ask(&request, INSTANCE, LIMIT).await;
        }
        let requests = server.requests();
        assert_eq!(server.lines(), ["POST /drain", "GET /drain", "PUT /v1/info/state"]);
        let body = format!(
            r#"{{"state":"DRAINING","by":"2026-03-01T12:00:00.000Z","why":"autoscaling_termination","id":"{INSTANCE}"}}"#
        );
        let bodies: Vec<&str> = requests.iter().map(|request| request.body.as_str()).collect();
        assert_eq!(bodies, [body.as_str(), "", "\"ACTIVE\""]);
        let types: Vec<_> = requests.iter().map(|request| request.header("content-type")).collect();
        assert_eq!(types, [Some("application/json"), None, Some("application/json")]);
        assert_eq!(requests[0].header("accept"), None, "the interface may answer in text only");
        for request in requests {
            let user = format!("drainhook on {INSTANCE}");
            assert_eq!(request.header("x-trino-user"), Some(user.as_str()), "{}", request.head);
        }
    }
}

/// The configured content type and Accept header replace the usual ones. A request without a body says so.
#[tokio::test]
async fn content_types_and_empty_bodies() {
    let server = Server::replies([ok("")]).await;
    let asked = async |body, method| {
        let mut endpoint = endpoint(&server);
        endpoint.headers = vec![text_header("content-type", "text/plain"), text_header("accept", "*/*")];
        endpoint.drain.method = method;
        endpoint.drain.body = body;
        ask(endpoint, &order()).await;
        server.requests().pop().expect("asked")
    };
    let asked_text = asked(text("DRAINING"), Method::Put).await;
    assert_eq!(
        (asked_text.header("content-type"), asked_text.body.as_str()),
        (Some("text/plain"), "DRAINING")
    );
    assert_eq!(asked_text.head.matches("accept: */*").count(), asked_text.head.matches("accept").count());
    let empty = asked(text(""), Method::Post).await;
    assert_eq!((empty.header("content-type"), empty.header("content-length")), (None, Some("0")));
    let get = asked(Body::Document, Method::Get).await;
    assert_eq!((get.header("content-type"), get.header("content-length")), (None, None));
}

/// A header's value is in a file, which is replaced between two requests. Nothing is sent without a usable value.
#[tokio::test]
async fn secret_header() {
    let server = Server::replies([ok(DRAINING)]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    let name = "x-registration-secret".parse().expect("a name");
    let headers = vec![Header { name, value: HeaderText::File(path.clone()) }];
    let agent = Agent::new(Endpoint { headers, ..endpoint(&server) }).expect("well-formed");
    let sent = async || kind(&agent.ask(&order(), INSTANCE, LIMIT).await);

    let (absent, text) = sent().await;
    assert_eq!(absent, "busy");
    let told =
        format!("not sent: cannot use the file {} for the header x-registration-secret: No", path.display());
    assert!(text.contains(&told), "{text}");
    for good in ["first\n", "  second {reason} "] {
        std::fs::write(&path, good).expect("written");
        assert_eq!(sent().await.0, "accepted");
    }
    for bad in [" \n".to_owned(), "two\nlines".to_owned(), "é".to_owned(), "x".repeat(16 * 1024 + 1)] {
        std::fs::write(&path, bad).expect("written");
        assert_eq!(sent().await.0, "busy");
    }
    let requests = server.requests();
    let secrets: Vec<_> = requests.iter().map(|request| request.header("x-registration-secret")).collect();
    assert_eq!(
        secrets,
        [Some("first"), Some("second {reason}")],
        "placeholders are not searched for in files"
    );
}

/// Status codes that mean success for this agent, such as 409 for "already draining". Redirects among them are not followed.
#[tokio::test]
async fn further_success_codes() {
    let elsewhere = Server::replies([ok(DRAINING)]).await;
    let location = [("location", elsewhere.url.as_str())];
    for (request, status, body, expected) in [
        (order(), 409, "already draining", "accepted"),
        (order(), 302, "", "accepted"),
        (order(), 404, "", "unsupported"),
        (AgentRequest::Return, 404, "", "returned"),
        (AgentRequest::Return, 409, "", "cannot drain"),
        (AgentRequest::Status, 409, DRAINING, "cannot drain"),
    ] {
        let server = Server::replies([answer(status, &location, body)]).await;
        let mut endpoint = endpoint(&server);
        endpoint.drain.success = vec![409, 302];
        endpoint.back.success = vec![404];
        let answer = ask(endpoint, &request).await;
        assert_eq!(kind(&answer).0, expected, "{request:?} {status}: {answer:?}");
    }
    assert_eq!(elsewhere.lines(), [""; 0]);
    // The document of such an answer counts, too.
    let server = Server::replies([answer(409, &[], DRAINING)]).await;
    let mut endpoint = Endpoint { drain_blocks: true, ..endpoint(&server) };
    endpoint.drain.success = vec![409];
    match ask(endpoint, &order()).await {
        AgentAnswer::Accepted(Some(status)) => assert_eq!(status.state, AgentState::Draining),
        other => panic!("{other:?}"),
    }
}
