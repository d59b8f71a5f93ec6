//! The rules for everything that drainhook reads, for any input.
//!
//! A target reads bytes and panics if a rule is broken. libFuzzer generates the bytes (`targets/`). `tests/corpus.rs`
//! replays the kept ones in every build. The rules:
//!
//! - A reader never panics.
//! - Writing a value and reading it again gives the same value.
//! - An error is a short line that is safe to print on a terminal.
//! - Memory is linear in the length of the input.

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

/// One reader.
pub struct Target {
    /// The name of its corpus and its binary.
    pub name: &'static str,
    /// Reads the bytes and returns their kinds. Panics if a rule is broken.
    pub run: fn(&[u8]) -> Vec<&'static str>,
    /// All kinds that `run` can return.
    pub kinds: &'static [&'static str],
    /// About the longest input that drainhook accepts there, in bytes, and never more.
    pub size_max: usize,
}

macro_rules! targets {
    ($($target:ident up to $size_max:expr),*) => {
        /// All readers.
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

/// The target with this name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}
