//! Explains why the user's own agent failed: what was expected, what the agent did, and what to change. Pure.

use std::time::Duration;

use crate::config::duration::Written;
use crate::config::{self, AgentKind, HttpAgent, OnExit, Probe, UnitAgent};
use sim::story::Story;

use super::timeline::short;

/// The verdict on a failed run, as a paragraph. `more_time` is how the user gives the agent more time.
pub fn of(story: &Story, agent: &config::Agent, more_time: &str) -> String {
    let Some((told, _)) = story.told else {
        return "The daemon did not tell the agent to drain, because no drain began. The daemon's log below says why.".to_owned();
    };
    let time = story.deadlines.first().map(|deadline| short(deadline.since(told)));
    let time = time.unwrap_or_else(|| "given".to_owned());
    if let Some(Probe::Number { zero_for, .. }) = &agent.probe {
        return counted(story, *zero_for, more_time, &time);
    }
    match &agent.kind {
        AgentKind::Http(http) => {
            let drain = format!("{} {}", http.drain.method.as_str(), http.drain.path);
            let done = match http.on_exit {
                OnExit::Failed => "reports \"drained\"",
                OnExit::Drained => "reports \"drained\" or exits",
            };
            let expected = format!(
                "Expected: the agent accepts {drain}, stops taking work, and {done} by its deadline."
            );
            format!("{expected} {}", happened(story, http, more_time, &time))
        }
        AgentKind::Command(command) => {
            let expected = "Expected: the command exits with 0 once the agent has drained, by its deadline.";
            format!("{expected} {}", ran(story, &command.drain[0], more_time, &time))
        }
        AgentKind::Unit(unit) => {
            let expected = "Expected: the unit drains by its deadline.";
            format!("{expected} {}", left(story, unit, more_time, &time))
        }
    }
}

/// The verdict on an agent whose number in flight is read.
fn counted(story: &Story, zero_for: Option<Duration>, more_time: &str, time: &str) -> String {
    let expected = match zero_for {
        Some(long) => {
            let long = Written(long);
            format!(
                "Expected: the agent takes no work once it is told, and its number in flight is 0 for {long} by its deadline."
            )
        }
        None => {
            "Expected: the agent exits by its deadline, because agent.status.zero_for is not set.".to_owned()
        }
    };
    let trouble = trouble(story);
    let happened = match (story.outcomes.last().map(String::as_str), story.in_flight()) {
        (Some("drained"), _) => return ended_otherwise("The agent"),
        (_, Some(0)) if zero_for.is_none() => format!(
            "Its number in flight was 0 at the end of its time ({time}). Set agent.status.zero_for, so that this ends the drain."
        ),
        (_, Some(count)) => format!(
            "Its number in flight was {count} at the end of its time ({time}).{trouble} Finish or hand back the work sooner, or \
             give it more time: {more_time}.{LOST}"
        ),
        (Some("failed"), None) => format!("The agent could not be told to drain.{trouble}{LOST_BY_FAILURE}"),
        (_, None) => format!("The number in flight was not read.{trouble}{LOST}"),
    };
    format!("{expected} {happened}")
}

fn ran(story: &Story, program: &str, more_time: &str, time: &str) -> String {
    let trouble = trouble(story);
    match story.outcomes.last().map(String::as_str) {
        Some("drained") => ended_otherwise("The agent"),
        Some("failed") => format!(
            "{program} failed until agent.unreachable_grace was over.{trouble} Exit with 75 to be run again until the \
             deadline.{LOST_BY_FAILURE}"
        ),
        _ => format!(
            "{program} had not exited with 0 at the end of its time ({time}).{trouble} Finish or hand back the work sooner, or \
             give it more time: {more_time}.{LOST}"
        ),
    }
}

