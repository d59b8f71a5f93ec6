//! drainhook.

pub mod agent;
pub mod aws;
mod http;
pub mod machine;
pub mod shell;
pub mod source;
