//! Ways to reach an agent. Each turns what comes back into the machine's words, and never fails.

pub mod http;

pub use http::{Agent, Base, Endpoint, EndpointError};
