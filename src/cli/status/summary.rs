//! Writes the status as text. Pure.

use crate::cli::output::whole;
use crate::cli::terminal::{indented, wrap_to};
use machine::Time;
use machine::notice::Reason;
use machine::protection::Protection;
use machine::status::{
    AgentLine, ImdsAnswers, LastDrain, LaunchLine, ProtectionLine, State, Status, StepLine, TargetLine,
};
use unicode_width::UnicodeWidthStr;

/// A headline, and a row for each known fact. Wrapped to `columns` columns if there is a window.
pub fn summary(status: &Status, agents: &[String], now: Time, columns: Option<usize>) -> String {
    let group = status.group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
    let first = format!("{}{group}: {}", status.instance_id, headline(status));
    let mut text = format!("{}\n", wrap_to(&first, INDENT, columns));
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&wrap_to(&format!("  {name:<10}  {value}"), INDENT, columns));
            text.push('\n');
        }
    };
    let serving = status.state == State::Serving;
    row("why", status.reason.map(|reason| reason.sentence().to_owned()));
    row("since", status.started.map(|at| when(at, now)));
    row("deadline", status.deadline.filter(|_| status.outcome.is_none()).map(|at| when(at, now)));
    for agent in agents {
        row("agent", Some(agent.clone()));
    }
    row("after step", status.step.as_ref().map(|step| step_line(step, now)));
    for target in &status.targets {
        row("target", Some(target_line(target, now)));
    }
    row("launch", status.launch.as_ref().map(|launch| launch_line(launch, now)));
    let protection = status.protection.as_ref().map(|protection| protection_line(protection, now));
    row("protection", protection);
    row("hook", hook(status, now));
    row("heartbeats", heartbeats(status, now));
    row("IMDS", imds(status, now));
    row("queue", queue(status, now));
    row("waits for", Some(waits_for(status)));
    row(
        "last error",
        status.last_error.as_ref().map(|error| format!("{}: {}", ago(error.at, now), error.what)),
    );
    let last = status.last_drain.as_ref().filter(|_| status.state != State::Ended);
    row("last drain", last.map(|drain| last_drain(drain, now)));
    row("daemon", Some(format!("drainhook {}", status.version)));
    let id = status.drain_id.as_ref().or(last.map(|drain| &drain.id).filter(|_| serving));
    row("drain id", id.cloned());
    if let Some(id) = id {
        text.push_str(&log(id, columns));
    }
    text
}

/// The column at which the values begin.
const INDENT: usize = 14;

/// The row with the command that prints a drain's log. It can be pasted even if it takes two lines.
fn log(drain_id: &str, columns: Option<usize>) -> String {
    let (command, drain) =
        ("  log         journalctl --unit drainhook.service", format!("DRAIN_ID={drain_id}"));
    match columns.filter(|columns| command.width() + 1 + drain.width() > *columns) {
        None => format!("{command} {drain}\n"),
        Some(columns) => format!("{command} \\\n{}{drain}\n", " ".repeat(indented(INDENT, Some(columns)))),
    }
}

fn last_drain(drain: &LastDrain, now: Time) -> String {
    let result = drain.result.map_or_else(String::new, |result| format!(", completed with {result}"));
    let reason = drain.reason.map_or_else(String::new, |reason| format!(", reason {reason}"));
    format!("{}{result}, ended {}{reason}", drain.outcome, when(drain.ended, now))
}

/// How IMDS answers. Shown in service, and in a drain if the queue has taken its place.
fn imds(status: &Status, now: Time) -> Option<String> {
    if status.state != State::Serving && status.imds == ImdsAnswers::Heard {
        return None;
    }
    let Some(at) = status.imds_answered else { return Some("no answer since the daemon started".to_owned()) };
    Some(match status.imds {
        ImdsAnswers::Heard | ImdsAnswers::Silent => format!("last answer {}", ago(at, now)),
        ImdsAnswers::NoTargetState => {
            format!("no autoscaling/target-lifecycle-state; last answer {}", ago(at, now))
        }
    })
}

/// Whether the daemon polls the queue. Shown in service, and in a drain if the daemon polls it.
fn queue(status: &Status, now: Time) -> Option<String> {
    let serving = status.state == State::Serving;
    match status.queue {
        None => serving.then(|| "none configured".to_owned()),
        Some(queue) if queue.polled => Some(match queue.answered {
            Some(at) => format!("polled, last answer {}", ago(at, now)),
            None => "polled, no answer yet".to_owned(),
        }),
        Some(_) => serving.then(|| "not polled while IMDS answers".to_owned()),
    }
}

