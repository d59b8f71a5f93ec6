//! What a restarted daemon needs to go on.

/// Placeholder until the machine lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {}
