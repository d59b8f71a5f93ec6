//! Software that people run, under real units in a booted machine. Each is drained by the daemon and loses nothing. With a
//! setting that is known to lose work, it loses some, so the tests can see a loss.
//!
//! `tests/agents/run` installs the software and runs these tests. `cargo test` ignores them.
//!
//! # Layout
//!
//! - `software`: a table of the software, and the two tests of each
//! - `story`: what happens in a test
//!
//! The files of each software are in a folder with its name.

#[allow(dead_code, reason = "tests/boot uses the rest")]
#[path = "../boot/machine.rs"]
mod machine;
#[allow(dead_code, reason = "tests/boot uses the rest")]
#[path = "../boot/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

mod software;
mod story;
