//! drainhook drains the agent on an EC2 instance before Auto Scaling takes the instance away.
//!
//! # Layout
//!
//! What is pure lives in crates of its own: [`machine`] (the drain: events in, effects out), [`formats`] (reads what comes
//! from outside) and [`sim`] (the simulated world). Here is everything that touches the world:
//!
//! - [`daemon`]: the one loop around the machine, and what performs its effects.
//! - [`source`], [`aws`], [`agent`]: the outside, turned into events; they decide nothing.
//! - [`config`], [`telemetry`]: what goes in before, and what comes out for people.
//! - [`clock`]: the only file that reads one.
//! - [`serve`]: the simulated world on loopback, in AWS's wire protocols.
//! - [`cli`]: one file or folder per command.
//!
//! ARCHITECTURE.md says how they fit together, and why.

pub mod agent;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
mod http;
pub mod serve;
pub mod source;
pub mod telemetry;
