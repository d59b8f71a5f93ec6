//! Explains why the user's own agent failed: what was expected, what the agent did, and what to change. Pure.

use sim::story::Story;

use super::timeline::short;

/// The verdict on a failed run, as a paragraph. `agent` is the agent's address.
pub fn of(story: &Story, agent: &str) -> String {
    let expected = "Expected: the agent accepts POST /drain, stops taking work, and reports \"drained\" by its deadline.";
    format!("{expected} {}", happened(story, agent))
}

/// How the same drain would end on AWS.
const LOST: &str =
    " On AWS, the instance would be terminated now, with the work that it holds (lifecycle.on_deadline).";

fn happened(story: &Story, agent: &str) -> String {
    let reported = story.reported.as_ref();
    let state = reported.map(|reported| reported.state.as_str());
    let Some((told, _)) = story.told else {
        return "The daemon did not tell the agent to drain, because no drain began. The daemon's log below says why.".to_owned();
    };
    let time = story.deadlines.first().map(|deadline| short(deadline.since(told)));
    let time = time.unwrap_or_else(|| "given".to_owned());
    let trouble = story.warnings.iter().rev().find(|warning| warning.starts_with("agent "));
    let trouble = trouble.map(|trouble| format!(" Its last answer: {trouble}.")).unwrap_or_default();
    match (story.outcomes.last().map(String::as_str), state) {
        (Some("drained"), _) => "The agent drained, but the lifecycle action did not end as expected. The lines marked ✗ above \
                                 say what is missing."
            .to_owned(),
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
            "The agent accepted POST /drain and kept reporting \"serving\". Make POST /drain stop it from taking work, and \
             report \"draining\" until the work is done."
                .to_owned()
        }
        (_, Some("draining")) if story.in_flight() == Some(0) => format!(
            "The agent still reported \"draining\" at the end of its time ({time}), with nothing in flight. Make GET /drain answer \
             {{\"state\": \"drained\"}} once its work is done.{LOST}"
        ),
        (_, Some("draining")) => {
            let in_flight = match story.in_flight() {
                Some(count) => format!("with {count} in flight"),
                None => "and did not report how much was in flight".to_owned(),
            };
            format!(
                "The agent still reported \"draining\" at the end of its time ({time}), {in_flight}. Finish or hand back its \
                 work sooner, or give it more time: DRAINHOOK_AGENT__DRAIN_TIMEOUT=10m drainhook simulate --agent {agent}.{LOST}"
            )
        }
        _ => format!(
            "The agent did not accept POST /drain in its time ({time}).{trouble} docs/agent-protocol.md shows the request and \
             the answers."
        ),
    }
}

#[cfg(test)]
mod tests {
    use machine::Time;
    use sim::story::Reported;

    use super::*;

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

    #[test]
    fn each_failure_says_what_to_change() {
        let late = of(&reporting("draining", Some(1)), "http://127.0.0.1:8080");
        assert!(late.contains("at the end of its time (30 s), with 1 in flight"), "{late}");
        assert!(
            late.contains(
                "DRAINHOOK_AGENT__DRAIN_TIMEOUT=10m drainhook simulate --agent http://127.0.0.1:8080."
            ),
            "{late}"
        );
        let idle = of(&reporting("draining", Some(0)), "http://127.0.0.1:8080");
        assert!(idle.contains("with nothing in flight") && !idle.contains("DRAIN_TIMEOUT"), "{idle}");
        let gone = of(&reporting("unreachable", None), "/run/worker.sock");
        assert!(gone.contains("DRAINHOOK_AGENT__ON_EXIT=drained"), "{gone}");
        let deaf = of(&reporting("serving", None), "/run/worker.sock");
        assert!(deaf.contains("kept reporting \"serving\""), "{deaf}");
        let refused = Story {
            warnings: vec!["agent worker: POST http://127.0.0.1:8080/drain: answered 500".to_owned()],
            ..told()
        };
        let refused = of(&refused, "http://127.0.0.1:8080");
        assert!(
            refused.contains("did not accept POST /drain") && refused.contains("answered 500"),
            "{refused}"
        );
    }
}
