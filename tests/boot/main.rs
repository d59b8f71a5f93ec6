//! The package in a booted Debian: systemd as the first process, the simulated metadata service at the address that it
//! has on EC2, an agent as a unit of its own.
//!
//! `tests/boot/run` makes the root and runs these tests; each is ignored without it.
//!
//! # Layout
//!
//! - `machine`: boots, reboots and looks into one; `site`: one with a simulated AWS around it
//! - `drain`: scale-ins, and what may happen to the daemon in the middle of one
//! - `install`: what the package leaves on a machine, and the commands of docs/install.md, which `page` reads
//! - `idle`: figures

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod idle;
mod install;
mod machine;
mod page;
mod site;
