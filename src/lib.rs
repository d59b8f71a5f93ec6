//! drainhook drains the agent on an EC2 instance before Auto Scaling takes the instance away.
//!
//! # Layout
//!
//! The pure parts are crates of their own: [`machine`] (the drain: events in, effects out), [`formats`] (parses input from
//! outside) and [`sim`] (the simulated world). This crate holds everything that does I/O:
//!
//! - [`daemon`]: the one loop around the machine, and the code that performs its effects.
//! - [`source`], [`aws`], [`agent`]: turn the outside into events. They decide nothing.
//! - [`config`]: reads the configuration. [`telemetry`]: writes the log.
//! - [`preset`]: settings for software that people run, as data.
//! - [`clock`]: the only file that reads a clock.
//! - [`serve`]: the simulated world on loopback, in AWS's wire protocols.
//! - [`cli`]: one file or folder per command.
//!
//! ARCHITECTURE.md explains how they fit together, and why.

pub mod agent;
pub mod aws;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
mod http;
pub mod preset;
pub mod serve;
pub mod source;
pub mod telemetry;
