//! Where notices come from. Sources make no decisions: they turn the outside into events.

pub mod imds;
