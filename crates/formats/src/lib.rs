//! Reads what AWS, the instance metadata service, agents and files say, into the machine's vocabulary. Pure.
//!
//! # Layout
//!
//! - [`message`]: bodies of the termination queue's messages, in every wire shape that AWS sends.
//! - [`imds`]: answers of the instance metadata service.
//! - [`agent`]: the status document of an agent.
//! - [`journal`]: the content of the journal file.
//! - [`text`]: texts from outside, made fit for a log line and a terminal.

pub mod agent;
pub mod imds;
pub mod journal;
pub mod message;
pub mod text;
