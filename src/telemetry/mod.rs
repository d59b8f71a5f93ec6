//! What leaves the daemon for people and their tools.
//!
//! - [`log`]: each report as a line on standard error; [`journald`]: the same as fields of journald's.
//! - [`debug`]: lines for operators who look closely.

pub mod debug;
pub mod journald;
pub mod log;
