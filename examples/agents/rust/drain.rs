//! The agent protocol of drainhook: counts a worker's work in flight, and serves its state over HTTP.
//!
//! Copy this file. It needs tokio, hyper, hyper-util, http-body-util, serde, serde_json and jiff.
//! docs/agent-protocol.md says what drainhook does with each response.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

const WAIT_SECS_MAX: u64 = 60;
const BODY_LEN_MAX: usize = 64 * 1024;

/// Whether work may be taken, and how much is in flight. Clones share one drain.
#[derive(Clone, Default)]
pub struct Drain(Arc<watch::Sender<State>>);

#[derive(Default)]
struct State {
    draining: bool,
    deadline: Option<Timestamp>,
    stop_by: Option<Timestamp>,
    taking: usize,
    in_flight: usize,
    gauges: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Serving,
    Draining,
    Drained,
}

impl State {
    fn phase(&self) -> Phase {
        if !self.draining && self.stop_by.is_none() {
            Phase::Serving
        } else if self.taking > 0 || self.in_flight > 0 {
            Phase::Draining
        } else {
            Phase::Drained
        }
    }

    fn document(&self) -> Value {
        json!({ "state": self.phase(), "in_flight": self.in_flight, "gauges": self.gauges })
    }
}

impl Drain {
    /// Waits until work may be taken. A drain is not over while the result is held, because it may bring work.
    pub async fn take(&self) -> Taking {
        let try_taking = |state: &mut State| {
            let serving = state.phase() == Phase::Serving;
            state.taking += usize::from(serving);
            serving
        };
        while !self.0.send_if_modified(try_taking) {
            self.wait_until(|phase| phase == Phase::Serving).await;
        }
        Taking(self.clone())
    }

    /// Whether less than this is left until the deadline.
    pub fn ends_within(&self, margin: Duration) -> bool {
        let state = self.0.borrow();
        let ends = [state.deadline, state.stop_by].into_iter().flatten().min();
        ends.is_some_and(|at| at.duration_since(Timestamp::now()) < margin.try_into().unwrap_or_default())
    }

    /// Drains for good, and waits until no work is in flight.
    pub async fn stop(&self, limit: Duration) {
        let stop_by = Timestamp::now().checked_add(limit).unwrap_or(Timestamp::MAX);
        self.0.send_modify(|state| state.stop_by = Some(stop_by));
        self.wait_until(|phase| phase == Phase::Drained).await;
    }

    async fn wait_until(&self, reached: impl Fn(Phase) -> bool) {
        // The sender lives as long as this does, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|state| reached(state.phase())).await;
    }
}

/// Permission to look for work. Keeps a drain from ending while it exists.
pub struct Taking(Drain);

impl Taking {
    /// Counts a piece of work as in flight. `false` if a drain has begun meanwhile: give the work back.
    pub fn hold(&self) -> (Held, bool) {
        let mut serving = false;
        self.0.0.send_modify(|state| {
            state.in_flight += 1;
            serving = state.phase() == Phase::Serving;
        });
        (Held { drain: self.0.clone(), outcome: "tasks_failed" }, serving)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.taking -= 1);
    }
}

/// A piece of work in flight. Drop it when nothing is left to do.
pub struct Held {
    drain: Drain,
    /// The gauge that counts it when it ends.
    pub outcome: &'static str,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.drain.0.send_modify(|state| {
            state.in_flight -= 1;
            *state.gauges.entry(self.outcome).or_default() += 1;
        });
    }
}

/// Serves the agent protocol.
pub async fn serve(listener: TcpListener, drain: Drain) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Otherwise the last response may wait for an acknowledgment.
        let _ = stream.set_nodelay(true);
        let drain = drain.clone();
        let service = service_fn(move |request| {
            let drain = drain.clone();
            async move { Ok::<_, Infallible>(respond(&drain, request).await) }
        });
        // An error here is the client's fault: it disconnected, or does not speak HTTP.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

type Answer = Response<Full<Bytes>>;

async fn respond(drain: &Drain, request: Request<Incoming>) -> Answer {
    match (request.uri().path(), request.method()) {
        ("/drain", &Method::POST) => begin(drain, request).await,
        ("/drain", &Method::GET) => status(drain, &request).await,
        ("/drain", &Method::DELETE) => withdraw(drain),
        ("/drain", _) => with(ALLOW, "POST, GET, DELETE", error(405, "use POST, GET or DELETE")),
        ("/health", &Method::GET) => answer(200, &json!({ "healthy": true })),
        ("/health", _) => with(ALLOW, "GET", error(405, "use GET")),
        (_, _) => error(404, "unknown path: use /drain or /health"),
    }
}

async fn begin(drain: &Drain, request: Request<Incoming>) -> Answer {
    let Ok(body) = Limited::new(request.into_body(), BODY_LEN_MAX).collect().await else {
        return error(413, "the body is too long");
    };
    let deadline = match read_deadline(&body.to_bytes()) {
        Ok(deadline) => deadline,
        Err(why) => return error(400, &why),
    };
    drain.0.send_modify(|state| {
        state.draining = true;
        state.deadline = deadline;
    });
    answer(202, &drain.0.borrow().document())
}

/// With `Prefer: wait=20`, holds the response during a drain until it is over, for at most that many seconds.
async fn status(drain: &Drain, request: &Request<Incoming>) -> Answer {
    let prefer = request.headers().get("prefer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wait = prefer.split(',').find_map(|one| one.trim().strip_prefix("wait=")?.parse::<u64>().ok());
    let wait = wait.filter(|_| drain.0.borrow().phase() == Phase::Draining);
    let Some(wait) = wait.map(|secs| secs.min(WAIT_SECS_MAX)) else {
        return answer(200, &drain.0.borrow().document());
    };
    let over = drain.wait_until(|phase| phase != Phase::Draining);
    let _ = tokio::time::timeout(Duration::from_secs(wait), over).await;
    let held = answer(200, &drain.0.borrow().document());
    with(HeaderName::from_static("preference-applied"), &format!("wait={wait}"), held)
}

fn withdraw(drain: &Drain) -> Answer {
    if drain.0.borrow().stop_by.is_some() {
        return error(503, "this process is stopping");
    }
    drain.0.send_modify(|state| {
        state.draining = false;
        state.deadline = None;
    });
    answer(200, &drain.0.borrow().document())
}

/// The deadline of a drain request, if it has one.
fn read_deadline(body: &[u8]) -> Result<Option<Timestamp>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let order: Map<String, Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match order.get("deadline") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|error| format!("{text:?}: {error}")),
        Some(other) => Err(format!("the deadline is {other}; expected a timestamp (RFC 3339) or null")),
    }
}

fn error(status: u16, why: &str) -> Answer {
    answer(status, &json!({ "error": why }))
}

fn answer(status: u16, document: &Value) -> Answer {
    let mut answer = Response::new(Full::from(document.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    with(CONTENT_TYPE, "application/json", answer)
}

fn with(name: HeaderName, value: &str, mut answer: Answer) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
