//! The first drain: the request, its repetitions, offered work, `Prefer`, and connections that break.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::Stop;
use super::check::{Check, Rule};
use super::heard::shown;
use super::offer;
use super::report::Report;
use super::serving::{NOT_READ_IN_TIME, WAIT, held};
use super::session::{ANSWER_LIMIT, Order, Session, Trouble};
use crate::cli::check::State;
use crate::http::connection::Target;
use machine::event::{AgentState, AgentStatus};

pub const REQUEST: Rule = Rule {
    name: "drain request",
    expected: "the drain request is answered with 2xx within 10 s, and the next status says \"draining\" or \"drained\"",
};

pub const REPEATED: Rule = Rule {
    name: "repeated request",
    expected: "the same drain request again is answered with 2xx, and the agent goes on draining",
};

pub const UNKNOWN_FIELDS: Rule = Rule {
    name: "unknown fields",
    expected: "a drain request with fields that the agent does not know is answered with 2xx",
};

pub const WORK: Rule = Rule { name: "work during the drain", expected: "the agent refuses offered work" };

pub const PREFER: Rule = Rule {
    name: "Prefer during the drain",
    expected: "a status request with Prefer: wait=3 is answered within 3 s and a margin of 10 s, held or not",
};

pub const BROKEN: Rule = Rule {
    name: "broken connections",
    expected: "requests whose connection breaks change nothing: the agent answers the next ones, and goes on draining",
};

/// How long a status request is left under way before its connection is broken.
const BROKEN_AFTER: Duration = Duration::from_millis(300);

/// Judges the agent while it drains for the first time.
pub async fn judge(session: &mut Session, report: &mut Report) -> Result<(), Stop> {
    let told = session.drain().await;
    let drains = told.is_ok();
    let check = tell_result(session, told, &REQUEST).await;
    let stays = check.state != State::Failed;
    report.tell(check);
    if !drains {
        return Err(Stop("the agent did not accept the drain request"));
    }
    if !stays {
        return Err(Stop("the agent did not begin to drain"));
    }
    let told = session.drain_again(Order::Plain).await;
    let check = tell_result(session, told, &REPEATED).await;
    report.tell(check);
    let told = session.drain_again(Order::Strange).await;
    let check = tell_result(session, told, &UNKNOWN_FIELDS).await;
    report.tell(check);
    offer::refused_as(session, report, &WORK).await;
    let check = match held(session).await {
        Ok((found, AgentState::Draining | AgentState::Drained)) => PREFER.ok(found),
        Ok((found, AgentState::Serving)) => PREFER.failed(found, session.lost_unless_heard()),
        Err(why) => PREFER.failed(why, NOT_READ_IN_TIME),
    };
    report.tell(check);
    let check = broken(session).await;
    report.tell(check);
    Ok(())
}

/// The result of a drain request: the agent accepted it, and now drains.
pub async fn tell_result(session: &mut Session, told: Result<(), Trouble>, rule: &Rule) -> Check {
    match told {
        Err(trouble) => rule.failed(trouble.why, session.lost_unless_told()),
        Ok(()) => match drains(session).await {
            Ok(status) => rule.ok(format!("2xx; {}", shown(&status))),
            Err(why) => rule.failed(format!("2xx, but {why}"), session.lost_unless_heard()),
        },
    }
}

/// The status of an agent that must be draining or drained, or what it says instead.
pub async fn drains(session: &mut Session) -> Result<AgentStatus, String> {
    let status = session.status(Duration::ZERO).await.map_err(|trouble| trouble.why)?;
    match status.state {
        AgentState::Draining | AgentState::Drained => Ok(status),
        AgentState::Serving => Err(format!("the status is {}", shown(&status))),
    }
}

/// Breaks a status request that the agent holds, half a drain request, and half a head.
async fn broken(session: &mut Session) -> Check {
    let is_held = session.break_off(WAIT, BROKEN_AFTER).await;
    let path = &session.drain_path;
    let halves = [
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n{{\"reason\":"
        ),
        format!("GET {path} HTTP/1.1\r\nHost: loc"),
    ];
    for half in halves {
        // An agent that does not answer any more shows in the next request.
        let _ = tokio::time::timeout(ANSWER_LIMIT, cut(session.target(), half.as_bytes())).await;
    }
    let broken = if is_held { "3 broken, one of them held" } else { "2 broken" };
    let status = drains(session).await;
    let told = session.drain_again(Order::Plain).await.map_err(|trouble| trouble.why);
    match (status, told) {
        (Ok(status), Ok(())) => BROKEN.ok(format!("{broken}, then {}", shown(&status))),
        (Err(why), _) | (Ok(_), Err(why)) => {
            BROKEN.failed(why, format!("after a restart of the daemon, {}", session.lost_unless_heard()))
        }
    }
}

/// Sends the beginning of a request and closes the connection.
async fn cut(target: &Target, half: &[u8]) -> std::io::Result<()> {
    match target {
        Target::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await?.write_all(half).await,
        Target::Unix { path, .. } => UnixStream::connect(path).await?.write_all(half).await,
    }
}
