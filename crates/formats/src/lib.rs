//! Parses data from AWS, the instance metadata service, agents and files into the machine's types. Pure.
//!
//! # Layout
//!
//! - [`message`]: bodies of termination queue messages, in every format that AWS sends.
//! - [`imds`]: responses of the instance metadata service.
//! - [`agent`]: the status document of an agent.
//! - [`contract`]: how an agent's answer differs from docs/openapi.yaml.
//! - [`probe`]: the number in flight, from agents that do not speak our protocol.
//! - [`journal`]: the content of the journal file.
//! - [`text`]: makes text from outside safe for log lines and terminals.

pub mod agent;
pub mod contract;
pub mod imds;
pub mod journal;
pub mod message;
pub mod probe;
pub mod text;
