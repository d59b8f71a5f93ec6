//! Runs the real daemon against a simulated AWS, over loopback.

#[path = "../support/mod.rs"]
mod support;

mod after;
mod agents;
mod aws;
mod clock;
mod command;
mod completion;
mod control;
mod crash;
mod disk;
mod fleet;
mod force;
mod foreign;
mod hooks;
mod idle;
mod imds;
mod journal;
mod launch;
mod log;
mod manager;
mod membership;
mod notices;
mod panics;
mod probes;
mod protection;
mod targets;

use support::world::{stuck_world, world};
