//! Where notices come from. Sources make no decisions: they turn the outside into events.
//!
//! - [`imds`]: polls the metadata service.

pub mod imds;
