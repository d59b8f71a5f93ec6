//! The package in a booted Debian. systemd is the first process, the simulated metadata service has the same address as
//! on EC2, and the agent is a unit.
//!
//! `tests/boot/run` builds the root and runs these tests. `cargo test` ignores them.
//!
//! # Layout
//!
//! - `machine`: boots and reboots a machine, and runs commands in it
//! - `site`: a machine with a simulated AWS around it
//! - `drain`: scale-ins, and what may happen to the daemon during a drain
//! - `install`: what the package installs, and the commands of docs/install.md, which `page` reads
//! - `unit`: agents that are units
//! - `idle`: figures for docs/performance.md

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod idle;
mod install;
mod launch;
mod machine;
mod page;
mod site;
mod unit;
