//! drainhook.

pub mod machine;
pub mod shell;
pub mod sim;
