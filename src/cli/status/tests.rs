use std::time::Duration;

use super::summary::{agent_line, summary};
use machine::Time;
use machine::effect::CompletionResult;
use machine::journal::Outcome;
use machine::notice::Reason;
use machine::protection::Protection;
use machine::status::{
    AgentLine, ImdsAnswers, LastDrain, LastError, ProtectionLine, QueueLine, State, Status, StepLine,
    TargetLine,
};
use unicode_width::UnicodeWidthStr;

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
        step: None,
        targets: Vec::new(),
        group: Some("workers".to_owned()),
        hook: None,
        hook_problem: None,
        wait_since: None,
        expires: None,
        heartbeats: 0,
        next_heartbeat: None,
        outcome: None,
        result: None,
        imds: ImdsAnswers::Heard,
        last_error: None,
        version: "0.1.0".to_owned(),
        imds_answered: Some(NOW - Duration::from_secs(1)),
        queue: Some(QueueLine { polled: false, answered: None }),
        launch: None,
        protection: None,
        last_drain: None,
    }
}

/// The summary without a window. The agents' lines are what the daemon knows.
fn shown(status: &Status) -> String {
    let agents: Vec<String> = status.agents.iter().map(agent_line).collect();
    summary(status, &agents, NOW, None)
}

fn last_drain() -> LastDrain {
    LastDrain {
        id: "i-0123456789abcdef0-1772362800000".to_owned(),
        started: NOW - Duration::from_secs(3600),
        ended: NOW - Duration::from_secs(180),
        reason: Some(Reason::Operator),
        outcome: Outcome::Withdrawn,
        result: None,
    }
}