/// The state, in a few words.
pub fn headline(status: &Status) -> String {
    let in_flight = status.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
    match status.state {
        State::Serving => "serving".to_owned(),
        State::Noticed => "about to drain".to_owned(),
        State::Draining => format!("draining{in_flight}"),
        State::AfterSteps => "running the after steps".to_owned(),
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

/// What the daemon waits for.
fn waits_for(status: &Status) -> String {
    let busy: Vec<&AgentLine> = status.agents.iter().filter(|agent| agent.state != "drained").collect();
    let of_targets = status.targets.iter().filter(|target| target.until.is_some());
    let draining: Vec<&str> = of_targets.map(|target| target.name.as_str()).collect();
    let names = || busy.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>().join(", ");
    match status.state {
        State::Serving => "a notice".to_owned(),
        State::Noticed => "Terminating:Wait, to tell the agents to drain (lifecycle.drain_at)".to_owned(),
        State::Draining if !busy.is_empty() => format!("{} to be drained, or the deadline", names()),
        State::Draining if !draining.is_empty() => {
            format!("the load balancer of {} to stop sending requests", draining.join(", "))
        }
        State::Draining => "the name of the lifecycle hook, to complete its action".to_owned(),
        State::AfterSteps => "the after steps, to complete the lifecycle action".to_owned(),
        State::Completing if status.wait_since.is_none() => {
            "Terminating:Wait, to complete the lifecycle action".to_owned()
        }
        State::Completing => "Auto Scaling to accept the completion".to_owned(),
        State::Ended if status.reason == Some(Reason::Operator) => {
            "drainhook drain --cancel, or the termination of the instance".to_owned()
        }
        State::Ended => "AWS to take the instance, or to withdraw its notice".to_owned(),
        State::Returning
            if !status.targets.is_empty() && busy.iter().all(|agent| agent.state != "returning") =>
        {
            "ELB to register the instance again".to_owned()
        }
        State::Returning => format!("{} to acknowledge the return to service", names()),
    }
}

/// What the daemon knows about an agent.
pub fn agent_line(agent: &AgentLine) -> String {
    let state = match agent.state.as_str() {
        "unknown" => "no answer yet",
        "waiting" => "waiting for its turn (agent.order)",
        state => state,
    };
    let in_flight = agent.in_flight.map_or_else(String::new, |count| format!(", {count} in flight"));
    let detail = agent.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
    format!("{}: {state}{in_flight}{detail}", agent.name)
}

fn launch_line(launch: &LaunchLine, now: Time) -> String {
    let LaunchLine { hook, until, result, not_ready, .. } = launch;
    match (result, not_ready) {
        (Some(result), _) => format!("completing hook {hook} with {result}"),
        (None, Some(why)) => format!("hook {hook} until {}, not ready: {why}", when(*until, now)),
        (None, None) => {
            format!("hook {hook} until {}, asking whether the agents are ready", when(*until, now))
        }
    }
}

fn protection_line(protection: &ProtectionLine, now: Time) -> String {
    let ProtectionLine { standing, busy, since } = protection;
    let standing = match standing {
        Protection::Protected { since } => format!("from scale-in since {}", when(*since, now)),
        Protection::Setting { .. } => "from scale-in, not confirmed yet".to_owned(),
        Protection::Yielding => "being lifted, because of protection.longest".to_owned(),
        Protection::Lifted { rests_until: Some(until) } => {
            format!("none until {}, because of protection.longest", when(*until, now))
        }
        Protection::Lifted { rests_until: None } => "none".to_owned(),
        Protection::Unknown => "not known yet".to_owned(),
    };
    let agents = match busy {
        Some(true) => "; the agents have been busy",
        Some(false) => "; the agents have been idle",
        None => "",
    };
    let since = since.map_or_else(String::new, |since| format!(" since {}", when(since, now)));
    format!("{standing}{agents}{since}")
}

fn target_line(target: &TargetLine, now: Time) -> String {
    let TargetLine { name, state, until } = target;
    let until = until.map_or_else(String::new, |at| format!(", until {} at most", when(at, now)));
    format!("{name}: {state}{until}")
}

fn step_line(step: &StepLine, now: Time) -> String {
    let StepLine { number, of, name, deadline } = step;
    format!("{number} of {of}, {name}, until {}", when(*deadline, now))
}

fn hook(status: &Status, now: Time) -> Option<String> {
    if let Some(problem) = &status.hook_problem {
        return Some(format!("none to complete: {problem}"));
    }
    let Some(name) = &status.hook else {
        let unread = "not read until a drain; to see it now: drainhook check";
        return (status.state == State::Serving).then(|| unread.to_owned());
    };
    let open = status.outcome.is_none();
    let waits = status.wait_since.filter(|_| open).map(|at| format!(", waiting since {}", when(at, now)));
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

/// A time, and how far away it is.
fn when(at: Time, now: Time) -> String {
    if at > now { format!("{at} ({})", ahead(at, now)) } else { format!("{at} ({})", ago(at, now)) }
}

fn ahead(at: Time, now: Time) -> String {
    if at > now { format!("in {}", whole(at.since(now))) } else { "now".to_owned() }
}

fn ago(at: Time, now: Time) -> String {
    format!("{} ago", whole(now.since(at)))
}
