//! The log, on standard error.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::machine::report::{Loudness, Report};

/// Starts logging. Only our own lines: the libraries' are for whoever debugs the libraries.
pub fn start(log: &Log) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let filter = Targets::new().with_target("drainhook", log.level).with_default(Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start, as tests in one process make it, changes nothing.
    let started = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started already");
    }
}

/// Logs what the machine reports, under a name that does not change with the wording.
pub fn tell(report: &Report) {
    let event = report.name();
    match report.loudness() {
        Loudness::Error => tracing::error!(event, "{report}"),
        Loudness::Warn => tracing::warn!(event, "{report}"),
        Loudness::Info => tracing::info!(event, "{report}"),
        Loudness::Debug => tracing::debug!(event, "{report}"),
    }
}
