//! drainhook.

pub mod machine;
pub mod shell;
