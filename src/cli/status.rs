//! `drainhook status`: what the daemon is doing now, and what it waits for.

use std::process::ExitCode;

use super::output::{put, put_line, whole};
use super::{Source, failed};
use crate::clock::Clock;
use crate::daemon::client;
use machine::Time;
use machine::notice::Reason;
use machine::status::{AgentLine, State, Status};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object; times are Unix milliseconds
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    source: Source,
}

pub async fn run(args: Args) -> ExitCode {
    let config = match args.source.load(&[]) {
        Ok(loaded) => loaded.config,
        Err(code) => return code,
    };
    match client::status(&config.control.socket).await {
        Ok(status) if args.json => match serde_json::to_string(&status) {
            Ok(line) => put_line(&line),
            Err(error) => return failed(&error),
        },
        Ok(status) => put(&summary(&status, Clock::start(config.simulation.clock).now())),
        Err(error) => return failed(&error),
    }
    ExitCode::SUCCESS
}

/// A line on where the instance stands, and a row for each thing that is known.
fn summary(status: &Status, now: Time) -> String {
    let group = status.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
    let mut text = format!("{}{group}: {}\n", status.instance_id, headline(status));
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<10}  {value}\n"));
        }
    };
    row("why", status.reason.map(|reason| reason.sentence().to_owned()));
    row("since", status.started.map(|at| when(at, now)));
    row("deadline", status.deadline.map(|at| when(at, now)));
    for agent in &status.agents {
        row("agent", (status.state != State::Serving).then(|| agent_line(agent)));
    }
    row("hook", hook(status, now));
    row("heartbeats", heartbeats(status, now));
    row("IMDS", status.imds_silent.then(|| "no answer for a minute or more".to_owned()));
    row("waits for", Some(waits_for(status)));
    row(
        "last error",
        status.last_error.as_ref().map(|error| format!("{}: {}", ago(error.at, now), error.what)),
    );
    text
}

/// The state in a few words.
pub fn headline(status: &Status) -> String {
    let in_flight = status.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
    match status.state {
        State::Serving => "serving".to_owned(),
        State::Noticed => "about to drain".to_owned(),
        State::Draining => format!("draining{in_flight}"),
        State::Completing => "completing the lifecycle action".to_owned(),
        State::Ended => {
            let outcome = status.outcome.map_or("", |outcome| outcome.as_str());
            let result =
                status.result.map_or_else(String::new, |result| format!(", completed with {result}"));
            format!("drain ended: {outcome}{result}")
        }
        State::Returning => "returning to service".to_owned(),
    }
}

/// What has to happen next.
fn waits_for(status: &Status) -> String {
    let busy: Vec<&AgentLine> = status.agents.iter().filter(|agent| agent.state != "drained").collect();
    let names = || busy.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>().join(", ");
    match status.state {
        State::Serving => "a notice".to_owned(),
        State::Noticed => "Terminating:Wait: the agents are told then (lifecycle.drain_at)".to_owned(),
        State::Draining if !busy.is_empty() => format!("{} to be drained, or the deadline", names()),
        State::Draining => "the name of the lifecycle hook, to complete it".to_owned(),
        State::Completing if status.wait_since.is_none() => {
            "Terminating:Wait: the lifecycle action is completed then".to_owned()
        }
        State::Completing => "Auto Scaling to accept the completion".to_owned(),
        State::Ended if status.reason == Some(Reason::Operator) => {
            "drainhook drain --cancel, or the end of the instance".to_owned()
        }
        State::Ended => "the end of the instance, or the end of the notice".to_owned(),
        State::Returning => format!("{} to acknowledge DELETE /drain", names()),
    }
}

fn agent_line(agent: &AgentLine) -> String {
    let state = if agent.state == "unknown" { "no answer yet" } else { &agent.state };
    let in_flight = agent.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
    let detail = agent.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
    format!("{}: {state}{in_flight}{detail}", agent.name)
}

fn hook(status: &Status, now: Time) -> Option<String> {
    if let Some(problem) = &status.hook_problem {
        return Some(format!("none to complete: {problem}"));
    }
    let name = status.hook.as_ref()?;
    let open = status.outcome.is_none();
    let waits = status.wait_since.filter(|_| open).map(|at| format!(", waits since {}", when(at, now)));
    let expires = status.expires.filter(|_| open).map(|at| format!(", expires {}", ahead(at, now)));
    Some(format!("{name}{}{}", waits.unwrap_or_default(), expires.unwrap_or_default()))
}

fn heartbeats(status: &Status, now: Time) -> Option<String> {
    let next = status.next_heartbeat.map(|at| format!("next {}", ahead(at, now)));
    match (status.heartbeats, next) {
        (0, None) => None,
        (sent, None) => Some(format!("{sent} sent")),
        (sent, Some(next)) if status.wait_since.is_some() => Some(format!("{sent} sent, {next}")),
        (_, Some(next)) => Some(format!("{next}, to see whether Terminating:Wait has begun")),
    }
}

