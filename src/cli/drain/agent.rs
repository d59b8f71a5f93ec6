//! `drainhook drain --agent`: drains one agent from this process.

use std::process::ExitCode;

use crate::cli::output::put_line;
use crate::cli::{Source, failed, interrupted, still_draining, warn};
use crate::config::Flag;
use crate::daemon::alone;
use machine::journal::Outcome;
use machine::report::Report;

/// Drains the agent, and prints its progress. The exit code is 0 if the agent has drained.
pub async fn run(source: &Source, address: String, timeout: Option<String>) -> ExitCode {
    let mut flags = vec![Flag::agent(address)];
    flags.extend(timeout.map(|text| Flag {
        section: "agent",
        name: "drain_timeout",
        flag: "--timeout",
        text,
    }));
    let loaded = match source.load_to_drain(&flags) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    warn(loaded.variable_warnings());
    let drained = tokio::select! {
        drained = alone::drain(&loaded.config, tell) => drained,
        _ = tokio::signal::ctrl_c() => {
            return interrupted(&still_draining(&loaded.config.agents));
        }
    };
    match drained {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::Deadline) => failed(&"the agent did not drain by its deadline"),
        Ok(Outcome::Failed) => failed(&"the agent could not be drained"),
        Ok(outcome @ (Outcome::Finished | Outcome::Withdrawn | Outcome::Overtaken)) => {
            failed(&format!("the drain has ended: {outcome}"))
        }
        Err(error) => failed(&error),
    }
}

/// Prints reports about the agent. There is no lifecycle action and no metadata service to report on.
fn tell(report: &Report) {
    match report {
        Report::AgentsTold { .. } | Report::AgentProgress { .. } | Report::AgentForced { .. } => {
            put_line(&report.to_string())
        }
        Report::AgentTrouble { news: true, .. } | Report::Defect { .. } => eprintln!("drainhook: {report}"),
        Report::AgentTrouble { news: false, .. }
        | Report::Notice { .. }
        | Report::NoticeIgnored { .. }
        | Report::DrainStarted { .. }
        | Report::DrainRecovered { .. }
        | Report::DeadlineMoved { .. }
        | Report::AfterStep { .. }
        | Report::Launch(_)
        | Report::Protection(_)
        | Report::Target { .. }
        | Report::HookChosen { .. }
        | Report::HookImpossible { .. }
        | Report::GroupChanged { .. }
        | Report::WaitBegan { .. }
        | Report::HeartbeatSent { .. }
        | Report::CallFailed { .. }
        | Report::Completing { .. }
        | Report::DrainEnded { .. }
        | Report::StaleMessage
        | Report::StrangeMessage { .. }
        | Report::Retained
        | Report::AgentsReturned
        | Report::ImdsSilent { .. }
        | Report::ImdsMissing { .. }
        | Report::ImdsHeard
        | Report::ImdsMalformed { .. }
        | Report::UnknownTargetState { .. }
        | Report::JournalFailed { .. } => {}
    }
}