fn left(story: &Story, unit: &UnitAgent, more_time: &str, time: &str) -> String {
    let trouble = trouble(story);
    match story.outcomes.last().map(String::as_str) {
        Some("drained") => ended_otherwise("The agent"),
        Some("failed") => format!("{} could not be drained.{trouble}{LOST_BY_FAILURE}", unit.unit),
        _ => format!(
            "{} still ran at the end of its time ({time}).{trouble} Finish or hand back the work sooner, or give it more time: \
             {more_time}.{LOST}",
            unit.unit
        ),
    }
}

fn trouble(story: &Story) -> String {
    let trouble = story.warnings.iter().rev().find(|warning| warning.starts_with("agent "));
    trouble.map(|trouble| format!(" Its last answer: {trouble}.")).unwrap_or_default()
}

/// `who`, such as "The agent", did its part.
pub fn ended_otherwise(who: &str) -> String {
    format!(
        "{who} drained, but the lifecycle action did not end as expected. The lines marked ✗ above say what is missing."
    )
}

/// How the same drain would end on AWS.
const LOST: &str =
    " On AWS, the instance would be terminated now, with the work that it holds (lifecycle.on_deadline).";

/// The same, if the agent could not be drained.
const LOST_BY_FAILURE: &str =
    " On AWS, the instance would be terminated now, with the work that it holds (lifecycle.on_failed).";

fn happened(story: &Story, agent: &HttpAgent, more_time: &str, time: &str) -> String {
    let (drain, status) =
        (format!("{} {}", agent.drain.method.as_str(), agent.drain.path), &agent.status_path);
    let reported = story.reported.as_ref();
    let state = reported.map(|reported| reported.state.as_str());
    let trouble = trouble(story);
    match (story.outcomes.last().map(String::as_str), state) {
        (Some("drained"), _) => ended_otherwise("The agent"),
        (_, Some("cannot drain")) => {
            format!("The agent answered that it cannot drain.{trouble} Answer 409 only if no drain is possible at all.")
        }
        (_, Some("unreachable")) => {
            "The agent exited, or stopped listening, without reporting \"drained\". If it exits when it is done, set \
             agent.on_exit to \"drained\" (DRAINHOOK_AGENT__ON_EXIT=drained). Otherwise keep it running until it has answered \
             \"drained\" once."
                .to_owned()
        }
        (_, Some("serving")) => {
            format!(
                "The agent accepted {drain} and kept reporting \"serving\". Make {drain} stop it from taking work, and report \
                 \"draining\" until the work is done."
            )
        }
        (_, Some("draining")) if story.in_flight() == Some(0) => format!(
            "The agent still reported \"draining\" at the end of its time ({time}), with nothing in flight. Make GET {status} answer \
             {{\"state\": \"drained\"}} once its work is done.{LOST}"
        ),
        (_, Some("draining")) => {
            let in_flight = match story.in_flight() {
                Some(count) => format!("with {count} in flight"),
                None => "and did not report how much was in flight".to_owned(),
            };
            format!(
                "The agent still reported \"draining\" at the end of its time ({time}), {in_flight}. Finish or hand back its \
                 work sooner, or give it more time: {more_time}.{LOST}"
            )
        }
        _ => format!(
            "The agent did not accept {drain} in its time ({time}).{trouble} docs/agent-protocol.md shows the request and \
             the answers."
        ),
    }
}

#[cfg(test)]
mod tests {
    use machine::Time;
    use sim::story::Reported;

    use super::*;
    use crate::config::{Config, Flag};
    use std::path::Path;

    const MORE_TIME: &str = "DRAINHOOK_AGENT__DRAIN_TIMEOUT=10m drainhook simulate --config a.toml";

    fn told() -> Story {
        Story {
            told: Some((Time::from_unix_ms(0), 0)),
            deadlines: vec![Time::from_unix_ms(30_000)],
            outcomes: vec!["deadline".to_owned()],
            ..Story::default()
        }
    }

    fn reporting(state: &str, in_flight: Option<u32>) -> Story {
        Story { reported: Some(Reported { state: state.to_owned(), in_flight }), ..told() }
    }

