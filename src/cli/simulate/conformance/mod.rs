//! `simulate --conformance`: judges an agent that speaks the agent protocol, with the daemon's own client and without a daemon.
//!
//! - `check` is one check and its result, `report` prints them. `junit` beside this folder writes them for CI.
//! - `session` sends the requests. `heard` is what the agent has said so far. `program` runs `--offer` and `--restart`, and
//!   `offer` says what the first one means.
//! - `serving`, `drain`, `back`, `restart` and `end` are the checks, in this order.

mod back;
mod check;
mod drain;
mod end;
mod heard;
mod offer;
mod program;
mod report;
mod restart;
mod serving;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::junit::{self, Case};
use super::own_agent::{Named, OwnAgents};
use crate::cli::check::{State, return_command};
use crate::cli::{failed, interrupted, still_draining};
use crate::config::{self, AgentKind, Body, Config, HttpAgent, OnExit};
use check::{Check, Rule};
pub use program::Program;
use report::Report;
use session::Session;

/// All rules, in the order in which they are judged.
const RULES: [&Rule; 20] = [
    &serving::STATUS,
    &serving::PREFER,
    &serving::HEALTH,
    &serving::WORK,
    &drain::REQUEST,
    &drain::REPEATED,
    &drain::UNKNOWN_FIELDS,
    &drain::WORK,
    &drain::PREFER,
    &drain::BROKEN,
    &back::RETURN,
    &back::WORK,
    &back::REPEATED,
    &back::SECOND,
    &restart::RESTART,
    &end::DRAINED,
    &end::STAYS,
    &end::STEP_BACK,
    &end::IN_FLIGHT,
    &end::DOCUMENT,
];

/// How long each drain may take, unless the user sets `agent.drain_timeout`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// Why the rest is not judged.
struct Stop(&'static str);

/// What the user asks for.
#[derive(Debug)]
pub struct Options {
    /// The program that restarts the agent.
    pub restart: Option<Program>,
    /// The program that offers the agent work.
    pub offer: Option<Program>,
    /// Where the result is written as JUnit XML.
    pub junit: Option<PathBuf>,
    /// Whether each check is printed as JSON.
    pub json: bool,
}

/// Judges the agent.
pub async fn run(named: &Named, options: Options) -> ExitCode {
    let (own_agents, config) = match OwnAgents::load(named) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let [agent] = own_agents.agents.as_slice() else {
        let count = own_agents.agents.len();
        return failed(&format!(
            "--conformance judges one agent, but the configuration has {count}; give each a file of its own"
        ));
    };
    let mut agent = agent.clone();
    if !own_agents.has_drain_timeout {
        agent.drain_timeout = DRAIN_TIMEOUT;
    }
    let mut session = match open(&agent, &config) {
        Ok(session) => session,
        Err(why) => return failed(&why),
    };
    session.offer = options.offer;
    session.restart = options.restart;
    let mut report = Report::new(options.json, &RULES);
    let passed = tokio::select! {
        passed = judge(&mut session, &mut report, &agent) => Some(passed),
        _ = tokio::signal::ctrl_c() => None,
    };
    let Some(passed) = passed else {
        let told = if session.heard.is_told() { std::slice::from_ref(&agent) } else { &[] };
        return interrupted(&still_draining(told));
    };
    if let Some(file) = &options.junit {
        let cases: Vec<Case> = report.checks().iter().map(case).collect();
        if let Err(error) = junit::write(file, "conformance", &cases) {
            return failed(&error);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A session with an agent that speaks the protocol, or why it does not.
fn open(agent: &config::Agent, config: &Config) -> Result<Session, String> {
    let AgentKind::Http(http) = &agent.kind else {
        return Err("--conformance judges an agent with agent.url or agent.unix; drill this one without it"
            .to_owned());
    };
    if let Some(key) = other_protocol(agent, http) {
        return Err(format!(
            "--conformance judges the agent protocol, and {key} is for agents that do not speak it; drill this one without \
             --conformance"
        ));
    }
    Session::new(agent, http, config.instance.id.as_deref()).map_err(|error| error.to_string())
}

/// A setting that only agents with another protocol need.
fn other_protocol(agent: &config::Agent, http: &HttpAgent) -> Option<&'static str> {
    if agent.probe.is_some() {
        return Some("agent.status");
    }
    let on_exit = match http.on_exit {
        OnExit::Drained => Some("agent.on_exit"),
        OnExit::Failed => None,
    };
    let body = match http.drain.body {
        Body::Text(_) => Some("agent.drain.body"),
        Body::Document => None,
    };
    on_exit.or(body).or(http.drain_blocks.then_some("agent.drain.blocks"))
}

/// Judges everything, and returns the agent to service if it can be returned. Returns whether no check failed.
async fn judge(session: &mut Session, report: &mut Report, agent: &config::Agent) -> bool {
    let (stopped, has_way_back) = match Box::pin(judge_drains(session, report)).await {
        Ok(has_way_back) => (None, has_way_back),
        Err(stopped) => (Some(stopped), true),
    };
    end::judge_all(&session.heard, report);
    if let Some(Stop(why)) = stopped {
        report.skip_rest(why);
    }
    let stays_drained = session.heard.is_told() && !(has_way_back && session.withdraw().await.is_ok());
    let last = stays_drained.then(|| match return_command(agent) {
        Some(command) => {
            format!("The agent stays drained. Restart it, or return it to service: {command}")
        }
        None => "The agent stays drained. Restart it to return it to service.".to_owned(),
    });
    report.end(last)
}

/// Judges the agent from its service to the end of its last drain. Returns whether it has a way back to service.
async fn judge_drains(session: &mut Session, report: &mut Report) -> Result<bool, Stop> {
    serving::judge(session, report).await?;
    drain::judge(session, report).await?;
    let has_way_back = back::judge(session, report).await;
    restart::judge(session, report).await;
    end::judge(session, report).await;
    Ok(has_way_back)
}

fn case(check: &Check) -> Case {
    let result = match check.state {
        State::Ok => junit::Result::Passed,
        State::Skipped => junit::Result::Skipped(check.found.clone()),
        State::Warning | State::Failed => {
            let lost = check.lost.as_deref().unwrap_or_default();
            let text = format!("expected: {}\ncame: {}\nlost: {lost}", check.expected, check.found);
            junit::Result::Failed(check.found.clone(), text)
        }
    };
    Case { name: check.check.to_owned(), took: check.took, result }
}
