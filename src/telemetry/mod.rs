//! What leaves the daemon for people and their tools.

pub mod journald;
pub mod log;
