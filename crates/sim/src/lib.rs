//! A simulated AWS, and what is played in it. Pure: it runs in virtual time, and `drainhook simulate` serves it on loopback.
//!
//! # Layout
//!
//! - [`world`]: the pure, seeded model: groups, hooks, instances, queues, IMDS, agents.
//! - [`scenario`]: what `drainhook simulate` plays, and what must come out.
//! - [`fleet`], [`fault`]: many daemons' machines in virtual time, and what goes wrong with them.
//! - [`schedule`]: what is due, in order.
//! - [`story`], [`invariant`]: what became of an instance, and what must hold in every run.

pub mod fault;
pub mod fleet;
pub mod invariant;
pub mod scenario;
pub mod schedule;
pub mod story;
pub mod world;
