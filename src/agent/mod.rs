//! Adapters that reach an agent. Each turns the response, or the failure, into an `AgentAnswer`. It never fails.
//!
//! - [`http`]: the agent protocol, over TCP or a Unix socket.
//! - `token`: reads the bearer token.

pub mod http;
mod token;

pub use http::{Agent, Base, Endpoint, EndpointError};
