//! While the agent serves: its status, with and without `Prefer`, its health, and that it takes work.

use std::time::Duration;

use super::Stop;
use super::check::Rule;
use super::heard::shown;
use super::offer;
use super::report::Report;
use super::session::{Kind, Session};
use crate::clock::boottime;
use machine::event::AgentState;

/// How long the agent is asked to hold an answer.
pub const WAIT: Duration = Duration::from_secs(3);

pub const STATUS: Rule = Rule {
    name: "status while serving",
    expected: "the agent answers the status request with its document, which says \"serving\", within 10 s",
};

pub const PREFER: Rule = Rule {
    name: "Prefer while serving",
    expected: "a status request with Prefer: wait=3 is answered within 3 s and a margin of 10 s",
};

pub const HEALTH: Rule =
    Rule { name: "health", expected: "GET /health is answered with 2xx, or the agent does not have it" };

pub const WORK: Rule = Rule { name: "work while serving", expected: "the agent accepts offered work" };

/// Judges the agent before it is told anything.
pub async fn judge(session: &mut Session, report: &mut Report) -> Result<(), Stop> {
    match session.status(Duration::ZERO).await {
        Ok(status) if status.state == AgentState::Serving => report.tell(STATUS.ok(shown(&status))),
        Ok(status) => {
            let lost = "no drain was judged; return the agent to service or restart it, and judge it again";
            report.tell(STATUS.failed(shown(&status), lost));
            return Err(Stop("the agent did not serve at the start"));
        }
        Err(trouble) => {
            let lost = match trouble.kind {
                Kind::Gone => session.lost_unless_told(),
                Kind::Unsupported | Kind::Other => session.lost_unless_heard(),
            };
            report.tell(STATUS.failed(trouble.why, lost));
            return Err(Stop("the agent's status cannot be read"));
        }
    }
    let check = match held(session).await {
        Ok((found, AgentState::Serving)) => PREFER.ok(found),
        Ok((found, AgentState::Draining | AgentState::Drained)) => {
            PREFER.failed(found, session.lost_unless_told())
        }
        Err(why) => PREFER.failed(why, NOT_READ_IN_TIME),
    };
    report.tell(check);
    let check = match session.health().await {
        Ok(()) => HEALTH.ok("2xx"),
        Err(trouble) if trouble.kind == Kind::Unsupported => {
            HEALTH.skipped("the agent does not have it, which is conforming")
        }
        Err(trouble) => HEALTH
            .failed(trouble.why, "a scale-in loses nothing by this: the request is meant for launch hooks"),
    };
    report.tell(check);
    offer::accepted(session, report, &WORK).await;
    Ok(())
}

/// What follows for a daemon whose status requests are not answered in time. It gives up on one after 30 s.
pub const NOT_READ_IN_TIME: &str = "drainhook asks for up to 20 s and gives up after 30 s, so it would read no status: at the \
     deadline, an Auto Scaling termination would have cut whatever is in flight then";

/// Sends a status request with `Prefer: wait`. Returns what came, and the state.
pub async fn held(session: &mut Session) -> Result<(String, AgentState), String> {
    let start = boottime();
    let status = session.status(WAIT).await.map_err(|trouble| trouble.why)?;
    let took = boottime().saturating_sub(start).as_secs_f64();
    Ok((format!("{}, after {took:.1} s", shown(&status)), status.state))
}