/// An instant, and how far it is away.
fn when(at: Time, now: Time) -> String {
    if at > now { format!("{at} ({})", ahead(at, now)) } else { format!("{at} ({})", ago(at, now)) }
}

fn ahead(at: Time, now: Time) -> String {
    if at > now { format!("in {}", whole(at.since(now))) } else { "now".to_owned() }
}

fn ago(at: Time, now: Time) -> String {
    format!("{} ago", whole(now.since(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::effect::CompletionResult;
    use machine::journal::Outcome;
    use machine::status::LastError;
    use std::time::Duration;

    const NOW: Time = Time::from_unix_ms(1_772_366_400_000);

    fn serving() -> Status {
        Status {
            instance_id: "i-0123456789abcdef0".to_owned(),
            drain_id: None,
            state: State::Serving,
            reason: None,
            started: None,
            deadline: None,
            in_flight: None,
            agents: vec![agent("unknown", None)],
            group: Some("workers".to_owned()),
            hook: None,
            hook_problem: None,
            wait_since: None,
            expires: None,
            heartbeats: 0,
            next_heartbeat: None,
            outcome: None,
            result: None,
            imds_silent: false,
            last_error: None,
        }
    }

    fn agent(state: &str, in_flight: Option<u64>) -> AgentLine {
        AgentLine {
            name: "worker".to_owned(),
            state: state.to_owned(),
            in_flight,
            deadline: None,
            detail: None,
            gauges: Default::default(),
        }
    }

    fn draining() -> Status {
        Status {
            state: State::Draining,
            reason: Some(Reason::AutoscalingTermination),
            started: Some(NOW - Duration::from_secs(252)),
            deadline: Some(NOW + Duration::from_secs(3348)),
            in_flight: Some(3),
            agents: vec![AgentLine { detail: Some("2 uploads".to_owned()), ..agent("draining", Some(3)) }],
            hook: Some("drain".to_owned()),
            wait_since: Some(NOW - Duration::from_secs(240)),
            expires: Some(NOW + Duration::from_secs(210)),
            heartbeats: 1,
            next_heartbeat: Some(NOW + Duration::from_secs(60)),
            ..serving()
        }
    }

    #[test]
    fn an_instance_in_service() {
        let expected = "i-0123456789abcdef0 of group workers: serving\n  waits for   a notice\n";
        assert_eq!(summary(&serving(), NOW), expected);
    }

    #[test]
    fn a_drain_that_is_stuck() {
        let what = "agent worker: GET http://127.0.0.1:8080/drain: no answer within 30s".to_owned();
        let error = LastError { at: NOW - Duration::from_secs(12), what };
        let expected = "\
i-0123456789abcdef0 of group workers: draining, 3 in flight
  why         the Auto Scaling group is terminating this instance
  since       2026-03-01T11:55:48.000Z (4m12s ago)
  deadline    2026-03-01T12:55:48.000Z (in 55m48s)
  agent       worker: draining, 3 in flight (2 uploads)
  hook        drain, waits since 2026-03-01T11:56:00.000Z (4m ago), expires in 3m30s
  heartbeats  1 sent, next in 1m
  waits for   worker to be drained, or the deadline
  last error  12s ago: agent worker: GET http://127.0.0.1:8080/drain: no answer within 30s
";
        assert_eq!(summary(&Status { last_error: Some(error), ..draining() }, NOW), expected);
    }

    #[test]
    fn what_is_waited_for() {
        let drained = || vec![agent("drained", Some(0))];
        let before_wait = || Status { wait_since: None, expires: None, heartbeats: 0, ..draining() };
        let cases = [
            (Status { state: State::Noticed, ..before_wait() }, "the agents are told then"),
            (Status { agents: drained(), hook: None, ..draining() }, "the name of the lifecycle hook"),
            (Status { state: State::Completing, agents: drained(), ..before_wait() }, "Terminating:Wait"),
            (
                Status { state: State::Completing, agents: drained(), ..draining() },
                "to accept the completion",
            ),
            (Status { state: State::Returning, ..serving() }, "worker to acknowledge DELETE /drain"),
            (
                Status { state: State::Ended, reason: Some(Reason::Operator), ..draining() },
                "drainhook drain --cancel",
            ),
            (before_wait(), "to see whether Terminating:Wait has begun"),
            (
                Status { hook_problem: Some("two hooks".to_owned()), ..draining() },
                "none to complete: two hooks",
            ),
            (Status { imds_silent: true, ..serving() }, "IMDS        no answer for"),
        ];
        for (status, expected) in cases {
            let text = summary(&status, NOW);
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn a_drain_that_has_ended() {
        let ended = Status {
            state: State::Ended,
            outcome: Some(Outcome::Drained),
            result: Some(CompletionResult::Continue),
            next_heartbeat: None,
            ..draining()
        };
        let text = summary(&ended, NOW);
        assert!(text.contains("drain ended: drained, completed with CONTINUE\n"), "{text}");
        assert!(!text.contains("expires") && text.contains("1 sent\n"), "{text}");
    }
}