    fn agent(flag: Flag) -> config::Agent {
        let loaded = Config::load(Some(Path::new("/dev/null")), std::iter::empty(), &[flag]);
        loaded.expect("good").config.agents.swap_remove(0)
    }

    fn verdict(story: &Story) -> String {
        let address = "http://127.0.0.1:8080".to_owned();
        of(story, &agent(Flag::agent(address.clone())), MORE_TIME)
    }

    /// A command that fails, and one that takes too long.
    #[test]
    fn commands() {
        let flag =
            Flag { section: "agent", name: "command", flag: "--command", text: "/opt/drain".to_owned() };
        let agent = agent(flag);
        let warnings = vec!["agent worker: /opt/drain exited with status 3".to_owned()];
        let failed = Story { outcomes: vec!["failed".to_owned()], warnings, ..told() };
        let failed = of(&failed, &agent, MORE_TIME);
        assert!(
            failed.contains("/opt/drain failed until") && failed.contains("exited with status 3"),
            "{failed}"
        );
        let late = of(&told(), &agent, MORE_TIME);
        assert!(late.contains("at the end of its time (30 s)"), "{late}");
        assert!(late.contains("TIMEOUT=10m drainhook simulate --config a.toml."), "{late}");
    }

    /// An agent whose number in flight is read: it is too high, it is 0 without a consequence, or it cannot be read.
    #[test]
    fn numbers() {
        let of_probe = |story: &Story, zero_for: Option<&str>| {
            let mut keys = vec![("DRAINHOOK_AGENT__STATUS__POINTER".to_owned(), "/jobs".to_owned())];
            keys.extend(
                zero_for.map(|long| ("DRAINHOOK_AGENT__STATUS__ZERO_FOR".to_owned(), long.to_owned())),
            );
            let loaded = Config::load(Some(Path::new("/dev/null")), keys.into_iter(), &[]).expect("good");
            of(story, &loaded.config.agents[0], MORE_TIME)
        };
        let busy = of_probe(&reporting("draining", Some(2)), Some("10s"));
        assert!(
            busy.contains("is 0 for 10s by its deadline. Its number in flight was 2 at the end"),
            "{busy}"
        );
        let idle = of_probe(&reporting("draining", Some(0)), None);
        assert!(idle.contains("Set agent.status.zero_for"), "{idle}");
        let warnings = vec!["agent worker: GET http://127.0.0.1:8080/drain: answered 500".to_owned()];
        let unread = of_probe(&Story { warnings, ..reporting("draining", None) }, Some("10s"));
        assert!(unread.contains("was not read. Its last answer: agent worker: GET"), "{unread}");
    }

    #[test]
    fn each_failure_says_what_to_change() {
        let late = verdict(&reporting("draining", Some(1)));
        assert!(late.contains("at the end of its time (30 s), with 1 in flight"), "{late}");
        assert!(
            late.contains("DRAINHOOK_AGENT__DRAIN_TIMEOUT=10m drainhook simulate --config a.toml."),
            "{late}"
        );
        let idle = verdict(&reporting("draining", Some(0)));
        assert!(idle.contains("with nothing in flight") && !idle.contains("DRAIN_TIMEOUT"), "{idle}");
        let gone = verdict(&reporting("unreachable", None));
        assert!(gone.contains("DRAINHOOK_AGENT__ON_EXIT=drained"), "{gone}");
        let deaf = verdict(&reporting("serving", None));
        assert!(deaf.contains("kept reporting \"serving\""), "{deaf}");
        let refused = Story {
            warnings: vec!["agent worker: POST http://127.0.0.1:8080/drain: answered 500".to_owned()],
            ..told()
        };
        let refused = verdict(&refused);
        assert!(
            refused.contains("did not accept POST /drain") && refused.contains("answered 500"),
            "{refused}"
        );
    }
}
