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
    /// Reads the bytes, says what they are, and panics where they break a rule.
    pub run: fn(&[u8]) -> Vec<&'static str>,
    /// All that bytes can be there.
    pub kinds: &'static [&'static str],
    /// As many bytes as drainhook takes there, or a little fewer.
    pub size_max: usize,
}

macro_rules! targets {
    ($($target:ident up to $size_max:expr),*) => {
        /// Everything that reads.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($target),
            run: $target::run,
            kinds: $target::KINDS,
            size_max: $size_max,
        }),*];
    };
}

targets!(
    agent up to 64 * 1024,
    agent_http up to 64 * 1024,
    config up to 256 * 1024,
    control up to 64 * 1024,
    imds up to 64 * 1024,
    journal up to 512 * 1024,
    queue up to 512 * 1024
);

/// The target of that name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}
