//! Ways to reach an agent. Each turns what comes back into the machine's words, and never fails.

mod connection;
pub mod http;
pub mod token;
pub mod user;

pub use http::{Agent, Base, Endpoint, EndpointError};
pub use user::User;
