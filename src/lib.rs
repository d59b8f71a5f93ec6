//! drainhook drains the agent on an EC2 instance before Auto Scaling takes the instance away.
//!
//! # Layout
//!
//! - [`machine`]: the drain itself, pure: events in, effects out.
//! - [`shell`]: the one loop around it, and what performs its effects.
//! - [`source`], [`aws`], [`agent`]: the outside, turned into events; they decide nothing.
//! - [`config`], [`telemetry`]: what goes in before, and what comes out for people.
//! - [`sim`]: a simulated AWS, as a pure model and as a server.
//! - [`cli`]: one file per command.
//!
//! ARCHITECTURE.md says how they fit together, and why.

pub mod agent;
pub mod aws;
pub mod cli;
pub mod config;
mod http;
pub mod machine;
pub mod shell;
pub mod sim;
pub mod source;
pub mod telemetry;
mod text;
