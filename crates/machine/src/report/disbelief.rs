//! Messages that the daemon does not act on.

use std::fmt;

/// Why the daemon does not act on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disbelief {
    /// It names a time that has passed.
    Passed,
    /// It names a time farther ahead than EC2 ever warns.
    TooFarAhead,
    /// It is for spot instances, and IMDS says that this is an on-demand instance.
    OnDemand,
    /// It is for all instances of this reservation, and the configuration names none.
    Reservation(String),
}

impl fmt::Display for Disbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disbelief::Passed => f.write_str("that time has passed"),
            Disbelief::TooFarAhead => f.write_str("EC2 does not warn that far ahead"),
            Disbelief::OnDemand => f.write_str("this is an on-demand instance"),
            Disbelief::Reservation(id) => write!(
                f,
                "it is for the instances of reservation {id}; if this is one of them, set lifecycle.capacity_reservation"
            ),
        }
    }
}