fn target(state: &str, until_s: Option<u64>) -> TargetLine {
    let until = until_s.map(|seconds| NOW + Duration::from_secs(seconds));
    TargetLine { name: "web".to_owned(), state: state.to_owned(), until }
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

fn step() -> StepLine {
    let name = "/usr/bin/flush-logs".to_owned();
    StepLine { number: 1, of: 2, name, deadline: NOW + Duration::from_secs(20) }
}

fn draining() -> Status {
    Status {
        drain_id: Some("i-0123456789abcdef0-1772366148000".to_owned()),
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
    let expected = "\
i-0123456789abcdef0 of group workers: serving
  agent       worker: serving, 3 in flight
  hook        not read until a drain; to see it now: drainhook check
  IMDS        last answer 1s ago
  queue       not polled while IMDS answers
  waits for   a notice
  last drain  withdrawn, ended 2026-03-01T11:57:00.000Z (3m ago), reason operator
  daemon      drainhook 0.1.0
  drain id    i-0123456789abcdef0-1772362800000
  log         journalctl --unit drainhook.service DRAIN_ID=i-0123456789abcdef0-1772362800000
";
    let agents = ["worker: serving, 3 in flight".to_owned()];
    let status = Status { last_drain: Some(last_drain()), ..serving() };
    assert_eq!(summary(&status, &agents, NOW, None), expected);
}

#[test]
fn the_sources() {
    let polled = |answered| Some(QueueLine { polled: true, answered });
    let earlier = |seconds| Some(NOW - Duration::from_secs(seconds));
    let cases = [
        (Status { imds_answered: None, ..serving() }, "IMDS        no answer since the daemon started\n"),
        (
            Status { imds_answered: earlier(300), imds: ImdsAnswers::Silent, ..serving() },
            "IMDS        last answer 5m ago\n",
        ),
        (
            Status { imds: ImdsAnswers::NoTargetState, ..serving() },
            "IMDS        no autoscaling/target-lifecycle-state; last answer 1s ago\n",
        ),
        (Status { queue: polled(None), ..serving() }, "queue       polled, no answer yet\n"),
        (Status { queue: polled(earlier(9)), ..draining() }, "queue       polled, last answer 9s ago\n"),
        (Status { queue: None, ..serving() }, "queue       none configured\n"),
    ];
    for (status, expected) in cases {
        let text = shown(&status);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let text = shown(&draining());
    assert!(!text.contains("IMDS") && !text.contains("queue"), "{text}");
}

/// In a narrow window no row is wider than the window, and the log command can still be pasted.
#[test]
fn a_narrow_window() {
    let what = "agent worker: GET http://127.0.0.1:8080/drain: no answer within 30s".to_owned();
    let last_error = Some(LastError { at: NOW, what });
    let status = Status { last_error, last_drain: Some(last_drain()), ..draining() };
    let agents: Vec<String> = status.agents.iter().map(agent_line).collect();
    let text = summary(&status, &agents, NOW, Some(60));
    assert!(text.lines().all(|line| line.width() <= 60), "{text}");
    let log = "  log         journalctl --unit drainhook.service \\\n\
               \x20             DRAIN_ID=i-0123456789abcdef0-1772366148000\n";
    assert!(text.ends_with(log), "{text}");
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
  hook        drain, waiting since 2026-03-01T11:56:00.000Z (4m ago), expires in 3m30s
  heartbeats  1 sent, next in 1m
  waits for   worker to be drained, or the deadline
  last error  12s ago: agent worker: GET http://127.0.0.1:8080/drain: no answer within 30s
  daemon      drainhook 0.1.0
  drain id    i-0123456789abcdef0-1772366148000
  log         journalctl --unit drainhook.service DRAIN_ID=i-0123456789abcdef0-1772366148000
";
    assert_eq!(shown(&Status { last_error: Some(error), ..draining() }), expected);
}

#[test]
fn what_the_daemon_waits_for() {
    let drained = || vec![agent("drained", Some(0))];
    let before_wait = || Status { wait_since: None, expires: None, heartbeats: 0, ..draining() };
    let cases = [
        (Status { state: State::Noticed, ..before_wait() }, "Terminating:Wait, to tell the agents"),
        (Status { agents: drained(), hook: None, ..draining() }, "the name of the lifecycle hook"),
        (
            Status { state: State::AfterSteps, step: Some(step()), ..draining() },
            "after step  1 of 2, /usr/bin/flush-logs, until 2026-03-01T12:00:20.000Z (in 20s)\n",
        ),
        (Status { state: State::AfterSteps, ..draining() }, "waits for   the after steps, to complete"),
        (Status { state: State::Completing, agents: drained(), ..before_wait() }, "Terminating:Wait"),
        (Status { state: State::Completing, agents: drained(), ..draining() }, "to accept the completion"),
        (Status { state: State::Returning, ..serving() }, "worker to acknowledge the return to service"),
        (
            Status {
                state: State::Returning,
                targets: vec![target("being registered again", None)],
                ..serving()
            },
            "ELB to register the instance again",
        ),
        (
            Status { agents: drained(), targets: vec![target("draining", Some(300))], ..draining() },
            "the load balancer of web to stop sending requests",
        ),
        (
            Status { targets: vec![target("draining", Some(300))], ..draining() },
            "target      web: draining, until 2026-03-01T12:05:00.000Z (in 5m) at most",
        ),
        (
            Status { state: State::Ended, reason: Some(Reason::Operator), ..draining() },
            "drainhook drain --cancel",
        ),
        (before_wait(), "to see whether Terminating:Wait has begun"),
        (Status { hook_problem: Some("two hooks".to_owned()), ..draining() }, "none to complete: two hooks"),
    ];
    for (status, expected) in cases {
        let text = shown(&status);
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
        last_drain: Some(last_drain()),
        ..draining()
    };
    let text = shown(&ended);
    assert!(text.contains("DRAIN_ID=i-0123456789abcdef0-1772366148000\n"), "{text}");
    assert!(!text.contains("last drain"), "the last drain is this one: {text}");
    assert!(text.contains("drain ended: drained, completed with CONTINUE\n"), "{text}");
    assert!(!text.contains("expires") && text.contains("1 sent\n"), "{text}");
}

/// One row, if busy protection is configured.
#[test]
fn protection() {
    assert!(!shown(&serving()).contains("protection"));
    let since = NOW - Duration::from_secs(120);
    let of = |standing, busy: Option<bool>| {
        let line = ProtectionLine { standing, busy, since: busy.map(|_| since) };
        shown(&Status { protection: Some(line), ..serving() })
    };
    let busy = of(Protection::Protected { since }, Some(true));
    assert!(
        busy.contains("\n  protection  from scale-in since ")
            && busy.contains("; the agents have been busy since "),
        "{busy}"
    );
    let idle = of(Protection::Lifted { rests_until: None }, Some(false));
    assert!(idle.contains("\n  protection  none; the agents have been idle since "), "{idle}");
    assert!(of(Protection::Unknown, None).contains("\n  protection  not known yet\n"));
}
