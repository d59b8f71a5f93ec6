//! What must hold of everything that drainhook reads, whatever that is.
//!
//! A target takes bytes and panics where they break a rule. libFuzzer makes bytes up (`targets/`), and `tests/corpus.rs`
//! has every build read again what was kept of them. The rules: nothing panics; what is read and can be written is the
//! same when it is read again; an error is a short line, fit for a terminal; memory is linear in the input.

mod agent;
mod agent_http;
mod config;
mod control;
mod cost;
mod imds;
mod journal;
mod machine;
pub mod pathological;
mod queue;
mod text;

/// One thing that reads.
pub struct Target {
    /// What its corpus and its binary are called.
    pub name: &'static str,
    /// Reads the bytes, and panics where they break a rule.
    pub run: fn(&[u8]),
    /// As many bytes as drainhook takes there, or a little fewer.
    pub size_max: usize,
}

/// Everything that reads.
pub const TARGETS: &[Target] = &[
    Target { name: "agent", run: agent::run, size_max: 64 * 1024 },
    Target { name: "agent_http", run: agent_http::run, size_max: 64 * 1024 },
    Target { name: "config", run: config::run, size_max: 256 * 1024 },
    Target { name: "control", run: control::run, size_max: 64 * 1024 },
    Target { name: "imds", run: imds::run, size_max: 64 * 1024 },
    Target { name: "journal", run: journal::run, size_max: 512 * 1024 },
    Target { name: "queue", run: queue::run, size_max: 512 * 1024 },
];

/// The target of that name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}
