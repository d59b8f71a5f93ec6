//! The thin shell around the machine.

pub mod clock;
