//! Offers the agent work, with the program of `--offer`.

use std::time::Duration;

use super::check::Rule;
use super::report::Report;
use super::session::Session;

/// Time limit for the program, in real time.
const LIMIT: Duration = Duration::from_secs(30);

/// Why work was not offered.
const NO_PROGRAM: &str = "say how to offer work: --offer COMMAND";

/// What is lost if the program cannot offer work.
const NOT_JUDGED: &str = "nothing was judged; correct --offer";

/// Offers work that the agent must accept.
pub async fn accepted(session: &Session, report: &mut Report, rule: &Rule) {
    let check = match offer(session).await {
        None => rule.skipped(NO_PROGRAM),
        Some(Ok(0)) => rule.ok("accepted: the program exited with 0"),
        Some(Ok(code)) => rule.failed(
            format!("refused: the program exited with {code}"),
            "a scale-in loses nothing by this, but the agent takes no work while it serves, or --offer is wrong",
        ),
        Some(Err(why)) => rule.failed(why, NOT_JUDGED),
    };
    report.tell(check);
}

/// Offers work that the agent must refuse. The error is what came instead, and what is lost by it. `lost` is what is lost if the
/// agent accepts the work. Without a program, nothing is offered.
pub async fn refused(session: &Session, lost: &'static str) -> Result<(), (String, &'static str)> {
    match offer(session).await {
        None | Some(Ok(1..)) => Ok(()),
        Some(Ok(code)) => Err((format!("it accepted offered work: the program exited with {code}"), lost)),
        Some(Err(why)) => Err((why, NOT_JUDGED)),
    }
}

/// The same, as a check of its own.
pub async fn refused_as(session: &Session, report: &mut Report, rule: &Rule) {
    let check = match (&session.offer, refused(session, LOST).await) {
        (None, _) => rule.skipped(NO_PROGRAM),
        (Some(_), Ok(())) => rule.ok("refused"),
        (Some(_), Err((why, lost))) => rule.failed(why, lost),
    };
    report.tell(check);
}

/// What is lost with an agent that takes work during a drain.
pub const LOST: &str =
    "at the deadline, an Auto Scaling termination would have cut the work that it still accepts";

async fn offer(session: &Session) -> Option<Result<i32, String>> {
    Some(session.offer.as_ref()?.run(LIMIT).await)
}
