//! Tests of the whole machine, on a virtual clock: events in, effects out.
#![allow(clippy::unwrap_used)]

mod after;
mod agents;
mod beats;
mod bench;
mod completion;
mod deadline;
mod fleet;
mod force;
mod hooks;
mod hours;
mod invariant;
mod launch;
mod launch_calls;
mod listening;
mod messages;
mod notices;
mod once;
mod operator;
mod order;
mod probes;
mod property;
mod protection;
mod recovery;
mod sent;
mod standby;
mod targets;
mod volume;
mod wait;
mod withdrawal;
