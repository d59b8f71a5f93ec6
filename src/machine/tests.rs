//! Tests of the whole machine, on a virtual clock.
