//! A simulated AWS and everything that runs in it. The crate is pure and runs in virtual time; `drainhook simulate` serves
//! it on loopback.
//!
//! # Layout
//!
//! - [`world`]: the seeded model of AWS: groups, hooks, instances, queues, IMDS, agents.
//! - [`scenario`]: what `drainhook simulate` plays, and the expected results.
//! - [`fleet`], [`fault`]: many daemons' machines in virtual time, and the faults injected into them.
//! - [`schedule`]: planned steps, in order of time.
//! - [`story`], [`invariant`]: what happened to one instance, and what must hold in every run.

pub mod fault;
pub mod fleet;
pub mod invariant;
pub mod scenario;
pub mod schedule;
pub mod story;
pub mod world;
