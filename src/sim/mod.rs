//! A simulated AWS: a pure, seeded model of it, and that model served in AWS's own wire protocols.

pub mod wire;
pub mod world;
