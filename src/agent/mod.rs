//! Ways to reach an agent. Each turns what comes back into the machine's words, and never fails.
//!
//! - [`http`]: the agent protocol, over TCP or a Unix socket.
//! - `token`: the bearer token's file.

pub mod http;
mod token;

pub use http::{Agent, Base, Endpoint, EndpointError};
