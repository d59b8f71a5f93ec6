//! The simulated world on loopback, in the wire protocols of AWS.
