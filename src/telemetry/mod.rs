//! What the daemon reports to people and their tools.
//!
//! - [`log`]: writes each report as a line on standard error. [`journald`]: writes it as journald fields.
//! - [`debug`]: writes lines of level debug.

pub mod debug;
pub mod journald;
pub mod log;
