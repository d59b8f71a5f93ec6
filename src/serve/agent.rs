//! Serves the agent protocol for the agent of one instance.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use sim::world::{AgentAnswer, AgentMode, AgentState};

use super::http::{Answer, Request};
use super::service::Shared;

const WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) async fn answer(shared: Arc<Shared>, instance: String, request: Request) -> Answer {
    let mode = shared.with(|world, _| world.instance(&instance).map(|instance| instance.agent.mode));
    match mode {
        Some(AgentMode::Hangs) => return pending().await,
        Some(AgentMode::Fails(status)) => {
            let body = json!({ "error": "the simulation says so" });
            return write(AgentAnswer { status, body });
        }
        Some(AgentMode::Answers | AgentMode::Refuses) | None => {}
    }
    match (&request.method, request.path.as_str()) {
        (&Method::POST, "/drain") => {
            write(shared.with(|world, now| world.agent_post(now, &instance, &request.body)))
        }
        (&Method::GET, "/drain") => status(&shared, &instance, wait_of(&request)).await,
        (&Method::DELETE, "/drain") => write(shared.with(|world, now| world.agent_delete(now, &instance))),
        (&Method::GET, "/health") => write(AgentAnswer { status: 200, body: json!({ "healthy": true }) }),
        (_, "/drain" | "/health") => error(405, "method not allowed"),
        (_, _) => error(404, "not found"),
    }
}

/// `GET /drain`. With a wait, holds the response of an agent that drains until it has drained or the wait is over.
async fn status(shared: &Shared, instance: &str, wait: Option<Duration>) -> Answer {
    let Some(wait) = wait else {
        return write(shared.with(|world, now| world.agent_get(now, instance)));
    };
    let deadline = shared.clock.now() + wait;
    let mut changed = shared.subscribe();
    loop {
        changed.borrow_and_update();
        let (agent, answer, now) = shared.with(|world, now| {
            (world.instance(instance).map(|one| one.agent), world.agent_get(now, instance), now)
        });
        let (mode, state) = (agent.as_ref().map(|agent| agent.mode), agent.map(|agent| agent.state));
        if mode == Some(AgentMode::Refuses) {
            // The agent's process has exited: the connection is closed without a response.
            return pending().await;
        }
        match state {
            Some(AgentState::Draining) if now < deadline => {}
            Some(AgentState::Serving) => return write(answer),
            Some(AgentState::Draining | AgentState::Drained) | None => {
                return write(answer).header("preference-applied", "wait");
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = shared.clock.sleep_until(deadline) => {}
        }
    }
}

/// Reads `Prefer: wait=N` (RFC 7240).
fn wait_of(request: &Request) -> Option<Duration> {
    let preferences = request.header("prefer")?.split(',');
    let wait = preferences.filter_map(|one| one.trim().strip_prefix("wait=")).next()?;
    let seconds = wait.split(';').next()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

fn error(status: u16, why: &str) -> Answer {
    write(AgentAnswer { status, body: json!({ "error": why }) })
}

fn write(answer: AgentAnswer) -> Answer {
    Answer::new(answer.status, "application/json", answer.body.to_string())
}
