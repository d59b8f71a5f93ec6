//! The agent is restarted during the drain, with the program of `--restart`.

use std::time::Duration;

use super::check::{Check, Rule};
use super::drain::drains;
use super::heard::shown;
use super::offer;
use super::report::Report;
use super::session::{Order, Session};
use crate::clock::boottime;
use machine::event::{AgentState, AgentStatus};

pub const RESTART: Rule = Rule {
    name: "restart",
    expected: "a restarted agent says that it drains, or \"serving\" and then accepts the drain request again; it takes no work \
               after that",
};

/// Time limit for the program and for the agent to answer again, each, in real time.
const LIMIT: Duration = Duration::from_secs(60);

/// How often the agent is asked until it answers.
const POLL: Duration = Duration::from_millis(200);

/// Restarts the agent if the operator has said how.
pub async fn judge(session: &mut Session, report: &mut Report) {
    let Some(program) = session.restart.clone() else {
        return report.tell(RESTART.skipped("say how the agent is restarted: --restart COMMAND"));
    };
    // The new process may answer while the program is still running.
    session.heard.restarted();
    let ran = program.run(LIMIT).await;
    let why = match ran {
        Ok(0) => return report.tell(restarted(session).await),
        Ok(code) => format!("the program exited with {code}"),
        Err(why) => why,
    };
    report.tell(RESTART.failed(why, "nothing was judged; correct --restart"));
}

async fn restarted(session: &mut Session) -> Check {
    let first = match first_status(session).await {
        Ok(status) => status,
        Err(why) => {
            return RESTART.failed(format!("no status within {LIMIT:?}: {why}"), session.lost_unless_told());
        }
    };
    let mut found = format!("it said {}", shown(&first));
    if first.state == AgentState::Serving {
        // The daemon does the same.
        if let Err(trouble) = session.drain_again(Order::Plain).await {
            return RESTART.failed(trouble.why, session.lost_unless_told());
        }
        match drains(session).await {
            Ok(status) => found.push_str(&format!(", was told again, and said {}", shown(&status))),
            Err(why) => {
                return RESTART
                    .failed(format!("told again after the restart: {why}"), session.lost_unless_heard());
            }
        }
    }
    match offer::refused(session, offer::LOST).await {
        Ok(()) => RESTART.ok(found),
        Err((why, lost)) => RESTART.failed(format!("{found}; then {why}"), lost),
    }
}

/// The first status that the agent returns after the restart.
async fn first_status(session: &mut Session) -> Result<AgentStatus, String> {
    let start = boottime();
    loop {
        match session.status(Duration::ZERO).await {
            Ok(status) => return Ok(status),
            Err(trouble) if boottime().saturating_sub(start) > LIMIT => return Err(trouble.why),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
