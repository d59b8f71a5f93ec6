//! The real daemon with SQS, EventBridge and SNS of LocalStack or of an AWS account, instead of the simulator's.
//!
//! Auto Scaling is the simulator's, because LocalStack's free edition has none. `tests/localstack/run` starts a
//! LocalStack and runs these tests. docs/testing.md says how to run them elsewhere. `cargo test` ignores them.

#[path = "../support/mod.rs"]
mod support;

mod capacity;
mod cloud;
mod events;
mod faults;
mod fleet;
mod messages;
mod restart;
mod server;

use std::time::Duration;

use sim::world::{Work, WorldConfig};

use support::Request;

/// Whether a request is this operation of SQS.
fn is(request: &Request, operation: &str) -> bool {
    request.header("x-amz-target").is_some_and(|target| target == format!("AmazonSQS.{operation}"))
}

/// A world whose agent has one piece of work, which the test ends.
fn held_world() -> WorldConfig {
    let work = Work { items: 1, duration: Duration::from_secs(1), stuck: 1 };
    WorldConfig { work, ..support::world::world(1, 1) }
}
