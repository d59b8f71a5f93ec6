//! The way back to service, and a second drain after it.

use std::time::Duration;

use super::check::Rule;
use super::drain::tell_result;
use super::heard::shown;
use super::report::Report;
use super::session::{Kind, Session};
use super::{offer, session::Trouble};
use machine::event::AgentState;

pub const RETURN: Rule = Rule {
    name: "return to service",
    expected: "the return request is answered with 2xx, and the next status says \"serving\"",
};

pub const WORK: Rule = Rule { name: "work after the return", expected: "the agent accepts offered work" };

pub const REPEATED: Rule = Rule {
    name: "repeated return",
    expected: "the same return request again is answered with 2xx, and the agent goes on serving",
};

pub const SECOND: Rule = Rule {
    name: "second drain",
    expected: "the next drain request is answered with 2xx, and the next status says \"draining\" or \"drained\"",
};

/// What an agent costs that cannot be returned.
const STAYS_DRAINED: &str =
    "a scale-in loses nothing by this, but an instance that stays after all would take no work";

/// Returns the agent and drains it again. Returns whether it has a way back.
pub async fn judge(session: &mut Session, report: &mut Report) -> bool {
    let returned = session.withdraw().await;
    if let Err(Trouble { why, kind: Kind::Unsupported }) = returned {
        report.tell(RETURN.skipped(format!("{why}; the agent has no way back, which is conforming")));
        for rule in [&WORK, &REPEATED, &SECOND] {
            report.tell(rule.skipped("the agent has no way back"));
        }
        return false;
    }
    let found = serves(session, returned).await;
    let has_way_back = found.is_ok();
    report.tell(match found {
        Ok(found) => RETURN.ok(found),
        Err(why) => RETURN.failed(why, STAYS_DRAINED),
    });
    if has_way_back {
        offer::accepted(session, report, &WORK).await;
        let returned = session.withdraw().await;
        let found = serves(session, returned).await;
        report.tell(match found {
            Ok(found) => REPEATED.ok(found),
            Err(why) => REPEATED.failed(why, STAYS_DRAINED),
        });
    } else {
        for rule in [&WORK, &REPEATED] {
            report.tell(rule.skipped("the agent did not return to service"));
        }
    }
    let told = session.drain().await;
    let check = tell_result(session, told, &SECOND).await;
    report.tell(check);
    has_way_back
}

/// What a returned agent says, if that is that it serves.
async fn serves(session: &mut Session, returned: Result<(), Trouble>) -> Result<String, String> {
    returned.map_err(|trouble| trouble.why)?;
    let status = session.status(Duration::ZERO).await.map_err(|trouble| trouble.why)?;
    match status.state {
        AgentState::Serving => Ok(format!("2xx; {}", shown(&status))),
        AgentState::Draining | AgentState::Drained => {
            Err(format!("2xx, but the status is {}", shown(&status)))
        }
    }
}
