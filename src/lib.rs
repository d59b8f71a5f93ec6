//! drainhook.

pub mod config;
pub mod machine;
pub mod shell;
