//! What is reported about the protection.

use std::fmt;

use super::standing::LiftCause;

/// What happened to the protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtectionNews {
    /// The instance is protected from scale-in.
    Protected,
    /// It is no longer protected.
    Lifted(LiftCause),
}

impl ProtectionNews {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ProtectionNews::Protected => "protected",
            ProtectionNews::Lifted(_) => "protection_lifted",
        }
    }
}

impl fmt::Display for ProtectionNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self {
            ProtectionNews::Protected => {
                return f.write_str("the agents are busy; this instance is now protected from scale-in");
            }
            ProtectionNews::Lifted(LiftCause::Idle) => "the agents are idle",
            ProtectionNews::Lifted(LiftCause::Longest) => {
                "it has lasted for protection.longest, and another scale-in or instance refresh may wait for it"
            }
            ProtectionNews::Lifted(LiftCause::Notice) => "a drain has begun",
            ProtectionNews::Lifted(LiftCause::Removed) => "protection.when_busy is off",
        };
        write!(f, "this instance is no longer protected from scale-in: {cause}")
    }
}
