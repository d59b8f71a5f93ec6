//! The end of the last drain, and what all answers together show.

use std::time::Duration;

use super::check::{Check, Rule};
use super::heard::{Heard, shown, tasks};
use super::offer;
use super::report::Report;
use super::session::{ANSWER_LIMIT, Kind, Order, Session};
use crate::agent::http::PREFER_WAIT_MAX_S;
use crate::cli::output::whole;
use machine::event::{AgentState, AgentStatus};

pub const DRAINED: Rule =
    Rule { name: "drained", expected: "the agent says \"drained\" by its deadline (agent.drain_timeout)" };

pub const STAYS: Rule = Rule {
    name: "stays drained",
    expected: "an agent that has drained goes on saying so, and refuses offered work",
};

pub const STEP_BACK: Rule = Rule {
    name: "no step back",
    expected: "the agent never goes from draining to serving, or from drained to draining, unless it is told",
};

pub const IN_FLIGHT: Rule = Rule {
    name: "in flight",
    expected: "\"drained\" comes with nothing in flight: in_flight is 0 or left out",
};

pub const DOCUMENT: Rule =
    Rule { name: "OpenAPI document", expected: "every answer is as docs/openapi.yaml describes it" };

/// The longest that the agent is asked to hold a status request, as by the daemon.
const WAIT: Duration = Duration::from_secs(PREFER_WAIT_MAX_S);

/// How often an agent that has drained is looked at, and the pause before each.
const LOOKS: [Duration; 3] = [Duration::from_millis(300); 3];

/// The pause between status requests that the agent holds.
const HELD_POLL: Duration = Duration::from_millis(100);

/// Waits until the agent has drained, and looks whether it stays so.
pub async fn judge(session: &mut Session, report: &mut Report) {
    let has_drained = match until_drained(session).await {
        Ok(status) => {
            report.tell(DRAINED.ok(shown(&status)));
            true
        }
        Err(why) => {
            report.tell(DRAINED.failed(why, session.lost_unless_heard()));
            false
        }
    };
    let check = if has_drained { stays(session).await } else { STAYS.skipped("the agent did not drain") };
    report.tell(check);
}

/// Asks as the daemon does. The error is the last that came.
async fn until_drained(session: &mut Session) -> Result<AgentStatus, String> {
    let mut last = "no answer".to_owned();
    loop {
        let left = session.time_left();
        if left.is_zero() {
            return Err(format!("after {}: {last}", whole(session.drain_timeout)));
        }
        let wait = WAIT.min(left);
        match session.status_within(wait, (wait + ANSWER_LIMIT).min(left.max(HELD_POLL))).await {
            Ok(status) => match status.state {
                AgentState::Drained => return Ok(status),
                AgentState::Draining => last = shown(&status),
                AgentState::Serving => {
                    last = shown(&status);
                    // It was restarted, as the daemon concludes.
                    session.drain_again(Order::Plain).await.map_err(|trouble| trouble.why)?;
                }
            },
            Err(trouble) if trouble.kind == Kind::Gone => {
                return Err(format!("{last}; then {}", trouble.why));
            }
            Err(trouble) => last = trouble.why,
        }
        tokio::time::sleep(session.poll.max(HELD_POLL).min(session.time_left())).await;
    }
}

async fn stays(session: &mut Session) -> Check {
    if let Err((why, lost)) = offer::refused(session, CUT_AFTER).await {
        return STAYS.failed(why, lost);
    }
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        match session.status(Duration::ZERO).await {
            Ok(status) if status.state == AgentState::Drained => {}
            Ok(status) => return STAYS.failed(shown(&status), CUT_AFTER),
            // The instance is going, so the agent may exit now.
            Err(trouble) if trouble.kind == Kind::Gone => return STAYS.ok("it has exited"),
            Err(trouble) => return STAYS.failed(trouble.why, READ_BEFORE),
        }
    }
    STAYS.ok(format!("drained, {} times", LOOKS.len() + 1))
}

/// What is lost after "drained".
const CUT_AFTER: &str = "drainhook completes the lifecycle action at the first \"drained\": an Auto Scaling termination would have \
                         cut the work that came after it";

/// What is lost if there is no answer after "drained".
const READ_BEFORE: &str = "a scale-in loses nothing by this: drainhook has read \"drained\" before";

/// Judges what all answers together show, as far as there are any.
pub fn judge_all(heard: &Heard, report: &mut Report) {
    if heard.was_told() {
        judge_drains(heard, report);
    }
    if heard.answers == 0 {
        return;
    }
    report.tell(if heard.complaints.is_empty() {
        DOCUMENT.ok(format!("{} answers", heard.answers))
    } else {
        DOCUMENT.failed(
            heard.complaints.join("; "),
            "a scale-in loses nothing by this alone: drainhook goes by the state, but other clients may not",
        )
    });
}

fn judge_drains(heard: &Heard, report: &mut Report) {
    report.tell(match &heard.step_back {
        None => STEP_BACK.ok("in no answer"),
        Some(what) => STEP_BACK.failed(
            what,
            "drainhook completes the lifecycle action at the first \"drained\", and takes \"serving\" for a restart: an Auto Scaling \
             termination would have cut the work that the agent has taken since",
        ),
    });
    report.tell(match &heard.contradiction {
        _ if heard.counts == 0 => {
            IN_FLIGHT.skipped("the agent does not report in_flight, which is conforming")
        }
        None => IN_FLIGHT.ok("in every answer"),
        Some(status) => IN_FLIGHT.failed(
            shown(status),
            format!(
                "drainhook goes by \"drained\", so an Auto Scaling termination would have cut {}",
                tasks(status.in_flight)
            ),
        ),
    });
}
