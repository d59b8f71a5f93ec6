//! The sources of notices. They decide nothing: they turn input from outside into events.
//!
//! - [`imds`]: polls the metadata service.

pub mod imds;
