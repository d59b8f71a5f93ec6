//! What people are told.

/// Placeholder until the machine lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {}
