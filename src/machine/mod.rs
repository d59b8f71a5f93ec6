//! The pure drain machine.

pub mod effect;
pub mod event;
pub mod journal;
pub mod message;
pub mod notice;
pub mod report;
pub mod time;
pub mod timer;

/// Placeholder until the machine lands.
pub struct Machine;

pub use time::Time;
